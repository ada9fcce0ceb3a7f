//! DROP EXTENSION removes the pg_cron entries of Kronos, in its own transaction.
//!
//! No trigger can do it: an event trigger that is dropped with the extension does not fire at the end of the command. So
//! the event trigger kronos_load, at the start of a command that may drop the extension, loads this library, and a hook
//! of the library removes the entries when PostgreSQL drops the extension, whichever command does it.

use crate::error::{Result, or_raise};
use crate::{pg_cron, sql};
use pgrx::prelude::*;
use std::ffi::CStr;
use std::os::raw::{c_int, c_void};
use std::sync::OnceLock;

/// The hook that another library has installed before.
static PREVIOUS: OnceLock<pg_sys::object_access_hook_type> = OnceLock::new();

/// Installs the hook. Call it once, when PostgreSQL loads the library.
pub fn install_hook() {
    // SAFETY: a backend has one thread, and loads libraries before it uses their hooks.
    unsafe {
        PREVIOUS.get_or_init(|| pg_sys::object_access_hook);
        pg_sys::object_access_hook = Some(on_object_access);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_object_access(
    access: pg_sys::ObjectAccessType::Type,
    class_id: pg_sys::Oid,
    object_id: pg_sys::Oid,
    sub_id: c_int,
    arg: *mut c_void,
) {
    if let Some(Some(previous)) = PREVIOUS.get() {
        // SAFETY: the arguments are passed on as they came.
        unsafe { previous(access, class_id, object_id, sub_id, arg) };
    }
    let is_drop = access == pg_sys::ObjectAccessType::OAT_DROP;
    if is_drop && class_id == pg_sys::ExtensionRelationId && is_kronos(object_id) {
        or_raise(remove_entries());
    }
}

fn is_kronos(extension: pg_sys::Oid) -> bool {
    // SAFETY: the function returns null or a NUL-terminated string.
    unsafe {
        let name = pg_sys::get_extension_name(extension);
        !name.is_null() && CStr::from_ptr(name) == c"kronos"
    }
}

/// The tables of Kronos are gone already, so the entries are found by their names.
fn remove_entries() -> Result<()> {
    sql::with_safe_search_path(|| {
        for entry in pg_cron::all()? {
            pg_cron::remove(&entry)?;
        }
        Ok(())
    })
}

/// Does nothing: that PostgreSQL must load the library to call it is enough.
#[pg_extern(
    requires = ["schemas"],
    sql = "
create function kronos_internal.load_library() returns event_trigger
language c as 'MODULE_PATHNAME', 'load_library_wrapper';
create event trigger kronos_load on ddl_command_start when tag in ('DROP EXTENSION', 'DROP SCHEMA', 'DROP OWNED')
    execute function kronos_internal.load_library();"
)]
fn load_library() {}
