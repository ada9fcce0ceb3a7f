// Parts that several views have.

import { path } from './api.js';
import { duration, h, isGiven, span, time } from './elements.js';

/// The address of a view: link('w', 'acme', 'jobs').
export const link = (...segments) => `#${path(...segments)}`;

const TONES = {
  good: ['ACTIVE', 'HEALTHY', 'SUCCEEDED', 'RUN'],
  bad: ['FAILING', 'FAILED', 'LOST', 'TIMED_OUT', 'ERROR'],
  warn: ['DEGRADED', 'PAUSED', 'RETRYING', 'OWED', 'SKIPPED', 'DROPPED', 'RELEASED', 'WARNING'],
  busy: ['RUNNING', 'QUEUED'],
};

export function badge(word, tone = Object.keys(TONES).find((tone) => TONES[tone].includes(word))) {
  return isGiven(word) && h('span', { class: `badge ${tone ?? ''}` }, word.replace('_', ' '));
}

/// What is given of the parts, with dots between.
export const dotted = (...parts) => parts.filter(Boolean).flatMap((part, index) => (index ? [' · ', part] : [part]));

export const number = (count) => count.toLocaleString('en');

export const json = (value, label) => h('pre', { tabindex: 0, 'aria-label': label }, JSON.stringify(value, null, 2));

/// A button that dispatches the event "act", which console.js handles: see act() there for what an action is.
export function button(label, action, tone) {
  const onclick = (event) =>
    event.currentTarget.dispatchEvent(new CustomEvent('act', { bubbles: true, detail: action }));
  return h('button', { type: 'button', class: tone, 'data-key': label, onclick }, label);
}

// Lists

/// A section with a list, or with a sentence if the list is empty.
export function section(title, empty, [items, more] = [[]]) {
  const list = items.length ? h('ul', { class: 'rows' }, items) : h('p', { class: 'empty' }, empty);
  return h('section', { 'data-key': title }, title && h('h2', null, title), list, more);
}

/// How many rows of a list the reader has asked for, by the list's path. A refresh reads that many.
const wanted = new Map();

/// The first rows of a list, and a button for more if there are more.
export async function rows(api, listPath, query, size, toRow) {
  const max = wanted.get(listPath) ?? size;
  const { items, next } = await api.get(listPath, { ...query, max });
  return [items.map(toRow), next !== null && moreButton(listPath, max + size)];
}

/// The first rows of a list that the API returns in one piece.
export function firstRows(listPath, items, size, toRow) {
  const max = wanted.get(listPath) ?? size;
  return [items.slice(0, max).map(toRow), items.length > max && moreButton(listPath, max + size)];
}

function moreButton(listPath, max) {
  const onclick = (event) => {
    wanted.set(listPath, max);
    event.currentTarget.dispatchEvent(new CustomEvent('reload', { bubbles: true }));
  };
  return h('button', { type: 'button', class: 'more', 'data-key': 'more', onclick }, 'More');
}

/// A row: a title with badges, lines below, and further elements. With `href` it leads to another view.
export function row({ key, href, title, badges, lines = [] }, ...more) {
  const head = h('span', { class: 'head' }, h('strong', null, title), badges);
  const below = lines.filter(Boolean).map((line) => h('span', { class: 'line' }, line));
  const body = href ? h('a', { class: 'row', href }, head, below) : h('div', { class: 'row' }, head, below);
  return h('li', { 'data-key': key }, body, more);
}

/// A choice of the rows of a list, which becomes a part of the address.
export function filter(of, name, options) {
  const onchange = ({ currentTarget }) => {
    const query = new URLSearchParams({ ...of.query, [name]: currentTarget.value });
    location.hash = `${link('w', of.workspace, of.tab)}?${query}`;
  };
  const choices = ['', ...options].map((value) =>
    h('option', { value, selected: (of.query[name] ?? '') === value }, value || 'All'));
  return h('label', { class: 'filter', 'data-key': name }, 'Status', h('select', { onchange }, choices));
}

// Fields

/// All fields of a row, shown by the form of their values. Empty fields and those in `omit` are left out.
export function facts(row, omit) {
  const isShown = ([name, value]) => isGiven(value) && JSON.stringify(value) !== '{}' && !omit.includes(name);
  const shown = Object.entries(row).filter(isShown).sort(([one], [other]) => (one < other ? -1 : 1));
  const label = (name) => name.replace(/_ms$/, '').replaceAll('_', ' ');
  return h('dl', { class: 'facts' }, shown.map(([name, value]) =>
    h('div', { 'data-key': name }, h('dt', null, label(name)), h('dd', null, fact(name, value)))));
}

const INTERVALS = ['attempt_timeout', 'catchup_window', 'duration', 'jitter', 'rate_interval'];

function fact(name, value) {
  if (/_at$|_since$/.test(name)) return time(value);
  if (/_ms$/.test(name)) return span(value / 1000);
  if (INTERVALS.includes(name)) return duration(value);
  return typeof value === 'object' ? json(value, name) : String(value);
}
