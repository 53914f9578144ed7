// Requests to the server (docs/server.md): addresses, the API key, errors. Nothing else fetches.

const KEY_ITEM = 'tintype.api_key';

/** What the server answered with an error, or that it could not be reached (status 0). */
export class ApiError extends Error {
  constructor(status, { kind = 'internal', message = '', field = null } = {}, retryAfter = null) {
    super(message || `The server answered ${status}.`);
    Object.assign(this, { status, kind, field, retryAfter });
  }

  /** The message without the name of its place: "[steps] must be ..." is shown beside steps. */
  get plainMessage() {
    const text = this.message.replace(/^\[[^\]]*\]\s*/, '');
    return text.charAt(0).toUpperCase() + text.slice(1);
  }
}

export const readKey = () => localStorage.getItem(KEY_ITEM) ?? '';

export function storeKey(key) {
  if (key) localStorage.setItem(KEY_ITEM, key);
  else localStorage.removeItem(KEY_ITEM);
}

/** An address of the API beside this page, wherever a proxy may have put both. */
export const addressOf = (path) => new URL(`.${path}`, document.baseURI).href;

export function authorization() {
  const key = readKey();
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/**
 * JSON whose seeds stay exact: they go up to 2^64-1, beyond what a number here can tell apart, so
 * long ones become text. A quote inside a string is escaped, so no prompt can look like a member.
 */
export function parseJson(text) {
  return JSON.parse(text.replace(/"((?:variation_)?seed)"(\s*:\s*)(\d{16,})/g, '"$1"$2"$3"'));
}

async function send(path, options = {}) {
  let response;
  try {
    response = await fetch(addressOf(path), {
      ...options, headers: { ...options.headers, ...authorization() },
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(0, { kind: 'io', message: 'The server cannot be reached.' });
  }
  if (response.ok) return response;
  let detail = {};
  try {
    detail = (await response.json()).error ?? {};
  } catch {
    // Not this server's words: a proxy's page, or nothing. The status has to do.
  }
  throw new ApiError(response.status, detail, Number(response.headers.get('Retry-After')) || null);
}

export async function getJson(path) {
  return parseJson(await (await send(path)).text());
}

export async function postJson(path, body = undefined, headers = {}) {
  const response = await send(path, {
    method: 'POST',
    headers: { ...headers, 'Content-Type': 'application/json' },
    body: body === undefined ? '{}' : JSON.stringify(body),
  });
  return parseJson(await response.text());
}

export async function remove(path) {
  await send(path, { method: 'DELETE' });
}

export async function getBlob(path) {
  return (await send(path)).blob();
}

/** An open event stream's response; the caller reads its body. */
export function openStream(path, lastEventId, signal) {
  const headers = { Accept: 'text/event-stream' };
  if (lastEventId) headers['Last-Event-ID'] = lastEventId;
  return send(path, { headers, signal, cache: 'no-store' });
}
