import { deliveryId } from '../../delivery/ids.js';
import { addTally, emptyTally, type TallyCounts, tallied } from '../../delivery/packed.js';
import type { StoredBroadcastPage } from '../../store/broadcast-store.js';
import type { BroadcastBody } from '../../store/models.js';
import { feed, markedSince, settleRead } from './feeding.js';
import { learnMoves, marksOf } from './moves.js';
import type { BroadcastRun, BroadcastStep, Ctx, KnownReach, LoadedBroadcast, PoolDeps, State } from './state.js';

/** The next page of an audience is made when fewer chats than this could go now: what waits for its own chat does not count. */
const READY_LOW = 500;
/** A broadcast's row is written at most this often while it runs, ms. */
const PUBLISH_MS = 1_000;
/** The rate is that of the last so many ms. */
const RATE_WINDOW_MS = 10_000;
const RETRY_MS = 1_000;

/** A broadcast that is not done was met in the log: what is known of it is read at once, it runs when its turn comes. */
export function addRun(state: State, n: number, broadcast: BroadcastBody, ctx: Ctx, deps: PoolDeps): void {
  const run: BroadcastRun = {
    n,
    broadcast,
    phase: 'loading',
    loaded: undefined,
    rowK: 0,
    firstOpenK: 0,
    sum: emptyTally(),
    closed: new Map(),
    nextK: 0,
    after: null,
    ended: false,
    people: 0,
    making: false,
    moving: false,
    samples: [],
    publishedAt: Number.NEGATIVE_INFINITY,
  };
  state.runs.push(run);
  load(state, run, ctx, deps);
}

function load(state: State, run: BroadcastRun, ctx: Ctx, deps: PoolDeps): void {
  const { tenure } = state;
  const { n } = run;
  const read = async (): Promise<LoadedBroadcast | undefined> => {
    const row = await deps.broadcasts.row(n);
    if (row === undefined) return undefined;
    // One after the other: a page up to the last that is not open is settled, and its results are there. A late write of the owner before may come between.
    const lastPage = await deps.broadcasts.lastPage(n);
    const openPages = await deps.broadcasts.openPages(n, row.k);
    const [results, deadLetters, bodies] = await Promise.all([
      deps.store.results(n, row.k),
      deps.store.deadLetters(n),
      deps.line.fetchBodies(n),
    ]);
    const reach = await reachOf(openPages, ctx, deps);
    return { row, openPages, lastPage, results, deadLetters, bodies, reach };
  };
  ctx.pipe(
    read(),
    (loaded) =>
      loaded === undefined
        ? { type: 'broadcast-again', tenure, n, step: 'load' }
        : { type: 'broadcast-loaded', tenure, n, loaded },
    (error) => ({ type: 'broadcast-failed', tenure, n, step: 'load', error }),
  );
}

/** The marks of people in pages that were made before: flags of the audience are read when a page is made, and again here. */
async function reachOf(pages: readonly StoredBroadcastPage[], ctx: Ctx, deps: PoolDeps): Promise<KnownReach> {
  const askedAt = ctx.clock.now();
  const marks = await marksOf(
    pages.flatMap((page) => page.chats),
    deps,
  );
  return { unreachable: new Set(marks.filter((mark) => mark.unreachable).map((mark) => mark.chatId)), askedAt, marks };
}

/** The run of the broadcast at page `n`, if it is not done. */
export const runOf = (state: State, n: number): BroadcastRun | undefined => state.runs.find((run) => run.n === n);

/** No row yet: the broadcast waits for its turn. Or a failed step of it is due again. */
export function onAgain(state: State, n: number, step: BroadcastStep, ctx: Ctx, deps: PoolDeps): void {
  const run = runOf(state, n);
  if (run === undefined) return;
  if (step === 'load') {
    run.phase = 'waiting';
    takeLoaded(state, ctx, deps);
  } else if (step === 'page') run.making = false;
  else run.moving = false;
  advanceBroadcasts(state, ctx, deps);
}

/** A step failed, mostly since the store is away: the same step again after a second. */
export function onBroadcastFailed(
  state: State,
  n: number,
  step: BroadcastStep,
  error: unknown,
  ctx: Ctx,
  deps: PoolDeps,
): void {
  ctx.log.warn(
    { bot: deps.line.bot, broadcast: n, error: String(error) },
    'a step of a broadcast failed; trying again',
  );
  const { tenure } = state;
  if (step === 'load') ctx.after(RETRY_MS, { type: 'broadcast-reload', tenure, n });
  else ctx.after(RETRY_MS, { type: 'broadcast-again', tenure, n, step });
}

/** Reads a broadcast again whose first read failed. */
export function reloadRun(state: State, n: number, ctx: Ctx, deps: PoolDeps): void {
  const run = runOf(state, n);
  if (run !== undefined) load(state, run, ctx, deps);
}

/** A broadcast that had begun is read. */
export function onBroadcastLoaded(state: State, n: number, loaded: LoadedBroadcast, ctx: Ctx, deps: PoolDeps): void {
  const run = runOf(state, n);
  if (run === undefined) return;
  run.loaded = loaded;
  takeLoaded(state, ctx, deps);
}

/** Takes what is read in the order of acceptance: a broadcast that is not read yet holds up those behind it. */
function takeLoaded(state: State, ctx: Ctx, deps: PoolDeps): void {
  for (const run of [...state.runs]) {
    if (run.phase !== 'loading') continue;
    const { loaded } = run;
    if (loaded === undefined) return;
    run.loaded = undefined;
    takeRun(state, run, loaded, ctx, deps);
  }
}

/** Its open pages go on where their results end, its audience behind its last page. */
function takeRun(state: State, run: BroadcastRun, loaded: LoadedBroadcast, ctx: Ctx, deps: PoolDeps): void {
  const { row, openPages, results } = loaded;
  if (row.state === 'done' || row.state === 'cancelled') {
    finish(state, run, ctx, deps);
    return;
  }
  run.phase = 'running';
  run.rowK = row.k;
  run.firstOpenK = row.k;
  run.sum = { ...row.sum };
  run.people = tallied(row.sum);
  const open = new Map(openPages.map((page) => [page.k, page]));
  const byK = new Map(results.map((result) => [result.k, result]));
  const lastOpen = openPages.at(-1);
  const lastPage = (lastOpen?.k ?? -1) > (loaded.lastPage?.k ?? -1) ? lastOpen : loaded.lastPage;
  if (lastPage !== undefined) {
    run.nextK = lastPage.k + 1;
    run.after = lastPage.upTo;
    run.ended = lastPage.upTo === null;
  }
  for (let k = row.k; k < run.nextK; k += 1) {
    const page = open.get(k);
    const known = byK.get(k);
    if (page === undefined) {
      run.closed.set(k, known?.tally ?? emptyTally());
      run.people += tallied(run.closed.get(k) ?? emptyTally());
    } else {
      takeBroadcastPage(state, run, page, loaded.reach, loaded, ctx, deps);
    }
  }
  skipClosed(run);
  advanceBroadcasts(state, ctx, deps);
}

/** Takes a page of an audience in: the unreachable end at once, the rest goes to the shards. */
function takeBroadcastPage(
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
  const known = loaded?.results.filter((result) => result.k === k) ?? [];
  const open = state.ledger.open(n, k, chats.length, known);
  const items: { index: number; chatId: number; lane: BroadcastBody['lane'] }[] = [];
  let settled = 0;
  chats.forEach((chatId, index) => {
    if (state.ledger.isSettled(open.source, index)) return;
    const id = deliveryId({ bot: deps.line.bot, n, k, index });
    const { lane, class: klass } = broadcast;
    const item = { source: open.source, index, id, chatId, lane, class: klass, body: loaded?.bodies?.bodies[0] };
    const isUnreachable = reach.unreachable.has(chatId) || markedSince(state, chatId, reach.askedAt);
    if (settleRead(state, item, loaded?.deadLetters.get(id), isUnreachable, ctx, deps)) settled += 1;
    else items.push({ index, chatId, lane });
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

function skipClosed(run: BroadcastRun): void {
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
    if (!run.ended) {
      if (!run.making && readyChats(deps) < READY_LOW && state.feeding.size === 0) makePage(state, run, ctx, deps);
      return;
    }
    if (!leavesNothing(state, run, deps)) return;
  }
}

const readyChats = (deps: PoolDeps): number => deps.line.ready.reduce((sum, ready) => sum + ready, 0);

/** True when each item of the run is settled or waits for its own chat only. */
function leavesNothing(state: State, run: BroadcastRun, deps: PoolDeps): boolean {
  if (run.firstOpenK === run.nextK) return true;
  return state.feeding.size === 0 && readyChats(deps) === 0 && !deps.line.registry.some(`${deps.line.bot}-${run.n}-`);
}

function makePage(state: State, run: BroadcastRun, ctx: Ctx, deps: PoolDeps): void {
  run.making = true;
  const { tenure } = state;
  const { n, broadcast, nextK, after, phase } = run;
  const { broadcasts, line } = deps;
  const make = async () => {
    if (phase === 'waiting')
      await broadcasts.begin(n, await broadcasts.count(broadcast.audience), new Date(ctx.clock.wallNow()));
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
        },
      };
    }
    // Somebody else's page (or that of a lost answer) is ours only if a beat is acknowledged after it was read.
    await line.holding?.publishNow({});
    return { page, reach: await reachOf([page], ctx, deps) };
  };
  ctx.pipe(
    make(),
    ({ page, reach }) => ({ type: 'broadcast-page', tenure, n, page, reach }),
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
  run.phase = 'running';
  run.nextK = page.k + 1;
  run.after = page.upTo;
  run.ended = page.upTo === null;
  takeBroadcastPage(state, run, page, reach, undefined, ctx, deps);
  advanceBroadcasts(state, ctx, deps);
}

/** Writes the row when there is something new: a compare-and-set on its first open page. */
function moveRow(state: State, run: BroadcastRun, ctx: Ctx, deps: PoolDeps): void {
  if (run.phase !== 'running' || run.moving) return;
  const done = run.ended && run.firstOpenK === run.nextK;
  const now = ctx.clock.now();
  if (!done && now - run.publishedAt < PUBLISH_MS) return;
  if (!done && run.firstOpenK === run.rowK && now - run.publishedAt < 2 * PUBLISH_MS) return;
  run.moving = true;
  run.publishedAt = now;
  const { tenure } = state;
  const { n, firstOpenK } = run;
  const ratePerSecond = rate(state, run, now);
  const to = {
    k: firstOpenK,
    sum: run.sum,
    ratePerSecond,
    ...(run.ended ? { total: run.people } : {}),
    ...(done ? { state: 'done' as const, finishedAt: new Date(ctx.clock.wallNow()) } : {}),
  };
  const from = { k: run.rowK };
  const move = async () => {
    if (await deps.broadcasts.move(n, from, to)) return { k: firstOpenK, done };
    // An earlier move whose answer was lost had arrived: the next one starts from where the row is.
    const row = await deps.broadcasts.row(n);
    return { k: row?.k ?? firstOpenK, done: row === undefined || row.state === 'done' };
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
export function onBroadcastMoved(state: State, n: number, k: number, done: boolean, ctx: Ctx, deps: PoolDeps): void {
  const run = runOf(state, n);
  if (run === undefined) return;
  run.moving = false;
  run.rowK = k;
  if (done) finish(state, run, ctx, deps);
  advanceBroadcasts(state, ctx, deps);
}

function finish(state: State, run: BroadcastRun, ctx: Ctx, deps: PoolDeps): void {
  run.phase = 'done';
  state.runs = state.runs.filter((other) => other !== run);
  state.closed.push({ n: run.n, k: undefined });
  ctx.log.info({ bot: deps.line.bot, broadcast: run.n, ...run.sum }, 'broadcast done');
}
