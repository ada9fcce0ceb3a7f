//! Endpoints, which say where executions run, and the payload specs that inputs must satisfy.

pub mod counted;
mod life;
mod limits;
mod list;
mod lookup;
pub mod meter;
mod pause;
mod payload_spec;
mod retry_policy;
pub mod schema;
pub mod schema_bounds;
mod schema_places;
mod sql_spec;
pub mod validator;
mod violations;

pub use life::{Changes, NewEndpoint, create, delete, update};
pub use limits::Limits;
pub use list::{list, list_payload_specs, payload_spec_row, row};
pub use lookup::{Endpoint, find, find_by_id, find_handler, find_many};
pub use pause::{pause, resume};
pub use payload_spec::{
    create as create_payload_spec, delete as delete_payload_spec, find as find_payload_spec,
    update as update_payload_spec,
};
pub use sql_spec::SQL;
