// What is said about jobs, in words.

const STATES = { queued: 'Waiting', running: 'Drawing', succeeded: 'Done', failed: 'Failed',
  cancelled: 'Cancelled', expired: 'Expired' };
const STAGES = { load: 'Loading the model', switch: 'Changing the model', encode_prompt: 'Reading the prompt',
  encode_image: 'Reading the picture', encode: 'Reading the prompt', denoise: 'Developing',
  decode: 'Fixing', upscale: 'Enlarging', hires: 'Drawing over it', save: 'Saving' };

export const stateName = (job) => STATES[job.state] ?? job.state;

export function duration(seconds) {
  if (seconds < 1) return 'under 1 s';
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

const stageName = (stage) => STAGES[stage]
    ?? (stage ? stage.charAt(0).toUpperCase() + stage.slice(1).replaceAll('_', ' ') : 'Beginning');

/** "Developing, step 4 of 20" */
export function stageText(job) {
  if (job.state === 'queued') {
    if (!job.position) return 'Next in line';
    return job.position === 1 ? 'One before it' : `${job.position} before it`;
  }
  const progress = job.progress;
  if (!progress) return stateName(job);
  const step = progress.steps > 0 && progress.step > 0
    ? `, step ${progress.step} of ${progress.steps}` : '';
  return stageName(progress.stage) + step;
}

/** "about 12 s left", or nothing where there is no pace yet. */
export function timeText(job) {
  if (job.state === 'queued') {
    return job.seconds_to_start == null ? '' : `begins in about ${duration(job.seconds_to_start)}`;
  }
  const left = job.progress?.seconds_left;
  return left == null ? '' : `${duration(left)} left`;
}

export const promptOf = (job) => job.request.prompt
    || { upscale: 'Upscaled picture', img2img: 'From a picture', inpaint: 'From a picture' }[job.request.type]
    || 'No prompt';

/** What went wrong, in the server's words without the name of the place. */
export function endText(job) {
  if (job.error) return job.error.message.replace(/^\[[^\]]*\]\s*/, '');
  return { cancelled: 'Stopped before it was done.',
    expired: 'Its time ran out before it was done.' }[job.state] ?? '';
}

/** Settings of one result, as [name, value] pairs in reading order. */
export function settingsOf(job, index = 0) {
  const request = { ...job.request, seed: job.info[index]?.seed ?? job.request.seed };
  const result = job.results[index];
  const seconds = job.started && job.finished
    ? (new Date(job.finished) - new Date(job.started)) / 1000 : null;
  const adapters = (request.adapters ?? []).map(({ name, weight }) => `${name} ${weight ?? 1}`);
  const rows = [
    ['Negative prompt', request.negative_prompt],
    ['Model', request.model],
    ['Size', result ? `${result.width} × ${result.height}`
      : request.width && `${request.width} × ${request.height}`],
    ['Seed', request.seed],
    ['Steps', request.steps],
    ['Guidance', request.guidance_scale],
    ['Sampler', [request.sampler, request.scheduler].filter(Boolean).join(' · ')],
    ['Preset', request.preset],
    ['Strength', request.type === 'img2img' || request.type === 'inpaint' ? request.strength : null],
    ['Adapters', adapters.join(', ')],
    ['Enlarged', request.hires ? `${request.hires.scale ?? 2} ×` : request.upscaler],
    ['Took', seconds == null ? null : seconds < 10 ? `${seconds.toFixed(1)} s` : duration(seconds)],
  ];
  return rows.filter(([, value]) => value != null && value !== '');
}
