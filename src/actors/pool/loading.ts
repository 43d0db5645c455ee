import { deliveryId } from '../../delivery/ids.js';
import type { Lane } from '../../delivery/lanes.js';
import { headAt } from '../../delivery/packed.js';
import { shardOf } from '../../delivery/shards.js';
import type { AppendedPage } from '../../store/page-log.js';
import { type ChatMark, headCount, type PageHead } from '../../store/send-store.js';
import type { Feed } from '../sender.js';
import { addRun } from './broadcasts.js';
import { type Ctx, type LoadedPage, type PoolDeps, placeKey, type State, shardAddress } from './state.js';

/** Pages of the log read at once. */
const READ_PAGES = 20;
const READ_RETRY_MS = 1_000;

/** The first reads of a tenure: the tail, and which chats a 429 still freezes. */
export function locate(state: State, ctx: Ctx, deps: PoolDeps): void {
  const { tenure } = state;
  state.reading = true;
  ctx.pipe(
    // A commit that a pool before this one began must have ended before its results are read.
    (deps.line.commit?.done ?? Promise.resolve()).then(() =>
      Promise.all([deps.store.tail(), deps.store.frozenChats(ctx.clock.wallNow())]),
    ),
    ([tail, frozen]) => ({ type: 'located', tenure, tail, frozen }),
    (error) => ({ type: 'read-failed', tenure, error }),
  );
}

/** Reads on: first the open pages up to the tail of the takeover, then all behind it. One read at a time, so pages come in order. */
export function readOn(state: State, ctx: Ctx, deps: PoolDeps): void {
  if (state.reading) {
    state.scanWanted = true;
    return;
  }
  state.reading = true;
  state.scanWanted = false;
  const { tenure, readTo, tail } = state;
  const { store } = deps;
  const stage = readTo < tail ? 'open' : 'tail';
  const handed = stage === 'tail' ? takeHanded(state) : [];
  const pages: Promise<PageHead[]> =
    handed.length > 0
      ? Promise.resolve(handed.map((page) => ({ n: page.n, kind: page.kind, open: true, heads: page.heads })))
      : stage === 'open'
        ? store.openPages(readTo, tail, READ_PAGES)
        : store.pagesAfter(readTo, READ_PAGES);
  const begun = state.begunBefore;
  ctx.pipe(
    pages.then(async (found) => ({
      more: handed.length > 0 || found.length === READ_PAGES,
      pages: await Promise.all(found.map((page) => complete(page, stage, begun, deps))),
    })),
    (read) => ({ type: 'read', tenure, stage, ...read }),
    (error) => ({ type: 'read-failed', tenure, error }),
  );
}

/** Pages that this process appended itself and that follow without a gap: they need not be read. */
function takeHanded(state: State): AppendedPage[] {
  const next: AppendedPage[] = [];
  let { readTo } = state;
  for (const page of state.handed) {
    if (page.n === readTo + 1 && page.kind === 'messages') {
      next.push(page);
      readTo = page.n;
    }
  }
  const last = next.at(-1)?.n ?? state.readTo;
  state.handed = state.handed.filter((page) => page.n > last && page.n !== state.readTo);
  if (next.length === 0) state.handed = [];
  return next;
}

async function complete(
  page: PageHead,
  stage: 'open' | 'tail',
  begun: ReadonlySet<string>,
  deps: PoolDeps,
): Promise<LoadedPage> {
  const { store, line } = deps;
  if (!page.open || page.kind === 'broadcast') return { page, results: [], deadLetters: new Map(), marks: [] };
  const chats = [
    ...new Set(Array.from({ length: headCount(page.heads) }, (_, index) => headAt(page.heads, index).chatId)),
  ];
  const prefix = `${line.bot}-${page.n}-`;
  const hasBegun = stage === 'open' && [...begun].some((id) => id.startsWith(prefix));
  const [results, deadLetters, marks, bodies] = await Promise.all([
    stage === 'open' ? store.results(page.n) : [],
    stage === 'open' ? store.deadLetters(page.n) : new Map<string, 'dead' | 'unknown'>(),
    store.marks(chats),
    hasBegun ? line.fetchBodies(page.n) : undefined,
  ]);
  return { page, results, deadLetters, marks, ...(bodies === undefined ? {} : { bodies }) };
}

/** Takes read pages in: settled ones are closed, the rest goes to the shards. */
export function onRead(
  state: State,
  pages: readonly LoadedPage[],
  stage: 'open' | 'tail',
  more: boolean,
  ctx: Ctx,
  deps: PoolDeps,
): void {
  state.reading = false;
  for (const loaded of pages) {
    state.readTo = loaded.page.n;
    if (loaded.page.broadcast !== undefined && loaded.page.open)
      addRun(state, loaded.page.n, loaded.page.broadcast, ctx, deps);
    else if (loaded.page.kind === 'messages' && loaded.page.open) takePage(state, loaded, ctx, deps);
  }
  if (stage === 'open' && !more) state.readTo = state.tail;
  if (state.readTo >= state.tail) state.caughtUp = true;
  if (more || stage === 'open' || state.scanWanted || state.handed.length > 0) readOn(state, ctx, deps);
}

export function onReadFailed(state: State, error: unknown, ctx: Ctx, deps: PoolDeps): void {
  ctx.log.debug({ bot: deps.line.bot, error: String(error) }, 'the log could not be read; trying again');
  ctx.after(READ_RETRY_MS, { type: 'read-again', tenure: state.tenure });
}

function takePage(
  state: State,
  { page, results, deadLetters, marks, bodies }: LoadedPage,
  ctx: Ctx,
  deps: PoolDeps,
): void {
  const count = headCount(page.heads);
  const open = state.ledger.open(page.n, undefined, count, results);
  const byChat = new Map(marks.map((mark) => [mark.chatId, mark]));
  const indexes: number[] = [];
  const resting: number[] = [];
  let settled = 0;
  for (let index = 0; index < count; index += 1) {
    if (state.ledger.isSettled(open.source, index)) continue;
    const head = headAt(page.heads, index);
    const id = deliveryId({ bot: deps.line.bot, n: page.n, index });
    const ended =
      deadLetters.get(id) ?? (state.begunBefore.has(id) && !deps.line.registry.get(id) ? 'begun' : undefined);
    const at = ctx.clock.wallNow();
    if (ended === 'begun') {
      const error = { code: 0, description: 'the process died while the call was under way' };
      const body = bodies?.bodies[head.body] ?? { text: '' };
      const payload = { chatId: head.chatId, ...body, lane: head.lane, class: head.class, state: 'unknown' };
      state.deadLetters.push({ source: id, reason: error.description, attempts: 1, payload });
      state.ledger.settle(open.source, index, { state: 'unknown', attempts: 1, messageId: 0, at, error });
      state.begunPending.add(id);
      resting.push(head.chatId);
      settled += 1;
    } else if (ended !== undefined) {
      state.ledger.settle(open.source, index, { state: ended, attempts: 1, messageId: 0, at });
      settled += 1;
    } else if (byChat.get(head.chatId)?.unreachable === true) {
      settleUnreachable(state, open.source, index, at);
      settled += 1;
    } else {
      indexes.push(index);
    }
  }
  restFrozen(marks, ctx, deps);
  restChats(resting, state.begunRestUntil, ctx, deps);
  const items = indexes.map((index) => ({
    index,
    chatId: headAt(page.heads, index).chatId,
    lane: headAt(page.heads, index).lane,
  }));
  feed(state, { source: open.source, n: page.n, k: undefined }, items, ctx, deps);
  if (state.ledger.left(open.source) === 0 && settled === 0) {
    state.ledger.drop(open.source);
    state.closed.push({ n: page.n, k: undefined });
  }
}

/** These chats get no call before `until` (monotonic ms). */
export function restChats(chats: readonly number[], until: number, ctx: Ctx, deps: PoolDeps): void {
  for (const chatId of chats) {
    ctx.tell(shardAddress(ctx, shardOf(chatId, deps.shards)), { type: 'rest', chats: [{ chatId, until }] });
  }
}

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

/** Chats that a 429 froze stay frozen, by the wall clock of the store's mark. */
export function restFrozen(marks: readonly ChatMark[], ctx: Ctx, deps: PoolDeps): void {
  const wall = ctx.clock.wallNow();
  const now = ctx.clock.now();
  for (let shard = 0; shard < deps.shards; shard += 1) {
    const chats = marks
      .filter((mark) => mark.frozenUntil > wall && shardOf(mark.chatId, deps.shards) === shard)
      .map((mark) => ({ chatId: mark.chatId, until: now + mark.frozenUntil - wall }));
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
  const feeds = new Map<number, { indexes: number[]; chats: number[]; lanes: Lane[] }>();
  for (const { index, chatId, lane } of items) {
    const shard = shardOf(chatId, deps.shards);
    let one = feeds.get(shard);
    if (one === undefined) {
      one = { indexes: [], chats: [], lanes: [] };
      feeds.set(shard, one);
    }
    one.indexes.push(index);
    one.chats.push(chatId);
    one.lanes.push(lane);
  }
  for (const [shard, one] of feeds) {
    const message: Feed = { ...place, ...one };
    state.feeding.add(placeKey(place.source, shard));
    ctx.tell(shardAddress(ctx, shard), { type: 'feed', feed: message });
  }
}
