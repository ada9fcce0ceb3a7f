//! Ids that cannot be taken for one another.

use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::datum::{Datum, UnboxDatum};
use pgrx::nullable::Nullable;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::{FromDatum, IntoDatum, Uuid, pg_sys};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

/// The id of a row of `Table`: a UUIDv7.
pub struct Id<Table> {
    uuid: Uuid,
    table: PhantomData<Table>,
}

pub enum Workspaces {}
pub enum Endpoints {}
pub enum Schedules {}
pub enum Jobs {}
pub enum Executions {}

pub type WorkspaceId = Id<Workspaces>;
pub type EndpointId = Id<Endpoints>;
pub type ScheduleId = Id<Schedules>;
pub type JobId = Id<Jobs>;
pub type ExecutionId = Id<Executions>;

impl<Table> Id<Table> {
    /// A new id. It sorts after those generated earlier.
    pub fn generate() -> Id<Table> {
        Uuid::from_bytes(*uuid::Uuid::now_v7().as_bytes()).into()
    }

    pub fn uuid(&self) -> &Uuid {
        &self.uuid
    }

    /// Less than every other id.
    pub fn least() -> Id<Table> {
        Uuid::from_bytes([0; 16]).into()
    }

    /// Greater than every other id.
    pub fn greatest() -> Id<Table> {
        Uuid::from_bytes([255; 16]).into()
    }
}

impl<Table> From<Uuid> for Id<Table> {
    fn from(uuid: Uuid) -> Id<Table> {
        let table = PhantomData;
        Id { uuid, table }
    }
}

impl<Table> FromDatum for Id<Table> {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        type_oid: pg_sys::Oid,
    ) -> Option<Id<Table>> {
        // SAFETY: the caller hands over a uuid datum.
        unsafe { Uuid::from_polymorphic_datum(datum, is_null, type_oid) }.map(Id::from)
    }
}

// SAFETY: a uuid datum is read.
unsafe impl<Table> UnboxDatum for Id<Table> {
    type As<'src>
        = Id<Table>
    where
        Self: 'src;

    unsafe fn unbox<'src>(datum: Datum<'src>) -> Id<Table>
    where
        Self: 'src,
    {
        unsafe { Uuid::unbox(datum) }.into()
    }
}

impl<Table> IntoDatum for Id<Table> {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        self.uuid.into_datum()
    }

    fn type_oid() -> pg_sys::Oid {
        Uuid::type_oid()
    }
}

// SAFETY: the argument is read as the uuid that it is.
unsafe impl<'fcx, Table> ArgAbi<'fcx> for Id<Table> {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        unsafe { arg.unbox_arg_using_from_datum() }.expect("the argument is not null")
    }

    unsafe fn unbox_nullable_arg(arg: Arg<'_, 'fcx>) -> Nullable<Self> {
        unsafe { arg.unbox_arg_using_from_datum() }.into()
    }
}

// SAFETY: a uuid datum is returned.
unsafe impl<Table> BoxRet for Id<Table> {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        unsafe { self.uuid.box_into(fcinfo) }
    }
}

// SAFETY: the SQL type is uuid.
unsafe impl<Table> SqlTranslatable for Id<Table> {
    const TYPE_IDENT: &'static str = "kronos::id::Id";
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: std::result::Result<SqlMappingRef, ArgumentError> =
        Ok(SqlMappingRef::literal("uuid"));
    const RETURN_SQL: std::result::Result<ReturnsRef, ReturnsError> =
        Ok(ReturnsRef::One(SqlMappingRef::literal("uuid")));
}

impl<Table> fmt::Display for Id<Table> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid.fmt(f)
    }
}

// Derived, these would ask the same of `Table`.
impl<Table> Copy for Id<Table> {}

impl<Table> Clone for Id<Table> {
    fn clone(&self) -> Id<Table> {
        *self
    }
}

impl<Table> PartialEq for Id<Table> {
    fn eq(&self, other: &Id<Table>) -> bool {
        self.uuid == other.uuid
    }
}

impl<Table> Eq for Id<Table> {}

impl<Table> PartialOrd for Id<Table> {
    fn partial_cmp(&self, other: &Id<Table>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<Table> Ord for Id<Table> {
    fn cmp(&self, other: &Id<Table>) -> Ordering {
        self.uuid.cmp(&other.uuid)
    }
}

impl<Table> Hash for Id<Table> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}
