import { broadcastId, deliveryId } from '../delivery/ids.js';
import { type Head, packHeads } from '../delivery/packed.js';
import type { BodyRow, BroadcastBody, RequestRow } from './models.js';

/** What one caller wants appended, all or none: messages, or one broadcast. */
export interface AppendRequest {
  readonly heads: readonly Head[];
  readonly bodies: readonly BodyRow[];
  /** dedupKey of the item at the same index. */
  readonly dedupKeys?: readonly (string | undefined)[];
  readonly broadcast?: BroadcastBody;
  readonly idempotency?: { readonly key: string; readonly bodyHash: string };
  /** `u:<update>` or `r:<dead letter>:<try>`: when it is in the log already the request is answered as done. */
  readonly onceKey?: string;
}

/** A request on its way, with who waits for its answer. */
export interface Waiting {
  readonly request: AppendRequest;
  readonly bytes: number;
  readonly since: number;
  resolve(answer: { ids: string[] }): void;
  reject(error: unknown): void;
}

/** One request's way through a page: which of its items are already answered, and by which id. */
export interface Draft {
  readonly waiting: Waiting;
  /** By item: an id that exists, or the place of an equal key earlier in this page. */
  answered: (string | undefined)[];
}

/** Where an item of a page came from. */
export interface Place {
  readonly draft: number;
  readonly item: number;
}

/** A page as it is written, and where its items came from. */
export interface Composed {
  readonly kind: 'messages' | 'broadcast';
  readonly heads: Buffer;
  readonly bodies: readonly BodyRow[];
  readonly broadcast?: BroadcastBody;
  readonly keys: string[];
  readonly keyItems: number[];
  readonly requests: RequestRow[];
  /** By index in the page. */
  readonly places: readonly Place[];
}

/** The entry of a dedupKey in a page's keys. */
export const dedupEntry = (chatId: number, key: string): string => `d:${chatId}:${key}`;

/** The keys of a draft's items that are not answered yet. */
export function keysOf(draft: Draft): { key: string; item: number }[] {
  const { request } = draft.waiting;
  const keys: { key: string; item: number }[] = [];
  if (request.idempotency !== undefined) keys.push({ key: `b:${request.idempotency.key}`, item: -1 });
  if (request.onceKey !== undefined) keys.push({ key: request.onceKey, item: -1 });
  request.dedupKeys?.forEach((key, item) => {
    const head = request.heads[item];
    if (key !== undefined && head !== undefined && draft.answered[item] === undefined)
      keys.push({ key: dedupEntry(head.chatId, key), item });
  });
  return keys;
}

/** The page that the drafts make together, or undefined when nothing is left to write. */
export function compose(drafts: readonly Draft[]): Composed | undefined {
  const heads: Head[] = [];
  const bodies: BodyRow[] = [];
  const keys: string[] = [];
  const keyItems: number[] = [];
  const places: Place[] = [];
  const placed = new Map<string, number>();
  const requests: RequestRow[] = [];
  let broadcast: BroadcastBody | undefined;
  drafts.forEach((draft, d) => {
    const { request } = draft.waiting;
    const firstBody = bodies.length;
    let used = request.broadcast !== undefined;
    broadcast = request.broadcast;
    if (request.idempotency !== undefined) {
      keys.push(`b:${request.idempotency.key}`);
      keyItems.push(-1);
    }
    if (request.onceKey !== undefined) {
      keys.push(request.onceKey);
      // Whoever asks again is answered by the id of the one message.
      keyItems.push(request.heads.length === 1 ? places.length : -1);
    }
    request.heads.forEach((head, item) => {
      if (draft.answered[item] !== undefined) return;
      const dedup = request.dedupKeys?.[item];
      const entry = dedup === undefined ? undefined : dedupEntry(head.chatId, dedup);
      if (entry !== undefined) {
        if (placed.has(entry)) return; // idsByDraft answers it with the first one's id
        placed.set(entry, places.length);
        keys.push(entry);
        keyItems.push(places.length);
      }
      heads.push({ ...head, body: head.body + firstBody });
      places.push({ draft: d, item });
      used = true;
    });
    if (used) bodies.push(...request.bodies);
  });
  if (keys.length === 0 && places.length === 0 && broadcast === undefined) return undefined;
  drafts.forEach((draft, d) => {
    const { idempotency } = draft.waiting.request;
    if (idempotency !== undefined)
      requests.push({ key: idempotency.key, hash: idempotency.bodyHash, ids: storedIds(draft, d, drafts, places) });
  });
  return {
    kind: broadcast === undefined ? 'messages' : 'broadcast',
    heads: packHeads(heads),
    bodies,
    ...(broadcast === undefined ? {} : { broadcast }),
    keys,
    keyItems,
    requests,
    places,
  };
}

/** For each item of each draft its index in the page (or that of the equal one before it), else the id that exists. */
function resolveItems(drafts: readonly Draft[], places: readonly Place[]): (number | string)[][] {
  const byDraft: (number | string)[][] = drafts.map((draft) => draft.answered.map((id) => id ?? -1));
  places.forEach((place, index) => {
    const row = byDraft[place.draft];
    if (row !== undefined) row[place.item] = index;
  });
  const byKey = new Map<string, number | string>();
  drafts.forEach((draft, d) => {
    const row = byDraft[d] ?? [];
    draft.waiting.request.heads.forEach((head, item) => {
      const dedup = draft.waiting.request.dedupKeys?.[item];
      if (dedup === undefined) return;
      const entry = dedupEntry(head.chatId, dedup);
      if (row[item] === -1) row[item] = byKey.get(entry) ?? -1;
      else byKey.set(entry, row[item] ?? -1);
    });
  });
  return byDraft;
}

/** The answers of a page, draft by draft. */
export function idsByDraft(bot: string, n: number, drafts: readonly Draft[], places: readonly Place[]): string[][] {
  const resolved = resolveItems(drafts, places);
  return drafts.map((draft, d) =>
    draft.waiting.request.broadcast !== undefined
      ? [broadcastId(bot, n)]
      : (resolved[d] ?? []).map((place) => (typeof place === 'string' ? place : deliveryId({ bot, n, index: place }))),
  );
}

function storedIds(draft: Draft, d: number, drafts: readonly Draft[], places: readonly Place[]): RequestRow['ids'] {
  if (draft.waiting.request.broadcast !== undefined) return [];
  const ids: RequestRow['ids'] = [];
  for (const place of resolveItems(drafts, places)[d] ?? []) {
    const last = ids.at(-1);
    if (typeof place === 'string') ids.push(place);
    else if (typeof last === 'object' && last.first + last.count === place) last.count += 1;
    else ids.push({ first: place, count: 1 });
  }
  return ids;
}

/** The answer that is stored with an Idempotency-Key. */
export function expandIds(bot: string, n: number, stored: RequestRow, request: AppendRequest): string[] {
  if (request.broadcast !== undefined) return [broadcastId(bot, n)];
  return stored.ids.flatMap((entry) =>
    typeof entry === 'string'
      ? [entry]
      : Array.from({ length: entry.count }, (_, i) => deliveryId({ bot, n, index: entry.first + i })),
  );
}
