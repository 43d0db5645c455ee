import { callKey } from '../../delivery/ids.js';
import type { BroadcastWish, StoredBroadcastPage } from '../../store/broadcast-store.js';
import { feed, markedSince, settleUnreachable } from './feeding.js';
import { learnMoves, marksOf, metTwice } from './moves.js';
import type { BroadcastRun, Ctx, HandedBack, HeldItems, PoolDeps, State } from './state.js';
import { tellShards } from './state.js';

/** Wakes mostly tell of new pages: the states of broadcasts are read at most this often for them, ms. */
const LOOK_MS = 100;

/** The run of the broadcast at page `n`, if it is not done. */
export const runOf = (state: State, n: number): BroadcastRun | undefined => state.runs.find((run) => run.n === n);

/** Asks the store what operators have made of the broadcasts that are not done: one read at a time, so that answers never go back. */
export function lookAtWishes(state: State, ctx: Ctx, deps: PoolDeps): void {
  if (state.phase === 'standby' || state.runs.length === 0) return;
  if (state.looking) {
    state.lookWanted = true;
    return;
  }
  state.looking = true;
  state.lookWanted = false;
  state.lookedAt = ctx.clock.now();
  const { tenure } = state;
  ctx.pipe(
    deps.broadcasts.wishes(state.runs.map((run) => run.n)),
    (wishes) => ({ type: 'broadcast-wishes', tenure, wishes }),
    // The store is away: the next tick asks again.
    () => ({ type: 'broadcast-wishes', tenure, wishes: [] }),
  );
}

/** A wake came: the states are read now, or as soon as they may be. */
export function lookSoon(state: State, ctx: Ctx, deps: PoolDeps): void {
  if (state.runs.length === 0) return;
  const now = ctx.clock.now();
  const wait = state.lookedAt + LOOK_MS - now;
  if (wait <= 0) lookAtWishes(state, ctx, deps);
  else if (wait <= LOOK_MS) {
    state.lookedAt = now + wait; // the look that is to come
    ctx.after(wait, { type: 'broadcast-look', tenure: state.tenure });
  }
}

/** Takes one answer in: a broadcast was paused, resumed or cancelled. A cancelled one stays so, whatever an older answer says. */
export function takeWish(state: State, { n, state: wish }: BroadcastWish, ctx: Ctx, deps: PoolDeps): void {
  const run = runOf(state, n);
  if (run === undefined || run.phase === 'loading' || run.state === 'cancelled') return;
  if (wish === 'done' || wish === run.state) return;
  run.state = wish;
  run.passed = false;
  run.samples.length = 0;
  ctx.log.info({ bot: deps.line.bot, broadcast: n, state: wish }, 'broadcast moved by an operator');
  if (wish !== 'running') return;
  // It takes its place again: those accepted later that had begun meanwhile give theirs up.
  for (const later of state.runs.slice(state.runs.indexOf(run) + 1)) {
    const hasBegun = later.phase === 'running' || later.making; // its first page may be on its way
    if (!hasBegun || later.state !== 'running' || later.items !== 'fed') continue;
    later.passed = false;
    withdraw(later, ctx, deps);
  }
}

/** Takes back what waits of a run; calls in the air go on. Its items are held once each shard has answered. */
export function withdraw(run: BroadcastRun, ctx: Ctx, deps: PoolDeps): void {
  run.items = 'withdrawing';
  run.withdrawal = deps.line.nextSource();
  run.awaited = new Set(Array.from({ length: deps.shards }, (_, shard) => shard));
  tellShards(ctx, deps, { type: 'withdraw', n: run.n, withdrawal: run.withdrawal });
}

/** A shard has given back what waited there. */
export function onWithdrawn(state: State, n: number, shard: number, withdrawal: number): void {
  const run = runOf(state, n);
  if (run === undefined || run.items !== 'withdrawing' || run.withdrawal !== withdrawal) return;
  run.awaited.delete(shard);
  if (run.awaited.size === 0) run.items = 'held';
}

/** Reads who is in the open pages of a held run, and their flags: whoever left or blocked the bot meanwhile is not called. */
export function readHeld(state: State, run: BroadcastRun, ctx: Ctx, deps: PoolDeps): void {
  run.items = 'reading';
  const { tenure } = state;
  const { n, firstOpenK } = run;
  const read = async (): Promise<HeldItems> => {
    const pages = await deps.broadcasts.openPages(n, firstOpenK);
    const chats = pages.flatMap((page) => page.chats);
    const askedAt = ctx.clock.now();
    const marks = await marksOf(chats, deps);
    // A group that moved meanwhile is asked for under its new id: the stub that it left is no subscriber.
    const moved = marks.flatMap(({ movedTo }) => (movedTo === undefined ? [] : [movedTo]));
    const flags = await deps.broadcasts.flags([...chats.map((chatId) => deps.line.whereIs(chatId)), ...moved]);
    return { pages, ...flags, askedAt, marks, twice: await metTwice(n, chats, marks, deps) };
  };
  ctx.pipe(
    read(),
    (held) => ({ type: 'broadcast-held', tenure, n, held }),
    (error) => ({ type: 'broadcast-failed', tenure, n, step: 'held', error }),
  );
}

/** Feeds what is open of a run that goes on. What is in the air is left out: it comes back by itself when it has to be called again. */
export function feedHeld(state: State, n: number, held: HeldItems, ctx: Ctx, deps: PoolDeps): void {
  const run = runOf(state, n);
  if (run === undefined || run.items !== 'reading') return;
  if (run.state !== 'running') {
    run.items = 'held';
    return;
  }
  run.items = 'fed';
  learnMoves(state, held.marks, ctx, deps);
  tellShards(ctx, deps, { type: 'release', n });
  const { lane } = run.broadcast;
  for (const { k, chats } of held.pages) {
    const open = state.ledger.find(n, k);
    if (open === undefined) continue;
    const { source } = open;
    const items: { index: number; chatId: number; lane: typeof lane }[] = [];
    chats.forEach((given, index) => {
      if (state.ledger.isSettled(source, index) || inAir(state, source, index, deps)) return;
      const chatId = deps.line.whereIs(given);
      if (held.stopped.has(chatId) || held.twice.has(given)) settleAs(state, source, index, 'skipped', 0, ctx);
      else if (held.unreachable.has(chatId) || markedSince(state, chatId, held.askedAt))
        settleUnreachable(state, source, index, ctx.clock.wallNow());
      else items.push({ index, chatId, lane });
    });
    feed(state, { source, n, k }, items, ctx, deps);
  }
}

/** A call of a withdrawn run ended and has to be made again: not now, or never. */
export function onHandedBack(
  state: State,
  { source, index, chatId, attempts, key }: HandedBack,
  ctx: Ctx,
  deps: PoolDeps,
): void {
  const page = state.ledger.page(source);
  // Of an earlier life: the call is taken over, and handed back once more.
  if (page !== undefined && key !== undefined) deps.line.registry.end(key);
  const run = page === undefined ? undefined : runOf(state, page.n);
  if (page === undefined || run === undefined) return;
  if (run.state === 'cancelled') settleAs(state, source, index, 'cancelled', attempts, ctx);
  else if (run.items === 'fed' && !state.ledger.isSettled(source, index)) {
    const item = { index, chatId, lane: run.broadcast.lane };
    feed(state, { source, n: page.n, k: page.k }, [item], ctx, deps);
  }
}

/** Brings a cancelled run to its end: what waits is withdrawn and ends as cancelled, whom no page has reached is counted as skipped. */
export function endCancelled(state: State, run: BroadcastRun, ctx: Ctx, deps: PoolDeps): void {
  if (run.items === 'fed') withdraw(run, ctx, deps);
  if (run.items !== 'held' || run.making) return;
  run.phase = 'running';
  if (!run.swept) sweep(state, run, ctx, deps);
  if (run.firstOpenK === run.nextK && run.skipped === undefined && !run.counting) countRest(state, run, ctx, deps);
}

function sweep(state: State, run: BroadcastRun, ctx: Ctx, deps: PoolDeps): void {
  run.swept = true;
  for (const { n, k, source, count } of state.ledger.pages()) {
    if (n !== run.n || k === undefined) continue;
    for (let index = 0; index < count; index += 1) {
      if (!state.ledger.isSettled(source, index) && !inAir(state, source, index, deps))
        settleAs(state, source, index, 'cancelled', 0, ctx);
    }
  }
}

/** How many people no page has reached; or the page that a lost answer hid, whose people are cancelled first. */
function countRest(state: State, run: BroadcastRun, ctx: Ctx, deps: PoolDeps): void {
  run.counting = true;
  const { tenure } = state;
  const { n, nextK, ended, after, broadcast } = run;
  const count = async (): Promise<number | StoredBroadcastPage> => {
    const last = await deps.broadcasts.lastPage(n);
    if (last !== undefined && last.k >= nextK) {
      // Somebody else's page, or one's own: taken only if a beat is acknowledged after it was read.
      await deps.line.holding?.publishNow({});
      return last;
    }
    return ended ? 0 : deps.broadcasts.count(broadcast.audience, after);
  };
  ctx.pipe(
    count(),
    (rest) =>
      typeof rest === 'number'
        ? { type: 'broadcast-rest', tenure, n, skipped: rest }
        : {
            type: 'broadcast-page',
            tenure,
            n,
            page: rest,
            reach: { unreachable: new Set<number>(), askedAt: ctx.clock.now(), marks: [], twice: new Set<number>() },
          },
    (error) => ({ type: 'broadcast-failed', tenure, n, step: 'rest', error }),
  );
}

/** True from the start of an item's call until its outcome is durable; of one in parts from the first call to the last outcome: its parts stay together. */
export const inAir = (state: State, source: number, index: number, deps: PoolDeps): boolean =>
  state.ledger.parts(source, index).length > 0 ||
  deps.line.registry.get(callKey(state.ledger.id(deps.line.bot, source, index), 0)) !== undefined;

/** Ends an item without a call. */
export function settleAs(
  state: State,
  source: number,
  index: number,
  end: 'cancelled' | 'skipped',
  attempts: number,
  ctx: Ctx,
): void {
  state.ledger.settle(source, index, { state: end, attempts, messageId: 0, at: ctx.clock.wallNow() });
}
