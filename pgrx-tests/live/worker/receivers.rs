//! Unless it is told otherwise, a worker connects to public addresses only: whoever writes endpoints must not reach the
//! network of the worker's machine.

use super::certificates::Authority;
use super::*;

const REFUSED: &str = "the host has no public address, and --allow-host does not name it";

fn refused() -> (String, i32, String) {
    ("FAILED".into(), 1, REFUSED.into())
}

#[test]
fn worker_refuses_addresses_that_are_not_public() {
    let hosts = [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        // Other spellings of 127.0.0.1.
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "172.31.255.255",
        "192.0.0.192",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[fe80::1]",
        "[fec0::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        // Addresses that contain 127.0.0.1: mapped, compatible, NAT64 and 6to4.
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ];
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Status(200)]);
        let _worker = scene.start(scene.command());
        let port = scene.target.port;
        let schemes = ["http", "https"];
        let specs: Vec<Value> = hosts
            .iter()
            .flat_map(|host| {
                schemes.map(|scheme| json!({ "url": format!("{scheme}://{host}:{port}/") }))
            })
            .collect();
        for (spec, ended) in specs.iter().zip(scene.run_specs(&specs)) {
            assert_eq!(ended, refused(), "{program:?}, {spec}");
        }
        assert_eq!(scene.target.requests().len(), 0, "{program:?}");
        assert_sound(&mut scene.session);
    }
}

#[test]
fn worker_reaches_the_hosts_and_ports_that_are_allowed() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Status(200)]);
        let other = Target::start(&[Answer::Status(200)]);
        let (port, other_port) = (scene.target.port, other.port);
        let mut command = scene.command();
        for host in ["LocalHost", &format!("127.0.0.1:{port}"), "::2", "[::3]:80"] {
            command.args(["--allow-host", host]);
        }
        let _worker = scene.start(command);
        let succeeded = || ("SUCCEEDED".to_owned(), 0, String::new());
        let expected = [
            (format!("127.0.0.1:{port}"), Some(succeeded())),
            (format!("127.0.0.1:{other_port}"), Some(refused())),
            (format!("localhost:{port}"), Some(succeeded())),
            (format!("localhost:{other_port}"), Some(succeeded())),
            (format!("127.0.0.2:{port}"), Some(refused())),
            (format!("[::1]:{port}"), Some(refused())),
            // Nothing listens there, but they are not refused.
            (format!("[::2]:{port}"), None),
            ("[::3]".to_owned(), None),
            (format!("[::3]:{port}"), Some(refused())),
        ];
        let specs = expected
            .clone()
            .map(|(host, _)| json!({ "url": format!("http://{host}/") }));
        for ((host, expected), ended) in expected.iter().zip(scene.run_specs(&specs)) {
            match expected {
                Some(expected) => assert_eq!(&ended, expected, "{program:?}, {host}"),
                None => assert!(
                    ended.2.starts_with("no response: "),
                    "{program:?}, {host}: {ended:?}"
                ),
            }
        }
        assert_eq!(other.requests().len(), 1, "{program:?}");
    }
}

#[test]
fn worker_does_not_follow_redirects() {
    for program in PROGRAMS {
        let private = Target::start(&[Answer::Status(200)]);
        for status in [301, 302, 303, 307, 308] {
            let redirect = Answer::Redirect(status, private.url.clone());
            let mut scene = Scene::new(program, &[redirect]);
            let _worker = scene.start_worker();
            scene.assert_ended("FAILED", 1, "FAILED");
            assert_eq!(scene.error(), format!("HTTP status {status}"));
        }
        assert_eq!(private.requests().len(), 0, "{program:?}");
    }
}

/// A name server that gives host rebind.test a public address at every odd question, and 127.0.0.1 at every even one.
/// Nothing answers at the public address, which belongs to no network.
const REBINDING_RESOLVER: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>

typedef int resolver(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found)
{
    static int questions;
    if (host && strcmp(host, "rebind.test") == 0)
        host = questions++ % 2 ? "127.0.0.1" : "2000::1";
    return ((resolver *) dlsym(RTLD_NEXT, "getaddrinfo"))(host, port, hints, found);
}
"#;

#[test]
fn worker_connects_to_the_address_that_it_has_checked() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Status(200)]);
        let library = scene.server.socket_dir().join("resolver.so");
        compile(REBINDING_RESOLVER, &library);
        scene.set_spec(json!({ "url": format!("http://rebind.test:{}/", scene.target.port) }));
        let mut command = scene.command();
        command.env("LD_PRELOAD", &library);
        let _worker = scene.start(command);
        scene.assert_ended("FAILED", 2, "FAILED FAILED");
        let errors = scene.errors();
        assert!(errors[0].starts_with("no response: "), "{errors:?}");
        assert_eq!(errors[1], REFUSED, "{program:?}");
        assert_eq!(scene.target.requests().len(), 0, "{program:?}");
    }
}

/// Compiles a shared library.
fn compile(source: &str, library: &Path) {
    let file = library.with_extension("c");
    std::fs::write(&file, source).unwrap();
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([library, &file])
        .arg("-ldl")
        .status()
        .unwrap();
    assert!(status.success());
}

/// An HTTPS server. Its arguments are the files of its certificate and key.
const HTTPS_SERVER: &str = "
import http.server, ssl, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()

server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*sys.argv[1:])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
";

#[test]
fn worker_verifies_the_certificate_of_a_receiver() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Status(200)]);
        let dir = scene.server.socket_dir();
        let (trusted, other) = (Authority::new(dir, "trusted"), Authority::new(dir, "other"));
        let (certificate, key) = trusted.issue("DNS:localhost");
        let receiver = PythonServer::start(HTTPS_SERVER, &[&certificate, &key]);
        for (authority, host, is_valid) in [
            (&trusted, "localhost", true),
            (&trusted, "127.0.0.1", false),
            (&other, "localhost", false),
        ] {
            let mut command = scene.command();
            command
                .args(["--allow-host", host])
                .env("SSL_CERT_FILE", authority.root());
            let _worker = scene.start(command);
            let url = format!("https://{host}:{}/", receiver.port);
            let ended = scene.run_specs(&[json!({ "url": url })]).remove(0);
            let case = format!(
                "{program:?}, {}, {host}: {ended:?}",
                authority.root().display()
            );
            assert_eq!(ended.0 == "SUCCEEDED", is_valid, "{case}");
            assert!(is_valid || ended.2.contains("certificate"), "{case}");
        }
    }
}
