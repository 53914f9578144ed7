// What this server's requests may name: models, adapters, upscalers, samplers, presets.

import { getJson } from './api.js';

export const LIMITS = { max_steps: 150, max_side: 4096, max_count: 8, max_adapters: 8 };

/** The five lists, read anew. A list that the server does not have is empty. */
export async function readCatalogue() {
  const read = async (name) => {
    try {
      return await getJson(`/v1/${name}`);
    } catch (error) {
      if (error.status === 404) return { data: [] };
      throw error;
    }
  };
  const [models, adapters, upscalers, samplers, presets] = await Promise.all(
      ['models', 'adapters', 'upscalers', 'samplers', 'presets'].map(read));
  return {
    models: models.data,
    limits: { ...LIMITS, ...models.limits },
    adapters: adapters.data,
    upscalers: upscalers.data,
    samplers: samplers.data,
    schedulers: samplers.schedulers ?? [],
    presets: presets.data,
  };
}
