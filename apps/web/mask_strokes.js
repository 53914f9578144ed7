// A mask as the list of what was done to it, so that everything can be undone. Drawn anew from the
// list after an undo; a stroke in progress is drawn on top as it grows.

// The mask is what is covered; the colour only shows it, and stands out from most pictures.
const COLOUR = '#6a3cff';

/** One action: { kind: "stroke", erase, size, points } or { kind: "invert" | "clear" | "picture" }. */
export class MaskStrokes {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext('2d', { willReadFrequently: true });
    this.done = [];
    this.undone = [];
  }

  /** Begins with nothing, or with what a mask picture holds. */
  reset(width, height, bitmap = null) {
    this.canvas.width = width;
    this.canvas.height = height;
    this.done = bitmap ? [{ kind: 'picture', picture: this.#coverage(bitmap) }] : [];
    this.undone = [];
    this.#redraw();
  }

  /** White of a black and white picture as covered, black as empty. */
  #coverage(bitmap) {
    const { width, height } = this.canvas;
    const canvas = new OffscreenCanvas(width, height);
    const pen = canvas.getContext('2d');
    pen.drawImage(bitmap, 0, 0, width, height);
    const pixels = pen.getImageData(0, 0, width, height);
    for (let at = 0; at < pixels.data.length; at += 4) {
      pixels.data[at + 3] = pixels.data[at] >= 128 ? 255 : 0;
    }
    pen.putImageData(pixels, 0, 0);
    pen.globalCompositeOperation = 'source-in';
    pen.fillStyle = COLOUR;
    pen.fillRect(0, 0, width, height);
    return canvas;
  }

  get canUndo() { return this.done.length > 0; }
  get canRedo() { return this.undone.length > 0; }

  /** Starts a stroke at a point, both in the mask's pixels. */
  begin(point, { size, erase }) {
    this.#add({ kind: 'stroke', erase, size, points: [point] });
  }

  extend(point) {
    const stroke = this.done.at(-1);
    stroke.points.push(point);
    this.#drawLine(stroke, stroke.points.slice(-2));
  }

  invert() { this.#add({ kind: 'invert' }); }

  clear() { this.#add({ kind: 'clear' }); }

  undo() {
    if (!this.canUndo) return;
    this.undone.push(this.done.pop());
    this.#redraw();
  }

  redo() {
    if (!this.canRedo) return;
    this.done.push(this.undone.pop());
    this.#apply(this.done.at(-1));
  }

  #add(action) {
    this.done.push(action);
    this.undone = [];
    this.#apply(action);
  }

  #redraw() {
    this.pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    for (const action of this.done) this.#apply(action);
  }

  #apply(action) {
    const { width, height } = this.canvas;
    if (action.kind === 'stroke') {
      this.#drawLine(action, action.points);
    } else if (action.kind === 'clear') {
      this.pen.clearRect(0, 0, width, height);
    } else if (action.kind === 'picture') {
      this.#compose('source-over', () => this.pen.drawImage(action.picture, 0, 0));
    } else {
      // What is covered becomes empty and the other way round.
      this.#compose('source-out', () => this.pen.fillRect(0, 0, width, height));
    }
  }

  #drawLine({ erase, size }, points) {
    this.#compose(erase ? 'destination-out' : 'source-over', () => {
      // Soft edges of a stroke and of its eraser would leave a trace where they meet.
      this.pen.lineWidth = erase ? size + 2 : size;
      this.pen.beginPath();
      this.pen.moveTo(...points[0]);
      for (const point of points) this.pen.lineTo(...point);
      this.pen.stroke();
    });
  }

  #compose(operation, draw) {
    Object.assign(this.pen, { globalCompositeOperation: operation, fillStyle: COLOUR,
      strokeStyle: COLOUR, lineCap: 'round', lineJoin: 'round' });
    draw();
  }

  #pixels() {
    return this.pen.getImageData(0, 0, this.canvas.width, this.canvas.height);
  }

  isEmpty() {
    const { data } = this.#pixels();
    for (let at = 3; at < data.length; at += 4) if (data[at] >= 128) return false;
    return true;
  }

  /** A PNG of pure black and white, white where something was painted. */
  async toBlob() {
    const pixels = this.#pixels();
    for (let at = 0; at < pixels.data.length; at += 4) {
      const value = pixels.data[at + 3] >= 128 ? 255 : 0;
      pixels.data.set([value, value, value, 255], at);
    }
    const { width, height } = this.canvas;
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext('2d').putImageData(pixels, 0, 0);
    return canvas.convertToBlob({ type: 'image/png' });
  }
}
