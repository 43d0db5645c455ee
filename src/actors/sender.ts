/**
 * SenderActor: one shard of a bot's sending. Holds the mailboxes of the chats whose hash is its own, makes their calls when the pool gives it the
 * turn, and reports how each ended. Order: a chat has at most one unsettled call, its items go in the order of each chain. Failure policy: a crash
 * loses the mailboxes and nothing else; the pool feeds the restarted shard again, and calls in the air are taken over from the registry.
 * Times are ms of the injected monotonic clock; stored times are epoch ms.
 */
import { type DeliveryPlace, deliveryId } from '../delivery/ids.js';
import { type Lane, laneCode, type MessageClass } from '../delivery/lanes.js';
import type { ItemEnd } from '../delivery/ledger.js';
import { type Item, type Mailboxes, mailboxes } from '../delivery/mailbox.js';
import { type Answer, classify, type Outcome } from '../delivery/outcome.js';
import { chatSpacingMs } from '../delivery/pacing.js';
import { headAt } from '../delivery/packed.js';
import { afterEnd, beforeCall, type DeliveryError, errorOf } from '../delivery/retry.js';
import type { BodyRow } from '../store/models.js';
import type { PageBodies } from '../store/send-store.js';
import type { CallEntry } from '../telegram/call-registry.js';
import type { PoolMessage } from './pool/state.js';
import type { ActorContext, ActorSpec, Address } from './runtime.js';
import { assertNever } from './runtime.js';
import type { SendLine } from './send-line.js';

/** How long one call may take until it counts as a time-out, ms. */
const CALL_TIMEOUT_MS = 30_000;
/** What the pool tells a shard must never meet a full mailbox. */
const MAILBOX = 1_000_000;
/** Items that fetch of a page or a store error is tried again after, ms. */
const REFETCH_MS = 1_000;

/** Items of one page for one shard; the arrays are parallel. */
export interface Feed {
  readonly source: number;
  readonly n: number;
  readonly k: number | undefined;
  readonly indexes: readonly number[];
  readonly chats: readonly number[];
  readonly lanes: readonly Lane[];
}

/** A settled item whose outcome is durable. */
export interface DurableItem {
  readonly source: number;
  readonly index: number;
  readonly chatId: number;
}

/** What a shard is told. */
export type SenderMessage =
  | { readonly type: 'feed'; readonly feed: Feed }
  | {
      readonly type: 'rest';
      readonly chats: readonly { readonly chatId: number; readonly until: number }[];
      readonly groupsUntil?: number;
    }
  | { readonly type: 'turn'; readonly lane: Lane; readonly quota: number }
  | { readonly type: 'begun' }
  | { readonly type: 'durable'; readonly items: readonly DurableItem[]; readonly unreachable: readonly number[] }
  | { readonly type: 'forget'; readonly sources: readonly number[] }
  | { readonly type: 'reset' };

type OwnMessage =
  | SenderMessage
  | { readonly type: 'ended'; readonly call: Call; readonly answer: Answer }
  | { readonly type: 'loaded'; readonly n: number; readonly found: boolean }
  | { readonly type: 'unloadable'; readonly n: number }
  | { readonly type: 'unread'; readonly item: Item; readonly entry: CallEntry; readonly tenure: number }
  | { readonly type: 'reread'; readonly item: Item; readonly entry: CallEntry; readonly tenure: number }
  | { readonly type: 'ripe'; readonly generation: number };

/** A call under way as this incarnation knows it; of a taken-over one the item may be known only by its entry. */
interface Call {
  readonly item: Item;
  readonly key: string;
  readonly class: MessageClass;
  readonly body: BodyRow;
  readonly entry: CallEntry;
  /** Calls of a tenure that is over concern nobody. */
  readonly tenure: number;
}

/** Where a page handle leads. */
interface Source {
  readonly n: number;
  readonly k: number | undefined;
}

interface State {
  readonly boxes: Mailboxes;
  readonly sources: Map<number, Source>;
  /** Chats whose at-most-once item waits for its begun entry to be durable, then for its turn. */
  readonly begun: Map<number, { readonly item: Item; readonly key: string }>;
  /** Chats held until the bodies of page n are there. */
  readonly loading: Map<number, number[]>;
  /** What the pool was told of the lanes that want a turn. */
  announced: number;
  /** By chat: the item that was reported to the pool, and when the chat may go on once that is durable. */
  readonly reported: Map<number, { readonly source: number; readonly index: number; readonly freeAt: number }>;
  /** Counts the resets: a new one with each loss of the lease. */
  readonly tenure: number;
  ripeAt: number;
  generation: number;
}

/** What a shard needs. */
export interface SenderDeps {
  readonly shard: number;
  readonly line: SendLine;
  readonly pool: Address<PoolMessage>;
}

type Ctx = ActorContext<OwnMessage>;

/** The actor `sender:<shard>`. Policy: one-for-one under its pool. */
export function senderActor(deps: SenderDeps): ActorSpec<State, OwnMessage> {
  return {
    name: `sender:${deps.shard}`,
    mailbox: { capacity: MAILBOX },
    init(ctx) {
      ctx.tell(deps.pool, { type: 'shard-up', shard: deps.shard });
      return empty(0, 0);
    },
    receive(state, message, ctx) {
      // Mail to the life before this one: what came before it is lost, so it would be out of order. The pool resets and feeds again.
      if (state.tenure === 0 && message.type !== 'reset') return state;
      switch (message.type) {
        case 'feed':
          return onFeed(state, message.feed, ctx, deps);
        case 'rest':
          return onRest(state, message, ctx, deps);
        case 'turn':
          return onTurn(state, message.lane, message.quota, ctx, deps);
        case 'begun':
          return announce(state, ctx, deps);
        case 'durable':
          return onDurable(state, message, ctx, deps);
        case 'forget':
          for (const source of message.sources) state.sources.delete(source);
          return state;
        case 'reset':
          return onReset(state, deps);
        case 'ended':
          return onEnded(state, message.call, message.answer, ctx, deps);
        case 'loaded':
          return onLoaded(state, message.n, message.found, ctx, deps);
        case 'unloadable':
          ctx.after(REFETCH_MS, { type: 'loaded', n: message.n, found: true });
          return state;
        case 'unread':
          ctx.after(REFETCH_MS, { ...message, type: 'reread' });
          return state;
        case 'reread': {
          const place = state.sources.get(message.item.source);
          if (message.tenure === state.tenure && place !== undefined)
            awaitEnd(state, message.item, place, message.entry, ctx, deps);
          return state;
        }
        case 'ripe':
          return message.generation === state.generation
            ? announce({ ...state, ripeAt: Number.POSITIVE_INFINITY }, ctx, deps)
            : state;
        default:
          return assertNever(message);
      }
    },
  };
}

function empty(tenure: number, generation: number): State {
  return {
    boxes: mailboxes(),
    sources: new Map(),
    begun: new Map(),
    loading: new Map(),
    announced: 0,
    reported: new Map(),
    tenure,
    ripeAt: Number.POSITIVE_INFINITY,
    generation,
  };
}

function onReset(state: State, deps: SenderDeps): State {
  deps.line.ready[deps.shard] = 0;
  return empty(state.tenure + 1, state.generation + 1);
}

const CHAINS = { reply: 0, notify: 1, bulk: 2 } as const;
const BROADCAST_CHAIN = 3;

function onFeed(state: State, feed: Feed, ctx: Ctx, deps: SenderDeps): State {
  const { source, n, k } = feed;
  state.sources.set(source, { n, k });
  feed.indexes.forEach((index, at) => {
    const chatId = feed.chats[at] ?? 0;
    const lane = feed.lanes[at] ?? 'bulk';
    state.boxes.push(chatId, k === undefined ? CHAINS[lane] : BROADCAST_CHAIN, source, index, lane);
    const entry = deps.line.registry.get(keyOf(deps, { n, k }, index));
    if (entry !== undefined) takeOver(state, entry, source, index, ctx, deps);
  });
  ctx.tell(deps.pool, { type: 'fed', shard: deps.shard, source });
  return announce(state, ctx, deps);
}

/** A call that an incarnation before this one began: its chat is busy with it until it ends. */
function takeOver(state: State, entry: CallEntry, source: number, index: number, ctx: Ctx, deps: SenderDeps): void {
  const item = state.boxes.adopt(entry.chatId, source, index);
  const place = state.sources.get(source);
  if (item === undefined || place === undefined) return;
  awaitEnd(state, item, place, entry, ctx, deps);
}

/** Waits for the answer and for the page (which a dead letter must quote) of a call that was taken over. */
function awaitEnd(state: State, item: Item, place: Source, entry: CallEntry, ctx: Ctx, deps: SenderDeps): void {
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

function onRest(state: State, rest: Extract<SenderMessage, { type: 'rest' }>, ctx: Ctx, deps: SenderDeps): State {
  if (rest.groupsUntil !== undefined) state.boxes.freezeGroups(rest.groupsUntil);
  for (const { chatId, until } of rest.chats) state.boxes.freeze(chatId, until);
  return announce(state, ctx, deps);
}

function onTurn(state: State, lane: Lane, quota: number, ctx: Ctx, deps: SenderDeps): State {
  const { line } = deps;
  for (let sent = 0; sent < quota; ) {
    const now = ctx.clock.now();
    if (!line.mayStart(now) || line.pacing.earliest(lane, now) > now) break;
    const ready = begunItem(state, lane, ctx, deps);
    if (ready !== undefined) {
      state.begun.delete(ready.item.chatId);
      start(state, ready.item, ready.key, ready.page, ready.place, ctx, deps);
      sent += 1;
      continue;
    }
    const item = state.boxes.next(now, lane);
    if (item === undefined) break;
    const place = state.sources.get(item.source);
    if (place === undefined) throw new Error(`PH_SENDER_SOURCE: no page for handle ${item.source}`);
    const page = line.bodiesAtHand(place.n);
    if (page === undefined) {
      load(state, place.n, item.chatId, ctx, deps);
      continue;
    }
    const key = keyOf(deps, place, item.index);
    const verdict = judge(item, now, deps);
    if (verdict === 'ask') {
      line.outage.wantProbe(now);
      ctx.tell(deps.pool, { type: 'probe-wanted' });
      state.boxes.freeze(item.chatId, now + REFETCH_MS);
      continue;
    }
    if (verdict === 'dead') {
      const begun = state.boxes.begin(item.chatId, true);
      const error = { code: 0, description: 'no clear answer in 3 attempts while others got through' };
      report(state, begun, key, contentOf(page, place, item.index), { state: 'dead', error }, now, ctx, deps);
      continue;
    }
    if (contentOf(page, place, item.index).class === 'at-most-once') {
      if (!line.begun.has(key) && line.begun.size >= line.concurrency) return endTurn(state, ctx, deps, true);
      const begun = state.boxes.begin(item.chatId, verdict === 'spend');
      line.begun.add(key);
      state.begun.set(item.chatId, { item: begun, key });
      ctx.tell(deps.pool, { type: 'begin' });
      continue;
    }
    start(state, state.boxes.begin(item.chatId, verdict === 'spend'), key, page, place, ctx, deps);
    sent += 1;
  }
  return endTurn(state, ctx, deps, false);
}

/** An at-most-once item of that lane whose begun entry is durable, with its page; pages that are not at hand are fetched. */
function begunItem(
  state: State,
  lane: Lane,
  ctx: Ctx,
  deps: SenderDeps,
): { item: Item; key: string; page: PageBodies; place: Source } | undefined {
  for (const { item, key } of state.begun.values()) {
    const place = state.sources.get(item.source);
    if (item.lane !== lane || place === undefined || !deps.line.begunDurable.has(key)) continue;
    const page = deps.line.bodiesAtHand(place.n);
    if (page !== undefined) return { item, key, page, place };
    load(state, place.n, undefined, ctx, deps);
  }
  return undefined;
}

/** Whose fault the last failed call of the item was, if any (docs/protocol.md, Ends of a call). */
function judge(item: Item, now: number, deps: SenderDeps): 'call' | 'spend' | 'dead' | 'ask' {
  if (item.doubtedSince === undefined || item.doubtedSince > now) return 'call';
  const verdict = beforeCall({ attempts: item.attempts, blame: deps.line.outage.blame(item.doubtedSince) });
  return verdict.kind === 'call' ? (verdict.spend ? 'spend' : 'call') : verdict.kind;
}

/** Begins the call of a busy chat's item: slot, lease and pace were checked in this turn, its page is at hand. */
function start(
  state: State,
  item: Item,
  key: string,
  page: PageBodies,
  place: Source,
  ctx: Ctx,
  deps: SenderDeps,
): void {
  const { line } = deps;
  const content = contentOf(page, place, item.index);
  const now = ctx.clock.now();
  line.pacing.take(item.lane, now);
  const entry = line.registry.start(
    { key, chatId: item.chatId, shard: deps.shard, startedAt: now, startedWall: ctx.clock.wallNow() },
    () => line.client.call('sendMessage', payload(item.chatId, content.body), { timeoutMs: CALL_TIMEOUT_MS }),
  );
  const call: Call = { item, key, entry, tenure: state.tenure, ...content };
  ctx.pipe(
    entry.answer,
    (answer): OwnMessage => ({ type: 'ended', call, answer }),
    (error): OwnMessage => ({
      type: 'ended',
      call,
      answer: { kind: 'failure', beforeFirstByte: false, reason: String(error) },
    }),
  );
}

function payload(chatId: number, body: BodyRow): object {
  return { chat_id: chatId, text: body.text, ...(body.parseMode === undefined ? {} : { parse_mode: body.parseMode }) };
}

function onEnded(state: State, call: Call, answer: Answer, ctx: Ctx, deps: SenderDeps): State {
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
  const paced = entry.startedAt + chatSpacingMs(item.chatId, line.rates);
  switch (decision.kind) {
    case 'settle':
      report(state, item, key, call, decision, Math.max(paced, now + decision.restMs), ctx, deps, entry.startedWall);
      return announce(state, ctx, deps);
    case 'migrate':
      report(state, item, key, call, { state: 'dead', error: errorOf(outcome) }, paced, ctx, deps, entry.startedWall);
      return announce(state, ctx, deps);
    case 'again':
      line.registry.end(key);
      line.begunDurable.delete(key);
      if (line.begun.delete(key)) ctx.tell(pool, { type: 'begin' });
      state.boxes.retry(item.chatId, Math.max(paced, now + decision.restMs), {
        spend: decision.spendAttempt,
        doubtedSince: decision.doubt ? now : undefined,
      });
      tellLimited(outcome, item.chatId, ctx, deps);
      ctx.tell(pool, { type: 'slots' });
      return announce(state, ctx, deps);
    default:
      return assertNever(decision);
  }
}

function tellLimited(outcome: Outcome, chatId: number, ctx: Ctx, deps: SenderDeps): void {
  if (outcome.kind !== 'limited') return;
  ctx.tell(deps.pool, { type: 'limited', chatId, retryAfterMs: outcome.retryAfterMs });
}

/** Tells the pool how an item ended. The chat stays busy until that is durable. */
function report(
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
  state.reported.set(item.chatId, { source: item.source, index: item.index, freeAt });
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

function onDurable(
  state: State,
  { items, unreachable }: Extract<SenderMessage, { type: 'durable' }>,
  ctx: Ctx,
  deps: SenderDeps,
): State {
  for (const { chatId, source, index } of items) {
    const reported = state.reported.get(chatId);
    if (reported?.source !== source || reported.index !== index) continue;
    state.reported.delete(chatId);
    state.boxes.settle(chatId, reported.freeAt);
  }
  const dropped = unreachable.flatMap((chatId) =>
    state.boxes.dropWaiting(chatId).map((item) => ({ source: item.source, index: item.index, chatId })),
  );
  if (dropped.length > 0) ctx.tell(deps.pool, { type: 'unreachable', items: dropped });
  return announce(state, ctx, deps);
}

function load(state: State, n: number, chatId: number | undefined, ctx: Ctx, deps: SenderDeps): void {
  const held = state.loading.get(n);
  if (chatId !== undefined) {
    state.boxes.hold(chatId);
    held?.push(chatId);
  }
  if (held !== undefined) return;
  state.loading.set(n, chatId === undefined ? [] : [chatId]);
  fetch(n, ctx, deps);
}

function fetch(n: number, ctx: Ctx, deps: SenderDeps): void {
  ctx.pipe(
    deps.line.fetchBodies(n),
    (page): OwnMessage => ({ type: 'loaded', n, found: page !== undefined }),
    (): OwnMessage => ({ type: 'unloadable', n }),
  );
}

function onLoaded(state: State, n: number, found: boolean, ctx: Ctx, deps: SenderDeps): State {
  if (!found) throw new Error(`PH_PAGE_GONE: page ${n} has waiting items and is not in the store`);
  if (deps.line.bodiesAtHand(n) === undefined) {
    fetch(n, ctx, deps);
    return state;
  }
  const held = state.loading.get(n) ?? [];
  state.loading.delete(n);
  for (const chatId of held) state.boxes.unhold(chatId);
  return announce(state, ctx, deps);
}

/** Lanes in which this shard could make a call now; `stuck`: of what is begun only. */
function wants(state: State, now: number, deps: SenderDeps, stuck = false): number {
  let mask = stuck ? 0 : state.boxes.readyLanes(now);
  for (const { item, key } of state.begun.values()) {
    const place = state.sources.get(item.source);
    if (place !== undefined && deps.line.begunDurable.has(key) && !state.loading.has(place.n))
      mask |= 1 << laneCode(item.lane);
  }
  return mask;
}

/** Tells the pool when the lanes that want a turn have changed, and sets the timer for the next chat that ripens. */
function announce(state: State, ctx: Ctx, deps: SenderDeps): State {
  const now = ctx.clock.now();
  const mask = wants(state, now, deps);
  publishReady(state, now, deps);
  if (mask !== state.announced) {
    state.announced = mask;
    ctx.tell(deps.pool, { type: 'wants', shard: deps.shard, lanes: mask });
  }
  return ripen(state, now, ctx);
}

/** `stuck`: nothing more can be begun before another at-most-once call is settled; asking again at once would only spin. */
function endTurn(state: State, ctx: Ctx, deps: SenderDeps, stuck: boolean): State {
  const now = ctx.clock.now();
  state.announced = wants(state, now, deps, stuck);
  publishReady(state, now, deps);
  ctx.tell(deps.pool, { type: 'turned', shard: deps.shard, lanes: state.announced });
  return ripen(state, now, ctx);
}

/** The pool reads from here how many chats could go now, to feed broadcasts in time: also those that only wait for their page or their begun entry. */
function publishReady(state: State, now: number, deps: SenderDeps): void {
  state.boxes.readyLanes(now);
  let ready = state.boxes.ready + state.begun.size;
  for (const held of state.loading.values()) ready += held.length;
  deps.line.ready[deps.shard] = ready;
}

function ripen(state: State, now: number, ctx: Ctx): State {
  const at = state.boxes.earliest();
  if (at < state.ripeAt) {
    state.generation += 1;
    state.ripeAt = at;
    ctx.after(Math.max(0, at - now), { type: 'ripe', generation: state.generation });
  }
  return state;
}

function contentOf(page: PageBodies, place: Source, index: number): { class: MessageClass; body: BodyRow } {
  const head = place.k === undefined ? headAt(page.heads, index) : undefined;
  const body = page.bodies[head?.body ?? 0];
  if (body === undefined) throw new Error(`PH_PAGE_BODY: page ${page.n} has no body for item ${index}`);
  return { class: head?.class ?? page.broadcast?.class ?? 'at-least-once', body };
}

function keyOf(deps: SenderDeps, place: Source, index: number): string {
  const at: DeliveryPlace = { bot: deps.line.bot, n: place.n, index, ...(place.k === undefined ? {} : { k: place.k }) };
  return deliveryId(at);
}
