//! What a statement returns: how many rows, and the first of them as JSON. The others are counted and dropped, so that
//! ten million rows take no memory.

use pgrx::prelude::*;
use pgrx::{PgMemoryContexts, pg_sys};
use serde_json::value::RawValue;
use std::ffi::CStr;

/// How many rows of a statement are kept, and how many bytes of JSON at most.
const MOST_ROWS: usize = 100;
const MOST_BYTES: usize = 65_536;

/// A receiver of rows: PostgreSQL's structure, which comes first, and what it has received.
#[repr(C)]
pub struct Receiver {
    receiver: pg_sys::DestReceiver,
    rows: Vec<Box<RawValue>>,
    bytes: usize,
    is_full: bool,
    /// Whether the result has columns.
    returns_rows: bool,
}

impl Receiver {
    pub fn new() -> Box<Receiver> {
        Box::new(Receiver {
            receiver: pg_sys::DestReceiver {
                receiveSlot: Some(receive_slot),
                rStartup: Some(start),
                rShutdown: Some(stop),
                rDestroy: Some(stop),
                mydest: pg_sys::CommandDest::DestNone,
            },
            rows: vec![],
            bytes: 0,
            is_full: false,
            returns_rows: false,
        })
    }

    /// The structure for PostgreSQL.
    pub fn as_destination(&mut self) -> *mut pg_sys::DestReceiver {
        &raw mut self.receiver
    }

    /// The kept rows; None if the statement returns no rows.
    pub fn rows(self) -> Option<Vec<Box<RawValue>>> {
        self.returns_rows.then_some(self.rows)
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn start(
    receiver: *mut pg_sys::DestReceiver,
    _operation: core::ffi::c_int,
    columns: pg_sys::TupleDesc,
) {
    // SAFETY: the receiver is the first field of ours.
    unsafe { (*receiver.cast::<Receiver>()).returns_rows = (*columns).natts > 0 };
}

#[pg_guard]
unsafe extern "C-unwind" fn stop(_receiver: *mut pg_sys::DestReceiver) {}

#[pg_guard]
unsafe extern "C-unwind" fn receive_slot(
    slot: *mut pg_sys::TupleTableSlot,
    receiver: *mut pg_sys::DestReceiver,
) -> bool {
    // SAFETY: as above; the row is copied to a memory context of its own, which is freed at the end.
    unsafe {
        let receiver = &mut *receiver.cast::<Receiver>();
        if receiver.is_full {
            return true;
        }
        let json = PgMemoryContexts::new("kronos row").switch_to(|_| row_as_json(slot));
        receiver.bytes += json.get().len();
        if receiver.rows.len() == MOST_ROWS || receiver.bytes > MOST_BYTES {
            receiver.is_full = true;
        } else {
            receiver.rows.push(json);
        }
        true
    }
}

/// # Safety
/// `slot` holds a row.
unsafe fn row_as_json(slot: *mut pg_sys::TupleTableSlot) -> Box<RawValue> {
    // SAFETY: row_to_json returns text. It finds the columns by the row's type, which is registered first.
    let json = unsafe {
        pg_sys::BlessTupleDesc((*slot).tts_tupleDescriptor);
        let row = pg_sys::ExecFetchSlotHeapTupleDatum(slot);
        let text = pgrx::direct_function_call_as_datum(pg_sys::row_to_json, &[Some(row)])
            .expect("row_to_json returns no null");
        let text = pg_sys::text_to_cstring(text.cast_mut_ptr());
        CStr::from_ptr(text).to_string_lossy().into_owned()
    };
    RawValue::from_string(json).unwrap_or_default()
}
