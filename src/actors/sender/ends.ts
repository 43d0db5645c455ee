import type { MessageClass } from '../../delivery/lanes.js';
import type { ItemEnd } from '../../delivery/ledger.js';
import type { Item } from '../../delivery/mailbox.js';
import { type Answer, classify, type Outcome } from '../../delivery/outcome.js';
import { chatSpacingMs } from '../../delivery/pacing.js';
import { afterEnd, type DeliveryError, errorOf } from '../../delivery/retry.js';
import { partCount } from '../../delivery/text/cut-text.js';
import type { BodyRow } from '../../store/models.js';
import type { CallEntry } from '../../telegram/call-registry.js';
import { assertNever } from '../runtime.js';
import { leave } from './moves.js';
import {
  announce,
  type Call,
  type Ctx,
  contentOf,
  dropWithdrawn,
  isWithdrawn,
  type OwnMessage,
  type SenderDeps,
  type SenderMessage,
  type Source,
  type State,
} from './state.js';

/** A call that an incarnation before this one began: its chat is busy with it until it ends. */
export function takeOver(
  state: State,
  entry: CallEntry,
  chatId: number,
  source: number,
  index: number,
  ctx: Ctx,
  deps: SenderDeps,
): void {
  const item = state.boxes.adopt(chatId, source, index);
  const place = state.sources.get(source);
  if (item === undefined || place === undefined) return;
  awaitEnd(state, item, place, entry, ctx, deps);
}

/** Waits for the answer and for the page (which a dead letter must quote) of a call that was taken over. */
export function awaitEnd(state: State, item: Item, place: Source, entry: CallEntry, ctx: Ctx, deps: SenderDeps): void {
  const { tenure } = state;
  ctx.pipe(
    Promise.all([deps.line.fetchBodies(place.n), entry.answer]),
    ([page, answer]): OwnMessage =>
      page === undefined
        ? { type: 'unread', item, entry, tenure }
        : {
            type: 'ended',
            call: { item, key: entry.key, entry, tenure, ...contentOf(page, place, item.index) },
            answer,
          },
    (): OwnMessage => ({ type: 'unread', item, entry, tenure }),
  );
}

/** A call has ended: it is settled, its next part goes, it is made again, or its chat became another one. */
export function onEnded(state: State, call: Call, answer: Answer, ctx: Ctx, deps: SenderDeps): State {
  const { item, key, entry } = call;
  const { line, pool } = deps;
  if (call.tenure !== state.tenure || !state.boxes.isBusy(item.chatId)) return state;
  const now = ctx.clock.now();
  const outcome = classify(answer);
  const change = line.outage.onEnd(item.chatId, outcome, now);
  if (change !== 'none') ctx.tell(pool, { type: 'outage-changed' });
  const decision = afterEnd({
    outcome,
    klass: call.class,
    attempts: item.attempts,
    othersSucceededSince: false, // not known yet: the doubt is settled before the next call
    random: ctx.random,
  });
  const paced = line.pacing.countsFrom(now) + chatSpacingMs(item.chatId, line.rates);
  switch (decision.kind) {
    case 'settle':
      if (decision.state === 'sent' && item.part + 1 < partCount(call.body)) {
        reportPart(state, item, key, decision.messageId, paced, ctx, deps);
        return announce(state, ctx, deps);
      }
      report(state, item, key, call, decision, Math.max(paced, now + decision.restMs), ctx, deps, entry.startedWall);
      return announce(state, ctx, deps);
    case 'migrate': {
      const to = line.whereIs(decision.toChatId);
      if (to === entry.chatId) {
        const end = { state: 'dead', error: errorOf(outcome) } as const;
        report(state, item, key, call, end, paced, ctx, deps, entry.startedWall);
        return announce(state, ctx, deps);
      }
      if (isWithdrawn(state, item)) {
        state.boxes.settle(item.chatId, paced);
        handBack(item, key, item.attempts, ctx, deps);
        ctx.tell(pool, { type: 'migrated', chatId: item.chatId, to: decision.toChatId });
        leave(state, item.chatId, ctx, deps);
        return announce(state, ctx, deps);
      }
      giveBack(key, ctx, deps);
      if (to === item.chatId) state.boxes.retry(item.chatId, paced);
      else {
        // The chat stays busy until it is durable that it moved.
        const { chatId, source, index } = item;
        state.reported.set(chatId, { source, index, of: 'move', freeAt: paced, part: item.part });
        if (state.leaving.has(chatId)) leave(state, chatId, ctx, deps);
        else ctx.tell(pool, { type: 'migrated', chatId, to: decision.toChatId });
      }
      return announce(state, ctx, deps);
    }
    case 'again':
      if (isWithdrawn(state, item)) {
        state.boxes.settle(item.chatId, Math.max(paced, now + decision.restMs));
        handBack(item, key, item.attempts + (decision.doubt || decision.spendAttempt ? 1 : 0), ctx, deps);
      } else {
        giveBack(key, ctx, deps);
        state.boxes.retry(item.chatId, Math.max(paced, now + decision.restMs), {
          spend: decision.spendAttempt,
          doubtedSince: decision.doubt ? now : undefined,
        });
      }
      tellLimited(outcome, item.chatId, ctx, deps);
      leave(state, item.chatId, ctx, deps);
      return announce(state, ctx, deps);
    default:
      return assertNever(decision);
  }
}

/** Nothing of the call needs to be durable: its slot is free, and its entry among the begun ones goes. */
function giveBack(key: string, ctx: Ctx, { line, pool }: SenderDeps): void {
  line.registry.end(key);
  line.begunDurable.delete(key);
  if (line.begun.delete(key)) ctx.tell(pool, { type: 'begin' });
  ctx.tell(pool, { type: 'slots' });
}

/** Gives an item back that has no place here any more. Its call leaves the registry only when the pool has heard of it: until then it counts as in the air, so that it is not fed twice. */
function handBack(
  { source, index, chatId }: Item,
  key: string | undefined,
  attempts: number,
  ctx: Ctx,
  { line, pool }: SenderDeps,
): void {
  if (key !== undefined) {
    line.begunDurable.delete(key);
    if (line.begun.delete(key)) ctx.tell(pool, { type: 'begin' });
  }
  ctx.tell(pool, { type: 'handed-back', source, index, chatId, attempts, key });
}

/** Gives up what waits of a broadcast, also what is begun and not called; calls in the air go on. */
export function onWithdraw(state: State, n: number, withdrawal: number, ctx: Ctx, deps: SenderDeps): State {
  state.withdrawn.add(n);
  dropWithdrawn(state);
  for (const [chatId, { item, key }] of state.begun) {
    if (!isWithdrawn(state, item)) continue;
    state.begun.delete(chatId);
    deps.line.begunDurable.delete(key);
    if (deps.line.begun.delete(key)) ctx.tell(deps.pool, { type: 'begin' });
    state.boxes.settle(chatId, ctx.clock.now());
  }
  // Neither in the air nor waiting: their chats became others, and that is not durable yet.
  for (const [chatId, { source, of, freeAt, part = 0 }] of state.reported) {
    if (of !== 'move' || !isWithdrawn(state, { source, part })) continue;
    state.reported.delete(chatId);
    state.boxes.settle(chatId, freeAt);
  }
  ctx.tell(deps.pool, { type: 'withdrawn', shard: deps.shard, n, withdrawal });
  return announce(state, ctx, deps);
}

/** Of a withdrawn broadcast only calls in the air are fed: one that has ended meanwhile is handed back. */
export function handBackWithdrawn(state: State, n: number, ctx: Ctx, deps: SenderDeps): void {
  if (!state.withdrawn.has(n)) return;
  for (const item of dropWithdrawn(state)) handBack(item, undefined, item.attempts, ctx, deps);
}

function tellLimited(outcome: Outcome, chatId: number, ctx: Ctx, deps: SenderDeps): void {
  if (outcome.kind !== 'limited') return;
  ctx.tell(deps.pool, { type: 'limited', chatId, retryAfterMs: outcome.retryAfterMs });
}

/** Tells the pool that a part of an item is sent, and not the last. The chat stays busy until that is durable, then the next part goes. */
function reportPart(
  state: State,
  item: Item,
  key: string,
  messageId: number,
  freeAt: number,
  ctx: Ctx,
  deps: SenderDeps,
): void {
  const { source, index, chatId, part } = item;
  state.reported.set(chatId, { source, index, of: 'part', freeAt });
  ctx.tell(deps.pool, { type: 'part-sent', shard: deps.shard, source, index, part, chatId, key, messageId });
}

/** Tells the pool how an item ended. The chat stays busy until that is durable. */
export function report(
  state: State,
  item: Item,
  key: string,
  content: { readonly class: MessageClass; readonly body: BodyRow },
  end: {
    readonly state: ItemEnd['state'];
    readonly messageId?: number;
    readonly error?: DeliveryError;
    readonly reach?: 'blocked' | 'gone';
  },
  freeAt: number,
  ctx: Ctx,
  deps: SenderDeps,
  startedWall?: number,
): void {
  state.reported.set(item.chatId, { source: item.source, index: item.index, of: 'item', freeAt });
  ctx.tell(deps.pool, {
    type: 'ended',
    shard: deps.shard,
    source: item.source,
    index: item.index,
    chatId: item.chatId,
    key,
    lane: item.lane,
    class: content.class,
    body: content.body,
    end: {
      state: end.state,
      attempts: item.attempts + (startedWall === undefined ? 0 : 1),
      messageId: end.messageId ?? 0,
      at: ctx.clock.wallNow(),
      ...(end.error === undefined ? {} : { error: end.error }),
    },
    ...(end.reach === undefined
      ? {}
      : { unreachable: { reach: end.reach, since: startedWall ?? ctx.clock.wallNow() } }),
  });
}

/** Outcomes are durable: their chats are free. What waits for a chat that the store knows as unreachable ends without a call. */
export function onDurable(
  state: State,
  { items, unreachable }: Extract<SenderMessage, { type: 'durable' }>,
  ctx: Ctx,
  deps: SenderDeps,
): State {
  for (const { chatId, source, index } of items) {
    const reported = state.reported.get(chatId);
    if (reported?.source !== source || reported.index !== index) continue;
    state.reported.delete(chatId);
    if (reported.of === 'part') state.boxes.advance(chatId, reported.freeAt);
    else state.boxes.settle(chatId, reported.freeAt);
    leave(state, chatId, ctx, deps);
  }
  const dropped = unreachable.flatMap((chatId) =>
    state.boxes.dropWaiting(chatId).map((item) => ({ source: item.source, index: item.index, chatId })),
  );
  if (dropped.length > 0) ctx.tell(deps.pool, { type: 'unreachable', items: dropped });
  return announce(state, ctx, deps);
}
