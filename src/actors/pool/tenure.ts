import { gathering } from '../../delivery/gathering.js';
import { parseCallKey } from '../../delivery/ids.js';
import { laneShares } from '../../delivery/lanes.js';
import { BEGUN_REST_MS, quietMs } from '../../delivery/lease-clock.js';
import { type Ledger, ledger } from '../../delivery/ledger.js';
import { rateThrottle } from '../../delivery/rate-throttle.js';
import { drained } from './drain.js';
import { restFrozen } from './feeding.js';
import { locate, readOn } from './loading.js';
import { type Ctx, type PoolDeps, placeKey, type State, tellShards } from './state.js';

/** No wait that Telegram asks for is longer, ms: an owners document that was edited by hand must not silence the bot for ever. */
const LONGEST_WAIT_MS = 86_400_000;
/** Most connections that are opened before the first call: as many calls as Telegram takes of a bot within one second, at which they may all go at once. */
const WARM_CONNECTIONS = 32;

/** A pool without the lease; `up` are the shards that have reported. */
export function standby(deps: PoolDeps, up: Set<number>): State {
  return {
    tenure: deps.line.nextSource(),
    epoch: -1,
    phase: 'standby',
    inherits: false,
    up,
    ledger: freshLedger(deps),
    caughtUp: false,
    throttle: undefined,
    lanes: Array.from({ length: deps.shards }, () => 0),
    turning: new Set(),
    turnStart: 0,
    shares: laneShares(),
    gateGeneration: 0,
    gateAt: Number.POSITIVE_INFINITY,
    feeding: new Set(),
    marked: new Map(),
    readTo: 0,
    tail: 0,
    reading: false,
    scanWanted: false,
    handed: [],
    begunBefore: new Set(),
    begunPending: new Map(),
    begunRestUntil: 0,
    readyAt: Number.POSITIVE_INFINITY,
    reported: new Map(),
    deadLetters: [],
    unreachable: [],
    frozen: [],
    moves: [],
    longWaits: new Map(),
    closed: [],
    gathering: gathering(deps.line.concurrency),
    gatherTimer: false,
    publishing: false,
    publishWanted: false,
    probing: false,
    runs: [],
    looking: false,
    lookWanted: false,
    lookedAt: Number.NEGATIVE_INFINITY,
    drain: undefined,
  };
}

const freshLedger = (deps: PoolDeps): Ledger => ledger(() => deps.line.nextSource());

/** Begins to read everything from the store: after a takeover (`taken`), or since the pool or a shard lost what it had in memory. */
export function begin(state: State, ctx: Ctx, deps: PoolDeps, taken: boolean): State {
  const { line } = deps;
  const grant = line.holding?.grant;
  if (grant === undefined) return state;
  const now = ctx.clock.now();
  const quiet = quietMs(line.rates);
  line.pacing.quietUntil(now + quiet.calls);
  if (taken) {
    line.registry.clear();
    line.begun.clear();
    line.begunDurable.clear();
    for (const id of grant.begun) line.begun.add(id);
    void line.client.warm(Math.min(line.concurrency, WARM_CONNECTIONS));
  }
  line.moving.clear();
  line.outage.probeLost(now); // its answer goes to the life that asked
  const fresh = standby(deps, state.up);
  fresh.epoch = grant.epoch;
  fresh.phase = 'loading';
  fresh.inherits = line.registry.size > 0;
  fresh.gateGeneration = state.gateGeneration + 1;
  fresh.begunBefore = new Set(grant.begun);
  fresh.begunRestUntil = now + BEGUN_REST_MS;
  fresh.readyAt = now + quiet.calls;
  ctx.after(quiet.calls, { type: 'quiet-over' });
  fresh.drain = state.drain;
  fresh.throttle = rateThrottle(
    line.rates.perSecond,
    now,
    taken ? (grant.rate ?? line.rates.perSecond) : line.pacing.rate,
  );
  if (taken && Number.isFinite(grant.waitUntil)) {
    const left = (grant.waitUntil ?? 0) - ctx.clock.wallNow();
    line.waitUntil = Math.max(line.waitUntil, now + Math.min(left, LONGEST_WAIT_MS));
  }
  if (line.waitUntil > now) {
    fresh.throttle.wait(line.waitUntil);
    line.pacing.quietUntil(line.waitUntil);
  }
  line.pacing.setRate(fresh.throttle.rateAt(now));
  tellShards(ctx, deps, { type: 'reset' });
  tellShards(ctx, deps, { type: 'rest', chats: [], groupsUntil: now + quiet.groups });
  if (!taken) {
    // What was begun and not called yet begins anew; chats that were limited stay frozen until the store says so.
    for (const key of line.begun)
      if (!fresh.begunBefore.has(key) && line.registry.get(key) === undefined) forgetBegun(key, deps);
    fresh.frozen = state.frozen;
    fresh.longWaits = state.longWaits;
    restFrozen(
      state.frozen.map(({ chatId, until }) => ({ chatId, unreachable: false, frozenUntil: until })),
      ctx,
      deps,
    );
  }
  locate(fresh, ctx, deps);
  return fresh;
}

/** Another process owns the sending now: nothing of this tenure may be written or called any more. */
export function onLost(state: State, ctx: Ctx, deps: PoolDeps): State {
  const { line } = deps;
  line.registry.clear();
  line.begun.clear();
  line.begunDurable.clear();
  line.commit = undefined;
  line.moving.clear();
  tellShards(ctx, deps, { type: 'reset' });
  ctx.pipe(
    line.client.destroy(),
    () => ({ type: 'slots' }),
    () => ({ type: 'slots' }),
  );
  deps.report({ sending: 'standby' });
  const fresh = standby(deps, state.up);
  fresh.drain = state.drain;
  drained(fresh, deps);
  return fresh;
}

/** An at-most-once call that was begun and never made: it begins anew. */
export function forgetBegun(key: string, deps: PoolDeps): void {
  deps.line.begun.delete(key);
  deps.line.begunDurable.delete(key);
}

/** The log may have grown. */
export function onNews(state: State, ctx: Ctx, deps: PoolDeps): State {
  if (state.phase === 'running' || state.caughtUp) readOn(state, ctx, deps);
  return state;
}

/** Once everything is read, what turned out to be settled leaves the lease and the registry: begun calls of the owner before, and calls whose end was durable when an earlier life ended. */
export function onLoaded(state: State, ctx: Ctx, deps: PoolDeps): State {
  if (state.phase !== 'loading' || !state.caughtUp || state.runs.some((run) => run.phase === 'loading')) return state;
  const { line } = deps;
  const { ledger: pages, reported } = state;
  state.phase = 'running';
  const pending = new Set(state.begunPending.values());
  for (const key of state.begunBefore) if (!pending.has(key)) forgetBegun(key, deps);
  for (let shard = 0; shard < deps.shards; shard += 1) {
    for (const { key } of line.registry.ofShard(shard)) {
      const call = parseCallKey(key);
      const open = call === undefined ? undefined : pages.find(call.place.n, call.place.k);
      const index = call?.place.index ?? 0;
      const waits =
        open !== undefined &&
        !pages.isSettled(open.source, index) &&
        pages.parts(open.source, index).length <= (call?.part ?? 0);
      if (waits || (open !== undefined && reported.has(placeKey(open.source, index)))) continue;
      line.registry.end(key);
      forgetBegun(key, deps);
    }
  }
  line.holding?.publish({ begun: [...line.begun] });
  tellShards(ctx, deps, { type: 'begun' });
  return state;
}
