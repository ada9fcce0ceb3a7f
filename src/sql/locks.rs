//! Locks on things without a row, held until the transaction ends.
//!
//! They are heavyweight locks on sub-objects of a table of Kronos. Any role can take an advisory lock and block Kronos
//! with it; no SQL function takes these locks.

use super::statement::{get, row};
use crate::error::{KronosError, Result};
use pgrx::pg_sys;
use std::cell::Cell;
use std::ffi::CStr;

thread_local! {
    static RELATION: Cell<Option<pg_sys::Oid>> = const { Cell::new(None) };
}

/// The relation of Kronos's locks, whose owner is the owner of Kronos: the table of schedules.
pub fn main_relation() -> Result<pg_sys::Oid> {
    // After DROP EXTENSION and CREATE EXTENSION, the table has another oid. SAFETY: the function only reads.
    let known = RELATION
        .get()
        .filter(|relation| unsafe { pg_sys::get_rel_namespace(*relation) } != pg_sys::InvalidOid);
    if let Some(relation) = known {
        return Ok(relation);
    }
    let found = row(
        // A cast to regclass needs a privilege on the schema.
        "select c.oid as relation
         from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'kronos_internal' and c.relname = 'schedules'",
        &[],
        |row| get::<pg_sys::Oid>(row, "relation"),
    )?;
    let relation =
        found.ok_or_else(|| KronosError::internal("kronos_internal.schedules is missing"))?;
    RELATION.set(Some(relation));
    Ok(relation)
}

/// The relation of a lock.
fn relation_to_lock() -> Result<pg_sys::Oid> {
    refuse_on_standby(c"LOCK");
    main_relation()
}

/// Raises the error of a write on a standby, SQLSTATE 25006, for what PostgreSQL itself does not refuse there.
pub fn refuse_on_standby(command: &CStr) {
    // SAFETY: raises an error during recovery, and does nothing otherwise.
    unsafe { pg_sys::PreventCommandDuringRecovery(command.as_ptr()) };
}

/// Takes the lock on a thing, and waits for it if necessary.
pub fn lock_named_thing(thing: u32) -> Result<()> {
    let relation = relation_to_lock()?;
    // SAFETY: LockDatabaseObject takes any object address; the lock manager releases it with the transaction.
    unsafe {
        pg_sys::LockDatabaseObject(relation, thing.into(), 0, pg_sys::ExclusiveLock as i32);
    }
    Ok(())
}

/// Takes the lock on a thing unless another session holds it, and returns whether it did.
pub fn try_lock_named_thing(thing: u32) -> Result<bool> {
    let relation = relation_to_lock()?;
    // SAFETY: as above.
    Ok(unsafe {
        pg_sys::ConditionalLockDatabaseObject(
            relation,
            thing.into(),
            0,
            pg_sys::ExclusiveLock as i32,
        )
    })
}

/// Like [`try_lock_named_thing`], but holds the lock until the session ends or [`unlock_for_session`] is called.
pub fn try_lock_for_session(thing: u32) -> Result<bool> {
    let (tag, mode) = session_lock(thing)?;
    // SAFETY: the tag is valid.
    let result = unsafe { pg_sys::LockAcquire(&tag, mode, true, true) };
    Ok(result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL)
}

/// Releases a lock of the session.
pub fn unlock_for_session(thing: u32) -> Result<()> {
    let (tag, mode) = session_lock(thing)?;
    // SAFETY: as above.
    unsafe { pg_sys::LockRelease(&tag, mode, true) };
    Ok(())
}

/// The tag of LockDatabaseObject, with the lock method of advisory locks: a transaction that aborts keeps these locks, and
/// the end of the session releases them.
fn session_lock(thing: u32) -> Result<(pg_sys::LOCKTAG, pg_sys::LOCKMODE)> {
    let relation = relation_to_lock()?;
    // SAFETY: the id of the database is set at the start of the process.
    let database = unsafe { pg_sys::MyDatabaseId };
    let tag = pg_sys::LOCKTAG {
        locktag_field1: database.into(),
        locktag_field2: relation.into(),
        locktag_field3: thing,
        locktag_field4: 0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
        locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
    };
    Ok((tag, pg_sys::ExclusiveLock as i32))
}

/// Takes the lock on a thing with an id unless another session holds it, and returns whether it did. The lock is named by
/// 47 random bits of the id: two ids that share them share a lock.
pub fn try_lock_id(id: &pgrx::Uuid) -> Result<bool> {
    let relation = relation_to_lock()?;
    let (object, part) = name_of_lock(id);
    // SAFETY: as above.
    Ok(unsafe {
        pg_sys::ConditionalLockDatabaseObject(relation, object, part, pg_sys::ExclusiveLock as i32)
    })
}

/// Releases a lock of [`try_lock_id`] before the transaction ends.
pub fn unlock_id(id: &pgrx::Uuid) -> Result<()> {
    let relation = relation_to_lock()?;
    let (object, part) = name_of_lock(id);
    // SAFETY: as above; the lock manager warns about a lock that the session does not hold.
    unsafe {
        pg_sys::UnlockDatabaseObject(relation, object, part, pg_sys::ExclusiveLock as i32);
    }
    Ok(())
}

/// The last bytes of a UUIDv7 are random. The locks on numbered things have part 0.
fn name_of_lock(id: &pgrx::Uuid) -> (pg_sys::Oid, u16) {
    let [.., a, b, c, d, e, f] = *id.as_bytes();
    let object = u32::from_be_bytes([c, d, e, f]);
    (object.into(), u16::from_be_bytes([a, b]) | 1)
}
