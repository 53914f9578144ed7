// What can be done with a job on the stage.

import { getBlob } from './api.js';
import { byId, fillSelect } from './dom.js';
import { download, toDataAddress } from './pictures.js';

/** The request that draws one result of a job alone: its seed, no pictures but their addresses. */
export function requestOf(job, index) {
  const { client_key: _key, priority: _priority, deadline_s: _deadline, ...request } = job.request;
  const drawn = job.info[index] ?? {};
  for (const name of ['seed', 'variation_seed']) if (drawn[name] != null) request[name] = drawn[name];
  return request.type === 'upscale' ? request : { ...request, count: 1 };
}

/** Replaces addresses of input pictures by the pictures. */
async function withPictures(request) {
  for (const name of ['image', 'mask']) {
    if (request[name]) request[name] = await toDataAddress(await getBlob(request[name]));
  }
  return request;
}

export class Actions {
  /** `submit(request)` sends; `fail(error)` tells; the rest are the page's parts. */
  constructor({ store, composer, picture, submit, fail, say }) {
    Object.assign(this, { store, composer, picture, submit, fail, say, doomed: null });
    byId('enlarge-form').addEventListener('change', () => this.#refreshEnlarge());
    byId('enlarge-form').addEventListener('submit', () => this.#enlargeNow());
  }

  async run(name, job, index) {
    try {
      await this[name](job, index);
    } catch (error) {
      this.fail(error);
    }
  }

  cancel(job) {
    return this.store.cancel(job.id);
  }

  async reuse(job, index) {
    const request = requestOf(job, index);
    const [image, mask] = await Promise.all(['image', 'mask'].map((name) =>
      (request[name] ? getBlob(request[name]) : null)));
    if (image) await this.picture.set(image, mask);
    else if (this.picture.blob) this.picture.clear();
    this.composer.write(request);
    byId('prompt').focus();
    this.say('Settings are in the form.');
  }

  async vary(job) {
    const { seed: _seed, ...request } = requestOf(job, null);
    await this.submit(await withPictures({ ...request, count: job.request.count ?? 1 }));
  }

  async again(job) {
    await this.submit(await withPictures({ ...requestOf(job, null), count: job.request.count ?? 1 }));
  }

  async input(job, index) {
    await this.picture.set(await getBlob(job.results[index].url));
    if (job.request.type !== 'upscale') {
      byId('prompt').value ||= job.request.prompt ?? '';
    }
    byId('paint-mask').focus();
    this.say('The picture is in the form.');
  }

  download(job, index) {
    return download(job, index);
  }

  /** The first click asks, the second within five seconds deletes. */
  async delete(job) {
    const label = document.querySelector('[data-act=delete] span');
    if (this.doomed !== job.id) {
      this.doomed = job.id;
      label.textContent = job.results.length > 1 ? `Delete all ${job.results.length}?` : 'Really delete?';
      this.say('Press again to delete.');
      setTimeout(() => {
        if (this.doomed === job.id) label.textContent = 'Delete';
        this.doomed = null;
      }, 5000);
      return;
    }
    this.doomed = null;
    label.textContent = 'Delete';
    await this.store.delete(job.id);
    this.say('Deleted.');
  }

  enlarge(job, index) {
    this.large = { job, index };
    const form = byId('enlarge-form');
    const { upscalers } = this.composer.catalogue;
    fillSelect(byId('enlarge-upscaler'), upscalers.map(({ name }) => [name, name]));
    const [upscale, hires] = form.elements.how;
    upscale.disabled = upscalers.length === 0;
    hires.disabled = job.request.type !== 'txt2img';
    form.elements.how.value = upscale.disabled ? 'hires' : 'upscale';
    if (upscale.disabled && hires.disabled) {
      this.fail(new Error('This server has no upscalers.'));
      return;
    }
    this.#refreshEnlarge();
    byId('enlarge-dialog').showModal();
  }

  #refreshEnlarge() {
    const hires = byId('enlarge-form').elements.how.value === 'hires';
    byId('enlarge-upscaler-field').hidden = hires;
    byId('enlarge-scale-field').hidden = !hires;
  }

  async #enlargeNow() {
    const { job, index } = this.large;
    const scale = Number(byId('enlarge-scale').value) || 2;
    try {
      if (byId('enlarge-form').elements.how.value === 'hires') {
        await this.submit({ ...requestOf(job, index), hires: { ...job.request.hires, scale } });
      } else {
        const image = await toDataAddress(await getBlob(job.results[index].url));
        await this.submit({ type: 'upscale', image, upscaler: byId('enlarge-upscaler').value });
      }
    } catch (error) {
      this.fail(error);
    }
  }
}
