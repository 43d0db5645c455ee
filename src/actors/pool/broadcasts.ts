import { deliveryId } from '../../delivery/ids.js';
import { laneCode } from '../../delivery/lanes.js';
import { addTally, type TallyCounts, tallied } from '../../delivery/packed.js';
import type { BroadcastWish, StoredBroadcastPage } from '../../store/broadcast-store.js';
import type { BroadcastBody, BroadcastRow } from '../../store/models.js';
import { endCancelled, inAir, lookAtWishes, readHeld, runOf, settleAs, takeWish, withdraw } from './broadcast-moves.js';
import { feed, markedSince, settleRead } from './feeding.js';
import { learnMoves, reachOf } from './moves.js';
import {
  type BroadcastRun,
  type Ctx,
  type KnownReach,
  type LoadedBroadcast,
  type PoolDeps,
  type State,
  tellShards,
} from './state.js';

/** The next page of an audience is made when fewer chats than this could go now: what waits for its own chat does not count. */
const READY_LOW = 500;
/** A broadcast's row is written at most this often while it runs, ms. */
const PUBLISH_MS = 1_000;
/** The rate is that of the last so many ms. */
const RATE_WINDOW_MS = 10_000;

/** What operators have made of the broadcasts: followed at once. */
export function onWishes(state: State, wishes: readonly BroadcastWish[], ctx: Ctx, deps: PoolDeps): void {
  state.looking = false;
  for (const wish of wishes) takeWish(state, wish, ctx, deps);
  if (state.lookWanted) lookAtWishes(state, ctx, deps);
  advanceBroadcasts(state, ctx, deps);
}

/** A page was not made, since the broadcast was moved meanwhile. */
export function onNotMade(state: State, wish: BroadcastWish, ctx: Ctx, deps: PoolDeps): void {
  const run = runOf(state, wish.n);
  if (run === undefined) return;
  run.making = false;
  takeWish(state, wish, ctx, deps);
  advanceBroadcasts(state, ctx, deps);
}

/** All of a cancelled broadcast is settled, and so many were never reached. */
export function onRest(state: State, n: number, skipped: number, ctx: Ctx, deps: PoolDeps): void {
  const run = runOf(state, n);
  if (run === undefined) return;
  run.counting = false;
  run.skipped = skipped;
  advanceBroadcasts(state, ctx, deps);
}

/**
 * Takes a page of an audience in: the unreachable end at once, the rest goes to the shards. Of a run whose items are held only calls that an earlier
 * life began go there, so that they end.
 */
export function takeBroadcastPage(
  state: State,
  run: BroadcastRun,
  page: StoredBroadcastPage,
  reach: KnownReach,
  loaded: LoadedBroadcast | undefined,
  ctx: Ctx,
  deps: PoolDeps,
): void {
  const { n, broadcast } = run;
  const { k } = page;
  learnMoves(state, reach.marks, ctx, deps);
  const chats = page.chats.map((chatId) => deps.line.whereIs(chatId));
  run.people += chats.length;
  run.swept = false;
  const isHeld = run.items !== 'fed';
  const known = loaded?.results.filter((result) => result.k === k) ?? [];
  const open = state.ledger.open(n, k, chats.length, known);
  const items: { index: number; chatId: number; lane: BroadcastBody['lane'] }[] = [];
  let settled = 0;
  chats.forEach((chatId, index) => {
    if (state.ledger.isSettled(open.source, index)) return;
    const id = deliveryId({ bot: deps.line.bot, n, k, index });
    const { lane, class: klass } = broadcast;
    const item = { source: open.source, index, id, chatId, lane, class: klass, body: loaded?.bodies?.bodies[0] };
    const isUnreachable = !isHeld && (reach.unreachable.has(chatId) || markedSince(state, chatId, reach.askedAt));
    const isTwice = !isHeld && reach.twice.has(page.chats[index] ?? 0) && !inAir(state, open.source, index, deps);
    if (settleRead(state, item, loaded?.deadLetters.get(id), isUnreachable, ctx, deps)) settled += 1;
    else if (isTwice) {
      settleAs(state, open.source, index, 'skipped', 0, ctx);
      settled += 1;
    } else if (!isHeld || inAir(state, open.source, index, deps)) items.push({ index, chatId, lane });
  });
  if (state.ledger.left(open.source) === 0 && settled === 0) {
    const tally = state.ledger.tally(open.source);
    state.ledger.drop(open.source);
    state.closed.push({ n, k });
    pageWhole(state, n, k, tally, ctx, deps);
    return;
  }
  feed(state, { source: open.source, n, k }, items, ctx, deps);
}

/** All outcomes of a page are durable: the sum moves on when it was the first open one. */
export function pageWhole(state: State, n: number, k: number, counted: TallyCounts, ctx: Ctx, deps: PoolDeps): void {
  const run = runOf(state, n);
  if (run === undefined) return;
  run.closed.set(k, counted);
  skipClosed(run);
  advanceBroadcasts(state, ctx, deps);
}

/** The sum takes in the pages that are whole, up to the first that is not. */
export function skipClosed(run: BroadcastRun): void {
  for (let counted = run.closed.get(run.firstOpenK); counted !== undefined; counted = run.closed.get(run.firstOpenK)) {
    run.sum = addTally(run.sum, counted);
    run.closed.delete(run.firstOpenK);
    run.firstOpenK += 1;
  }
}

/** Runs the broadcasts in the order of acceptance: makes pages, moves rows, begins the next when the one before leaves nothing that could go. */
export function advanceBroadcasts(state: State, ctx: Ctx, deps: PoolDeps): void {
  if (state.phase === 'standby' || deps.line.draining) return;
  for (const run of [...state.runs]) moveRow(state, run, ctx, deps);
  for (const run of state.runs) {
    if (run.phase === 'loading') return;
    if (run.state === 'cancelled') endCancelled(state, run, ctx, deps);
    else if (run.state === 'paused') {
      if (run.items === 'fed') withdraw(run, ctx, deps);
    } else if (!givesWay(state, run, ctx, deps)) return;
  }
}

/** Lets a running broadcast go on; true once it leaves nothing that could go, so that the next may begin. */
function givesWay(state: State, run: BroadcastRun, ctx: Ctx, deps: PoolDeps): boolean {
  if (run.items !== 'fed') {
    if (run.items === 'held' && !run.making) readHeld(state, run, ctx, deps);
    return false;
  }
  if (run.passed) return true;
  if (run.ended) {
    // What waits for its own chat only goes on beside those that follow.
    run.passed = leavesNothing(state, run, deps);
    return run.passed;
  }
  if (!run.making && readyChats(run, deps) < READY_LOW && state.feeding.size === 0) makePage(state, run, ctx, deps);
  return false;
}

/** Chats that could go now in the lane of the run: what waits in other lanes must not keep it from its share. */
const readyChats = ({ broadcast }: BroadcastRun, deps: PoolDeps): number =>
  deps.line.ready.reduce((sum, ready) => sum + (ready[laneCode(broadcast.lane)] ?? 0), 0);

/** True when each item of the run is settled or waits for its own chat only. */
function leavesNothing(state: State, run: BroadcastRun, deps: PoolDeps): boolean {
  if (run.firstOpenK === run.nextK) return true;
  return (
    state.feeding.size === 0 && readyChats(run, deps) === 0 && !deps.line.registry.some(`${deps.line.bot}-${run.n}-`)
  );
}

function makePage(state: State, run: BroadcastRun, ctx: Ctx, deps: PoolDeps): void {
  run.making = true;
  const { tenure } = state;
  const { n, broadcast, nextK, after, phase } = run;
  const { broadcasts, line } = deps;
  const make = async () => {
    if (phase === 'waiting') {
      const { state: wish } = await broadcasts.begin(n, new Date(ctx.clock.wallNow()));
      if (wish !== 'running') return wish;
    }
    const askedAt = ctx.clock.now();
    const made = await broadcasts.audience(broadcast.audience, after);
    const page = await broadcasts.addPage(n, nextK, deps.newId(), after, made);
    if (page.mine) {
      return {
        page,
        reach: {
          unreachable: new Set(made.chats.filter((_, index) => made.unreachable[index])),
          askedAt,
          marks: [],
          twice: new Set<number>(),
        },
      };
    }
    // Somebody else's page (or that of a lost answer) is ours only if a beat is acknowledged after it was read.
    await line.holding?.publishNow({});
    return { page, reach: await reachOf(n, [page], ctx, deps) };
  };
  ctx.pipe(
    make(),
    (made) =>
      typeof made === 'string'
        ? { type: 'broadcast-not-made', tenure, wish: { n, state: made } }
        : { type: 'broadcast-page', tenure, n, ...made },
    (error) => ({ type: 'broadcast-failed', tenure, n, step: 'page', error }),
  );
}

/** A page of the audience is durable: its first call may begin. */
export function onBroadcastPage(
  state: State,
  n: number,
  page: StoredBroadcastPage,
  reach: KnownReach,
  ctx: Ctx,
  deps: PoolDeps,
): void {
  const run = runOf(state, n);
  if (run === undefined) return;
  run.making = false;
  run.counting = false;
  run.phase = 'running';
  run.nextK = page.k + 1;
  run.after = page.upTo;
  run.ended = page.upTo === null;
  takeBroadcastPage(state, run, page, reach, undefined, ctx, deps);
  advanceBroadcasts(state, ctx, deps);
}

/** Whether a row says that its broadcast has ended: done, or cancelled with all counts final. */
export const isOver = (row: BroadcastRow): boolean => row.state === 'done' || row.finishedAt !== undefined;

/** Writes the row when there is something new: a compare-and-set on its first open page. */
function moveRow(state: State, run: BroadcastRun, ctx: Ctx, deps: PoolDeps): void {
  if (run.phase !== 'running' || run.moving) return;
  const isCancelled = run.state === 'cancelled';
  const done = run.firstOpenK === run.nextK && (isCancelled ? run.skipped !== undefined : run.ended);
  const now = ctx.clock.now();
  if (!done && now - run.publishedAt < PUBLISH_MS) return;
  if (!done && run.firstOpenK === run.rowK && now - run.publishedAt < 2 * PUBLISH_MS) return;
  run.moving = true;
  run.publishedAt = now;
  const { tenure } = state;
  const { n, firstOpenK } = run;
  const ratePerSecond = run.state === 'running' ? rate(state, run, now) : 0;
  const skipped = run.skipped ?? 0;
  const to = {
    k: firstOpenK,
    sum: { ...run.sum, skipped: run.sum.skipped + skipped },
    ratePerSecond,
    ...(run.ended || done ? { total: run.people + skipped } : {}),
    ...(done ? { finishedAt: new Date(ctx.clock.wallNow()) } : {}),
    ...(done && !isCancelled ? { state: 'done' as const } : {}),
  };
  const from = { k: run.rowK, cancelled: isCancelled };
  const move = async () => {
    // The last counts are those of the owner: one that was fenced and has not heard of it yet must not end what another sends.
    if (done) await deps.line.holding?.publishNow({});
    if (await deps.broadcasts.move(n, from, to)) return { k: firstOpenK, done, cancelled: isCancelled };
    // An earlier move whose answer was lost had arrived, or it was cancelled: the next one starts from where the row is.
    const row = await deps.broadcasts.row(n);
    return {
      k: row?.k ?? firstOpenK,
      done: row === undefined || isOver(row),
      cancelled: row?.state === 'cancelled',
    };
  };
  ctx.pipe(
    move(),
    (moved) => ({ type: 'broadcast-moved', tenure, n, ...moved }),
    (error) => ({ type: 'broadcast-failed', tenure, n, step: 'move', error }),
  );
}

function rate(state: State, run: BroadcastRun, now: number): number {
  let settled = tallied(run.sum);
  for (const counted of run.closed.values()) settled += tallied(counted);
  for (const page of state.ledger.pages()) if (page.n === run.n) settled += tallied(state.ledger.tally(page.source));
  run.samples.push({ at: now, settled });
  while ((run.samples[1]?.at ?? now) < now - RATE_WINDOW_MS) run.samples.shift();
  const first = run.samples[0];
  if (first === undefined || now - first.at < PUBLISH_MS / 2) return 0;
  return Math.round(((settled - first.settled) * 10_000) / (now - first.at)) / 10;
}

/** The row is known to be at `k`; a done broadcast's page of the log is closed. */
export function onBroadcastMoved(
  state: State,
  { n, k, done, cancelled }: { n: number; k: number; done: boolean; cancelled: boolean },
  ctx: Ctx,
  deps: PoolDeps,
): void {
  const run = runOf(state, n);
  if (run === undefined) return;
  run.moving = false;
  run.rowK = k;
  if (cancelled) takeWish(state, { n, state: 'cancelled' }, ctx, deps);
  if (done) finish(state, run, ctx, deps);
  advanceBroadcasts(state, ctx, deps);
}

/** A broadcast that is done: its page of the log is closed. */
export function finish(state: State, run: BroadcastRun, ctx: Ctx, deps: PoolDeps): void {
  run.phase = 'done';
  state.runs = state.runs.filter((other) => other !== run);
  state.closed.push({ n: run.n, k: undefined });
  tellShards(ctx, deps, { type: 'release', n: run.n });
  const what = run.state === 'cancelled' ? 'broadcast cancelled' : 'broadcast done';
  ctx.log.info({ bot: deps.line.bot, broadcast: run.n, ...run.sum }, what);
}
