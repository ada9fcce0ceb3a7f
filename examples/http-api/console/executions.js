// The views of executions.

import { path } from './api.js';
import { duration, h, time } from './elements.js';
import { badge, button, dotted, facts, filter, json, link, row, rows, section } from './parts.js';

const STATUSES = ['FAILED', 'RETRYING', 'RUNNING', 'QUEUED', 'PENDING', 'SUCCEEDED', 'CANCELLED'];

export async function executions(api, of) {
  const { status } = of.query;
  const list = await rows(api, of.base + path('executions'), { status }, 20, (x) => executionRow(of, x));
  const body = [filter(of, 'status', STATUSES), section('', 'There is no such execution.', list)];
  return { title: 'Executions', body };
}

const nameOf = (x) => x.job_name ?? x.key ?? x.endpoint;

export function executionRow(of, x, title) {
  const why = x.error ?? x.status_reason;
  return row({
    key: x.execution_id,
    href: link('w', of.workspace, 'executions', x.execution_id),
    title: title ?? nameOf(x),
    badges: badge(x.status),
    lines: [
      why && h('span', { class: x.error ? 'error cut' : 'cut' }, why),
      dotted(!title && when(x), course(x), origin(x)),
    ],
  });
}

export function when(x) {
  if (x.finished_at) return ['finished ', time(x.finished_at)];
  return x.status === 'RUNNING' ? ['started ', time(x.started_at)] : ['due ', time(x.run_at)];
}

const course = (x) => x.attempt > 0 && dotted(x.duration && duration(x.duration), `attempt ${x.attempt}`);
const origin = (x) => x.origin.toLowerCase().replace('_', ' ');

export async function execution(api, of) {
  const base = of.base + path('executions', of.id);
  const [x, attempts, logs] = await Promise.all([
    api.get(base),
    rows(api, `${base}/attempts`, {}, 20, attemptRow),
    rows(api, `${base}/logs`, {}, 100, logRow),
  ]);
  const isStopping = x.status === 'RUNNING' && x.stop_requested_at;
  const value = (title, value) =>
    value !== null && h('section', { 'data-key': title }, h('h2', null, title), json(value, title));
  const shown = ['workspace', 'job_name', 'status', 'error', 'status_reason', 'input', 'output', 'job_id', 'attempt',
    'duration'];
  return {
    title: nameOf(x),
    badges: [badge(x.status), isStopping && badge('STOP REQUESTED', 'warn')],
    body: [
      h('p', { class: 'lead', 'data-key': 'lead' }, dotted(when(x), course(x), origin(x))),
      x.error !== null
        && h('pre', { class: 'error', tabindex: 0, 'aria-label': 'Error', 'data-key': 'error' }, x.error),
      x.status_reason !== null && h('p', { class: 'lead', 'data-key': 'reason' }, x.status_reason),
      h('div', { class: 'buttons', 'data-key': 'buttons' }, executionButtons(base, x),
        x.job_id && h('a', { href: link('w', of.workspace, 'jobs', x.job_id) }, 'Job')),
      section('Attempts', 'No worker has started it.', attempts),
      section('Log', 'Workers have logged nothing.', logs),
      value('Input', x.input),
      value('Output', x.output),
      h('details', { 'data-key': 'details' }, h('summary', null, 'Details'), facts(x, shown)),
    ],
  };
}

function executionButtons(base, x) {
  const done = (row) => `The execution is ${row.status}.`;
  const runNow = { path: `${base}/reschedule`, body: { run_at: new Date().toISOString() }, done };
  const cancel = {
    path: `${base}/cancel`,
    ask: {
      title: 'Cancel the execution?',
      text: 'It will not run, unless it is retried.',
      yes: 'Cancel execution',
      danger: true,
    },
    done,
  };
  const stop = {
    path: `${base}/cancel`,
    body: { request_stop: true },
    ask: {
      title: 'Ask the worker to stop?',
      text: 'The worker learns of it at its next heartbeat. The execution is cancelled unless the worker completes it.',
      yes: 'Ask to stop',
      danger: true,
    },
    done: (row) => `The worker was asked to stop. The execution is ${row.status}.`,
  };
  switch (x.status) {
    case 'FAILED':
    case 'CANCELLED':
      return [button('Retry', { path: `${base}/retry`, done }, 'primary')];
    case 'PENDING':
    case 'RETRYING':
      return [button('Run now', runNow, 'primary'), button('Cancel execution', cancel, 'danger')];
    case 'QUEUED':
      return [button('Cancel execution', cancel, 'danger')];
    case 'RUNNING':
      return x.stop_requested_at ? [] : [button('Ask to stop', stop, 'danger')];
    default:
      return [];
  }
}

const attemptRow = (a) => row({
  key: a.attempt,
  title: `Attempt ${a.attempt}`,
  badges: badge(a.outcome),
  lines: [
    a.error && h('span', { class: 'error' }, a.error),
    dotted(['started ', time(a.started_at)], a.duration && duration(a.duration), a.worker_id),
  ],
});

const logRow = (line) => row({
  key: line.line,
  title: h('code', null, line.message),
  badges: line.level !== 'INFO' && badge(line.level),
  lines: [dotted(time(line.logged_at), `attempt ${line.attempt}`)],
}, line.data !== null && json(line.data, 'Data'));
