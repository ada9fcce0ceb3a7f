//! Rows in named states and ages, in place of raw writes to Kronos's tables.
//!
//! An instant is an SQL expression, such as `now() - interval '1 year'`.

use super::run;

/// Sets the instant since which all jobs exist, are active and have their current version.
pub fn age_jobs(since: &str) {
    run(&format!(
        "update kronos_internal.jobs set created_at = {since}, version_since = {since}, active_since = {since}"
    ));
}

/// Sets the window of all jobs. Unlike the windows that calls accept, it may have ended.
pub fn set_window(starts_at: &str, ends_at: &str) {
    run(&format!(
        "update kronos_internal.jobs set starts_at = {starts_at}, ends_at = {ends_at}"
    ));
}

/// Sets all schedules to the state after a wake-up that has handled the ticks up to an instant.
pub fn set_handled_until(instant: &str) {
    run(&format!(
        "update kronos_internal.schedules
         set next_tick_at = (select kronos.next_ticks(cron, timezone, {instant}, 1)), ticked_until = {instant}"
    ));
}

/// Inserts executed ticks of a job, as if each had been recorded when it came due. `ticks` is a list of instants.
pub fn insert_executed_ticks(job_id: &str, ticks: &str) {
    insert_ticks(job_id, ticks, "kronos.uuid_v7(), null");
}

/// Inserts skipped ticks of a job, as if each had been recorded when it came due. `ticks` is a list of instants.
pub fn insert_skipped_ticks(job_id: &str, ticks: &str) {
    insert_ticks(job_id, ticks, "null, 'it was skipped'");
}

fn insert_ticks(job_id: &str, ticks: &str, outcome: &str) {
    run(&format!(
        "insert into kronos_internal.ticks (job_id, tick_at, workspace_id, version, recorded_at, execution_id, reason)
         select job_id, tick_at, workspace_id, 1, tick_at, {outcome}
         from kronos_internal.jobs, unnest(array[{ticks}]::timestamptz[]) tick_at where job_id = '{job_id}'"
    ));
}

/// Inserts a row that covers the dropped ticks of a job in a range.
pub fn insert_dropped_ticks(job_id: &str, (from, to): (&str, &str), recorded_at: &str) {
    run(&format!(
        "insert into kronos_internal.dropped_ticks (job_id, from_tick_at, to_tick_at, workspace_id, version, reason, recorded_at)
         select job_id, '{from}', '{to}', workspace_id, 1, 'it was down', {recorded_at}
         from kronos_internal.jobs where job_id = '{job_id}'"
    ));
}

/// Brings the expiry of all idempotency keys forward by an interval.
pub fn age_keys(interval: &str) {
    run(&format!(
        "update kronos_internal.idempotency_keys set expires_at = expires_at - interval '{interval}'"
    ));
}

/// Pretends that every finished execution was created and finished `days` days ago, and that every retired job and
/// deleted endpoint was retired or deleted then.
pub fn age_ended(days: u32) {
    run(&format!(
        "create temporary table aged as
             select execution_id, kronos.uuid_v7_at(now() - interval '{days} days' + row_number() over () * interval '1 ms') as aged_id
             from kronos_internal.history"
    ));
    for table in ["attempts", "execution_logs", "history"] {
        run(&format!(
            "update kronos_internal.{table} x set execution_id = aged_id from aged where x.execution_id = aged.execution_id"
        ));
    }
    run("drop table aged");
    for (table, ended_at) in [
        ("history", "finished_at"),
        ("jobs", "retired_at"),
        ("endpoints", "deleted_at"),
    ] {
        run(&format!(
            "update kronos_internal.{table} set {ended_at} = now() - interval '{days} days' where {ended_at} is not null"
        ));
    }
}
