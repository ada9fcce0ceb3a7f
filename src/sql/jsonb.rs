//! jsonb that passes through Kronos untouched. pgrx's own type parses each value into serde_json and serialises it
//! again, which fails for JSON nested deeper than 127 levels and changes some values.

use super::processes::c_string;
use super::subtransaction::convert_errors;
use crate::error::{self, Result};
use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::datum::Datum;
use pgrx::nullable::Nullable;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::{FromDatum, IntoDatum, PgMemoryContexts, pg_sys};
use serde_json::Value;
use std::ffi::CStr;

/// A detoasted jsonb value of PostgreSQL. An argument lives as long as the call; a value read from a row lives as long
/// as the transaction.
#[derive(Clone, Copy)]
pub struct Jsonb(pg_sys::Datum);

impl Jsonb {
    /// The value as text. The text can be far longer than the stored value (`1e1000` is one byte a digit), so callers
    /// that bound a value measure its text.
    pub fn text(self) -> String {
        // SAFETY: the datum is a detoasted jsonb; jsonb_out returns a NUL-terminated string in the current memory context.
        unsafe {
            let text = pgrx::direct_function_call_as_datum(pg_sys::jsonb_out, &[Some(self.0)])
                .expect("jsonb_out returns no null");
            let text: *mut core::ffi::c_char = text.cast_mut_ptr();
            let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
            pg_sys::pfree(text.cast());
            owned
        }
    }

    /// Reads JSON text.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if PostgreSQL cannot store the text as jsonb.
    pub fn from_text(argument: &str, text: &str) -> Result<Jsonb> {
        let owned = c_string(text);
        convert_errors(
            || {
                // SAFETY: jsonb_in reads a NUL-terminated string, and returns a detoasted jsonb.
                let datum = unsafe {
                    pgrx::direct_function_call_as_datum(
                        pg_sys::jsonb_in,
                        &[Some(owned.as_ptr().into())],
                    )
                };
                Ok(Jsonb(datum.expect("jsonb_in returns no null")))
            },
            |report| {
                let problem = format!("could not be read: {}", report.message());
                Some(error::invalid_argument(argument, &problem))
            },
        )
    }

    /// The number of elements of a JSON array; None if the value is not an array.
    pub fn array_length(self) -> Option<usize> {
        const ARRAY: u32 = 0x4000_0000;
        const SCALAR: u32 = 0x1000_0000;
        const COUNT: u32 = 0x0fff_ffff;
        // SAFETY: the datum is a detoasted jsonb: a varlena header of 4 bytes, then its root container's header, which
        // jsonb.h defines by the masks above. A scalar is stored as an array of one element.
        let header = unsafe { self.0.cast_mut_ptr::<u32>().add(1).read() };
        (header & ARRAY != 0 && header & SCALAR == 0).then_some((header & COUNT) as usize)
    }

    /// Parses the value with serde_json.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for JSON nested deeper than 127 levels.
    pub fn parse(self, argument: &str) -> Result<Value> {
        serde_json::from_str(&self.text()).map_err(|problem| {
            error::invalid_argument(argument, &format!("could not be read: {problem}"))
        })
    }
}

impl FromDatum for Jsonb {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        _: pg_sys::Oid,
    ) -> Option<Jsonb> {
        // SAFETY: the caller hands over a jsonb datum.
        (!is_null).then(|| Jsonb(unsafe { pg_sys::pg_detoast_datum(datum.cast_mut_ptr()) }.into()))
    }

    /// The rows of a statement are freed with its connection to SPI, so a value that outlives the connection is copied.
    unsafe fn from_datum_in_memory_context(
        mut memory_context: PgMemoryContexts,
        datum: pg_sys::Datum,
        is_null: bool,
        _: pg_sys::Oid,
    ) -> Option<Jsonb> {
        // SAFETY: as above.
        let copy = |_: &mut _| unsafe { pg_sys::pg_detoast_datum_copy(datum.cast_mut_ptr()) };
        (!is_null).then(|| Jsonb(unsafe { memory_context.switch_to(copy) }.into()))
    }
}

impl IntoDatum for Jsonb {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        Some(self.0)
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

// SAFETY: the argument is read as any varlena that implements FromDatum is.
unsafe impl<'fcx> ArgAbi<'fcx> for Jsonb {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        unsafe { arg.unbox_arg_using_from_datum() }.expect("the argument is not null")
    }

    unsafe fn unbox_nullable_arg(arg: Arg<'_, 'fcx>) -> Nullable<Self> {
        unsafe { arg.unbox_arg_using_from_datum() }.into()
    }
}

// SAFETY: a jsonb datum is returned as it is.
unsafe impl BoxRet for Jsonb {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        unsafe { fcinfo.return_raw_datum(self.0) }
    }
}

// SAFETY: the SQL type is jsonb.
unsafe impl SqlTranslatable for Jsonb {
    const TYPE_IDENT: &'static str = "kronos::sql::Jsonb";
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: std::result::Result<SqlMappingRef, ArgumentError> =
        Ok(SqlMappingRef::literal("jsonb"));
    const RETURN_SQL: std::result::Result<ReturnsRef, ReturnsError> =
        Ok(ReturnsRef::One(SqlMappingRef::literal("jsonb")));
}
