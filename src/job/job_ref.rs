//! Which job a call is for.

use crate::error::{Result, invalid_argument, null_argument};
use crate::id::JobId;
use std::fmt;

/// A caller's reference to a job.
#[derive(Clone, Copy)]
pub enum JobRef<'a> {
    Id(JobId),
    /// The name of a live job.
    Name(&'a str),
}

impl<'a> JobRef<'a> {
    /// A reference by either an id or a name.
    ///
    /// # Errors
    /// `NULL_ARGUMENT` for neither, `INVALID_ARGUMENT` for both.
    pub fn new(job_id: Option<JobId>, job_name: Option<&'a str>) -> Result<JobRef<'a>> {
        match (job_id, job_name) {
            (Some(job_id), None) => Ok(JobRef::Id(job_id)),
            (None, Some(name)) => Ok(JobRef::Name(name)),
            (None, None) => Err(null_argument("job_id (or job_name)")),
            (Some(_), Some(_)) => Err(invalid_argument(
                "job_name",
                "must be left out if job_id is given",
            )),
        }
    }
}

impl fmt::Display for JobRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobRef::Id(job_id) => write!(f, "{job_id}"),
            JobRef::Name(name) => write!(f, "{name:?}"),
        }
    }
}
