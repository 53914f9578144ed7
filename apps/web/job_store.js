// The page's copy of the server's jobs. The server is the truth: the list is read anew after each
// connection, events change it, and where events stay away while something runs, polling does.

import { getJson, parseJson, postJson, remove } from './api.js';
import { EventStream } from './event_stream.js';

const PAGE = 40;
const POLL_MS = 5000;

export const isLive = (job) => job.state === 'queued' || job.state === 'running';

/** Events: "change" (detail: { job, before }), "remove" (detail: job), "connection" (detail). */
export class JobStore extends EventTarget {
  constructor() {
    super();
    this.jobs = new Map();
    this.removed = new Set();
    this.hasOlder = false;
    this.oldest = null;
    this.lastNews = 0;
    this.stream = new EventStream('/v1/events', {
      onOpen: () => this.#reload(),
      onEvent: (event) => event.type === 'job' && this.take(parseJson(event.data)),
      onLoss: (loss) => this.#say('connection', { lost: true, ...loss }),
    });
    setInterval(() => this.#poll(), POLL_MS);
  }

  connect() {
    this.stream.retry();
  }

  /** Newest first; ids are times. */
  list() {
    return [...this.jobs.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  /** Takes a job as the server told it, unless something newer of it is known. */
  take(job) {
    const before = this.jobs.get(job.id);
    if (this.removed.has(job.id)) return;
    this.lastNews = Date.now();
    if (before && before.revision >= job.revision) return;
    this.jobs.set(job.id, job);
    this.#say('change', { job, before });
  }

  /** `clientKey`: the same submission twice, after a lost answer, stays one job. */
  async submit(request, clientKey) {
    const job = await postJson('/v1/jobs', request, { 'Idempotency-Key': clientKey });
    this.take(job);
    return job;
  }

  async cancel(id) {
    this.take(await postJson(`/v1/jobs/${id}/cancel`));
  }

  async delete(id) {
    try {
      await remove(`/v1/jobs/${id}`);
    } catch (error) {
      if (error.status !== 404) throw error;
    }
    this.#forget(id);
  }

  async loadOlder() {
    const found = await this.#page(this.oldest);
    for (const job of found) this.take(job);
  }

  async #page(before) {
    const query = before ? `&before=${encodeURIComponent(before)}` : '';
    const { data } = await getJson(`/v1/jobs?limit=${PAGE}${query}`);
    this.hasOlder = data.length === PAGE;
    if (data.length) this.oldest = data.at(-1).id;
    return data;
  }

  async #reload() {
    try {
      const [recent, live] = await Promise.all([
        this.#page(null), getJson('/v1/jobs?state=queued,running&limit=1000')]);
      const known = new Set([...recent, ...live.data].map((job) => job.id));
      // What we have and the server does not list was deleted or has ended beyond the first page.
      const floor = recent.length === PAGE ? recent.at(-1).id : '';
      const doubtful = this.list().filter((job) => !known.has(job.id)
          && (isLive(job) || job.id >= floor));
      for (const job of [...recent, ...live.data]) this.take(job);
      await Promise.all(doubtful.map((job) => this.#refresh(job.id)));
      for (const job of this.jobs.values()) if (job.id < this.oldest) this.oldest = job.id;
      this.#say('connection', { lost: false });
    } catch (error) {
      this.#say('connection', { lost: true, error, waitMs: null });
    }
  }

  async #poll() {
    const live = this.list().filter(isLive);
    if (!live.length || Date.now() - this.lastNews < POLL_MS) return;
    await Promise.all(live.slice(-8).map((job) => this.#refresh(job.id).catch(() => {})));
  }

  async #refresh(id) {
    try {
      this.take(await getJson(`/v1/jobs/${id}`));
    } catch (error) {
      if (error.status !== 404) throw error;
      this.#forget(id);
    }
  }

  #forget(id) {
    const job = this.jobs.get(id);
    this.removed.add(id);
    this.jobs.delete(id);
    if (job) this.#say('remove', job);
  }

  #say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
