//! What PostgreSQL's parser knows about a text of SQL statements before they run.

use super::processes::c_string;
use super::subtransaction::convert_errors;
use crate::error::{KronosError, Result};
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

/// One statement of a text.
#[derive(Clone, Copy)]
pub struct Command {
    /// BEGIN, COMMIT, ROLLBACK, SAVEPOINT, PREPARE TRANSACTION and the like.
    pub controls_transaction: bool,
    /// Whether it usually cannot run inside a transaction: VACUUM, CREATE INDEX CONCURRENTLY, CALL and the like.
    pub needs_top_level: bool,
    /// COPY from or to the client. A statement in the server has no client.
    pub copies_with_client: bool,
}

/// Parses a text of SQL statements, without looking anything up. `refuse` makes the error from the parser's message.
///
/// # Errors
/// The error of `refuse` for a text that cannot be parsed.
pub fn commands(text: &str, refuse: impl Fn(&str) -> KronosError) -> Result<Vec<Command>> {
    let text = c_string(text);
    convert_errors(
        // SAFETY: the text is NUL-terminated and outlives the call.
        || Ok(unsafe { statements(pg_sys::pg_parse_query(text.as_ptr())) }),
        |report| Some(refuse(report.message())),
    )
}

/// # Safety
/// `list` is a list of raw statements.
unsafe fn statements(list: *mut pg_sys::List) -> Vec<Command> {
    if list.is_null() {
        return vec![];
    }
    // SAFETY: the caller hands over the parser's list.
    unsafe {
        (0..(*list).length as usize)
            .map(|place| {
                let raw: *mut pg_sys::RawStmt = (*(*list).elements.add(place)).ptr_value.cast();
                command((*raw).stmt)
            })
            .collect()
    }
}

/// # Safety
/// `node` is a statement of the parser.
unsafe fn command(node: *mut pg_sys::Node) -> Command {
    // SAFETY: a node is a structure of the type that its tag names.
    unsafe {
        let tag = (*node).type_;
        Command {
            controls_transaction: tag == NodeTag::T_TransactionStmt,
            needs_top_level: match tag {
                NodeTag::T_VacuumStmt => (*node.cast::<pg_sys::VacuumStmt>()).is_vacuumcmd,
                NodeTag::T_IndexStmt => (*node.cast::<pg_sys::IndexStmt>()).concurrent,
                NodeTag::T_DropStmt => (*node.cast::<pg_sys::DropStmt>()).concurrent,
                NodeTag::T_CallStmt
                | NodeTag::T_ReindexStmt
                | NodeTag::T_ClusterStmt
                | NodeTag::T_CreatedbStmt
                | NodeTag::T_DropdbStmt
                | NodeTag::T_AlterSystemStmt
                | NodeTag::T_CreateTableSpaceStmt
                | NodeTag::T_DropTableSpaceStmt
                | NodeTag::T_TransactionStmt => true,
                _ => false,
            },
            copies_with_client: tag == NodeTag::T_CopyStmt
                && (*node.cast::<pg_sys::CopyStmt>()).filename.is_null(),
        }
    }
}
