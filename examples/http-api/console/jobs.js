// The views of jobs.

import { path } from './api.js';
import { duration, h, time } from './elements.js';
import { executionRow, when } from './executions.js';
import { badge, button, dotted, facts, filter, link, number, row, rows, section } from './parts.js';

export async function jobs(api, of) {
  const { status, endpoint } = of.query;
  const [listed, more] = await rows(api, of.base + path('jobs'), { status, endpoint }, 20, (j) => j);
  const items = await Promise.all(listed.map(async (j) => jobRow(of, j, await health(api, of, j))));
  return {
    title: endpoint ? `Jobs of ${endpoint}` : 'Jobs',
    body: [filter(of, 'status', ['ACTIVE', 'PAUSED', 'RETIRED']), section('', 'There is no such job.', [items, more])],
  };
}

/// The health of each job. A list needs a call for each, so they are read anew only after half a minute.
const healths = new Map();

async function health(api, of, { job_id, status }) {
  if (status === 'RETIRED') return null;
  const kept = healths.get(job_id);
  if (kept && Date.now() - kept.at < 30_000) return kept.health;
  const { health } = await api.get(`${of.base}${path('jobs', job_id)}/status`);
  healths.set(job_id, { health, at: Date.now() });
  return health;
}

const jobRow = (of, j, health) => row({
  key: j.job_id,
  href: link('w', of.workspace, 'jobs', j.job_id),
  title: j.job_name,
  badges: [j.status !== 'ACTIVE' && badge(j.status), badge(health)],
  lines: [dotted(h('code', null, j.cron), j.timezone, j.endpoint), whenever(j)],
});

const whenever = (j) => dotted(
  j.next_tick_at && ['next ', time(j.next_tick_at)],
  j.last_tick_at && ['last ', time(j.last_tick_at)],
  j.paused_at && ['paused ', time(j.paused_at), j.paused_reason && `: ${j.paused_reason}`],
  j.retired_at && ['retired ', time(j.retired_at), `: ${j.retired_reason}`],
);

export async function job(api, of) {
  const base = of.base + path('jobs', of.id);
  const [j, status, ticks, [versions, more], runs] = await Promise.all([
    api.get(base),
    api.get(`${base}/status`),
    rows(api, `${base}/ticks`, {}, 10, (tick) => tickRow(of, tick)),
    rows(api, `${base}/versions`, {}, 10, (version) => version),
    rows(api, `${base}/executions`, {}, 10, (x) => executionRow(of, x, when(x))),
  ]);
  const shown = ['workspace', 'job_name', 'status', 'next_tick_at', 'last_tick_at', 'paused_at', 'paused_reason',
    'retired_at', 'retired_reason'];
  return {
    title: j.job_name,
    badges: [badge(j.status), j.status !== 'RETIRED' && badge(status.health)],
    body: [
      h('p', { class: 'lead', 'data-key': 'schedule' }, await sentence(api, j)),
      h('p', { class: 'lead', 'data-key': 'when' }, whenever(j)),
      h('div', { class: 'buttons', 'data-key': 'buttons' }, jobButtons(base, j)),
      numbers(status),
      section('Executions', 'The job has no executions.', runs),
      section('Ticks', 'No tick has been recorded.', ticks),
      section('Versions', '', [versions.map((version, index) => versionRow(version, versions[index + 1])), more]),
      h('details', { 'data-key': 'definition' }, h('summary', null, 'Definition'), facts(j, shown)),
    ],
  };
}

/// Schedules in plain English, which never change.
const sentences = new Map();

async function sentence(api, { cron, timezone }) {
  const key = `${cron} ${timezone}`;
  if (!sentences.has(key)) {
    const { description } = await api.send('POST', '/schedules/preview', { cron, timezone, max: 0 });
    sentences.set(key, description);
  }
  return sentences.get(key);
}

function numbers(status) {
  const counts = ['waiting', 'running', 'total', 'succeeded', 'failed', 'skipped'];
  const shown = [
    ...counts.map((name) => [name, number(status[name])]),
    ['mean', status.mean_duration && duration(status.mean_duration)],
    ['p99', status.p99_duration && duration(status.p99_duration)],
  ];
  const tone = (name) => name === 'failed' && status.failed > 0 && 'error';
  return h('section', { 'data-key': 'numbers' },
    h('h2', null, 'Now, and in the last 24 hours'),
    h('dl', { class: 'numbers' }, shown.map(([name, value]) =>
      h('div', { class: tone(name) }, h('dt', null, name), h('dd', null, value ?? '–')))));
}

function jobButtons(base, j) {
  if (j.status === 'RETIRED') return [];
  const name = `job “${j.job_name}”`;
  const done = (row) => `The ${name} is ${row.status}.`;
  const pause = {
    title: `Pause the ${name}?`,
    text: 'It has no ticks until it is resumed. Ticks of the pause are not caught up. Existing executions still run.',
    yes: 'Pause',
    reason: true,
  };
  const trigger = { title: `Run the ${name} now?`, text: 'It runs once, outside its schedule.', yes: 'Run now' };
  const cancel = {
    title: `Cancel the ${name}?`,
    text: 'The job ends for good and cannot be resumed. Existing executions still run.',
    yes: 'Cancel job',
    danger: true,
  };
  return [
    j.status === 'PAUSED'
      ? button('Resume', { path: `${base}/resume`, done }, 'primary')
      : button('Pause', { path: `${base}/pause`, ask: pause, done }),
    button('Trigger', {
      path: `${base}/trigger`,
      once: true,
      ask: trigger,
      done: (row) => `A new execution of the ${name} is ${row.status}.`,
    }),
    button('Cancel job', { path: base, method: 'DELETE', ask: cancel, done }, 'danger'),
  ];
}

const tickRow = (of, tick) => row({
  key: tick.tick_at,
  href: tick.execution_id && link('w', of.workspace, 'executions', tick.execution_id),
  title: time(tick.tick_at),
  badges: badge(tick.outcome),
  lines: [
    tick.reason,
    tick.from_tick_at && tick.from_tick_at !== tick.tick_at && ['with all since ', time(tick.from_tick_at)],
  ],
});

/// A version, with what changed since the one before.
function versionRow(version, before) {
  const same = ['version', 'began_at', 'ended_at'];
  const text = (value) => (typeof value === 'string' ? value : JSON.stringify(value));
  const hasChanged = (name) => !same.includes(name) && text(version[name]) !== text(before[name]);
  const change = (name) => [
    `${name.replaceAll('_', ' ')}: `, h('del', null, text(before[name])), ' → ', h('ins', null, text(version[name])),
  ];
  return row({
    key: version.version,
    title: `Version ${version.version}`,
    badges: time(version.began_at),
    lines: before
      ? Object.keys(version).filter(hasChanged).map(change)
      : [dotted(h('code', null, version.cron), version.timezone, version.endpoint)],
  });
}
