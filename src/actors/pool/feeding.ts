import { callKey } from '../../delivery/ids.js';
import type { Lane, MessageClass } from '../../delivery/lanes.js';
import { shardOf } from '../../delivery/shards.js';
import type { BodyRow } from '../../store/models.js';
import type { ChatMark, NewDeadLetter } from '../../store/send-store.js';
import type { Feed } from '../sender/state.js';
import { type Ctx, type PoolDeps, placeKey, type State, shardAddress } from './state.js';

/** These chats get no call before `until` (monotonic ms). */
export function restChats(chats: readonly number[], until: number, ctx: Ctx, deps: PoolDeps): void {
  for (const given of chats) {
    const chatId = deps.line.whereIs(given);
    ctx.tell(shardAddress(ctx, shardOf(chatId, deps.shards)), { type: 'rest', chats: [{ chatId, until }] });
  }
}

/** True when a chat was marked as unreachable after that was asked of the store: what is fed from that answer must not call it once more. */
export const markedSince = (state: State, chatId: number, askedAt: number): boolean =>
  (state.marked.get(chatId) ?? Number.NEGATIVE_INFINITY) >= askedAt;

/** An item to a chat that cannot be reached ends without a call. */
export function settleUnreachable(state: State, source: number, index: number, at: number): void {
  state.ledger.settle(source, index, {
    state: 'blocked',
    attempts: 0,
    messageId: 0,
    at,
    error: { code: 403, description: 'the recipient was found unreachable before' },
  });
}

/** An item of a page that was read, with what a dead letter of it must quote. */
export interface ReadItem {
  readonly source: number;
  readonly index: number;
  readonly id: string;
  readonly chatId: number;
  readonly lane: Lane;
  readonly class: MessageClass;
  readonly body: BodyRow | undefined;
}

/**
 * Ends a read item that must not be called: one with a dead letter by that, an at-most-once call that the owner before had begun as unknown, one to
 * an unreachable chat as blocked. False when it has to be sent.
 */
export function settleRead(
  state: State,
  item: ReadItem,
  letter: 'dead' | 'unknown' | undefined,
  isUnreachable: boolean,
  ctx: Ctx,
  deps: PoolDeps,
): boolean {
  const { source, index, id, chatId, body, lane, class: klass } = item;
  const at = ctx.clock.wallNow();
  if (letter !== undefined) {
    state.ledger.settle(source, index, { state: letter, attempts: 1, messageId: 0, at });
    return true;
  }
  const sent = state.ledger.parts(source, index);
  const key = callKey(id, sent.length);
  if (state.begunBefore.has(key) && deps.line.registry.get(key) === undefined) {
    const error = { code: 0, description: 'the process died while the call was under way' };
    const payload = letterPayload({ chatId, body, lane, class: klass, state: 'unknown', messageIds: sent });
    state.deadLetters.push({ source: id, reason: error.description, attempts: 1, payload });
    state.ledger.settle(source, index, { state: 'unknown', attempts: 1, messageId: 0, at, error });
    state.begunPending.set(id, key);
    restChats([chatId], state.begunRestUntil, ctx, deps);
    return true;
  }
  if (isUnreachable) settleUnreachable(state, source, index, at);
  return isUnreachable;
}

/** What a dead letter of an item quotes. */
export function letterPayload(item: {
  readonly chatId: number;
  readonly body: BodyRow | undefined;
  readonly lane: Lane;
  readonly class: MessageClass;
  readonly state: string;
  readonly messageIds: readonly number[];
}): NewDeadLetter['payload'] {
  const { chatId, body, lane, class: klass, state, messageIds } = item;
  return {
    chatId,
    text: body?.text ?? '',
    ...(body?.parseMode === undefined ? {} : { parseMode: body.parseMode }),
    lane,
    class: klass,
    state,
    // Also when none was sent: those of a replay begin behind what the delivery before had sent.
    ...(body?.parts === undefined ? {} : { parts: body.parts }),
    ...(messageIds.length === 0 ? {} : { messageIds }),
  };
}

/** Chats that a 429 froze stay frozen, by the wall clock of the store's mark. */
export function restFrozen(marks: readonly ChatMark[], ctx: Ctx, deps: PoolDeps): void {
  const wall = ctx.clock.wallNow();
  const now = ctx.clock.now();
  for (let shard = 0; shard < deps.shards; shard += 1) {
    const chats = marks
      .filter((mark) => mark.frozenUntil > wall)
      .map((mark) => ({ chatId: deps.line.whereIs(mark.chatId), until: now + mark.frozenUntil - wall }))
      .filter(({ chatId }) => shardOf(chatId, deps.shards) === shard);
    if (chats.length > 0) ctx.tell(shardAddress(ctx, shard), { type: 'rest', chats });
  }
}

/** Hands items to their shards, in their order. */
export function feed(
  state: State,
  place: { readonly source: number; readonly n: number; readonly k: number | undefined },
  items: readonly { readonly index: number; readonly chatId: number; readonly lane: Lane }[],
  ctx: Ctx,
  deps: PoolDeps,
): void {
  const feeds = new Map<number, { indexes: number[]; chats: number[]; lanes: Lane[]; sent: Map<number, number> }>();
  for (const { index, chatId, lane } of items) {
    const shard = shardOf(chatId, deps.shards);
    let one = feeds.get(shard);
    if (one === undefined) {
      one = { indexes: [], chats: [], lanes: [], sent: new Map() };
      feeds.set(shard, one);
    }
    one.indexes.push(index);
    one.chats.push(chatId);
    one.lanes.push(lane);
    const sent = state.ledger.parts(place.source, index).length;
    if (sent > 0) one.sent.set(index, sent);
  }
  for (const [shard, one] of feeds) {
    const message: Feed = { ...place, ...one };
    state.feeding.add(placeKey(place.source, shard));
    ctx.tell(shardAddress(ctx, shard), { type: 'feed', feed: message });
  }
}
