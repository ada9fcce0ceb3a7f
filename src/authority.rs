//! Acting as the owner of Kronos's functions.

use crate::error::Result;
use pgrx::pg_sys;

/// Runs `work` as a role, and goes back to the role before. PostgreSQL itself goes back when an error ends the
/// transaction or the subtransaction.
///
/// `work` must not commit: after an error in a later transaction the session would stay the other role.
pub fn act_as<T>(role: pg_sys::Oid, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut user = pg_sys::InvalidOid;
    let mut context = 0;
    // SAFETY: the protocol of fmgr_security_definer (fmgr.c): the role is set for the time of one call, and set back.
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
