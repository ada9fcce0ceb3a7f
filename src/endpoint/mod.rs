//! Endpoints, where executions are delivered, and the payload specs that the inputs of their jobs must satisfy.

mod life;
mod payload_spec;
mod retry_policy;
mod schema;

pub use life::{
    Changes, NewEndpoint, create, delete, find, find_by_id, find_many, not_found, update,
};
pub use payload_spec::{
    create as create_payload_spec, delete as delete_payload_spec, find as find_payload_spec,
    update as update_payload_spec,
};
