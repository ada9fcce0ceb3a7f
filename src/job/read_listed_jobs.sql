select case jsonb_typeof(e.element)
           when 'object' then (e.element - array['input', 'metadata'])::text
           else e.element::text
       end as fields,
       coalesce(nullif(e.element -> 'input', 'null'), '{}') as input,
       coalesce(nullif(e.element -> 'metadata', 'null'), '{}') as metadata
from jsonb_array_elements($1) with ordinality as e (element, place)
order by e.place
