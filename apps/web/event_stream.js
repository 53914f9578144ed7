// Server-sent events over fetch, since EventSource cannot send an API key. Comes back by itself
// after a loss, later each time, and says what it last saw.

import { openStream } from './api.js';

const FIRST_WAIT_MS = 800;
const LONGEST_WAIT_MS = 30_000;
// The server says something every 15 s; three times nothing is a dead connection.
const SILENCE_MS = 45_000;

/** Splits a stream of text into events. `push` takes what arrived, in pieces of any size. */
export class EventParser {
  constructor(deliver) {
    this.deliver = deliver;
    this.rest = '';
    this.event = { data: [], id: null, type: 'message' };
  }

  push(text) {
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop();
    for (const line of lines) this.#takeLine(line);
  }

  #takeLine(line) {
    if (line === '') {
      if (this.event.data.length) {
        this.deliver({ ...this.event, data: this.event.data.join('\n') });
      }
      this.event = { data: [], id: null, type: 'message' };
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return;  // a comment: the connection lives
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'data') this.event.data.push(value);
    else if (name === 'id') this.event.id = value;
    else if (name === 'event') this.event.type = value;
  }
}

/**
 * Keeps a stream open. Handlers: onEvent(event), onOpen(), onLoss({ error, waitMs }) before each
 * wait. An error of status 401 or 403 stops it until `retry()`.
 */
export class EventStream {
  constructor(path, handlers) {
    Object.assign(this, { path, handlers, lastEventId: null, losses: 0, timer: null });
    this.abort = new AbortController();
    window.addEventListener('online', () => this.timer && this.retry());
  }

  /** Connects now, whatever it was waiting for. */
  retry() {
    clearTimeout(this.timer);
    this.timer = null;
    this.abort.abort();
    this.abort = new AbortController();
    this.#run(this.abort);
  }

  async #run(abort) {
    let error = null;
    try {
      await this.#read(abort);
    } catch (caught) {
      error = caught;
    }
    if (abort !== this.abort) return;  // a newer connection took over
    const refused = error?.status === 401 || error?.status === 403;
    const waitMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.losses++)
        * (0.75 + Math.random() / 2);  // not all pages of a restarted server at once
    this.handlers.onLoss({ error, waitMs: refused ? null : waitMs });
    if (!refused) this.timer = setTimeout(() => this.retry(), waitMs);
  }

  async #read(abort) {
    let watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
    try {
      const response = await openStream(this.path, this.lastEventId, abort.signal);
      this.losses = 0;
      this.handlers.onOpen();
      const parser = new EventParser((event) => {
        if (event.id !== null) this.lastEventId = event.id;
        this.handlers.onEvent(event);
      });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || abort !== this.abort) return;
        clearTimeout(watchdog);
        watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
        parser.push(value);
      }
    } finally {
      clearTimeout(watchdog);
    }
  }
}
