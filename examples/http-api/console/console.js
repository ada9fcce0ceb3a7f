// The console: signs in, shows the view of the address, keeps it up to date, and does what its buttons ask for.
// views.js says what each address shows, jobs.js and executions.js have the larger views, parts.js and elements.js what
// they are built of, and api.js calls the API.

import { get, Problem, send, token } from './api.js';
import { h, showTime, showTimes, time, update } from './elements.js';
import { dotted, link } from './parts.js';
import { route } from './views.js';

const REFRESH_MS = 5000;
const TABS = [['overview', 'Overview'], ['jobs', 'Jobs'], ['executions', 'Executions'], ['endpoints', 'Endpoints']];

const $ = (id) => document.getElementById(id);
const content = $('content');

// The view

let loading = new AbortController();
let timer;
let shown; // the address that #view shows, undefined if it shows none
let isProblem = false; // whether #view shows why there is no view
let isActing = false;
const scrolls = new Map(); // where the reader left each address

/// Loads the view of the address, shows it, and does so again a few seconds later.
async function load() {
  clearTimeout(timer);
  loading.abort();
  loading = new AbortController();
  if (!token.get()) return showSignIn();
  const { signal } = loading;
  const address = location.hash;
  const of = route(address);
  showFrame(of);
  content.setAttribute('aria-busy', shown !== address);
  try {
    const view = await of.view({ get: (path, query) => get(path, query, signal), send }, of);
    if (signal.aborted) return;
    show(address, of, view);
    isProblem = false;
    $('updated').dateTime = new Date().toISOString();
    showTime($('updated'));
    $('stale').hidden = true;
    $('foot').hidden = false;
  } catch (problem) {
    if (signal.aborted) return;
    if (problem.status === 401) return signOut('The service does not accept the token any more.');
    if (shown === address && !isProblem) {
      showStale(problem);
    } else {
      show(address, of, { title: 'Cannot show this', body: describe(problem) });
      isProblem = true;
      $('stale').hidden = $('foot').hidden = true;
    }
  }
  content.setAttribute('aria-busy', isActing);
  if (!document.hidden) timer = setTimeout(load, REFRESH_MS);
}

function show(address, of, { title: name, badges, body }) {
  document.title = `${name} · ${of.workspace ?? 'Kronos'}`;
  const heading = h('h1', { tabindex: -1 }, name);
  const title = h('div', { class: 'title' }, heading, badges && h('span', { class: 'badges' }, badges));
  const next = h('div', null, title, body);
  if (shown === address) return update($('view'), next);
  const isFirst = shown === undefined;
  shown = address;
  $('view').replaceChildren(...next.childNodes);
  if (!isFirst) heading.focus({ preventScroll: true });
  scrollTo(0, scrolls.get(address) ?? 0);
}

/// What surrounds the view.
function showFrame(of) {
  $('sign-in').hidden = true;
  $('sign-out').hidden = false;
  $('workspace').hidden = $('tabs').hidden = of.workspace === undefined;
  if (of.workspace === undefined) return;
  $('workspace').textContent = of.workspace;
  update($('tabs'), h('nav', null, TABS.map(([tab, label]) =>
    h('a', {
      href: tab === 'overview' ? link('w', of.workspace) : link('w', of.workspace, tab),
      'aria-current': of.tab === tab && (of.id ? 'true' : 'page'),
    }, label))));
}

function showStale(problem) {
  const since = time($('updated').dateTime);
  update($('stale'), h('div', null, 'This is from ', since, '. ', problem.message, ' ', details(problem)));
  $('stale').hidden = false;
}

const details = ({ code, status, requestId }) =>
  h('small', null, dotted(code, status && `HTTP ${status}`, requestId && `request ${requestId}`));

function describe(problem) {
  if (!(problem instanceof Problem)) console.error(problem); // a bug of the console
  const { message, hint } = problem;
  return [h('p', { class: 'error' }, message), hint && h('p', null, hint), h('p', null, details(problem))];
}

window.addEventListener('hashchange', ({ oldURL }) => {
  scrolls.set(new URL(oldURL).hash, scrollY);
  clearMessages();
  $('ask').close();
  load();
});
document.addEventListener('visibilitychange', () => (document.hidden ? clearTimeout(timer) : load()));
content.addEventListener('reload', load);
setInterval(() => document.hidden || showTimes(), 1000);

$('exact').onclick = ({ currentTarget }) => {
  const isExact = currentTarget.getAttribute('aria-pressed') !== 'true';
  currentTarget.setAttribute('aria-pressed', isExact);
  showTimes(isExact);
};

// Actions

/// Keys of calls whose outcome is unknown: repeating the call must not do it twice.
const keys = new Map();

/// Does what a button asks for: { path, method, body, once, ask, done }. Only an answer of the service is a success;
/// `done` words it.
async function act({ path, method = 'POST', body, once, ask: question, done }) {
  if (isActing) return;
  const answer = question ? await ask(question) : {};
  if (!answer) return;
  clearMessages();
  isActing = true;
  content.setAttribute('aria-busy', true);
  try {
    const key = once && (keys.get(path) ?? keys.set(path, randomKey()).get(path));
    const given = answer.reason ? { ...body, reason: answer.reason } : body;
    const row = await send(method, path, given, key && { 'Idempotency-Key': key });
    keys.delete(path);
    say('result', done(row));
  } catch (problem) {
    if (problem.status === 401) return signOut('The service does not accept the token any more.');
    if (problem.status < 500) keys.delete(path);
    refuse(problem);
  } finally {
    isActing = false;
  }
  await load();
}

// crypto.randomUUID() exists only over HTTPS.
const randomKey = () => [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(16)).join('-');

const refuse = (problem) => say('refusal', describe(problem));

/// Shows a message until the reader closes it or does something else.
function say(id, ...text) {
  const close = h('button', { type: 'button', onclick: clearMessages }, 'Close');
  $(id).replaceChildren(...h('div', null, h('div', null, text), close).childNodes);
}

function clearMessages() {
  $('result').replaceChildren();
  $('refusal').replaceChildren();
}

content.addEventListener('act', ({ detail }) => act(detail));

/// Asks for confirmation. Returns what was entered, or undefined if the answer is no.
function ask({ title, text, yes, reason, danger }) {
  $('ask-title').textContent = title;
  $('ask-text').textContent = text;
  $('ask-yes').textContent = yes;
  $('ask-yes').className = danger ? 'danger' : 'primary';
  $('ask-reason').hidden = !reason;
  $('reason').value = '';
  const dialog = $('ask');
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === 'yes' ? { reason: $('reason').value.trim() } : undefined);
  });
}

$('ask-back').onclick = () => $('ask').close();

// Signing in and out

function showSignIn() {
  document.title = 'Kronos';
  $('workspace').hidden = $('tabs').hidden = $('sign-out').hidden = $('foot').hidden = $('stale').hidden = true;
  $('view').replaceChildren();
  shown = undefined;
  content.setAttribute('aria-busy', false);
  $('sign-in').hidden = false;
  $('token').focus();
}

function signOut(reason) {
  token.forget();
  clearMessages();
  $('ask').close();
  load();
  if (reason) say('refusal', reason);
}

$('sign-out').onclick = () => signOut();

$('sign-in').onsubmit = async (event) => {
  event.preventDefault();
  clearMessages();
  content.setAttribute('aria-busy', true);
  token.set($('token').value.trim());
  try {
    const { items, next } = await get('/workspaces', { max: 2 });
    $('token').value = '';
    const isOnly = items.length === 1 && next === null;
    if (isOnly && route(location.hash).workspace === undefined) location.hash = link('w', items[0].workspace);
    load();
  } catch (problem) {
    if (problem.status === 401) problem.message = 'The service does not accept this token.';
    token.forget();
    content.setAttribute('aria-busy', false);
    refuse(problem);
  }
};

load();
