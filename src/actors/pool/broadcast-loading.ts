import { emptyTally, tallied } from '../../delivery/packed.js';
import type { BroadcastBody } from '../../store/models.js';
import { runOf, withdraw } from './broadcast-moves.js';
import { advanceBroadcasts, finish, isOver, skipClosed, takeBroadcastPage } from './broadcasts.js';
import { reachOf } from './moves.js';
import type { BroadcastRun, BroadcastStep, Ctx, LoadedBroadcast, PoolDeps, State } from './state.js';

const RETRY_MS = 1_000;

/** A broadcast that is not done was met in the log: what is known of it is read at once, it runs when its turn comes. */
export function addRun(state: State, n: number, broadcast: BroadcastBody, ctx: Ctx, deps: PoolDeps): void {
  const run: BroadcastRun = {
    n,
    broadcast,
    phase: 'loading',
    state: 'running',
    items: 'fed',
    withdrawal: 0,
    awaited: new Set(),
    passed: false,
    swept: false,
    skipped: undefined,
    counting: false,
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
    const reach = await reachOf(n, openPages, ctx, deps);
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
  if (isOver(row)) {
    finish(state, run, ctx, deps);
    return;
  }
  run.phase = row.startedAt === undefined ? 'waiting' : 'running';
  if (row.state !== 'done') run.state = row.state;
  if (run.state !== 'running') withdraw(run, ctx, deps);
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

/** No row yet: the broadcast waits for its turn. Or a failed step of it is due again. */
export function onAgain(state: State, n: number, step: BroadcastStep, ctx: Ctx, deps: PoolDeps): void {
  const run = runOf(state, n);
  if (run === undefined) return;
  if (step === 'load') {
    run.phase = 'waiting';
    takeLoaded(state, ctx, deps);
  } else if (step === 'page') run.making = false;
  else if (step === 'move') run.moving = false;
  else if (step === 'rest') run.counting = false;
  else if (run.items === 'reading') run.items = 'held';
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
