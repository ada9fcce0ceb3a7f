//! An HTTP server that misbehaves on purpose.

use crate::server::wait_for;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The target's answer to a request.
#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    /// A status with `Retry-After`, in seconds.
    Later(u16, u32),
    /// A status with `Location`.
    Redirect(u16, String),
    /// A status, and the request's headers as body.
    Echo(u16),
    /// No response until the client gives up.
    Hang,
    /// Status 200 once the test opens the target.
    Wait,
    /// The socket closes in the middle of the response.
    Die,
    /// A body without end, as fast as the client reads.
    Flood,
    /// Headers without end.
    FloodOfHeaders,
    /// A body without end, ten bytes a second.
    Drip,
}

/// A request that the target has received.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    headers: Vec<(String, String)>,
    pub body: Value,
    /// Whether the client closed the connection before the target did.
    pub given_up: bool,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        &found.unwrap_or_else(|| panic!("no {name} in {self:?}")).1
    }
}

/// An HTTP server that gives the n-th answer to the n-th request, and the last answer to all further ones.
pub struct Target {
    pub port: u16,
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    is_open: Arc<AtomicBool>,
}

impl Target {
    pub fn start(answers: &[Answer]) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Target {
            port,
            url: format!("http://127.0.0.1:{port}/run"),
            requests: Arc::default(),
            is_open: Arc::default(),
        };
        let (requests, is_open) = (target.requests.clone(), target.is_open.clone());
        let answers = answers.to_vec();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (requests, is_open) = (requests.clone(), is_open.clone());
                let answers = answers.clone();
                thread::spawn(move || respond(stream.unwrap(), &answers, &requests, &is_open));
            }
        });
        target
    }

    /// Lets the requests that wait have their answer.
    pub fn open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn wait_for_requests(&self, count: usize) {
        wait_for("the target to receive requests", || {
            self.requests().len() >= count
        });
    }

    pub fn wait_until_given_up(&self, number: usize) {
        wait_for("the request to be given up", || {
            self.requests()[number].given_up
        });
    }
}

fn respond(
    mut stream: TcpStream,
    answers: &[Answer],
    requests: &Mutex<Vec<Request>>,
    is_open: &AtomicBool,
) {
    let Ok(request) = read_request(&stream) else {
        return; // TLS, for example.
    };
    let mut sent = format!("{:?}", request.headers);
    let number = {
        let mut requests = requests.lock().unwrap();
        requests.push(request);
        requests.len() - 1
    };
    let mut send = |status: u16, header: &str, body: &str| {
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{header}Connection: close\r\n\r\n{body}"
        )
    };
    let done = r#"{"done": true}"#;
    let result = match &answers[number.min(answers.len() - 1)] {
        Answer::Status(status) => send(*status, "", done),
        Answer::Later(status, seconds) => {
            send(*status, &format!("Retry-After: {seconds}\r\n"), done)
        }
        Answer::Redirect(status, url) => send(*status, &format!("Location: {url}\r\n"), done),
        Answer::Echo(status) => {
            sent.truncate(4000);
            send(*status, "", &sent)
        }
        Answer::Hang => stream
            .read(&mut [0])
            .and(Err(std::io::ErrorKind::BrokenPipe.into())),
        Answer::Wait => {
            wait_for("the test to open the target", || {
                is_open.load(Ordering::Relaxed)
            });
            send(200, "", done)
        }
        Answer::Die => write!(
            stream,
            "HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n{{\"do"
        ),
        Answer::Flood => repeat(stream, "", &"x".repeat(1 << 16), Duration::ZERO),
        Answer::FloodOfHeaders => repeat(stream, "X: y", "\r\nX: y", Duration::ZERO),
        Answer::Drip => repeat(stream, "", "x", Duration::from_millis(100)),
    };
    requests.lock().unwrap()[number].given_up = result.is_err();
}

/// Sends a response that ends only with the connection.
fn repeat(
    mut stream: TcpStream,
    start: &str,
    part: &str,
    pause: Duration,
) -> Result<(), std::io::Error> {
    let end_of_headers = if start.is_empty() { "\r\n" } else { "" };
    write!(stream, "HTTP/1.1 200 X\r\n{start}{end_of_headers}")?;
    loop {
        stream.write_all(part.as_bytes())?;
        thread::sleep(pause);
    }
}

fn read_request(stream: &TcpStream) -> Result<Request, std::io::Error> {
    let mut reader = BufReader::new(stream);
    let mut lines = vec![];
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end() {
            "" => break,
            text => lines.push(text.to_owned()),
        }
    }
    let line = lines.remove(0);
    let headers = lines.iter().map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_lowercase(), value.trim().to_owned())
    });
    let mut request = Request {
        line,
        headers: headers.collect(),
        body: Value::Null,
        given_up: false,
    };
    let mut body = vec![0; request.header("content-length").parse().unwrap()];
    reader.read_exact(&mut body)?;
    request.body = serde_json::from_slice(&body).unwrap();
    Ok(request)
}
