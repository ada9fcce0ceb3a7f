// Calls the HTTP API with the token of this tab.

const TOKEN = 'kronos-token';
const TIMEOUT_MS = 20_000;

export const token = {
  get: () => sessionStorage.getItem(TOKEN),
  set: (value) => sessionStorage.setItem(TOKEN, value),
  forget: () => sessionStorage.removeItem(TOKEN),
};

/// Why a call did not succeed: the fields of the service's problem+json.
export class Problem extends Error {
  constructor({ detail, status, code, hint, findings, request_id }) {
    super(detail);
    Object.assign(this, { status, code, hint, findings, requestId: request_id });
  }
}

/// Joins path segments, so that a name can be any text: path('workspaces', 'a/b') is /workspaces/a%2Fb.
export const path = (...segments) => segments.map((segment) => `/${encodeURIComponent(segment)}`).join('');

export function get(path, query = {}, signal) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  const search = new URLSearchParams(given).toString();
  return call('GET', search ? `${path}?${search}` : path, { signal });
}

export const send = (method, path, body, headers) => call(method, path, { body, headers });

async function call(method, path, { body, headers, signal }) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response, text;
  try {
    response = await fetch(path, {
      method,
      headers: {
        Authorization: `Bearer ${token.get()}`,
        ...(body && { 'Content-Type': 'application/json' }),
        ...headers,
      },
      body: body && JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      cache: 'no-store',
    });
    text = await response.text();
  } catch {
    throw new Problem({ code: 'NO_ANSWER', detail: silence(method) });
  }
  const answer = parse(text);
  if (!response.ok) {
    const detail = `The service answered with status ${response.status}.`;
    throw new Problem({ detail, ...answer, status: response.status });
  }
  if (answer === undefined) {
    // A proxy's page, or an answer that was cut off, proves nothing.
    throw new Problem({ code: 'UNREADABLE_ANSWER', detail: silence(method) });
  }
  return answer;
}

const silence = (method) => method === 'GET'
  ? 'The service did not answer.'
  : 'The service did not answer, so the call may have happened or not. Look at the state below before you repeat it.';

/// Parses JSON, undefined if it is none. Numbers that JavaScript would round keep their digits.
function parse(text) {
  const exact = (_, value, context) =>
    typeof value === 'number' && String(value) !== context.source ? JSON.rawJSON(context.source) : value;
  try {
    return JSON.parse(text, JSON.rawJSON && exact);
  } catch {
    return undefined;
  }
}
