// The form's values as a request of docs/server.md, and back. What is left empty is left out, so the
// model's own settings (or the preset's) hold.

const TEXTS = ['prompt', 'negative_prompt'];
const NUMBERS = ['width', 'height', 'steps', 'guidance_scale', 'clip_skip', 'guidance_rescale',
  'variation_strength'];
const CHOICES = ['model', 'sampler', 'scheduler', 'preset', 'prompt_syntax'];
const EDGES = ['extend_left', 'extend_top', 'extend_right', 'extend_bottom'];

/** Values of form controls by the request member that an error names. */
const CONTROL_OF_MEMBER = {
  'mask_options.only_masked_padding': 'only_masked_padding', 'mask_options.fill': 'mask_fill',
  'mask_options.grow': 'mask_grow', 'mask_options.blur': 'mask_blur',
  'mask_options.padding': 'extend_left', 'mask_options.only_masked': 'only_masked',
  'hires.scale': 'hires_scale', 'hires.strength': 'hires_strength',
  'hires.method': 'hires_method', 'hires.upscaler': 'hires_method', hires: 'hires',
  'output.format': 'format', 'output.quality': 'quality', 'preview.every': 'preview_every',
};

/** The control's name for a request's member: "hires.scale", "adapters[0].weight", "steps". */
export function controlNameOf(member) {
  const path = member.replace(/^request\./, '').replace(/\[\d+\]/g, '');
  for (let name = path; name; name = name.slice(0, Math.max(0, name.lastIndexOf('.')))) {
    if (CONTROL_OF_MEMBER[name]) return CONTROL_OF_MEMBER[name];
    if (!name.includes('.')) return name;
  }
  return path;
}

const numberOf = (control) => (control.value === '' ? undefined : Number(control.value));

/** Whole numbers up to 2^64-1 go as text where a number would lose digits. */
function seedOf(text) {
  const digits = text.trim();
  if (!/^\d+$/.test(digits)) return digits;
  return Number.isSafeInteger(Number(digits)) ? Number(digits) : digits;
}

/** Everything but pictures and adapters. `hasImage`, `hasMask`: what comes along. */
export function readForm(form, { hasImage, hasMask }) {
  const controls = form.elements;
  const edges = EDGES.map((name) => numberOf(controls[name]) ?? 0);
  const grows = edges.some((edge) => edge > 0);
  const type = !hasImage ? 'txt2img' : hasMask || grows ? 'inpaint' : 'img2img';
  const request = { type };
  for (const name of TEXTS) if (controls[name].value.trim()) request[name] = controls[name].value;
  for (const name of CHOICES) {
    if (controls[name].value && !controls[name].disabled) request[name] = controls[name].value;
  }
  for (const name of NUMBERS) {
    const value = numberOf(controls[name]);
    if (value !== undefined) request[name] = value;
  }
  if (controls.seed_mode.value === 'keep' && controls.seed.value.trim()) {
    request.seed = seedOf(controls.seed.value);
  }
  if (request.variation_strength > 0 && controls.variation_seed.value.trim()) {
    request.variation_seed = seedOf(controls.variation_seed.value);
  }
  request.count = numberOf(controls.count) ?? 1;
  if (hasImage) readPictureSettings(request, controls, edges, grows);
  else if (controls.hires.checked) request.hires = readHires(controls);
  const output = { format: controls.format.value || undefined, quality: numberOf(controls.quality) };
  if (output.format || output.quality !== undefined) request.output = output;
  request.preview = { every: numberOf(controls.preview_every) ?? 1 };
  return request;
}

function readPictureSettings(request, controls, edges, grows) {
  const strength = numberOf(controls.strength);
  if (strength !== undefined) request.strength = strength;
  if (controls.resize.value) request.resize = controls.resize.value;
  if (request.type !== 'inpaint') return;
  const options = {
    only_masked: controls.only_masked.checked || undefined,
    only_masked_padding: controls.only_masked.checked
      ? numberOf(controls.only_masked_padding) : undefined,
    fill: controls.mask_fill.value || undefined,
    grow: numberOf(controls.mask_grow),
    blur: numberOf(controls.mask_blur),
    composite: controls.composite.checked ? undefined : false,
    padding: grows ? edges : undefined,
  };
  if (Object.values(options).some((value) => value !== undefined)) request.mask_options = options;
}

function readHires(controls) {
  const [method, upscaler] = controls.hires_method.value.split(/:(.*)/);
  return {
    scale: numberOf(controls.hires_scale) ?? 2,
    strength: numberOf(controls.hires_strength),
    method: method || undefined,
    upscaler: method === 'network' ? upscaler : undefined,
  };
}

/** Fills the form from a request. Members that it lacks become empty: the model's own. */
export function writeForm(form, request) {
  const controls = form.elements;
  const set = (name, value) => {
    controls[name].value = value ?? '';
  };
  for (const name of [...TEXTS, ...NUMBERS]) set(name, request[name]);
  for (const name of CHOICES) setChoice(controls[name], request[name]);
  controls.seed_mode.value = request.seed == null ? 'random' : 'keep';
  set('seed', request.seed);
  set('variation_seed', request.variation_seed);
  set('count', request.count ?? 1);
  set('strength', request.strength);
  set('resize', request.resize === 'fit' ? '' : request.resize);
  const mask = request.mask_options ?? {};
  controls.only_masked.checked = Boolean(mask.only_masked);
  set('only_masked_padding', mask.only_masked_padding);
  set('mask_fill', mask.fill === 'original' ? '' : mask.fill);
  set('mask_grow', mask.grow);
  set('mask_blur', mask.blur);
  controls.composite.checked = mask.composite !== false;
  EDGES.forEach((name, index) => set(name, mask.padding?.[index] || ''));
  controls.hires.checked = Boolean(request.hires);
  set('hires_scale', request.hires?.scale);
  set('hires_strength', request.hires?.strength);
  setChoice(controls.hires_method, request.hires?.upscaler
    ? `network:${request.hires.upscaler}` : request.hires?.method);
  set('format', request.output?.format === 'png' ? '' : request.output?.format);
  set('quality', request.output?.quality);
  set('preview_every', request.preview?.every === 1 ? '' : request.preview?.every);
}

/** A name that the server has no more is left at the first choice. */
function setChoice(select, value) {
  select.value = value ?? '';
  if (select.selectedIndex < 0) select.selectedIndex = 0;
}
