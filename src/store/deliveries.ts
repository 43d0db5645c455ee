import { type DeliveryPlace, deliveryId, parseDeliveryId } from '../delivery/ids.js';
import { CHUNK_ITEMS, headAt, resultAt, type StoredResult } from '../delivery/packed.js';
import type { BroadcastPageRow, OwnerRow, PageRow, ResultRow } from './models.js';
import { bytes } from './send-store.js';
import type { Store } from './store.js';

/** A delivery as GET /api/deliveries/:id shows it. Times are ISO 8601 UTC. */
export interface DeliveryView {
  readonly id: string;
  readonly botId: string;
  readonly chatId: number;
  readonly lane: string;
  readonly class: string;
  readonly state: string;
  readonly attempts: number;
  readonly messageIds?: readonly number[];
  readonly error?: { readonly code: number; readonly description: string };
  readonly createdAt: string;
  readonly sentAt?: string;
}

/** Finds a delivery by its id with point reads; undefined when there is none. Rejects with the driver's error while the store is away. */
export async function findDelivery(store: Store, id: string): Promise<DeliveryView | undefined> {
  const place = parseDeliveryId(id);
  if (place === undefined) return undefined;
  const page = (await store.models.Pages.collection.findOne(
    { bot: place.bot, n: place.n },
    { projection: { kind: 1, at: 1, heads: 1, broadcast: 1 } },
  )) as unknown as PageRow | null;
  if (page === null || (page.kind === 'broadcast') !== (place.k !== undefined)) return undefined;
  return page.kind === 'broadcast' ? broadcastItem(store, place, page) : messageItem(store, place, page);
}

async function messageItem(store: Store, place: DeliveryPlace, page: PageRow): Promise<DeliveryView | undefined> {
  const heads = bytes(page.heads);
  if ((place.index + 1) * 16 > heads.length) return undefined;
  const head = headAt(heads, place.index);
  const k = Math.floor(place.index / CHUNK_ITEMS);
  return view(store, place, k, place.index % CHUNK_ITEMS, {
    chatId: head.chatId,
    lane: head.lane,
    class: head.class,
    at: page.at,
  });
}

async function broadcastItem(store: Store, place: DeliveryPlace, page: PageRow): Promise<DeliveryView | undefined> {
  const { bot, n, k = 0, index } = place;
  const part = (await store.models.BroadcastPages.collection.findOne({
    bot,
    n,
    k,
  })) as unknown as BroadcastPageRow | null;
  if (part === null || page.broadcast === undefined) return undefined;
  const chats = bytes(part.chats);
  if ((index + 1) * 8 > chats.length) return undefined;
  const { lane } = page.broadcast;
  return view(store, place, k, index, {
    chatId: chats.readDoubleLE(index * 8),
    lane,
    class: page.broadcast.class,
    at: page.at,
  });
}

async function view(
  store: Store,
  place: DeliveryPlace,
  k: number,
  index: number,
  item: { readonly chatId: number; readonly lane: string; readonly class: string; readonly at: Date },
): Promise<DeliveryView> {
  const { bot, n } = place;
  const id = deliveryId(place);
  const row = (await store.models.Results.collection.findOne({ bot, n, k })) as unknown as ResultRow | null;
  const result: StoredResult =
    row === null ? { state: 'queued', attempts: 0, messageId: 0, at: 0 } : resultAt(bytes(row.items), index);
  const error = row?.rest?.[String(index)];
  const parts = row?.parts?.[String(index)] ?? [];
  const messageIds = result.state === 'sent' ? [...parts, result.messageId] : parts;
  const isUnderWay = result.state === 'queued' && (parts.length > 0 || (await isBegun(store, bot, id)));
  return {
    id,
    botId: bot,
    chatId: item.chatId,
    lane: item.lane,
    class: item.class,
    state: isUnderWay ? 'attempting' : result.state,
    attempts: result.attempts,
    ...(messageIds.length > 0 ? { messageIds } : {}),
    ...(result.state === 'sent' ? { sentAt: new Date(result.at).toISOString() } : {}),
    ...(error === undefined ? {} : { error: { code: error.code, description: error.description } }),
    createdAt: item.at.toISOString(),
  };
}

/** Only at-most-once calls are written down before they are made; the others are in the store as queued until they are settled. */
async function isBegun(store: Store, bot: string, id: string): Promise<boolean> {
  const owner = (await store.models.Owners.collection.findOne(
    { bot, part: 'send' },
    { projection: { begun: 1 } },
  )) as unknown as OwnerRow | null;
  return owner?.begun.some((key) => key === id || key.startsWith(`${id}.`)) ?? false;
}
