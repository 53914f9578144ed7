// The page: its parts, and how they hear of each other.

import { Actions } from './actions.js';
import { readKey, storeKey } from './api.js';
import { readCatalogue } from './catalogue.js';
import { Composer } from './composer.js';
import { armDialogs, byId } from './dom.js';
import { Gallery, Queue } from './gallery.js';
import { InputPicture } from './input_picture.js';
import { isLive, JobStore } from './job_store.js';
import { endText, promptOf } from './job_text.js';
import { MaskEditor } from './mask_editor.js';
import { announce, makeConnectionNotice, notify } from './notices.js';
import { Stage } from './stage.js';
import { armTheme } from './theme.js';

const store = new JobStore();
const mine = new Set();  // submitted from this page since it was loaded
let following = location.hash.match(/^#plate=([0-9a-f-]{36})\/(\d+)$/)?.slice(1) ?? null;

const maskEditor = new MaskEditor();
const picture = new InputPicture({
  changed: (change) => composer.pictureChanged(change),
  refused: notify,
  editMask: () => maskEditor.open(picture, (mask) => picture.setMask(mask)),
});
const composer = new Composer(picture);
const stage = new Stage({ select, act: (name, job, index) => actions.run(name, job, index) });
const gallery = new Gallery(store, { select: (job, index) => select(job, index, { reveal: true }) });
const queue = new Queue(store, { select, cancel: (job) => store.cancel(job.id).catch(fail) });
const actions = new Actions({ store, composer, picture, submit, fail, say: announce });
const showConnection = makeConnectionNotice(() => start());

/** Puts a job on the stage; its place is kept in the address, so that a reload finds it. */
function select(job, index = 0, { reveal = false } = {}) {
  stage.show(job, index);
  gallery.mark(job?.id, index);
  if (job?.info[index]?.seed != null) composer.lastSeed = job.info[index].seed;
  const place = job ? `#plate=${job.id}/${index}` : '';
  if (location.hash !== place) {
    history.replaceState(null, '', place || location.pathname + location.search);
  }
  // On a narrow screen the stage may be out of sight.
  if (reveal && byId('stage').getBoundingClientRect().top < 0) byId('stage').scrollIntoView();
}

/** What to look at when nothing was chosen: what runs, else the newest picture. */
function selectSomething() {
  const jobs = store.list();
  const [id, index] = following ?? [];
  following = null;
  select(store.jobs.get(id) ?? jobs.find((job) => job.state === 'running') ?? jobs.find(isLive)
      ?? jobs.find((job) => job.results.length) ?? null, Number(index ?? 0));
}

const newClientKey = () => `page-${[...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;

/** Submits, trying again where no answer came: the client key keeps that one job. */
async function submit(request) {
  const key = newClientKey();
  for (let tries = 1; ; ++tries) {
    try {
      const job = await store.submit(request, key);
      mine.add(job.id);
      select(store.jobs.get(job.id));
      announce('Submitted.');
      return;
    } catch (error) {
      if (error.status !== 0 || tries === 3) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500 * tries));
    }
  }
}

async function generate() {
  const button = byId('generate');
  if (button.disabled) return;
  composer.clearErrors();
  button.disabled = true;  // one click, one job
  try {
    await submit(await composer.request());
    if (matchMedia('(max-width: 760px)').matches) byId('stage').scrollIntoView();
  } catch (error) {
    if (error.status === 401) askForKey(error);
    else if (error.status === undefined) throw error;
    else composer.showError(error);
  } finally {
    button.disabled = false;
  }
}

function fail(error) {
  if (error.status === 401) askForKey(error);
  else notify(error.plainMessage ?? error.message);
}

function askForKey(error = null) {
  if (error) byId('key-reason').textContent = error.plainMessage;
  byId('key').value = readKey();
  if (!byId('key-dialog').open) byId('key-dialog').showModal();
}

function armKeys() {
  byId('open-key').addEventListener('click', () => askForKey());
  byId('key-form').addEventListener('submit', () => {
    storeKey(byId('key').value.trim());
    location.reload();  // another caller's jobs are other jobs
  });
  byId('forget-key').addEventListener('click', () => {
    storeKey('');
    location.reload();
  });
}

function armShortcuts() {
  byId('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    generate();
  });
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || document.querySelector('dialog[open]')) return;
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      generate();
    } else if (event.key === 'Escape') {
      const live = stage.job && isLive(stage.job) ? stage.job : store.list().find(isLive);
      if (live) actions.run('cancel', live, 0);
    }
  });
}

/** Says how a job of this page ended, and leads away from one that was deleted. */
function jobChanged({ detail: { job, before } }) {
  schedule();
  if (stage.job?.id === job.id) select(job, Math.min(stage.index, Math.max(0, job.results.length - 1)));
  if (!mine.has(job.id) || !before || before.state === job.state || isLive(job)) {
    if (before?.state === 'queued' && job.state === 'running' && mine.has(job.id)) announce('Drawing.');
    return;
  }
  if (job.state === 'succeeded') announce(`Done: ${promptOf(job)}`);
  else announce(endText(job));
  if (job.state === 'failed' && stage.job?.id !== job.id) notify(endText(job));
}

let scheduled = false;
/** Lists are drawn once a frame, however many jobs changed. */
function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    gallery.refresh();
    queue.refresh();
    const running = store.list().find((job) => job.state === 'running');
    const part = Math.round((running?.progress?.fraction ?? 0) * 100);
    document.title = running ? `${part} % · Tintype` : 'Tintype';
  });
}

let loaded = false;
async function start() {
  try {
    composer.setCatalogue(await readCatalogue());
  } catch (error) {
    if (error.status === 401) askForKey(error);
  }
  store.connect();
}

store.addEventListener('change', jobChanged);
store.addEventListener('remove', ({ detail: job }) => {
  schedule();
  if (stage.job?.id === job.id) selectSomething();
});
store.addEventListener('connection', ({ detail }) => {
  showConnection(detail);
  if (detail.lost) {
    if (detail.error?.status === 401) askForKey(detail.error);
    return;
  }
  if (!composer.catalogue) readCatalogue().then((lists) => composer.setCatalogue(lists), fail);
  if (!loaded) selectSomething();
  loaded = true;
  schedule();
});

armTheme(byId('toggle-theme'));
armDialogs();
armKeys();
armShortcuts();
start();
