// Builds elements and brings a page up to date. Text is only ever inserted as text nodes.

/// An element: h('a', { href: '#/' }, 'text', otherElement). null and false children and attributes are left out.
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith('on')) element[name] = value;
    else if (isGiven(value)) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter(isGiven));
  return element;
}

export const isGiven = (value) => value !== null && value !== undefined && value !== false;

/// Makes the children of `old` equal to those of `next`, and keeps the nodes that stay: with them the focus, the scroll
/// position, the selection, and what is open. Children with the same data-key are the same thing, so that a button
/// never comes to stand for another row.
export function update(old, next) {
  const keys = new Set([...next.children].map((child) => child.dataset.key));
  for (const child of [...old.children]) {
    if (child.dataset.key && !keys.has(child.dataset.key)) child.remove();
  }
  let at = old.firstChild;
  for (const child of [...next.childNodes]) {
    const key = child.dataset?.key;
    const same = key ? [...old.children].find((other) => other.dataset.key === key) : at;
    if (!same || same.nodeName !== child.nodeName || same.dataset?.key !== key) {
      old.insertBefore(child, at);
    } else {
      if (same === at) at = at.nextSibling;
      else old.insertBefore(same, at);
      updateNode(same, child);
    }
  }
  while (at) {
    const after = at.nextSibling;
    at.remove();
    at = after;
  }
}

function updateNode(old, next) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== next.data) old.data = next.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && name !== 'open') old.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  old.onclick = next.onclick;
  old.onchange = next.onchange;
  update(old, next);
}

// Times

const UNITS = [['y', 31_557_600], ['d', 86_400], ['h', 3600], ['min', 60], ['s', 1]];
const EXACT = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'long' });

/// Seconds in their two largest units: 1 h 20 min.
export function span(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  const first = UNITS.findIndex(([, size]) => seconds >= size);
  const parts = UNITS.slice(first, first + 2).map(([unit, size]) => {
    const count = Math.floor(seconds / size);
    seconds -= count * size;
    return count && `${count} ${unit}`;
  });
  return parts.filter(Boolean).join(' ');
}

/// The seconds of an interval of the database, such as P1DT2H or PT0.012S.
export function seconds(iso) {
  const [date, clock = ''] = iso.slice(1).split('T');
  const count = (text, unit) => Number(new RegExp(`(-?[\\d.]+)${unit}`).exec(text)?.[1] ?? 0);
  return count(date, 'Y') * 31_557_600 + count(date, 'M') * 2_629_800 + count(date, 'D') * 86_400
    + count(clock, 'H') * 3600 + count(clock, 'M') * 60 + count(clock, 'S');
}

export function duration(iso) {
  const length = seconds(iso);
  return length < 0 ? `-${span(-length)}` : span(length);
}

function relative(date) {
  const distance = Math.round(Math.abs(date - Date.now()) / 1000);
  if (distance === 0) return 'now';
  const text = span(distance < 60 ? distance : distance - (distance % 60));
  return date > Date.now() ? `in ${text}` : `${text} ago`;
}

let isExact = false;

export function time(iso, attributes) {
  return showTime(h('time', { datetime: iso, ...attributes }));
}

/// Writes the text of a <time>: relative, or exact if the reader wants that. The title always is exact.
export function showTime(element) {
  const date = new Date(element.dateTime);
  element.title = EXACT.format(date);
  const text = isExact ? element.title : relative(date);
  if (element.textContent !== text) element.textContent = text;
  return element;
}

export function showTimes(exact = isExact) {
  isExact = exact;
  document.querySelectorAll('time[datetime]').forEach(showTime);
}
