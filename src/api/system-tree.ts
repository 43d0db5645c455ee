import type { ProcessView, Services } from './services.js';

/** GET /api/system/tree: the supervision tree of each process that is alive. Throws a Problem 503 when the store is away. */
export async function systemTree(services: Services): Promise<{ processes: readonly ProcessView[] }> {
  return { processes: await services.processes() };
}
