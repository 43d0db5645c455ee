import { Problem } from './problem.js';
import type { Services } from './services.js';

/** GET /api/deliveries/:id. Throws a Problem 404 PH_DELIVERY_NOT_FOUND. */
export async function getDelivery(services: Services, id: string): Promise<object> {
  const found = await services.findDelivery(id);
  if (found === undefined) {
    throw new Problem({ status: 404, code: 'PH_DELIVERY_NOT_FOUND', detail: 'There is no delivery with this id.' });
  }
  return found;
}
