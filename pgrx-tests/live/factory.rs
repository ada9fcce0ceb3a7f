//! Rows in named states and ages, in place of raw writes to Kronos's tables.
//!
//! An instant is an SQL expression, such as `now() - interval '1 day'`.

use crate::domain::YEARLY;
use postgres::{Client, GenericClient};
use uuid::Uuid;

fn write(session: &mut impl GenericClient, statements: &str) {
    session.batch_execute(statements).unwrap();
}

/// Sets the instant since which all active jobs exist, are active and have their current version.
pub fn age_jobs(session: &mut impl GenericClient, since: &str) {
    write(
        session,
        &format!(
            "update kronos_internal.jobs set created_at = {since}, version_since = {since}, active_since = {since}
             where status = 'ACTIVE'"
        ),
    );
}

/// Sets the end of a job to one minute ago.
pub fn end_job(session: &mut impl GenericClient, job_id: Uuid) {
    let statement =
        "update kronos_internal.jobs set ends_at = now() - interval '1 minute' where job_id = $1";
    session.execute(statement, &[&job_id]).unwrap();
}

/// Sets the window of a job; `null` is no bound.
pub fn set_window(session: &mut impl GenericClient, job_id: Uuid, starts_at: &str, ends_at: &str) {
    let statement = format!(
        "update kronos_internal.jobs set starts_at = {starts_at}, ends_at = {ends_at} where job_id = $1"
    );
    session.execute(&statement, &[&job_id]).unwrap();
}

/// Takes the last part of the ticks that were dropped out of the ledger, as if no wake-up had come that late.
pub fn shorten_dropped(session: &mut impl GenericClient, by: &str) {
    write(
        session,
        &format!(
            "update kronos_internal.dropped_ticks set to_tick_at = to_tick_at - interval '{by}'"
        ),
    );
}

/// Copies a job's row: faster than as many calls of create_cron_job().
pub fn copy_job(session: &mut impl GenericClient, job_id: Uuid, copies: i32) {
    let statement = "
        insert into kronos_internal.jobs (workspace_id, endpoint_id, endpoint_type, cron, timezone, schedule_id, catchup_policy,
                                          catchup_window, overlap_policy, jitter, priority, created_at, version_since, active_since)
        select j.workspace_id, j.endpoint_id, j.endpoint_type, j.cron, j.timezone, j.schedule_id, j.catchup_policy,
               j.catchup_window, j.overlap_policy, j.jitter, j.priority, j.created_at, j.version_since, j.active_since
        from kronos_internal.jobs j, generate_series(1, $2::integer)
        where j.job_id = $1";
    session.execute(statement, &[&job_id, &copies]).unwrap();
    write(session, "analyze kronos_internal.jobs");
}

/// Sets all schedules to the state after a wake-up that has handled the ticks up to an instant.
pub fn set_handled_until(session: &mut impl GenericClient, instant: &str) {
    write(
        session,
        &format!(
            "update kronos_internal.schedules
             set next_tick_at = (select kronos.next_ticks(cron, timezone, {instant}, 1)), ticked_until = {instant},
                 pass_until = null, pass_job_id = null"
        ),
    );
}

/// Pretends that no wake-up has come for `hours` hours, and that all active jobs are older than that.
pub fn lose_wake_ups(session: &mut impl GenericClient, hours: i64) {
    age_jobs(session, &format!("now() - interval '{} hours'", hours + 2));
    set_handled_until(session, &format!("now() - interval '{hours} hours'"));
}

/// Makes the schedules of [`YEARLY`] due, with this year's tick on time: their pass ends in the first minute of the
/// year. Makes all active jobs older than this tick.
pub fn make_yearly_due(session: &mut impl GenericClient) {
    make_due_in_pass(session, "date_trunc('year', now()) + interval '1 minute'");
}

/// Makes the schedules of [`YEARLY`] due, with this year's tick missed.
pub fn make_yearly_missed(session: &mut impl GenericClient) {
    make_due_in_pass(session, "null");
}

/// The two ways in which a pass handles a tick. A tick on time is written by one statement for all plain jobs, a missed
/// tick job by job.
pub const DUE_IN_BOTH_WAYS: [fn(&mut Client); 2] = [
    |session| make_yearly_due(session),
    |session| make_yearly_missed(session),
];

/// Makes the schedules of [`YEARLY`] due in a pass that ends at `pass_until`.
fn make_due_in_pass(session: &mut impl GenericClient, pass_until: &str) {
    write(session, "set timezone = 'UTC'");
    age_jobs(session, "date_trunc('year', now()) - interval '2 days'");
    write(
        session,
        &format!(
            "update kronos_internal.schedules
             set next_tick_at = date_trunc('year', now()), ticked_until = date_trunc('year', now()) - interval '1 day',
                 pass_until = {pass_until}, pass_job_id = null
             where cron = '{YEARLY}'"
        ),
    );
}

/// Makes the next wake-up retry every owed tick.
pub fn make_owed_ticks_due(session: &mut impl GenericClient) {
    write(
        session,
        "update kronos_internal.owed set next_try_at = now() - interval '1 second'",
    );
}

/// Deletes the ledger and all executions, so that the same ticks can come due again.
pub fn forget_ticks(session: &mut impl GenericClient) {
    write(
        session,
        "delete from kronos_internal.ticks;
         delete from kronos_internal.dropped_ticks;
         delete from kronos_internal.owed;
         delete from kronos_internal.live_executions;
         delete from kronos_internal.history",
    );
}

/// Deletes the ledger and the unfinished executions of ticks. A tick whose write failed stays owed.
pub fn forget_ticks_but_failed(session: &mut impl GenericClient) {
    write(
        session,
        "delete from kronos_internal.ticks;
         delete from kronos_internal.owed where error is null;
         delete from kronos_internal.live_executions where tick_at is not null",
    );
}

/// Makes the ledger and the history `days` days older.
pub fn age_ledger(session: &mut impl GenericClient, days: i32) {
    write(
        session,
        &format!(
            "update kronos_internal.ticks set recorded_at = recorded_at - interval '{days} days';
             update kronos_internal.history
             set created_at = created_at - interval '{days} days', finished_at = finished_at - interval '{days} days'"
        ),
    );
}

/// Makes all finished executions a year old, by their times and by the time in their ids.
pub fn age_history(session: &mut impl GenericClient) {
    let aged_id = "overlay(execution_id::text placing '0190' from 1 for 4)::uuid";
    write(
        session,
        &format!(
            "update kronos_internal.history
             set created_at = created_at - interval '1 year', finished_at = finished_at - interval '1 year',
                 execution_id = {aged_id};
             update kronos_internal.ticks set execution_id = {aged_id}"
        ),
    );
}

/// Inserts waiting executions of a workspace: faster than enqueueing them.
pub fn insert_waiting(session: &mut impl GenericClient, workspace: &str, count: i32) {
    let statement = "
        insert into kronos_internal.live_executions
            (workspace_id, endpoint_id, run_at, priority, origin, status, endpoint_type, input, metadata)
        select e.workspace_id, e.endpoint_id, now() - interval '1 hour' + n * interval '1 millisecond', 5, 'ENQUEUE',
               'QUEUED', 'HTTP', '{}', '{}'
        from kronos.endpoints v join kronos_internal.endpoints e using (endpoint_id), generate_series(1, $2) n
        where v.workspace = $1";
    session.execute(statement, &[&workspace, &count]).unwrap();
}

/// Deletes all unfinished executions, as if they had finished and had been pruned.
pub fn delete_unfinished(session: &mut impl GenericClient) {
    write(session, "delete from kronos_internal.live_executions");
}

/// Lets the leases of all running executions expire.
pub fn end_leases(session: &mut impl GenericClient) {
    write(
        session,
        "update kronos_internal.live_executions set lease_expires_at = now() where status = 'RUNNING'",
    );
}
