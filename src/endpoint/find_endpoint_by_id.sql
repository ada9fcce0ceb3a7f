-- An endpoint, live or deleted, with the revision of its payload spec.
select e.endpoint_id, e.name, e.endpoint_type, p.name as payload_spec, p.revision_id, e.run_as::oid as run_as
from kronos_internal.endpoints e
left join kronos_internal.payload_specs p using (payload_spec_id)
where e.endpoint_id = $1
