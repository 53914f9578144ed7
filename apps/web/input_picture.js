// The picture that drawing starts from, and its mask: chosen, dropped, pasted, or a result.

import { byId, setText } from './dom.js';
import { toDataAddress } from './pictures.js';

const TYPES = ['image/png', 'image/jpeg', 'image/webp'];

export class InputPicture {
  /** `changed()` after each change, `refused(message)` for what is no picture. */
  constructor({ changed, refused, editMask }) {
    Object.assign(this, { changed, refused, blob: null, mask: null, address: null });
    const file = byId('picture-file');
    byId('choose-picture').addEventListener('click', () => file.click());
    file.addEventListener('change', () => {
      if (file.files[0]) this.set(file.files[0]);
      file.value = '';
    });
    byId('drop-picture').addEventListener('click', () => {
      this.clear();
      byId('choose-picture').focus();
    });
    byId('paint-mask').addEventListener('click', () => editMask());
    byId('drop-mask').addEventListener('click', () => {
      this.setMask(null);
      byId('paint-mask').focus();
    });
    this.#armDrop();
    document.addEventListener('paste', (event) => {
      const pasted = [...event.clipboardData.files].find((item) => item.type.startsWith('image/'));
      if (!pasted || document.querySelector('dialog[open]')) return;
      event.preventDefault();
      this.set(pasted);
    });
  }

  #armDrop() {
    const veil = byId('drop-veil');
    const carriesFile = (event) => event.dataTransfer?.types.includes('Files');
    window.addEventListener('dragenter', (event) => { veil.hidden = !carriesFile(event); });
    window.addEventListener('dragleave', (event) => { if (!event.relatedTarget) veil.hidden = true; });
    window.addEventListener('dragover', (event) => { if (carriesFile(event)) event.preventDefault(); });
    window.addEventListener('drop', (event) => {
      veil.hidden = true;
      if (!carriesFile(event)) return;
      event.preventDefault();
      if (event.dataTransfer.files[0]) this.set(event.dataTransfer.files[0]);
    });
  }

  /** Takes a picture (and a mask of its size); false where it is none. */
  async set(blob, mask = null) {
    if (!TYPES.includes(blob.type)) {
      this.refused('A PNG, JPEG or WebP picture is needed.');
      return false;
    }
    const address = URL.createObjectURL(blob);
    const image = byId('from-image');
    const earlier = this.address;
    image.src = address;
    try {
      await image.decode();
    } catch {
      URL.revokeObjectURL(address);
      if (earlier) image.src = earlier;
      this.refused('This picture cannot be read.');
      return false;
    }
    if (earlier) URL.revokeObjectURL(earlier);
    Object.assign(this, { blob, address, width: image.naturalWidth, height: image.naturalHeight });
    byId('drop').hidden = true;
    byId('from-picture').hidden = false;
    setText(byId('from-size'), `${this.width} × ${this.height}`);
    await this.#showMask(mask);
    this.changed({ newPicture: true });
    return true;
  }

  clear() {
    if (this.address) URL.revokeObjectURL(this.address);
    Object.assign(this, { blob: null, mask: null, address: null });
    byId('drop').hidden = false;
    byId('from-picture').hidden = true;
    byId('from-image').removeAttribute('src');
    this.changed({});
  }

  /** A PNG, white where it is drawn anew, of the picture's size; null: none. */
  async setMask(mask) {
    await this.#showMask(mask);
    this.changed({});
  }

  async #showMask(mask) {
    this.mask = mask;
    const canvas = byId('from-mask');
    const pen = canvas.getContext('2d', { willReadFrequently: true });
    canvas.width = canvas.height = 96;
    byId('drop-mask').hidden = !mask;
    setText(byId('paint-mask-label'), mask ? 'Change the mask' : 'Paint a mask');
    if (!mask) return;
    const bitmap = await createImageBitmap(mask);
    pen.drawImage(bitmap, 0, 0, 96, 96);
    bitmap.close();
    const pixels = pen.getImageData(0, 0, 96, 96);
    for (let at = 0; at < pixels.data.length; at += 4) {
      pixels.data.set([106, 60, 255, pixels.data[at] * 0.6], at);
    }
    pen.putImageData(pixels, 0, 0);
  }

  /** Members `image` and `mask` of a request. */
  async members() {
    const members = {};
    if (this.blob) members.image = await toDataAddress(this.blob);
    if (this.blob && this.mask) members.mask = await toDataAddress(this.mask);
    return members;
  }
}
