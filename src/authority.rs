//! Runs code as the owner of Kronos's functions.

use crate::error::Result;
use pgrx::pg_sys;

/// Runs `work` as a role, and then restores the previous role. After an error, PostgreSQL itself restores it when the
/// transaction or subtransaction ends.
///
/// `work` must not commit: after an error in a later transaction, the session would keep the role.
pub fn act_as<T>(role: pg_sys::Oid, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut user = pg_sys::InvalidOid;
    let mut context = 0;
    // SAFETY: the protocol of fmgr_security_definer (fmgr.c): the role is set for one call, and then restored.
    unsafe {
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        let restricted = context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32;
        pg_sys::SetUserIdAndSecContext(role, restricted);
    }
    let result = work();
    // SAFETY: as above.
    unsafe { pg_sys::SetUserIdAndSecContext(user, context) };
    result
}
