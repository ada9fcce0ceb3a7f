-- The floor: a queue that an application might write by hand. One table holds waiting and running executions with
-- priorities and leases, another holds the finished executions. A claim updates no indexed column, so most of its
-- updates are heap-only (HOT).
create schema floor;

create table floor.queue (
    id bigint generated always as identity primary key,
    priority smallint not null default 5,
    run_at timestamptz not null default now(),
    attempt int not null default 0,
    locked_by text,
    locked_until timestamptz,
    started_at timestamptz,
    input jsonb not null default '{}',
    enqueued_at timestamptz not null default now()
);

create index queue_in_order on floor.queue (priority, run_at, id);

create table floor.history (
    id bigint primary key,
    priority smallint not null,
    run_at timestamptz not null,
    attempt int not null,
    locked_by text,
    started_at timestamptz,
    input jsonb not null,
    enqueued_at timestamptz not null,
    status text not null,
    output jsonb,
    finished_at timestamptz not null
);
