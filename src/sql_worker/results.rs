//! What a statement returns: how many rows, and the first of them as JSON. The others are counted and dropped, so that
//! ten million rows take no memory.

use pgrx::prelude::*;
use pgrx::{PgMemoryContexts, pg_sys};
use serde_json::value::RawValue;
use std::ffi::CStr;

/// How many rows of a statement are kept.
const MOST_ROWS: usize = 100;

/// A receiver of rows: PostgreSQL's structure, which comes first, and what it has received.
#[repr(C)]
pub struct Receiver {
    receiver: pg_sys::DestReceiver,
    rows: Vec<Box<RawValue>>,
    bytes: usize,
    /// The most bytes that are kept.
    budget: usize,
    is_full: bool,
    /// The columns of the result. Those of a row's slot may lack their names.
    columns: pg_sys::TupleDesc,
}

impl Receiver {
    pub fn new(budget: usize) -> Box<Receiver> {
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
            budget,
            is_full: false,
            columns: std::ptr::null_mut(),
        })
    }

    /// The structure for PostgreSQL.
    pub fn as_destination(&mut self) -> *mut pg_sys::DestReceiver {
        &raw mut self.receiver
    }

    /// The kept rows; None if the statement returns no rows.
    pub fn rows(self) -> Option<Vec<Box<RawValue>>> {
        (!self.columns.is_null()).then_some(self.rows)
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn start(
    receiver: *mut pg_sys::DestReceiver,
    _operation: core::ffi::c_int,
    columns: pg_sys::TupleDesc,
) {
    // SAFETY: the receiver is the first field of ours; the columns live until the statement ends. row_to_json finds them
    // by the row's type, which is registered here.
    unsafe {
        if (*columns).natts > 0 {
            (*receiver.cast::<Receiver>()).columns = pg_sys::BlessTupleDesc(columns);
        }
    }
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
        if receiver.is_full || receiver.columns.is_null() {
            return true;
        }
        let json =
            PgMemoryContexts::new("kronos row").switch_to(|_| row_as_json(slot, receiver.columns));
        receiver.bytes += json.get().len();
        if receiver.rows.len() == MOST_ROWS || receiver.bytes > receiver.budget {
            receiver.is_full = true;
        } else {
            receiver.rows.push(json);
        }
        true
    }
}

/// # Safety
/// `slot` holds a row of these columns.
unsafe fn row_as_json(
    slot: *mut pg_sys::TupleTableSlot,
    columns: pg_sys::TupleDesc,
) -> Box<RawValue> {
    // SAFETY: as receivers of PostgreSQL read a slot. row_to_json returns text.
    let json = unsafe {
        pg_sys::slot_getallattrs(slot);
        let row = pg_sys::heap_form_tuple(columns, (*slot).tts_values, (*slot).tts_isnull);
        let row = pg_sys::heap_copy_tuple_as_datum(row, columns);
        let text = pgrx::direct_function_call_as_datum(pg_sys::row_to_json, &[Some(row)])
            .expect("row_to_json returns no null");
        let text = pg_sys::text_to_cstring(text.cast_mut_ptr());
        CStr::from_ptr(text).to_string_lossy().into_owned()
    };
    RawValue::from_string(json).unwrap_or_default()
}
