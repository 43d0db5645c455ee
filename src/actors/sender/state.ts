import { callKey, type DeliveryPlace, deliveryId } from '../../delivery/ids.js';
import { LANES, type Lane, laneCode, type MessageClass } from '../../delivery/lanes.js';
import { type Item, type Mailboxes, mailboxes } from '../../delivery/mailbox.js';
import type { Answer } from '../../delivery/outcome.js';
import { headAt } from '../../delivery/packed.js';
import type { BodyRow } from '../../store/models.js';
import type { PageBodies } from '../../store/send-store.js';
import type { CallEntry } from '../../telegram/call-registry.js';
import type { PoolMessage } from '../pool/state.js';
import type { ActorContext, Address } from '../runtime.js';
import type { SendLine } from '../send-line.js';

/** A page that could not be read is read again after this long, ms. */
export const REFETCH_MS = 1_000;

/** The chain of a chat that holds the items of broadcasts. */
export const BROADCAST_CHAIN = 3;

/** Items of one page for one shard; the arrays are parallel. */
export interface Feed {
  readonly source: number;
  readonly n: number;
  readonly k: number | undefined;
  readonly indexes: readonly number[];
  readonly chats: readonly number[];
  readonly lanes: readonly Lane[];
  /** By index: how many parts are sent, of items of which some are. */
  readonly sent: ReadonlyMap<number, number>;
}

/** An item whose outcome is durable, or that of a part of it. */
export interface DurableItem {
  readonly source: number;
  readonly index: number;
  readonly chatId: number;
}

/** An item that comes from another shard, with its page. */
export interface MovedItem extends Item, Source {}

/** What a shard is told. */
export type SenderMessage =
  | { readonly type: 'feed'; readonly feed: Feed }
  | {
      readonly type: 'rest';
      readonly chats: readonly { readonly chatId: number; readonly until: number }[];
      readonly groupsUntil?: number;
    }
  /** `pace`: as which lane its calls are paced. */
  | { readonly type: 'turn'; readonly lane: Lane; readonly pace: Lane; readonly quota: number }
  | { readonly type: 'begun' }
  | { readonly type: 'durable'; readonly items: readonly DurableItem[]; readonly unreachable: readonly number[] }
  | { readonly type: 'move'; readonly chatId: number; readonly to: number; readonly tenure: number }
  | {
      readonly type: 'arrive';
      readonly chatId: number;
      readonly released: number;
      readonly notBefore: number;
      readonly items: readonly MovedItem[];
    }
  | { readonly type: 'forget'; readonly sources: readonly number[] }
  | { readonly type: 'withdraw'; readonly n: number; readonly withdrawal: number }
  | { readonly type: 'release'; readonly n: number }
  | { readonly type: 'reset' };

/** All that a shard receives. */
export type OwnMessage =
  | SenderMessage
  | { readonly type: 'ended'; readonly call: Call; readonly answer: Answer }
  | { readonly type: 'loaded'; readonly n: number; readonly found: boolean }
  | { readonly type: 'unloadable'; readonly n: number }
  | { readonly type: 'unread'; readonly item: Item; readonly entry: CallEntry; readonly tenure: number }
  | { readonly type: 'reread'; readonly item: Item; readonly entry: CallEntry; readonly tenure: number }
  | { readonly type: 'ripe'; readonly generation: number };

/** A call under way as this incarnation knows it; of a taken-over one the item may be known only by its entry. */
export interface Call {
  readonly item: Item;
  readonly key: string;
  readonly class: MessageClass;
  readonly body: BodyRow;
  readonly entry: CallEntry;
  /** Calls of a tenure that is over concern nobody. */
  readonly tenure: number;
}

/** Where a page handle leads. */
export interface Source {
  readonly n: number;
  readonly k: number | undefined;
}

/** An end that the pool was told of. */
export interface Reported {
  readonly source: number;
  readonly index: number;
  /** `move`: the chat became another one, to which the item goes. */
  readonly of: 'part' | 'item' | 'move';
  readonly freeAt: number;
  /** Of a `move`: how many parts of the item are sent. */
  readonly part?: number;
}

/** What a shard holds in memory; all of it can be fed again. */
export interface State {
  readonly boxes: Mailboxes;
  readonly sources: Map<number, Source>;
  /** Chats whose at-most-once item waits for its begun entry to be durable, then for its turn. */
  readonly begun: Map<number, { readonly item: Item; readonly key: string }>;
  /** Chats held until the bodies of page n are there. */
  readonly loading: Map<number, number[]>;
  /** What the pool was told of the lanes that want a turn. */
  announced: number;
  /** By chat: the item that was reported to the pool, whether all of it or a part, and when the chat may go on once that is durable. */
  readonly reported: Map<number, Reported>;
  /** Chats that became others, whose items are handed over when their call has ended; the tenure is the pool's. */
  readonly leaving: Map<number, { readonly to: number; readonly tenure: number }>;
  /** Chats held until items of their old ids have arrived. */
  readonly awaiting: Set<number>;
  /** Broadcasts whose items are not to be called: what of them is in the air is handed back when it would have to be called again. */
  readonly withdrawn: Set<number>;
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

/** The context of a shard. */
export type Ctx = ActorContext<OwnMessage>;

/** A shard without items. */
export function empty(tenure: number, generation: number): State {
  return {
    boxes: mailboxes(),
    sources: new Map(),
    begun: new Map(),
    loading: new Map(),
    announced: 0,
    reported: new Map(),
    leaving: new Map(),
    awaiting: new Set(),
    withdrawn: new Set(),
    tenure,
    ripeAt: Number.POSITIVE_INFINITY,
    generation,
  };
}

/** Lanes in which this shard could make a call now; `stuck`: of what is begun only. */
export function wants(state: State, now: number, deps: SenderDeps, stuck = false): number {
  let mask = stuck ? 0 : state.boxes.readyLanes(now);
  for (const { item, key } of state.begun.values()) {
    const place = state.sources.get(item.source);
    if (place !== undefined && deps.line.begunDurable.has(key) && !state.loading.has(place.n))
      mask |= 1 << laneCode(item.lane);
  }
  return mask;
}

/** Tells the pool when the lanes that want a turn have changed, and sets the timer for the next chat that ripens. */
export function announce(state: State, ctx: Ctx, deps: SenderDeps): State {
  const now = ctx.clock.now();
  const mask = wants(state, now, deps);
  publishReady(state, now, deps);
  if (mask !== state.announced) {
    state.announced = mask;
    ctx.tell(deps.pool, { type: 'wants', shard: deps.shard, lanes: mask });
  }
  return ripen(state, now, ctx);
}

/** Ends a turn of `lane` in which so many `calls` began. `stuck`: nothing more can be begun before another at-most-once call is settled; asking again at once would only spin. */
export function endTurn(
  state: State,
  turn: { readonly lane: Lane; readonly calls: number; readonly stuck?: boolean },
  ctx: Ctx,
  deps: SenderDeps,
): State {
  const now = ctx.clock.now();
  const { lane, calls, stuck = false } = turn;
  state.announced = wants(state, now, deps, stuck);
  publishReady(state, now, deps);
  ctx.tell(deps.pool, { type: 'turned', shard: deps.shard, lanes: state.announced, lane, calls });
  return ripen(state, now, ctx);
}

/** The pool reads from here how many chats could go now in each lane, to feed broadcasts in time: also those that only wait for their page (of any lane) or their begun entry. */
export function publishReady(state: State, now: number, deps: SenderDeps): void {
  state.boxes.readyLanes(now);
  let loading = 0;
  for (const held of state.loading.values()) loading += held.length;
  const ready = LANES.map((lane) => state.boxes.readyIn(lane) + loading);
  for (const { item } of state.begun.values()) ready[laneCode(item.lane)] = (ready[laneCode(item.lane)] ?? 0) + 1;
  deps.line.ready[deps.shard] = ready;
}

/** Sets the timer for the next chat that ripens; an older timer is stale by its generation. */
export function ripen(state: State, now: number, ctx: Ctx): State {
  const at = state.boxes.earliest();
  if (at < state.ripeAt) {
    state.generation += 1;
    state.ripeAt = at;
    ctx.after(Math.max(0, at - now), { type: 'ripe', generation: state.generation });
  }
  return state;
}

/** True for items of a broadcast that is paused, cancelled or out of its turn; one of which a part is sent goes on to its last. */
export function isWithdrawn(state: State, { source, part }: Pick<Item, 'source' | 'part'>): boolean {
  const place = state.sources.get(source);
  return part === 0 && place?.k !== undefined && state.withdrawn.has(place.n);
}

/** Removes what waits of withdrawn broadcasts. */
export function dropWithdrawn(state: State): Item[] {
  return state.boxes.dropChain(BROADCAST_CHAIN, (item) => isWithdrawn(state, item));
}

/** The class and the body of an item. Throws PH_PAGE_BODY when the page lacks it. */
export function contentOf(page: PageBodies, place: Source, index: number): { class: MessageClass; body: BodyRow } {
  const head = place.k === undefined ? headAt(page.heads, index) : undefined;
  const body = page.bodies[head?.body ?? 0];
  if (body === undefined) throw new Error(`PH_PAGE_BODY: page ${page.n} has no body for item ${index}`);
  return { class: head?.class ?? page.broadcast?.class ?? 'at-least-once', body };
}

/** The key in the registry of the call for an item's part. */
export function keyOf(deps: SenderDeps, place: Source, index: number, part: number): string {
  const at: DeliveryPlace = { bot: deps.line.bot, n: place.n, index, ...(place.k === undefined ? {} : { k: place.k }) };
  return callKey(deliveryId(at), part);
}
