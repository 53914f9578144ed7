// The one job that is looked at: growing while it is drawn, then its pictures, settings and what
// can be done with them. Elements are kept while the same job changes, so nothing flickers and the
// keyboard's focus stays.

import { byId, make, makeIcon, setText } from './dom.js';
import { endText, promptOf, settingsOf, stageText, stateName, timeText } from './job_text.js';
import { isLive } from './job_store.js';
import { showPicture } from './pictures.js';

const BLANK = 'Describe a picture, press Generate, and watch it develop here.';
// What can be done, by name: icon, words, and of which jobs.
const ACTIONS = [
  ['cancel', 'close', 'Cancel', isLive],
  ['reuse', 'reuse', 'Reuse settings', (job) => job.request.type !== 'upscale' && !isLive(job)],
  ['vary', 'vary', 'Vary seed', (job) => job.request.type !== 'upscale' && job.state === 'succeeded'],
  ['again', 'vary', 'Try again', (job) => job.state !== 'succeeded' && !isLive(job)],
  ['input', 'picture', 'Use as input', (job) => job.results.length > 0],
  ['enlarge', 'larger', 'Larger…', (job) => job.results.length > 0],
  ['download', 'download', 'Download', (job) => job.results.length > 0],
  ['delete', 'delete', 'Delete', (job) => !isLive(job)],
];

export class Stage {
  /** `act(name, job, index)` carries out an action; `select(job, index)` shows another picture. */
  constructor({ act, select }) {
    Object.assign(this, { act, select, job: null, index: 0, place: byId('stage') });
    this.plate = make('div', { class: 'plate' });
    this.plateFrame = make('button', { type: 'button', class: 'plate-frame', click: () => this.#view() },
        this.plate);
    this.progress = make('progress', { max: 1, 'aria-label': 'Progress' });
    this.stageLine = make('p', { class: 'stage-line' });
    this.timeLine = make('p', { class: 'time-line' });
    this.progressBox = make('div', { class: 'progress-box' }, this.progress,
        make('div', { class: 'progress-words' }, this.stageLine, this.timeLine));
    this.stateLine = make('p', { class: 'state-line' });
    this.prompt = make('p', { class: 'caption-prompt' });
    this.problem = make('p', { class: 'problem' });
    this.strip = make('div', { class: 'strip', role: 'group', 'aria-label': 'Pictures of this job' });
    this.settings = make('dl', { class: 'settings' });
    this.buttons = new Map(ACTIONS.map(([name, icon, text]) => [name, make('button', {
      type: 'button', class: name === 'cancel' ? '' : 'quiet', 'data-act': name,
      click: () => this.act(name, this.job, this.index),
    }, makeIcon(icon), make('span', { text }))]));
    this.actions = make('div', { class: 'actions', role: 'group', 'aria-label': 'What to do with it' },
        ...this.buttons.values());
    this.caption = make('div', { class: 'caption' }, this.stateLine, this.prompt, this.problem,
        this.strip, this.settings, this.actions);
    this.place.append(make('div', { class: 'plate-side' }, this.plateFrame, this.progressBox),
        this.caption);
    this.show(null);
  }

  /** Shows a job, or the empty plate. */
  show(job, index = 0) {
    const other = job?.id !== this.job?.id || index !== this.index;
    Object.assign(this, { job, index });
    if (other) this.buttons.get('delete').lastChild.textContent = 'Delete';
    this.place.classList.toggle('empty', !job);
    this.caption.hidden = !job;
    this.progressBox.hidden = !job || !isLive(job);
    this.#showPlate();
    if (job) this.#showWords();
  }

  #showPlate() {
    const { job, index } = this;
    const paths = !job ? [] : job.results.length ? [job.results[index]?.url ?? job.results[0].url]
      : job.previews.map((preview) => preview.data);
    this.plate.dataset.state = job?.state ?? 'empty';
    this.plateFrame.disabled = !job?.results.length;
    this.plateFrame.setAttribute('aria-label', job?.results.length ? 'View in full size' : 'Picture');
    const { width, height } = this.#sizes();
    this.plate.style.aspectRatio = `${width} / ${height}`;
    this.place.style.setProperty('--ratio', width / height);
    if (!paths.length) {
      this.plate.replaceChildren(make('p', { class: 'plate-words', text: this.#blankText() }));
      return;
    }
    let images = [...this.plate.querySelectorAll('img')];
    if (images.length !== paths.length) {
      images = paths.map(() => make('img', { alt: '', error: (event) => this.#lost(event) }));
      this.plate.replaceChildren(...images);
      this.plate.style.setProperty('--columns', Math.ceil(Math.sqrt(paths.length)));
    }
    images.forEach((image, place) => {
      image.alt = job.results.length ? promptOf(job) : `Preview of ${promptOf(job)}`;
      showPicture(image, paths[place]);
    });
  }

  /** A result that is gone: it expired, or its file was lost. */
  #lost(event) {
    if (!this.job?.results.length || !event.target.isConnected) return;
    this.plate.replaceChildren(make('p', { class: 'plate-words',
      text: 'This picture is no longer on the server.' }));
  }

  #sizes() {
    const result = this.job?.results[this.index] ?? this.job?.results[0];
    const { width = 1, height = 1 } = result ?? this.job?.request ?? {};
    return { width, height };
  }

  #blankText() {
    if (!this.job) return BLANK;
    if (this.job.state === 'queued') return 'The plate is waiting.';
    if (this.job.state === 'running') return 'The plate is being prepared.';
    return stateName(this.job);
  }

  #showWords() {
    const { job, index } = this;
    setText(this.prompt, promptOf(job));
    setText(this.stateLine, stateName(job));
    this.stateLine.dataset.state = job.state;
    setText(this.problem, endText(job));
    this.problem.hidden = !endText(job);
    if (isLive(job)) this.#showProgress();
    this.#showStrip();
    const rows = settingsOf(job, index);
    const mark = JSON.stringify(rows);
    if (mark !== this.settings.dataset.mark) {
      this.settings.dataset.mark = mark;
      this.settings.replaceChildren(...rows.map(([name, value]) => make('div',
          { class: String(value).length > 16 ? 'long' : '' },
          make('dt', { text: name }), make('dd', { text: value }))));
    }
    for (const [name, , , applies] of ACTIONS) this.buttons.get(name).hidden = !applies(job);
  }

  #showProgress() {
    const { job } = this;
    if (job.state === 'queued') this.progress.removeAttribute('value');
    else this.progress.value = job.progress?.fraction ?? 0;
    this.progress.setAttribute('aria-valuetext', `${stageText(job)} ${timeText(job)}`);
    setText(this.stageLine, stageText(job));
    setText(this.timeLine, timeText(job));
  }

  #showStrip() {
    const { job } = this;
    this.strip.hidden = job.results.length < 2;
    const mark = `${job.id}/${job.results.length}`;
    if (mark !== this.strip.dataset.mark) {
      this.strip.dataset.mark = mark;
      this.strip.replaceChildren(...(this.strip.hidden ? [] : job.results.map((result, place) => {
        const image = make('img', { alt: '' });
        showPicture(image, result.url);
        return make('button', { type: 'button', class: 'strip-plate',
          'aria-label': `Picture ${place + 1} of ${job.results.length}`,
          click: () => this.select(this.job, place) }, image);
      })));
    }
    [...this.strip.children].forEach((button, place) =>
      button.setAttribute('aria-pressed', String(place === this.index)));
  }

  #view() {
    if (!this.job?.results.length) return;
    const image = byId('view-image');
    image.alt = promptOf(this.job);
    showPicture(image, this.job.results[this.index].url);
    byId('view-dialog').showModal();
  }
}
