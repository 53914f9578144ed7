// The plates: every finished picture that the server keeps, newest first, and the live jobs above
// them. Elements are kept by picture; arrow keys move among them.

import { byId, make, setText } from './dom.js';
import { isLive } from './job_store.js';
import { endText, promptOf, stageText, stateName, timeText } from './job_text.js';
import { showPicture } from './pictures.js';

export class Gallery {
  constructor(store, { select }) {
    Object.assign(this, { store, select, tiles: new Map(), selected: null });
    this.list = byId('gallery-list');
    this.showEnded = byId('show-ended');
    this.showEnded.addEventListener('change', () => this.refresh());
    this.list.addEventListener('keydown', (event) => this.#move(event));
    byId('older').addEventListener('click', async (event) => {
      event.target.disabled = true;
      await store.loadOlder().catch(() => {});
      event.target.disabled = false;
      this.refresh();
    });
  }

  mark(id, index) {
    this.selected = id && `${id}/${index}`;
    for (const [key, tile] of this.tiles) this.#mark(key, tile);
  }

  #mark(key, tile) {
    const chosen = key === this.selected || key === this.selected?.replace(/\/.*/, '/none');
    tile.firstChild.setAttribute('aria-current', String(chosen));
    tile.firstChild.tabIndex = chosen ? 0 : -1;
  }

  refresh() {
    const wanted = this.store.list().filter((job) => !isLive(job)).flatMap((job) =>
      (job.results.length ? job.results.map((_, index) => [job, index])
        : this.showEnded.checked ? [[job, null]] : []));
    const keys = new Set();
    let previous = null;
    for (const [job, index] of wanted) {
      const key = `${job.id}/${index ?? 'none'}`;
      keys.add(key);
      if (!this.tiles.has(key)) this.tiles.set(key, this.#makeTile(job, index));
      const tile = this.tiles.get(key);
      const next = previous ? previous.nextElementSibling : this.list.firstElementChild;
      if (tile !== next) this.list.insertBefore(tile, next);
      this.#mark(key, tile);
      previous = tile;
    }
    for (const [key, tile] of this.tiles) {
      if (keys.has(key)) continue;
      tile.remove();
      this.tiles.delete(key);
    }
    // One of them takes the Tab key; with none chosen, the first.
    if (this.list.firstElementChild && !this.list.querySelector('[tabindex="0"]')) {
      this.list.querySelector('button').tabIndex = 0;
    }
    byId('gallery-empty').hidden = wanted.length > 0;
    byId('older').hidden = !this.store.hasOlder;
    setText(byId('gallery-count'), wanted.length ? String(wanted.length) : '');
  }

  #makeTile(job, index) {
    const inside = index === null
      ? make('span', { class: 'tile-words' }, make('strong', { text: stateName(job) }),
          make('span', { text: endText(job) }))
      : make('img', { alt: '', decoding: 'async', error: (event) => {
        event.target.replaceWith(make('span', { class: 'tile-words', text: 'No longer here' }));
      } });
    if (index !== null) showPicture(inside, job.results[index].url);
    const seed = job.info[index ?? 0]?.seed;
    const name = [promptOf(job), seed != null && `seed ${seed}`, index === null && stateName(job)];
    return make('li', {}, make('button', { type: 'button', class: 'tile', title: promptOf(job),
      'aria-label': name.filter(Boolean).join(', '),
      click: () => this.select(this.store.jobs.get(job.id), index ?? 0) }, inside));
  }

  #move(event) {
    const tiles = [...this.list.querySelectorAll('.tile')];
    const at = tiles.indexOf(document.activeElement);
    if (at < 0) return;
    const top = tiles[0].offsetTop;
    const across = Math.max(1, tiles.filter((tile) => tile.offsetTop === top).length);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - across,
      ArrowDown: at + across, Home: 0, End: tiles.length - 1 }[event.key];
    if (event.key === 'Delete') tiles[at].click();
    if (to === undefined || !tiles[to]) return;
    event.preventDefault();
    tiles[at].tabIndex = -1;
    tiles[to].tabIndex = 0;
    tiles[to].focus();
  }
}

/** Jobs that wait or run, in the order in which they will be done. */
export class Queue {
  constructor(store, { select, cancel }) {
    Object.assign(this, { store, select, cancel, rows: new Map(), list: byId('queue-list') });
  }

  refresh() {
    const live = this.store.list().filter(isLive).sort((a, b) =>
      (a.position ?? -1) - (b.position ?? -1) || (a.id < b.id ? -1 : 1));
    byId('queue').hidden = live.length === 0;
    for (const [id, row] of this.rows) {
      if (live.some((job) => job.id === id)) continue;
      row.remove();
      this.rows.delete(id);
    }
    live.forEach((job, place) => {
      if (!this.rows.has(job.id)) this.rows.set(job.id, this.#makeRow(job));
      const row = this.rows.get(job.id);
      if (this.list.children[place] !== row) this.list.insertBefore(row, this.list.children[place]);
      row.dataset.state = job.state;
      row.style.setProperty('--part', `${(job.progress?.fraction ?? 0) * 100}%`);
      setText(row.querySelector('.queue-where'),
          [stageText(job), timeText(job)].filter(Boolean).join(' · '));
    });
  }

  #makeRow(job) {
    const prompt = promptOf(job);
    return make('li', { class: 'queue-row' },
        make('button', { type: 'button', class: 'queue-name', text: prompt,
          click: () => this.select(this.store.jobs.get(job.id), 0) }),
        make('span', { class: 'queue-where' }),
        make('button', { type: 'button', class: 'quiet queue-cancel', text: 'Cancel',
          'aria-label': `Cancel ${prompt}`, click: () => this.cancel(job) }));
  }
}
