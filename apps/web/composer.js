// The form: menus and defaults of the chosen model, what was entered last, errors at their fields.

import { AdaptersField } from './adapters_field.js';
import { Aspects } from './aspects.js';
import { byId, fillSelect, make, setText } from './dom.js';
import { controlNameOf, readForm, writeForm } from './form_request.js';

const DRAFT_ITEM = 'tintype.draft';

export class Composer {
  /** `picture`: the InputPicture. */
  constructor(picture) {
    this.form = byId('composer');
    this.picture = picture;
    this.catalogue = null;
    this.hadPicture = false;
    this.aspects = new Aspects(() => this.#changed());
    this.adapters = new AdaptersField(() => this.#changed());
    this.#pairSliders();
    this.form.addEventListener('input', (event) => {
      this.#clearError(event.target.closest('[aria-invalid]'));
      this.#changed();
    });
    for (const radio of this.form.querySelectorAll('[name=seed_mode]')) {
      radio.addEventListener('change', () => this.#seedModeChanged());
    }
    byId('seed').addEventListener('input', () => {
      this.form.elements.seed_mode.value = byId('seed').value ? 'keep' : 'random';
    });
    byId('reset-settings').addEventListener('click', () => this.#reset());
    for (const area of this.form.querySelectorAll('textarea')) {
      area.addEventListener('input', () => growToText(area));
    }
    if (matchMedia('(max-width: 760px)').matches) {
      for (const section of this.form.querySelectorAll('details[open]')) section.open = false;
    }
  }

  /** Fills the menus; the form keeps what it holds, or takes what was entered last time. */
  setCatalogue(catalogue) {
    const first = !this.catalogue;
    this.catalogue = catalogue;
    fillSelect(byId('model'), catalogue.models.map((model) => [model.id, model.id]));
    fillSelect(byId('preset'), [['', 'None'],
      ...catalogue.presets.map((preset) => [preset.name, preset.name.replaceAll('_', ' ')])]);
    fillSelect(byId('hires_method'), [['', 'Latents'], ['latent-bicubic', 'Latents, bicubic'],
      ['lanczos', 'Lanczos'],
      ...catalogue.upscalers.map(({ name }) => [`network:${name}`, name])]);
    byId('steps').max = catalogue.limits.max_steps;
    byId('count').max = catalogue.limits.max_count;
    this.adapters.setKnown(catalogue.adapters, catalogue.limits.max_adapters);
    this.#refresh();
    if (first) this.#restore();
  }

  get model() {
    return this.catalogue.models.find((model) => model.id === byId('model').value)
        ?? this.catalogue.models[0];
  }

  /** The request that the form describes, pictures included. */
  async request() {
    const request = readForm(this.form, {
      hasImage: Boolean(this.picture.blob), hasMask: Boolean(this.picture.mask) });
    const adapters = this.adapters.value();
    if (adapters.length) request.adapters = adapters;
    return { ...request, ...await this.picture.members() };
  }

  /** Takes a job's settings; pictures are the caller's matter. */
  write(request) {
    this.clearErrors();
    writeForm(this.form, request);
    this.adapters.setValue(request.adapters);
    const opens = { adapters: request.adapters?.length, hires: request.hires };
    for (const [name, wanted] of Object.entries(opens)) {
      if (wanted) this.form.querySelector(`[data-section=${name}]`).open = true;
    }
    this.form.querySelectorAll('textarea').forEach(growToText);
    this.#changed();
  }

  pictureChanged({ newPicture }) {
    this.clearErrors();
    byId('hires-section').hidden = Boolean(this.picture.blob);
    this.#refresh();
    const had = this.hadPicture;
    this.hadPicture = Boolean(this.picture.blob);
    if (this.catalogue?.models.length && (newPicture || had !== this.hadPicture)) {
      this.aspects.takeShapeOf(this.hadPicture ? this.picture : null);
    }
  }

  /** Shows an error at the field that it is about, or above the button. */
  showError(error) {
    const name = error.field && controlNameOf(error.field);
    const control = name && this.form.querySelector(`[name="${CSS.escape(name)}"]`);
    const place = control?.closest('.field, fieldset, .count')
        ?? (name && this.form.querySelector(`[data-field~="${CSS.escape(name)}"]`));
    if (!place || place.closest('[hidden]') || place.classList.contains('count')) {
      const wait = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : '';
      byId('form-error').textContent = error.plainMessage + wait;
      return;
    }
    for (let above = place.closest('details'); above; above = above.parentElement.closest('details')) {
      above.open = true;
    }
    const message = make('p', { class: 'field-error', id: `error-${name}`, role: 'alert',
      text: error.plainMessage });
    place.append(message);
    const target = control ?? place.querySelector('input, select, button:not([hidden])');
    target?.setAttribute('aria-invalid', 'true');
    target?.setAttribute('aria-describedby', message.id);
    (target ?? place).scrollIntoView({ block: 'center' });
    target?.focus();
  }

  clearErrors() {
    byId('form-error').textContent = '';
    this.form.querySelectorAll('[aria-invalid]').forEach((control) => this.#clearError(control));
    this.form.querySelectorAll('.field-error').forEach((message) => message.remove());
  }

  #clearError(control) {
    if (!control) return;
    byId(control.getAttribute('aria-describedby'))?.remove();
    control.removeAttribute('aria-invalid');
    control.removeAttribute('aria-describedby');
    if (control.id === 'preset') control.setAttribute('aria-describedby', 'preset-purpose');
  }

  /** The last result's seed is what "keep" means; main.js sets it. */
  lastSeed = null;

  #seedModeChanged() {
    const seed = byId('seed');
    if (this.form.elements.seed_mode.value === 'random') seed.value = '';
    else if (!seed.value) seed.value = this.lastSeed ?? Math.floor(Math.random() * 2 ** 32);
    this.#changed();
  }

  #pairSliders() {
    for (const slider of this.form.querySelectorAll('[data-for]')) {
      slider.addEventListener('input', () => {
        byId(slider.dataset.for).value = slider.value;
        byId(slider.dataset.for).dispatchEvent(new Event('input', { bubbles: true }));
      });
    }
  }

  #reset() {
    const { prompt, negative_prompt: negative } = this.form.elements;
    this.write({ prompt: prompt.value, negative_prompt: negative.value, model: byId('model').value });
  }

  #changed() {
    this.#refresh();
    if (this.catalogue) this.#store();
  }

  /** Everything that follows from other fields: what empty ones mean, sliders, digests. */
  #refresh() {
    if (!this.catalogue?.models.length) return;
    const { elements } = this.form;
    const preset = this.catalogue.presets.find(({ name }) => name === elements.preset.value);
    setText(byId('preset-purpose'), preset?.purpose ?? '');
    this.#refreshSamplers(preset);
    const own = { steps: preset?.steps ?? this.model.steps ?? 20,
      guidance_scale: preset?.guidance_scale ?? this.model.guidance_scale ?? 7.5,
      strength: this.picture.mask ? 1 : 0.8 };
    for (const [name, value] of Object.entries(own)) elements[name].placeholder = value;
    this.aspects.setModel(this.model, preset?.size_scale ?? 1, this.picture.blob && this.picture);
    this.aspects.refresh();
    for (const slider of this.form.querySelectorAll('[data-for]')) {
      const number = byId(slider.dataset.for);
      slider.value = number.value === '' ? number.placeholder : number.value;
      const span = slider.max - slider.min;
      slider.style.setProperty('--part', `${(slider.value - slider.min) / span * 100}%`);
      slider.classList.toggle('own', number.value === '');
    }
    this.#refreshDigests();
  }

  #refreshSamplers(preset) {
    const { samplers, schedulers } = this.catalogue;
    const label = (name) => samplers.find((one) => one.name === name)?.label ?? name;
    const ownName = preset?.sampler || this.model.sampler;
    fillSelect(byId('sampler'), [['', ownName ? `${preset?.sampler ? 'Preset' : 'Model'}’s (${label(ownName)})` : 'Model’s own'],
      ...samplers.map((one) => [one.name, one.label ?? one.name])]);
    const chosen = samplers.find((one) => one.name === (byId('sampler').value || ownName));
    const ownSchedule = preset?.scheduler && !byId('sampler').value
      ? `Preset’s (${preset.scheduler})` : 'Own spacing';
    fillSelect(byId('scheduler'), [['', ownSchedule],
      ...schedulers.map((one) => [one.name, one.label ?? one.name])]);
    byId('scheduler').disabled = chosen ? !chosen.takes_scheduler : false;
    if (byId('scheduler').disabled) byId('scheduler').value = '';
  }

  #refreshDigests() {
    const { elements } = this.form;
    const { width, height } = this.aspects.size();
    setText(byId('frame-digest'), `${width} × ${height}`);
    const shown = (name) => elements[name].value || elements[name].placeholder;
    const seed = elements.seed_mode.value === 'keep' && elements.seed.value;
    setText(byId('making-digest'), `${shown('steps')} steps${seed ? ` · seed ${seed}` : ''}`);
    const scale = elements.hires_scale.value || 2;
    setText(byId('hires-digest'), elements.hires.checked ? `${scale} ×` : '');
  }

  #store() {
    const request = readForm(this.form, { hasImage: false, hasMask: false });
    request.adapters = this.adapters.value();
    localStorage.setItem(DRAFT_ITEM, JSON.stringify(request));
  }

  #restore() {
    try {
      const draft = JSON.parse(localStorage.getItem(DRAFT_ITEM));
      if (draft && typeof draft === 'object') this.write(draft);
    } catch {
      localStorage.removeItem(DRAFT_ITEM);
    }
  }
}

/** A text field as high as its text, within what the style sheet allows. */
function growToText(area) {
  area.style.height = 'auto';
  area.style.height = `${area.scrollHeight + 2}px`;
}
