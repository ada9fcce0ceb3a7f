//! Small helpers over SPI, and the one place for what PostgreSQL's C interface demands.

use crate::error::{KronosError, Result};
use chrono::{DateTime, Utc};
use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use pgrx::pg_sys::panic::{CaughtError, ErrorReportWithLevel};
use pgrx::prelude::*;
use pgrx::spi::SpiHeapTupleData;
use std::panic::AssertUnwindSafe;

/// A row of a result.
pub type Row<'a> = SpiHeapTupleData<'a>;

/// A new UUIDv7 (RFC 9562): it sorts by the time at which it was made, so that index pages stay together.
#[pg_extern(volatile, parallel_safe)]
pub fn uuid_v7() -> pgrx::Uuid {
    pgrx::Uuid::from_bytes(*uuid::Uuid::now_v7().as_bytes())
}

/// Runs a statement and reads each row of its result. Every statement sees what was committed before it began (in READ
/// COMMITTED), which the lock protocols rely on.
pub fn rows<T>(
    sql: &str,
    args: &[DatumWithOid],
    mut read: impl FnMut(&Row) -> Result<T>,
) -> Result<Vec<T>> {
    Spi::connect_mut(|client| {
        client
            .update(sql, None, args)?
            .map(|row| read(&row))
            .collect()
    })
}

/// Runs a statement that returns at most one row.
pub fn row<T>(
    sql: &str,
    args: &[DatumWithOid],
    read: impl FnMut(&Row) -> Result<T>,
) -> Result<Option<T>> {
    Ok(rows(sql, args, read)?.into_iter().next())
}

/// Runs a statement and says whether it returned a row.
pub fn exists(sql: &str, args: &[DatumWithOid]) -> Result<bool> {
    Ok(row(sql, args, |_| Ok(()))?.is_some())
}

/// Runs a statement and says how many rows it touched.
pub fn run(sql: &str, args: &[DatumWithOid]) -> Result<u64> {
    Spi::connect_mut(|client| Ok(client.update(sql, None, args)?.len() as u64))
}

/// A column that is never null.
pub fn get<T: FromDatum + IntoDatum>(row: &Row, column: &str) -> Result<T> {
    row.get_by_name(column)?
        .ok_or_else(|| pgrx::spi::Error::InvalidPosition.into())
}

/// A column that may be null.
pub fn get_opt<T: FromDatum + IntoDatum>(row: &Row, column: &str) -> Result<Option<T>> {
    Ok(row.get_by_name(column)?)
}

/// A composite result, by a statement that returns one row with one such column.
pub fn composite(
    sql: &str,
    args: &[DatumWithOid],
) -> Result<Option<PgHeapTuple<'static, AllocatedByRust>>> {
    Ok(Spi::connect_mut(|client| {
        let found = client.update(sql, Some(1), args)?;
        if found.is_empty() {
            Ok(None)
        } else {
            found.first().get_one()
        }
    })?)
}

/// Composite results, by a statement with one such column.
pub fn composites(
    sql: &str,
    args: &[DatumWithOid],
) -> Result<Vec<PgHeapTuple<'static, AllocatedByRust>>> {
    rows(sql, args, |row| {
        row.get(1)?
            .ok_or_else(|| pgrx::spi::Error::InvalidPosition.into())
    })
}

const POSTGRES_EPOCH_IN_UNIX_MICROS: i64 = 946_684_800_000_000;

/// The clock, now (not the transaction's start).
pub fn now() -> DateTime<Utc> {
    // SAFETY: GetCurrentTimestamp reads the system clock and nothing else.
    from_micros(unsafe { pg_sys::GetCurrentTimestamp() })
}

fn from_micros(postgres: i64) -> DateTime<Utc> {
    match postgres {
        i64::MAX => DateTime::<Utc>::MAX_UTC,
        i64::MIN => DateTime::<Utc>::MIN_UTC,
        // PostgreSQL's timestamps end in the year 294276, chrono's in 262142; those between are as good as never.
        finite => DateTime::from_timestamp_micros(finite + POSTGRES_EPOCH_IN_UNIX_MICROS)
            .unwrap_or(DateTime::<Utc>::MAX_UTC),
    }
}

/// PostgreSQL's timestamp as chrono's; infinity is chrono's utmost.
pub fn from_pg(timestamp: TimestampWithTimeZone) -> DateTime<Utc> {
    from_micros(timestamp.into_inner())
}

/// chrono's timestamp as PostgreSQL's; chrono's utmost is infinity.
pub fn to_pg(timestamp: DateTime<Utc>) -> TimestampWithTimeZone {
    let micros = if timestamp == DateTime::<Utc>::MAX_UTC {
        i64::MAX
    } else if timestamp == DateTime::<Utc>::MIN_UTC {
        i64::MIN
    } else {
        timestamp.timestamp_micros() - POSTGRES_EPOCH_IN_UNIX_MICROS
    };
    // SAFETY: any i64 between the infinities is a timestamp to PostgreSQL; ours lie in the years that chrono knows.
    unsafe { TimestampWithTimeZone::from_datum(micros.into(), false) }.expect("not null")
}

/// The five characters of an SQLSTATE, packed by six bits each as in PostgreSQL's elog.h.
pub fn sqlstate_text(code: PgSqlErrorCode) -> String {
    let code = code as i32;
    (0..5)
        .map(|place| ((code >> (6 * place) & 0x3f) as u8 + b'0') as char)
        .collect()
}

/// What went wrong in a subtransaction.
pub struct Failure {
    pub report: Box<ErrorReportWithLevel>,
}

impl Failure {
    /// The five characters of the SQLSTATE.
    pub fn sqlstate(&self) -> String {
        sqlstate_text(self.report.sql_error_code())
    }

    /// The message to keep with what failed; none if another transaction was in the way (a deadlock, a stale snapshot),
    /// since then trying again is all that is needed.
    pub fn to_record(&self) -> Option<String> {
        (!self.sqlstate().starts_with("40")).then(|| self.report.message().to_owned())
    }

    /// Carries it on to the caller.
    pub fn rethrow(self) -> ! {
        CaughtError::PostgresError(*self.report).rethrow()
    }

    /// Whether the statement was stopped from outside (cancelled, or the server shuts down): nothing to carry on from.
    pub fn is_interruption(&self) -> bool {
        self.sqlstate().starts_with("57")
    }
}

/// Runs `work` in a subtransaction: it does all of its effects, or none and the failure is returned.
///
/// The protocol is that of PL/pgSQL's exception blocks (`exec_stmt_block` in pl_exec.c).
pub fn in_subtransaction<T>(work: impl FnOnce() -> Result<T>) -> std::result::Result<T, Failure> {
    // SAFETY: the subtransaction begins and ends in this frame, on either way out; memory context and resource owner
    // are put back as PL/pgSQL does.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let owner = pg_sys::CurrentResourceOwner;
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let outcome = PgTryBuilder::new(AssertUnwindSafe(|| {
            let value = crate::error::or_raise(work());
            pg_sys::ReleaseCurrentSubTransaction();
            Ok(value)
        }))
        .catch_others(|caught| match caught {
            CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => Err(Failure {
                report: Box::new(report),
            }),
            panic => {
                pg_sys::RollbackAndReleaseCurrentSubTransaction();
                panic.rethrow()
            }
        })
        .execute();
        if outcome.is_err() {
            pg_sys::MemoryContextSwitchTo(context);
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
        }
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
        outcome
    }
}

/// Runs `work`, and lets `convert` make Kronos's error of one that PostgreSQL raises in it. The transaction is aborted
/// either way: the error must reach the caller.
pub fn convert_errors<T>(
    work: impl FnOnce() -> Result<T>,
    convert: impl Fn(&ErrorReportWithLevel) -> Option<KronosError>
    + std::panic::RefUnwindSafe
    + std::panic::UnwindSafe,
) -> Result<T> {
    PgTryBuilder::new(AssertUnwindSafe(work))
        .catch_others(|caught| match &caught {
            CaughtError::PostgresError(report) => match convert(report) {
                Some(error) => Err(error),
                None => caught.rethrow(),
            },
            _ => caught.rethrow(),
        })
        .execute()
}
