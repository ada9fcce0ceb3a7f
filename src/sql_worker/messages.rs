//! The notices and warnings of a statement: what PostgreSQL would send to its client.

use crate::error::Result;
use crate::sql::Jsonb;
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::cell::RefCell;
use std::ffi::{CStr, c_void};
use std::os::raw::{c_char, c_int};

/// The most messages that one attempt keeps, and the most characters of one.
const MOST_MESSAGES: usize = 200;
const MOST_CHARACTERS: usize = 10_000;

/// A message of PostgreSQL.
pub struct Message {
    /// A level of an execution's log.
    pub level: &'static str,
    pub text: String,
    /// The SQLSTATE, detail, hint and context.
    pub data: serde_json::Value,
}

impl Message {
    /// The fields other than the text, for the log.
    pub fn data(&self) -> Result<Jsonb> {
        Jsonb::from_text("data", &self.data.to_string())
    }
}

thread_local! {
    static MESSAGES: RefCell<Vec<Message>> = const { RefCell::new(vec![]) };
}

/// PQcommMethods of libpq/libpq.h, in PostgreSQL 15 to 18; pgrx does not bind it.
#[repr(C)]
struct CommMethods {
    comm_reset: unsafe extern "C-unwind" fn(),
    flush: unsafe extern "C-unwind" fn() -> c_int,
    flush_if_writable: unsafe extern "C-unwind" fn() -> c_int,
    is_send_pending: unsafe extern "C-unwind" fn() -> bool,
    putmessage: unsafe extern "C-unwind" fn(c_char, *const c_char, usize) -> c_int,
    putmessage_noblock: unsafe extern "C-unwind" fn(c_char, *const c_char, usize),
}

unsafe extern "C-unwind" {
    static mut PqCommMethods: *const CommMethods;
    // libpq/libpq-be.h
    static mut FrontendProtocol: u32;
}

static METHODS: CommMethods = CommMethods {
    comm_reset: do_nothing,
    flush: succeed,
    flush_if_writable: succeed,
    is_send_pending: is_never_pending,
    putmessage: receive,
    putmessage_noblock: receive_later,
};

unsafe extern "C-unwind" fn do_nothing() {}

unsafe extern "C-unwind" fn succeed() -> c_int {
    0
}

unsafe extern "C-unwind" fn is_never_pending() -> bool {
    false
}

#[pg_guard]
unsafe extern "C-unwind" fn receive(kind: c_char, body: *const c_char, length: usize) -> c_int {
    if kind as u8 == b'N' {
        // SAFETY: PostgreSQL hands over a message of this length.
        let body = unsafe { std::slice::from_raw_parts(body.cast::<u8>(), length) };
        keep(body);
    }
    0
}

#[pg_guard]
unsafe extern "C-unwind" fn receive_later(kind: c_char, body: *const c_char, length: usize) {
    // SAFETY: as above.
    unsafe { receive(kind, body, length) };
}

/// Keeps a NoticeResponse: fields of one byte and a NUL-terminated text each (see "Error and Notice Message Fields" of
/// PostgreSQL's documentation).
fn keep(body: &[u8]) {
    let mut message = Message {
        level: "INFO",
        text: String::new(),
        data: serde_json::json!({}),
    };
    for field in body.split(|byte| *byte == 0) {
        let Some((kind, text)) = field.split_first() else {
            continue;
        };
        let text: String = String::from_utf8_lossy(text)
            .chars()
            .take(MOST_CHARACTERS)
            .collect();
        match kind {
            b'V' => {
                message.level = match text.as_str() {
                    "WARNING" => "WARNING",
                    "DEBUG" => "DEBUG",
                    _ => "INFO",
                }
            }
            b'M' => message.text = text,
            b'C' => message.data["sqlstate"] = text.into(),
            b'D' => message.data["detail"] = text.into(),
            b'H' => message.data["hint"] = text.into(),
            b'W' => message.data["context"] = text.into(),
            _ => {}
        }
    }
    MESSAGES.with_borrow_mut(|messages| {
        if messages.len() < MOST_MESSAGES && !message.text.is_empty() {
            messages.push(message);
        }
    });
}

/// What pgrx does not keep of an error: an SQLSTATE that PostgreSQL does not define, and the context.
pub struct Origin {
    pub sqlstate: String,
    pub context: Option<String>,
}

thread_local! {
    /// The message of the last error, and its origin.
    static LAST_ERROR: RefCell<Option<(String, Origin)>> = const { RefCell::new(None) };
}

/// Keeps the origin of an error. The callback is the outermost one, so it runs when PL/pgSQL and others
/// have added what they know.
#[pg_guard]
unsafe extern "C-unwind" fn keep_origin(_arg: *mut c_void) {
    // SAFETY: PostgreSQL calls it while it builds an error or a notice, perhaps outside a transaction. The copy is freed.
    unsafe {
        let context = pg_sys::MemoryContextSwitchTo(pg_sys::TopMemoryContext);
        let error = pg_sys::CopyErrorData();
        pg_sys::MemoryContextSwitchTo(context);
        if (*error).elevel >= pgrx::PgLogLevel::ERROR as c_int {
            let own = |text: *const c_char| {
                (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
            };
            let origin = Origin {
                sqlstate: own(pg_sys::unpack_sql_state((*error).sqlerrcode)).unwrap_or_default(),
                context: own((*error).context),
            };
            LAST_ERROR.set(own((*error).message).map(|message| (message, origin)));
        }
        pg_sys::FreeErrorData(error);
    }
}

/// Where the last error comes from, if it has this message.
pub fn origin_of(message: &str) -> Option<Origin> {
    LAST_ERROR
        .take()
        .filter(|(last, _)| last == message)
        .map(|(_, origin)| origin)
}

/// Restores where PostgreSQL sends messages, also when an error unwinds.
struct Saved {
    destination: pg_sys::CommandDest::Type,
    methods: *const CommMethods,
    callbacks: *mut pg_sys::ErrorContextCallback,
}

impl Drop for Saved {
    fn drop(&mut self) {
        // SAFETY: a backend has one thread.
        unsafe {
            pg_sys::whereToSendOutput = self.destination;
            PqCommMethods = self.methods;
            pg_sys::error_context_stack = self.callbacks;
        }
    }
}

/// Runs `work`, and keeps the messages that PostgreSQL would send to a client, and the origin of an error. The session's
/// client_min_messages decides which messages.
pub fn keep_messages<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: the callback is popped before this frame ends.
    let mut callback = unsafe {
        pg_sys::ErrorContextCallback {
            previous: pg_sys::error_context_stack,
            callback: Some(keep_origin),
            arg: std::ptr::null_mut(),
        }
    };
    // SAFETY: a backend has one thread; a background worker has no client, so nothing else uses the methods.
    let _saved = unsafe {
        let saved = Saved {
            destination: pg_sys::whereToSendOutput,
            methods: PqCommMethods,
            callbacks: pg_sys::error_context_stack,
        };
        pg_sys::error_context_stack = &raw mut callback;
        PqCommMethods = &raw const METHODS;
        pg_sys::whereToSendOutput = pg_sys::CommandDest::DestRemote;
        FrontendProtocol = 3 << 16;
        saved
    };
    work()
}

/// The messages since the last call.
pub fn take() -> Vec<Message> {
    MESSAGES.take()
}
