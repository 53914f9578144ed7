// The list of adapters with a slider for each one's weight.

import { byId, fillSelect, make, makeIcon, setText } from './dom.js';

export class AdaptersField {
  constructor(changed) {
    this.place = byId('adapters');
    this.select = byId('add-adapter');
    this.changed = changed;
    this.known = [];
    this.limit = 8;
    this.select.addEventListener('change', () => {
      const name = this.select.value;
      if (!name) return;
      this.#add(name, 1);
      this.#refresh();
      this.changed();
      this.place.lastElementChild.querySelector('input[type=number]').focus();
    });
  }

  setKnown(adapters, limit) {
    this.known = adapters.map((adapter) => adapter.name);
    this.limit = limit;
    byId('adapters-section').hidden = this.known.length === 0;
    this.#refresh();
  }

  /** As a request has them. */
  value() {
    return [...this.place.children].map((row) => ({
      name: row.dataset.name,
      weight: Number(row.querySelector('input[type=number]').value || 1),
    }));
  }

  setValue(adapters = []) {
    this.place.replaceChildren();
    for (const { name, weight } of adapters) this.#add(name, weight ?? 1);
    this.#refresh();
  }

  #add(name, weight) {
    const number = make('input', { type: 'number', min: -4, max: 4, step: 0.05, value: weight,
      'aria-label': `Weight of ${name}` });
    const slider = make('input', { type: 'range', min: -1, max: 2, step: 0.05, value: weight,
      'aria-label': `Weight of ${name}, slider` });
    const fill = () => slider.style.setProperty('--part', `${(Number(slider.value) + 1) / 3 * 100}%`);
    fill();
    slider.addEventListener('input', () => { number.value = slider.value; fill(); this.changed(); });
    number.addEventListener('input', () => { slider.value = number.value; fill(); this.changed(); });
    const drop = make('button', { type: 'button', class: 'quiet icon', 'aria-label': `Remove ${name}`,
      click: () => {
        row.remove();
        this.#refresh();
        this.changed();
        this.select.focus();
      } }, makeIcon('close'));
    const row = make('div', { class: 'adapter', 'data-name': name },
        make('span', { class: 'adapter-name', text: name, title: name }), drop,
        make('div', { class: 'dial' }, slider, number));
    this.place.append(row);
  }

  #refresh() {
    const used = this.value().map((adapter) => adapter.name);
    const left = this.known.filter((name) => !used.includes(name));
    fillSelect(this.select, [['', left.length ? 'Choose one' : 'No more of them'],
      ...left.map((name) => [name, name])]);
    this.select.value = '';
    this.select.disabled = left.length === 0 || used.length >= this.limit;
    setText(byId('adapters-digest'), used.join(', '));
  }
}
