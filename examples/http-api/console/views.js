// What each address shows. A view calls the API and returns its title and its elements; it changes nothing itself.

import { path } from './api.js';
import { duration, h, seconds, time } from './elements.js';
import { execution, executionRow, executions } from './executions.js';
import { job, jobs } from './jobs.js';
import { badge, button, dotted, facts, firstRows, link, number, row, rows, section } from './parts.js';

const VIEWS = {
  '': workspaces,
  'w/*': overview,
  'w/*/jobs': jobs,
  'w/*/jobs/*': job,
  'w/*/executions': executions,
  'w/*/executions/*': execution,
  'w/*/endpoints': endpoints,
};

/// Finds the view of an address such as #/w/acme/jobs?status=PAUSED.
export function route(hash) {
  const [address, search] = hash.replace(/^#?\/?/, '').split('?');
  const segments = address.split('/').map(decode);
  const view = VIEWS[segments.map((segment, index) => (index % 2 ? '*' : segment)).join('/')] ?? nowhere;
  const [, workspace, tab = 'overview', id] = segments;
  const query = Object.fromEntries([...new URLSearchParams(search)].filter(([, value]) => value));
  return { view, workspace, tab, id, query, base: path('workspaces', workspace ?? '') };
}

function decode(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

async function nowhere() {
  const body = h('p', null, 'The console has no page at this address. ', h('a', { href: '#/' }, 'All workspaces'));
  return { title: 'No such page', body };
}

async function workspaces(api) {
  const list = await rows(api, '/workspaces', {}, 50, (w) => row({
    key: w.workspace_id, href: link('w', w.workspace), title: w.workspace, lines: [['created ', time(w.created_at)]],
  }));
  const empty = 'Your token sees no workspace. An admin can grant its role a capability in one.';
  return { title: 'Workspaces', body: section('', empty, list) };
}

// The overview

async function overview(api, of) {
  const pathOf = (name) => of.base + path(name);
  // To a role that may not read the workspace, the first three are empty, but the executions are refused. So nobody
  // reads "No job is failing" who may not know.
  const [failing, stuck, queues, failed, health] = await Promise.all([
    api.get(pathOf('failing-jobs')),
    api.get(pathOf('stuck-executions')),
    api.get(pathOf('queues')),
    rows(api, pathOf('executions'), { status: 'FAILED' }, 5, (x) => executionRow(of, x)),
    api.get('/ready').catch((problem) => problem),
  ]);
  const findings = health.findings ?? [{ severity: 'ERROR', finding: health.message }];
  const distinct = [...new Map(findings.map((finding) => [finding.finding, finding])).values()];
  const sum = (name) => queues.reduce((total, queue) => total + queue[name], 0);
  const tile = (label, count, tone) =>
    h('div', { class: `tile ${count > 0 ? tone : ''}` }, h('dt', null, label), h('dd', null, number(count)));
  return {
    title: 'Overview',
    body: [
      h('dl', { class: 'tiles', 'data-key': 'tiles' },
        tile('failing', failing.length, 'bad'), tile('stuck', stuck.length, 'bad'),
        tile('waiting', sum('waiting'), ''), tile('running', sum('running'), '')),
      findings.length > 0 && section('Health of the service', '', [distinct.map(findingRow)]),
      section('Failing jobs', 'No job is failing.',
        firstRows(pathOf('failing-jobs'), failing, 10, (j) => failingRow(of, j))),
      section('Stuck executions', 'No execution is stuck.',
        firstRows(pathOf('stuck-executions'), stuck, 5, (x) => stuckRow(of, x))),
      section('Queues', 'Nothing waits or runs.', [queues.map((queue) => queueRow(of, queue))]),
      section('Failed executions', 'No execution has failed.', failed),
    ],
  };
}

/// A finding of doctor(), which judges all workspaces together.
const findingRow = ({ severity, finding }) =>
  row({ key: finding, title: h('span', { class: 'sentence' }, finding), badges: badge(severity) });

const failingRow = (of, j) => row({
  key: j.job_id,
  href: link('w', of.workspace, 'jobs', j.job_id),
  title: j.job_name,
  badges: badge(j.failures === 1 ? '1 failure' : `${j.failures} failures`, 'bad'),
  lines: [
    h('span', { class: 'error' }, j.last_error ?? 'The worker reported no error.'),
    dotted(['since ', time(j.failing_since)], j.endpoint),
  ],
}, remedy(of, j));

const stuckRow = (of, x) => row({
  key: x.execution_id,
  href: link('w', of.workspace, 'executions', x.execution_id),
  title: x.job_name ?? x.endpoint,
  badges: badge(x.status),
  lines: [h('span', { class: 'error' }, x.reason), dotted(['since ', time(x.stuck_since)], x.endpoint)],
}, remedy(of, x));

/// What mends it: SQL or words. If it names an execution, the execution's page has the button that does it.
function remedy(of, { remedy }) {
  const id = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(remedy)?.[0];
  return h('div', { class: 'remedy' }, h('b', null, 'Remedy'), h('code', null, remedy),
    id && h('a', { href: link('w', of.workspace, 'executions', id) }, 'Open the execution'));
}

function queueRow(of, queue) {
  const count = (name) => `${number(queue[name])} ${name}`;
  const paused = queue.paused > 0 && h('a', { href: link('w', of.workspace, 'endpoints') }, count('paused'));
  return row({
    key: queue.endpoint_type,
    title: queue.endpoint_type,
    badges: queue.waiting > 0 && badge(`lag ${duration(queue.lag)}`, seconds(queue.lag) < 60 ? '' : 'warn'),
    lines: [dotted(count('waiting'), count('running'), queue.retrying > 0 && count('retrying'),
      queue.delayed > 0 && count('delayed'), paused)],
  });
}

// Endpoints

async function endpoints(api, of) {
  const list = await rows(api, of.base + path('endpoints'), {}, 50, (e) => endpointRow(of, e));
  return { title: 'Endpoints', body: section('', 'The workspace has no endpoints.', list) };
}

function endpointRow(of, e) {
  const shown = ['workspace', 'endpoint', 'endpoint_type', 'max_attempts', 'max_concurrent', 'rate_limit',
    'rate_interval', 'paused_at', 'paused_by', 'paused_reason'];
  const jobsOfIt = `${link('w', of.workspace, 'jobs')}?${new URLSearchParams({ endpoint: e.endpoint })}`;
  return row({
    key: e.endpoint_id,
    title: e.endpoint,
    badges: [badge(e.endpoint_type), e.paused_at && badge('PAUSED')],
    lines: [
      e.paused_at
        && ['paused ', time(e.paused_at), ` by ${e.paused_by}`, e.paused_reason && `: ${e.paused_reason}`],
      dotted(e.max_attempts === 1 ? '1 attempt' : `${e.max_attempts} attempts`,
        e.max_concurrent && `${e.max_concurrent} at once`,
        e.rate_limit && `${e.rate_limit} per ${duration(e.rate_interval)}`),
    ],
  },
  h('details', null, h('summary', null, 'Details'), facts(e, shown)),
  h('div', { class: 'buttons' }, endpointButton(of, e), h('a', { href: jobsOfIt }, 'Jobs')));
}

function endpointButton(of, e) {
  const base = of.base + path('endpoints', e.endpoint);
  const done = (row) => `The endpoint “${row.endpoint}” is ${row.paused_at ? 'paused' : 'not paused'}.`;
  if (e.paused_at) return button('Resume', { path: `${base}/resume`, done }, 'primary');
  const ask = {
    title: `Pause the endpoint “${e.endpoint}”?`,
    text: 'None of its executions starts until it is resumed. Running executions go on. Jobs still create executions.',
    yes: 'Pause',
    reason: true,
  };
  return button('Pause', { path: `${base}/pause`, ask, done });
}
