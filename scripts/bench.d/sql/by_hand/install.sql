-- Job scheduling by hand: the application has a table of jobs, and a pg_cron entry for each job.
create schema by_hand;

create table by_hand.jobs (
    job_id uuid primary key default gen_random_uuid(),
    name text not null unique,
    version int not null default 1,
    status text not null default 'ACTIVE',
    cron text not null,
    input jsonb not null default '{}',
    created_at timestamptz not null default now()
);
