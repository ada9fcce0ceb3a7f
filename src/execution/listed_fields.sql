-- The small fields of each execution of a list as JSON text, and how large the others are.
select (e.value - '{input,metadata}'::text[])::text as fields,
       pg_catalog.jsonb_typeof(e.value) = 'object' as is_object,
       octet_length((e.value -> 'input')::text) as input_bytes,
       octet_length((e.value -> 'metadata')::text) as metadata_bytes,
       pg_catalog.jsonb_typeof(e.value -> 'metadata') as metadata_type
from pg_catalog.jsonb_array_elements($1) e (value)
