import { deliveryId } from '../../delivery/ids.js';
import { headAt } from '../../delivery/packed.js';
import type { AppendedPage } from '../../store/page-log.js';
import { headCount, type PageHead } from '../../store/send-store.js';
import { addRun } from './broadcast-loading.js';
import { feed, markedSince, restFrozen, settleRead } from './feeding.js';
import { learnMoves, marksOf } from './moves.js';
import type { Ctx, LoadedPage, PoolDeps, State } from './state.js';

/** Pages of the log read at once. */
const READ_PAGES = 20;
const READ_RETRY_MS = 1_000;

/** The first reads of a tenure: the tail, and which chats a 429 still freezes. */
export function locate(state: State, ctx: Ctx, deps: PoolDeps): void {
  const { tenure } = state;
  const { line, store } = deps;
  state.reading = true;
  // A commit of an earlier tenure must have ended before its results are read; nobody else hears of its end.
  const before = line.commit === undefined || line.commit.tenure === tenure ? undefined : line.commit;
  ctx.pipe(
    (before?.done ?? Promise.resolve()).then(() => {
      if (before !== undefined && line.commit === before) line.commit = undefined;
      return Promise.all([store.tail(), store.frozenChats(ctx.clock.wallNow())]);
    }),
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
    pages.then(async (found) => {
      const askedAt = ctx.clock.now();
      return {
        more: handed.length > 0 || found.length === READ_PAGES,
        pages: await Promise.all(found.map((page) => complete(page, stage, begun, askedAt, deps))),
      };
    }),
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
  askedAt: number,
  deps: PoolDeps,
): Promise<LoadedPage> {
  const { store, line } = deps;
  if (!page.open || page.kind === 'broadcast') return { page, results: [], deadLetters: new Map(), marks: [], askedAt };
  const chats = [
    ...new Set(Array.from({ length: headCount(page.heads) }, (_, index) => headAt(page.heads, index).chatId)),
  ];
  const prefix = `${line.bot}-${page.n}-`;
  const hasBegun = stage === 'open' && [...begun].some((id) => id.startsWith(prefix));
  const [results, deadLetters, marks, bodies] = await Promise.all([
    stage === 'open' ? store.results(page.n) : [],
    stage === 'open' ? store.deadLetters(page.n) : new Map<string, 'dead' | 'unknown'>(),
    marksOf(chats, deps),
    hasBegun ? line.fetchBodies(page.n) : undefined,
  ]);
  return { page, results, deadLetters, marks, askedAt, ...(bodies === undefined ? {} : { bodies }) };
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

/** A read failed, mostly since the store is away: again after a second. */
export function onReadFailed(state: State, error: unknown, ctx: Ctx, deps: PoolDeps): void {
  ctx.log.debug({ bot: deps.line.bot, error: String(error) }, 'the log could not be read; trying again');
  ctx.after(READ_RETRY_MS, { type: 'read-again', tenure: state.tenure });
}

function takePage(
  state: State,
  { page, results, deadLetters, marks, askedAt, bodies }: LoadedPage,
  ctx: Ctx,
  deps: PoolDeps,
): void {
  learnMoves(state, marks, ctx, deps);
  const count = headCount(page.heads);
  const open = state.ledger.open(page.n, undefined, count, results);
  const byChat = new Map(marks.map((mark) => [mark.chatId, mark]));
  const indexes: number[] = [];
  let settled = 0;
  for (let index = 0; index < count; index += 1) {
    if (state.ledger.isSettled(open.source, index)) continue;
    const given = headAt(page.heads, index);
    const head = { ...given, chatId: deps.line.whereIs(given.chatId) };
    const id = deliveryId({ bot: deps.line.bot, n: page.n, index });
    const item = { source: open.source, index, id, ...head, body: bodies?.bodies[head.body] };
    const isUnreachable = byChat.get(head.chatId)?.unreachable === true || markedSince(state, head.chatId, askedAt);
    if (settleRead(state, item, deadLetters.get(id), isUnreachable, ctx, deps)) settled += 1;
    else indexes.push(index);
  }
  restFrozen(marks, ctx, deps);
  const items = indexes.map((index) => ({
    index,
    chatId: deps.line.whereIs(headAt(page.heads, index).chatId),
    lane: headAt(page.heads, index).lane,
  }));
  feed(state, { source: open.source, n: page.n, k: undefined }, items, ctx, deps);
  if (state.ledger.left(open.source) === 0 && settled === 0) {
    state.ledger.drop(open.source);
    state.closed.push({ n: page.n, k: undefined });
  }
}
