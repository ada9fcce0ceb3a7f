//! Who may do what: grants of capabilities, and acting as the owner of Kronos.
//!
//! Functions run with the rights of their caller (SECURITY INVOKER). Each first authorises the *effective* user, and only
//! then acts as the owner. SECURITY DEFINER functions could not know the effective user: in an autovacuum worker, the
//! outer user is the bootstrap superuser, so an expression index would call them with all rights.
//!
//! [`Authorised`] is the only way to the id of a workspace. A function that skips the check does not compile, and no
//! result that is still being read can outlive the rights of the owner.

use crate::error::{self, KronosError, Result, workspace_not_found};
use crate::id::WorkspaceId;
use crate::named::Named;
use crate::{settings, sql};
use pgrx::pg_sys;
use serde_json::json;
use std::cell::RefCell;

/// What a role may do in a workspace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// What every grant includes. It cannot be granted by itself.
    Any,
    /// Reads everything but the specs of endpoints, which may hold secrets.
    Viewer,
    /// Also creates and changes jobs, and enqueues.
    Producer,
    /// Claims executions and reports on them.
    Worker,
    /// Everything: endpoints, payload specs, retention and grants, too.
    Admin,
}

impl Named for Capability {
    const COLUMN: &'static str = "capability";
    const ALL: &'static [Self] = &[Self::Viewer, Self::Producer, Self::Worker, Self::Admin];

    fn name(self) -> &'static str {
        match self {
            Capability::Any => "any",
            Capability::Viewer => "viewer",
            Capability::Producer => "producer",
            Capability::Worker => "worker",
            Capability::Admin => "admin",
        }
    }
}

impl Capability {
    /// The capabilities that include this one.
    fn includers(self) -> Vec<&'static str> {
        let includers: &[Capability] = match self {
            Capability::Any => Self::ALL,
            Capability::Viewer => &[Self::Viewer, Self::Producer, Self::Admin],
            Capability::Producer => &[Self::Producer, Self::Admin],
            Capability::Worker => &[Self::Worker, Self::Admin],
            Capability::Admin => &[Self::Admin],
        };
        includers
            .iter()
            .map(|capability| capability.name())
            .collect()
    }
}

/// A workspace in which the caller is authorised for the call. Only this module creates one.
pub struct Authorised {
    pub workspace_id: WorkspaceId,
    pub name: String,
    /// The effective user of the call.
    pub user: pg_sys::Oid,
    /// Whether the caller is an admin of the workspace, and so may see the specs of endpoints.
    pub is_admin: bool,
    _proof: (),
}

impl Authorised {
    /// Fails unless the caller has the privileges of the role as which an SQL endpoint runs its statement.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub fn require_role(&self, role: pg_sys::Oid, endpoint: &str) -> Result<()> {
        // SAFETY: the function only reads.
        if unsafe { pg_sys::has_privs_of_role(self.user, role) } {
            return Ok(());
        }
        Err(KronosError::new(
            &error::PERMISSION_DENIED,
            format!(
                "permission denied: the call needs the privileges of the role as which SQL endpoint {endpoint:?} runs"
            ),
            json!({ "capability": "run_as", "workspace": self.name, "endpoint": endpoint }),
        )
        .with_hint("Its run_as is the role that last wrote its statement."))
    }
}

/// The workspaces in which the caller is authorised for a call that names executions, not a workspace.
pub struct Scope {
    /// None means all workspaces.
    ids: Option<Vec<WorkspaceId>>,
}

impl Scope {
    /// The ids of the workspaces; None for all. Statements take them as a parameter.
    pub fn ids(&self) -> Option<Vec<WorkspaceId>> {
        self.ids.clone()
    }
}

/// The effective user of a call.
struct Caller {
    user: pg_sys::Oid,
    /// Whether the user has the rights of the owner, and so every capability. Superusers have.
    is_owner: bool,
}

/// Runs `work` as the owner, for the effective user. The search_path must be safe: functions set it by a SET clause,
/// procedures by [`sql::with_safe_search_path`].
fn enter<T>(work: impl FnOnce(&Caller) -> Result<T>) -> Result<T> {
    sql::require_version()?;
    let (user, owner) = (caller(), owner()?);
    // SAFETY: the function only reads.
    let is_owner = unsafe { pg_sys::has_privs_of_role(user, owner) };
    act_as(owner, || work(&Caller { user, is_owner }))
}

/// Runs `work` in the workspace of the call: the given one, or the one that the setting `kronos.workspace` names.
///
/// # Errors
/// `WORKSPACE_NOT_FOUND`, also if the caller has no grant for the workspace; `PERMISSION_DENIED` if the caller has only
/// other grants for it; the errors of `work`.
pub fn authorise<T>(
    workspace: Option<&str>,
    capability: Capability,
    work: impl FnOnce(&Authorised) -> Result<T>,
) -> Result<T> {
    enter(|caller| work(&caller.find(workspace, capability)?))
}

/// Like [`authorise`], but creates the workspace `default` if it does not exist. CREATE EXTENSION does not create it: a
/// row that it wrote would make the restore of a dump fail.
///
/// # Errors
/// As [`authorise`].
pub fn authorise_or_create<T>(
    workspace: Option<&str>,
    capability: Capability,
    work: impl FnOnce(&Authorised) -> Result<T>,
) -> Result<T> {
    enter(|caller| work(&caller.find_or_create(workspace, capability)?))
}

/// Like [`authorise`], but does not read the workspace again if the session's last call was for the same workspace. It may
/// no longer exist, so `work` is run again, in the workspace as it is now, if it returns None.
///
/// # Errors
/// As [`authorise`].
pub fn authorise_recalled<T>(
    workspace: Option<&str>,
    capability: Capability,
    work: impl Fn(&Authorised) -> Result<Option<T>>,
) -> Result<Option<T>> {
    enter(|caller| {
        let recalled = caller.recall(workspace);
        if let Some(recalled) = &recalled
            && let Some(value) = work(recalled)?
        {
            return Ok(Some(value));
        }
        let found = caller.find(workspace, capability)?;
        if recalled.is_some_and(|recalled| recalled.workspace_id == found.workspace_id) {
            return Ok(None);
        }
        work(&found)
    })
}

/// Runs `work`, which concerns all workspaces. Grants without a workspace allow it.
///
/// # Errors
/// `PERMISSION_DENIED`; the errors of `work`.
pub fn authorise_instance<T>(
    capability: Capability,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    enter(|caller| {
        if caller.has_everywhere(capability)? {
            work()
        } else {
            Err(permission_denied(capability, None))
        }
    })
}

/// Runs `work` in all workspaces in which the caller has a capability. There may be none.
///
/// # Errors
/// The errors of `work`.
pub fn authorise_scope<T>(
    capability: Capability,
    work: impl FnOnce(&Scope) -> Result<T>,
) -> Result<T> {
    enter(|caller| {
        let ids = if caller.has_everywhere(capability)? {
            None
        } else {
            let args = [caller.user.into(), capability.includers().into()];
            Some(sql::rows(FIND_GRANTED, &args, |row| {
                sql::get(row, "workspace_id")
            })?)
        };
        work(&Scope { ids })
    })
}

/// Runs work of Kronos's own background processes as the owner, in all workspaces, with a safe search_path and a snapshot.
/// Only they may call it: it authorises nobody.
///
/// # Errors
/// `LIBRARY_MISMATCH`; the errors of `work`.
pub fn as_server<T>(work: impl FnOnce(&Scope) -> Result<T>) -> Result<T> {
    sql::with_snapshot(|| {
        sql::require_version()?;
        act_as(owner()?, || work(&Scope { ids: None }))
    })
}

/// Whether the effective user has a capability in all workspaces.
///
/// # Errors
/// Fails only if SQL does.
pub fn has_everywhere(capability: Capability) -> Result<bool> {
    enter(|caller| caller.has_everywhere(capability))
}

/// The ids of the workspaces of a scope.
///
/// # Errors
/// Fails only if SQL does.
pub fn list_ids(scope: &Scope) -> Result<Vec<WorkspaceId>> {
    match scope.ids() {
        Some(ids) => Ok(ids),
        None => sql::rows(LIST_ALL, &[], |row| sql::get(row, "workspace_id")),
    }
}

/// Fails unless the effective user is a superuser.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub fn require_superuser(function: &str) -> Result<()> {
    // SAFETY: the function only reads.
    if unsafe { pg_sys::superuser() } {
        return Ok(());
    }
    Err(KronosError::new(
        &error::PERMISSION_DENIED,
        format!("permission denied: only a superuser can call {function}()"),
        json!({ "capability": "superuser" }),
    ))
}

/// The effective user.
pub fn caller() -> pg_sys::Oid {
    // SAFETY: the function only reads.
    unsafe { pg_sys::GetUserId() }
}

const LIST_ALL: &str =
    "select workspace_id from kronos_internal.workspaces where deleted_at is null";

const FIND: &str = "select workspace_id from kronos_internal.workspaces where name = $1";

/// A workspace for which a role has a grant, and whether one of its grants is in $3.
const FIND_FOR: &str = "
select w.workspace_id, bool_or(g.capability = any ($3)) as is_allowed, bool_or(g.capability = 'admin') as is_admin
from kronos_internal.workspaces w
join kronos_internal.workspace_grants g on g.workspace_id = w.workspace_id or g.workspace_id is null
where w.name = $2 and pg_has_role($1::oid, g.role::oid, 'USAGE')
group by w.workspace_id";

const HAS_EVERYWHERE: &str = "
select from kronos_internal.workspace_grants g
where g.workspace_id is null and g.capability = any ($2) and pg_has_role($1::oid, g.role::oid, 'USAGE')";

const FIND_GRANTED: &str = "
select distinct g.workspace_id
from kronos_internal.workspace_grants g
join kronos_internal.workspaces w using (workspace_id)
where w.deleted_at is null and g.capability = any ($2) and pg_has_role($1::oid, g.role::oid, 'USAGE')";

const CREATE_DEFAULT: &str =
    "insert into kronos_internal.workspaces (name) values ($1) on conflict (name) do nothing";

/// The workspace that Kronos creates when a call needs it.
const DEFAULT: &str = "default";

thread_local! {
    /// The workspace of the session's last call.
    static LAST: RefCell<Option<(WorkspaceId, String)>> = const { RefCell::new(None) };
}

impl Caller {
    fn find(&self, workspace: Option<&str>, capability: Capability) -> Result<Authorised> {
        let name = workspace.map_or_else(settings::workspace, str::to_owned);
        let found = if self.is_owner {
            sql::row(FIND, &[name.as_str().into()], |row| {
                Ok((sql::get(row, "workspace_id")?, true, true))
            })
        } else {
            let args = [
                self.user.into(),
                name.as_str().into(),
                capability.includers().into(),
            ];
            sql::row(FIND_FOR, &args, |row| {
                Ok((
                    sql::get(row, "workspace_id")?,
                    sql::get(row, "is_allowed")?,
                    sql::get(row, "is_admin")?,
                ))
            })
        };
        match found? {
            Some((workspace_id, true, is_admin)) => {
                LAST.set(Some((workspace_id, name.clone())));
                Ok(self.authorised(workspace_id, name, is_admin))
            }
            Some((_, false, _)) => Err(permission_denied(capability, Some(&name))),
            None => Err(workspace_not_found(&name)),
        }
    }

    fn find_or_create(
        &self,
        workspace: Option<&str>,
        capability: Capability,
    ) -> Result<Authorised> {
        let is_default =
            workspace.map_or_else(|| settings::workspace() == DEFAULT, |name| name == DEFAULT);
        match self.find(workspace, capability) {
            Err(_) if is_default && self.has_everywhere(capability)? => {
                create_default()?;
                self.find(workspace, capability)
            }
            found => found,
        }
    }

    /// The workspace of the session's last call, if this call is for the same one.
    fn recall(&self, workspace: Option<&str>) -> Option<Authorised> {
        if !self.is_owner {
            return None;
        }
        let name = workspace.map_or_else(settings::workspace, str::to_owned);
        let last = LAST.with_borrow(|last| last.clone());
        last.filter(|(_, last)| *last == name)
            .map(|(workspace_id, name)| self.authorised(workspace_id, name, true))
    }

    fn authorised(&self, workspace_id: WorkspaceId, name: String, is_admin: bool) -> Authorised {
        Authorised {
            workspace_id,
            name,
            user: self.user,
            is_admin,
            _proof: (),
        }
    }

    fn has_everywhere(&self, capability: Capability) -> Result<bool> {
        if self.is_owner {
            return Ok(true);
        }
        sql::exists(
            HAS_EVERYWHERE,
            &[self.user.into(), capability.includers().into()],
        )
    }
}

/// Creates the workspace `default` unless it exists.
pub fn create_default() -> Result<()> {
    sql::run(CREATE_DEFAULT, &[DEFAULT.into()]).map(|_| ())
}

fn permission_denied(capability: Capability, workspace: Option<&str>) -> KronosError {
    let capability = capability.name();
    let place = match workspace {
        Some(workspace) => format!("for workspace {workspace:?}"),
        None => "for all workspaces".to_owned(),
    };
    KronosError::new(
        &error::PERMISSION_DENIED,
        format!("permission denied: the call needs the capability {capability} {place}"),
        json!({ "capability": capability, "workspace": workspace }),
    )
    .with_hint("An admin can grant it with kronos.grant_workspace().")
}

/// The owner of Kronos: the role that owns its tables and functions.
fn owner() -> Result<pg_sys::Oid> {
    let relation = sql::main_relation()?;
    // SAFETY: the tuple is read before it is released.
    unsafe {
        let tuple =
            pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as i32, relation.into());
        if tuple.is_null() {
            return Err(KronosError::internal(
                "kronos_internal.schedules is missing",
            ));
        }
        let owner = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>()).relowner;
        pg_sys::ReleaseSysCache(tuple);
        Ok(owner)
    }
}

/// Runs `work` as a role, and then restores the previous role. After an error, PostgreSQL itself restores it when the
/// transaction or subtransaction ends.
///
/// `work` must not commit: after an error in a later transaction, the session would keep the role.
///
/// A plain role may have put triggers on its tables. For another user, it runs as PostgreSQL runs the code of a table's
/// owner in ANALYZE: what the code sets is undone, and it can neither create temporary objects nor defer anything to a
/// time when the session has its own rights again.
fn act_as<T>(role: pg_sys::Oid, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut user = pg_sys::InvalidOid;
    let mut context = 0;
    // SAFETY: the protocol of fmgr_security_definer (fmgr.c) and do_analyze_rel (analyze.c): the role is set for one call,
    // and then restored; settings are saved at a nest level of their own.
    let level = unsafe {
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        let mut restricted = context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32;
        let is_stranger = user != role && !pg_sys::superuser_arg(role);
        if is_stranger {
            restricted |= pg_sys::SECURITY_RESTRICTED_OPERATION as i32;
        }
        pg_sys::SetUserIdAndSecContext(role, restricted);
        is_stranger.then(|| pg_sys::NewGUCNestLevel())
    };
    let result = work();
    // SAFETY: as above.
    unsafe {
        if let Some(level) = level {
            pg_sys::AtEOXact_GUC(false, level);
        }
        pg_sys::SetUserIdAndSecContext(user, context);
    }
    result
}
