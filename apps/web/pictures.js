// Result pictures in img elements. With an API key they cannot be fetched by the browser itself, so
// their bytes are read here and shown by an address of this page's own.

import { addressOf, getBlob, readKey } from './api.js';

const KEPT = 120;
const addresses = new Map();  // path -> promise of an object address, oldest first

const nearing = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    nearing.unobserve(entry.target);
    loadByKey(entry.target);
  }
}, { rootMargin: '300px' });

async function loadByKey(image) {
  const path = image.dataset.path;
  try {
    if (!addresses.has(path)) {
      addresses.set(path, getBlob(path).then((blob) => URL.createObjectURL(blob)));
    }
    const address = await addresses.get(path);
    if (image.dataset.path === path) image.src = address;
  } catch {
    addresses.delete(path);
    image.dispatchEvent(new Event('error'));
  }
  while (addresses.size > KEPT) {
    const [oldest, address] = addresses.entries().next().value;
    addresses.delete(oldest);
    address.then(URL.revokeObjectURL, () => {});
  }
}

/** Shows the picture at a path of the API; a data or blob address is shown as it is. */
export function showPicture(image, path) {
  if (image.dataset.path === path) return;
  image.dataset.path = path;
  nearing.unobserve(image);
  if (/^(data|blob):/.test(path)) {
    image.src = path;
  } else if (!readKey()) {
    image.loading = 'lazy';
    image.src = addressOf(path);
  } else {
    nearing.observe(image);
  }
}

/** Saves a result as a file named by its prompt and seed. */
export async function download(job, index) {
  const result = job.results[index];
  const settings = job.info[index] ?? job.request;
  const words = (settings.prompt ?? 'picture').toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-')
      .replace(/^-+|-+$/g, '').slice(0, 48);
  const ending = { 'image/jpeg': 'jpg', 'image/webp': 'webp' }[result.media_type] ?? 'png';
  const address = URL.createObjectURL(await getBlob(result.url));
  const link = document.createElement('a');
  link.href = address;
  link.download = [words || 'picture', settings.seed].filter((part) => part != null).join('-')
      + `.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** A blob as the data address that a request's image and mask take. */
export function toDataAddress(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
