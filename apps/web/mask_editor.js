// The sheet on which a mask is painted: by pointer, by finger, by keyboard.

import { byId } from './dom.js';
import { MaskStrokes } from './mask_strokes.js';

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class MaskEditor {
  constructor() {
    this.dialog = byId('mask-dialog');
    this.canvas = byId('mask-canvas');
    this.cursor = byId('mask-cursor');
    this.strokes = new MaskStrokes(this.canvas);
    this.painting = false;
    this.#armButtons();
    this.#armPointer();
    this.canvas.addEventListener('keydown', (event) => this.#key(event));
    this.canvas.addEventListener('keyup', (event) => { if (event.key === ' ') this.painting = false; });
    this.canvas.addEventListener('focus', () => this.#showCursor());
    this.canvas.addEventListener('blur', () => { this.cursor.hidden = true; this.painting = false; });
    new ResizeObserver(() => this.#fit()).observe(this.dialog.querySelector('.mask-board'));
  }

  /** Opens on an InputPicture; calls `done(blob or null)` with what was painted. */
  async open(picture, done) {
    this.done = done;
    this.picture = picture;
    byId('mask-picture').src = picture.address;
    this.dialog.querySelector('[value=brush]').checked = true;
    const bitmap = picture.mask && await createImageBitmap(picture.mask);
    this.strokes.reset(picture.width, picture.height, bitmap);
    bitmap?.close();
    this.at = [picture.width / 2, picture.height / 2];
    this.dialog.showModal();
    this.#fit();
    this.#refresh();
    this.canvas.focus();
  }

  /** The picture as large as its board allows. */
  #fit() {
    if (!this.dialog.open) return;
    const board = this.dialog.querySelector('.mask-board');
    const { width, height } = this.picture;
    const scale = Math.min((board.clientWidth - 16) / width, (board.clientHeight - 16) / height);
    const frame = byId('mask-frame');
    frame.style.width = `${Math.floor(width * scale)}px`;
    frame.style.height = `${Math.floor(height * scale)}px`;
    this.#showCursor();
  }

  #armButtons() {
    const act = (id, action) => byId(id).addEventListener('click', () => {
      action();
      this.#refresh();
    });
    act('mask-undo', () => this.strokes.undo());
    act('mask-redo', () => this.strokes.redo());
    act('mask-invert', () => this.strokes.invert());
    act('mask-clear', () => this.strokes.clear());
    byId('mask-done').addEventListener('click', async () => {
      const mask = this.strokes.isEmpty() ? null : await this.strokes.toBlob();
      this.dialog.close();
      this.done(mask);
    });
    byId('mask-overlay').addEventListener('input', () => this.#refresh());
    byId('brush-size').addEventListener('input', () => {
      this.#refresh();
      this.#showCursor(true);
    });
    this.dialog.addEventListener('keydown', (event) => this.#command(event));
  }

  get #tool() {
    const slider = Number(byId('brush-size').value);
    const side = Math.max(this.canvas.width, this.canvas.height);
    // 1 px to half of the picture; fine steps where the brush is small.
    return { size: Math.max(1, (slider / 100) ** 2 * side / 2),
      erase: this.dialog.querySelector('[name=mask_tool]:checked').value === 'eraser' };
  }

  #pointOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * this.canvas.width / box.width,
      (event.clientY - box.top) * this.canvas.height / box.height];
  }

  #armPointer() {
    this.canvas.addEventListener('pointerdown', (event) => {
      if (event.button !== 0 || this.pointer != null) return;
      this.canvas.setPointerCapture(event.pointerId);
      this.pointer = event.pointerId;
      this.at = this.#pointOf(event);
      this.strokes.begin(this.at, this.#tool);
      this.#refresh();
    });
    this.canvas.addEventListener('pointermove', (event) => {
      if (this.pointer === event.pointerId) {
        // Pens report more often than pictures are shown; all of it is the line.
        const points = event.getCoalescedEvents?.() ?? [];
        for (const each of points.length ? points : [event]) this.strokes.extend(this.#pointOf(each));
      }
      if (this.pointer == null || this.pointer === event.pointerId) this.at = this.#pointOf(event);
      this.#showCursor(true);
    });
    for (const name of ['pointerup', 'pointercancel']) {
      this.canvas.addEventListener(name, (event) => {
        if (this.pointer === event.pointerId) this.pointer = null;
      });
    }
    this.canvas.addEventListener('pointerleave', () => {
      if (document.activeElement !== this.canvas) this.cursor.hidden = true;
    });
  }

  #key(event) {
    const direction = ARROWS[event.key];
    if (direction) {
      const stride = Math.max(1, this.#tool.size / 3) * (event.shiftKey ? 4 : 1);
      const limits = [this.canvas.width, this.canvas.height];
      this.at = this.at.map((value, axis) =>
        Math.min(limits[axis], Math.max(0, value + direction[axis] * stride)));
      if (this.painting) this.strokes.extend(this.at);
    } else if (event.key === ' ' && !event.repeat) {
      this.painting = true;
      this.strokes.begin(this.at, this.#tool);
    } else if (event.key !== ' ') {
      return;
    }
    event.preventDefault();
    this.#refresh();
    this.#showCursor();
  }

  #command(event) {
    const key = event.key.toLowerCase();
    const chosen = event.ctrlKey || event.metaKey;
    const size = byId('brush-size');
    const choose = (tool) => { this.dialog.querySelector(`[value=${tool}]`).checked = true; };
    if (chosen && key === 'z') event.shiftKey ? this.strokes.redo() : this.strokes.undo();
    else if (chosen && key === 'y') this.strokes.redo();
    else if (chosen && key === 'enter') byId('mask-done').click();
    else if (chosen || event.altKey) return;
    else if (key === '[') size.value = Number(size.value) - 4;
    else if (key === ']') size.value = Number(size.value) + 4;
    else if (key === 'b') choose('brush');
    else if (key === 'e') choose('eraser');
    else if (key === 'i') this.strokes.invert();
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.#refresh();
    this.#showCursor();
  }

  #showCursor(always = false) {
    const focused = document.activeElement === this.canvas;
    this.cursor.hidden = !(always || focused) || !this.dialog.open;
    if (this.cursor.hidden) return;
    const scale = this.canvas.clientWidth / this.canvas.width;
    const size = Math.max(4, this.#tool.size * scale);
    Object.assign(this.cursor.style, { width: `${size}px`, height: `${size}px`,
      left: `${this.at[0] * scale}px`, top: `${this.at[1] * scale}px` });
  }

  #refresh() {
    byId('mask-undo').disabled = !this.strokes.canUndo;
    byId('mask-redo').disabled = !this.strokes.canRedo;
    const overlay = byId('mask-overlay');
    this.canvas.style.opacity = overlay.value / 100;
    for (const slider of [overlay, byId('brush-size')]) {
      const part = (slider.value - slider.min) / (slider.max - slider.min);
      slider.style.setProperty('--part', `${part * 100}%`);
    }
  }
}
