// The size of a picture: shapes to choose from, near the area that the model knows.

import { byId, make } from './dom.js';

const SHAPES = [['1:1', 1, 1], ['5:4', 5, 4], ['3:2', 3, 2], ['16:9', 16, 9], ['4:5', 4, 5],
  ['2:3', 2, 3], ['9:16', 9, 16]];

/** Sides of a shape with the model's area, in its multiples. */
export function sizeOfShape(across, down, model) {
  const multiple = model.size_multiple || 8;
  const width = Math.sqrt(model.width * model.height * across / down);
  const round = (side) => Math.max(multiple, Math.round(side / multiple) * multiple);
  return { width: round(width), height: round(width * down / across) };
}

export class Aspects {
  /** `changed` is called after a choice here. */
  constructor(changed) {
    this.width = byId('width');
    this.height = byId('height');
    this.changed = changed;
    this.radios = SHAPES.map(([label, across, down]) => this.#makeShape(label, across, down));
    byId('swap-size').addEventListener('click', () => {
      const { width, height } = this.size();
      this.#set(height, width);
    });
  }

  #makeShape(label, across, down) {
    const radio = make('input', { type: 'radio', name: 'aspect', value: label, change: () => {
      const size = sizeOfShape(across, down, this.model);
      this.#set(size.width, size.height);
    } });
    const frame = make('span', { class: 'aspect-frame', 'aria-hidden': 'true' });
    const unit = 18 / Math.max(across, down);
    frame.style.width = `${Math.round(across * unit)}px`;
    frame.style.height = `${Math.round(down * unit)}px`;
    byId('aspects').append(make('label', { class: 'aspect' }, radio, frame,
        make('span', { class: 'aspect-name', text: label })));
    return { radio, across, down };
  }

  #set(width, height) {
    this.width.value = width;
    this.height.value = height;
    this.changed();
  }

  /** What will be drawn: what was entered, or the model's own. */
  size() {
    return { width: Number(this.width.value || this.width.placeholder),
      height: Number(this.height.value || this.height.placeholder) };
  }

  /** What empty fields mean: the picture's size, else the model's times the preset's. */
  setModel(model, scale, picture) {
    this.model = model;
    const multiple = model.size_multiple || 8;
    const { width, height } = picture
        ?? { width: model.width * scale, height: model.height * scale };
    for (const [control, side] of [[this.width, width], [this.height, height]]) {
      control.placeholder = Math.max(multiple, Math.floor(side / multiple) * multiple);
      control.step = multiple;
      control.min = multiple;
    }
  }

  /**
   * After a picture came or went: empty, which is its own size to the pixel, unless it is much more
   * than the model draws well, or much less; then its shape.
   */
  takeShapeOf(picture) {
    const area = picture && picture.width * picture.height / (this.model.width * this.model.height);
    if (!picture || (area > 0.4 && area < 2.5)) {
      this.#set('', '');
    } else {
      const size = sizeOfShape(picture.width, picture.height, this.model);
      this.#set(size.width, size.height);
    }
  }

  /** Marks the shape that the present size has, if any. */
  refresh() {
    const { width, height } = this.size();
    for (const { radio, across, down } of this.radios) {
      const size = sizeOfShape(across, down, this.model);
      radio.checked = Math.abs(width / height - size.width / size.height) < 0.005;
    }
  }
}
