/** Where a delivery lives: a page of messages (`k` absent) or page `k` of a broadcast, and the item's index there. */
export interface DeliveryPlace {
  readonly bot: string;
  readonly n: number;
  readonly k?: number;
  readonly index: number;
}

/** The id of a delivery: `<bot>-<n>-<index>`, in a broadcast `<bot>-<n>-<k>-<index>`. */
export function deliveryId(place: DeliveryPlace): string {
  return place.k === undefined
    ? `${place.bot}-${place.n}-${place.index}`
    : `${place.bot}-${place.n}-${place.k}-${place.index}`;
}

/** The place an id names, or undefined when it is no delivery's id. Never throws. */
export function parseDeliveryId(id: string): DeliveryPlace | undefined {
  const match = /^(\d{1,16})-(\d{1,15})-(\d{1,9})(?:-(\d{1,9}))?$/.exec(id);
  if (match === null) return undefined;
  const [, bot = '', n = '', first = '', second] = match;
  return second === undefined
    ? { bot, n: Number(n), index: Number(first) }
    : { bot, n: Number(n), k: Number(first), index: Number(second) };
}

/** The key of the call for part `part` (from 0) of a delivery: its id, behind it the part where that is not the first. */
export const callKey = (id: string, part: number): string => (part === 0 ? id : `${id}.${part}`);

/** The delivery and part of a call's key, or undefined when it is none. Never throws. */
export function parseCallKey(key: string): { readonly place: DeliveryPlace; readonly part: number } | undefined {
  const [id = '', part] = key.split('.');
  const place = parseDeliveryId(id);
  return place === undefined ? undefined : { place, part: Number(part ?? 0) };
}

/** The id of a broadcast: `<bot>-<n>`. */
export const broadcastId = (bot: string, n: number): string => `${bot}-${n}`;

/** The bot and page of a broadcast's id, or undefined when it is none. Never throws. */
export function parseBroadcastId(id: string): { bot: string; n: number } | undefined {
  const match = /^(\d{1,16})-(\d{1,15})$/.exec(id);
  return match === null ? undefined : { bot: match[1] ?? '', n: Number(match[2]) };
}
