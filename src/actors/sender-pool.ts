/**
 * SenderPool: the sending of one bot. Holds the send lease, reads the log of pages, feeds the shards, gives them their turns, writes outcomes in
 * back-to-back commits and runs the broadcasts. Order: pages go to the shards in the order of the log, one read at a time. Failure policy: everything
 * it holds can be read again, so a crash of the pool or of a shard makes all of it be read again; calls in the air stay in the registry of its
 * SendLine and are taken over. Times are ms of the injected monotonic clock.
 */

import { parseDeliveryId } from '../delivery/ids.js';
import { BEGUN_REST_MS, quietMs } from '../delivery/lease-clock.js';
import { type Ledger, ledger } from '../delivery/ledger.js';
import { isAlive } from '../delivery/outcome.js';
import { rateThrottle } from '../delivery/rate-throttle.js';
import type { Holding } from '../store/lease-keeper.js';
import {
  advanceBroadcasts,
  onAgain,
  onBroadcastFailed,
  onBroadcastLoaded,
  onBroadcastMoved,
  onBroadcastPage,
  reloadRun,
} from './pool/broadcasts.js';
import { commitNext, onCommitFailed, onCommitted, onItemEnded, writeCommit } from './pool/commits.js';
import { restFrozen, settleUnreachable } from './pool/feeding.js';
import { locate, onRead, onReadFailed, readOn } from './pool/loading.js';
import { type Ctx, type OwnMessage, type PoolDeps, placeKey, type State, tellShards } from './pool/state.js';
import { offerTurns } from './pool/turns.js';
import { type ActorSpec, assertNever, reply } from './runtime.js';

const TICK_MS = 1_000;
const SCAN_MS = 2_000;
const PUBLISH_RETRY_MS = 500;
const PROBE_TIMEOUT_MS = 10_000;
/** Above what the shards can have under way: an outcome must never meet a full mailbox. */
const MAILBOX = 1_000_000;
/** How long a chat that was found unreachable is kept in mind for reads that were asked before, ms. */
const MARKED_MS = 60_000;
/** Connections that are opened before the first call. */
const WARM_CONNECTIONS = 4;

/** The actor `sender-pool`; its shards are its children. */
export function senderPoolActor(deps: PoolDeps): ActorSpec<State, OwnMessage> {
  let unsubscribe: (() => void)[] = [];
  return {
    name: 'sender-pool',
    mailbox: { capacity: MAILBOX },
    init(ctx) {
      unsubscribe = [
        deps.appended((page) => {
          if (page.bot === deps.line.bot) ctx.tell(ctx.self, { type: 'appended', page });
        }),
        deps.wakes(() => {
          ctx.tell(ctx.self, { type: 'wake' });
        }),
      ];
      ctx.after(TICK_MS, { type: 'tick' });
      ctx.after(SCAN_MS, { type: 'scan' });
      return standby(deps, new Set());
    },
    receive: (state, message, ctx) => {
      const next = receive(state, message, ctx, deps);
      if (next.phase !== 'standby') {
        commitNext(next, ctx, deps);
        offerTurns(next, ctx, deps);
        drained(next, deps);
      }
      return next;
    },
    async stop(_state, _ctx, reason) {
      for (const end of unsubscribe) end();
      if (reason === 'restart') return;
      await deps.line.commit?.done;
      const inAir = new Set([...deps.line.begun].filter((key) => deps.line.registry.get(key) !== undefined));
      deps.line.holding?.publish({ begun: [...inAir] });
      await deps.line.holding?.release();
      deps.line.holding = undefined;
    },
  };
}

function standby(deps: PoolDeps, up: Set<number>): State {
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
    grants: 0,
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
    begunPending: new Set(),
    begunRestUntil: 0,
    readyAt: Number.POSITIVE_INFINITY,
    reported: new Map(),
    deadLetters: [],
    unreachable: [],
    frozen: [],
    closed: [],
    publishing: false,
    publishWanted: false,
    probing: false,
    runs: [],
    drain: undefined,
  };
}

const freshLedger = (deps: PoolDeps): Ledger => ledger(() => deps.line.nextSource());

function receive(state: State, message: OwnMessage, ctx: Ctx, deps: PoolDeps): State {
  if ('tenure' in message && message.tenure !== state.tenure) return state;
  switch (message.type) {
    case 'shard-up':
      return onShardUp(state, message.shard, ctx, deps);
    case 'granted':
      return begin(state, ctx, deps, true);
    case 'lost':
      return onLost(state, ctx, deps);
    case 'tick':
      ctx.after(TICK_MS, { type: 'tick' });
      return onTick(state, ctx, deps);
    case 'quiet-over':
      return onTick(state, ctx, deps);
    case 'scan':
      ctx.after(SCAN_MS, { type: 'scan' });
      return onNews(state, ctx, deps);
    case 'wake':
      return onNews(state, ctx, deps);
    case 'appended':
      if (state.phase !== 'standby') state.handed.push(message.page);
      if (message.page.kind === 'messages') deps.line.keepBodies(message.page);
      return onNews(state, ctx, deps);
    case 'gate':
      if (message.generation === state.gateGeneration) state.gateAt = Number.POSITIVE_INFINITY;
      return state;
    case 'fed':
      state.feeding.delete(placeKey(message.source, message.shard));
      advanceBroadcasts(state, ctx, deps);
      return state;
    case 'wants':
      state.lanes[message.shard] = message.lanes;
      return state;
    case 'turned':
      state.lanes[message.shard] = message.lanes;
      state.turning.delete(message.shard);
      if (state.runs.length > 0) advanceBroadcasts(state, ctx, deps);
      return state;
    case 'ended':
      onItemEnded(state, message, ctx, deps);
      return state;
    case 'unreachable':
      for (const { source, index } of message.items) settleUnreachable(state, source, index, ctx.clock.wallNow());
      return state;
    case 'limited':
      return onLimited(state, message.chatId, message.retryAfterMs, ctx, deps);
    case 'begin':
      return publishBegun(state, ctx, deps);
    case 'slots':
      return state;
    case 'outage-changed':
      return onOutage(state, ctx, deps);
    case 'probe-wanted':
      return probe(state, ctx, deps);
    case 'probed':
      state.probing = false;
      deps.line.outage.onProbe(message.ok, ctx.clock.now(), message.unauthorized);
      return onOutage(state, ctx, deps);
    case 'located':
      state.reading = false;
      state.tail = message.tail;
      restFrozen(message.frozen, ctx, deps);
      readOn(state, ctx, deps);
      return state;
    case 'read':
      onRead(state, message.pages, message.stage, message.more, ctx, deps);
      return onLoaded(state, ctx, deps);
    case 'read-failed':
      onReadFailed(state, message.error, ctx, deps);
      return state;
    case 'read-again':
      state.reading = false;
      if (state.phase === 'loading') locate(state, ctx, deps);
      else readOn(state, ctx, deps);
      return state;
    case 'committed':
      onCommitted(state, message.taken, message.unreachable, ctx, deps);
      return state;
    case 'commit-failed':
      if (onCommitFailed(state, message.taken, message.error, ctx, deps) === 'fenced')
        deps.line.holding?.fenced('results of a later epoch');
      return state;
    case 'commit-again':
      writeCommit(state, message.taken, deps.line.commit?.since ?? ctx.clock.now(), ctx, deps);
      return state;
    case 'published':
      return onPublished(state, message.begun, ctx, deps);
    case 'publish-failed':
      ctx.after(PUBLISH_RETRY_MS, { type: 'begin' });
      state.publishing = false;
      return state;
    case 'broadcast-loaded':
      onBroadcastLoaded(state, message.n, message.loaded, ctx, deps);
      return onLoaded(state, ctx, deps);
    case 'broadcast-page':
      onBroadcastPage(state, message.n, message.page, message.reach, ctx, deps);
      return state;
    case 'broadcast-moved':
      onBroadcastMoved(state, message.n, message.k, message.done, ctx, deps);
      return state;
    case 'broadcast-failed':
      onBroadcastFailed(state, message.n, message.step, message.error, ctx, deps);
      return state;
    case 'broadcast-reload':
      reloadRun(state, message.n, ctx, deps);
      return state;
    case 'broadcast-again':
      onAgain(state, message.n, message.step, ctx, deps);
      return onLoaded(state, ctx, deps);
    case 'drain':
      deps.line.draining = true;
      state.drain = message.replyTo;
      ctx.after(message.withinMs, { type: 'drain-late' });
      if (state.phase === 'standby') drained(state, deps);
      return state;
    case 'drain-late':
      answerDrain(state);
      return state;
    default:
      return assertNever(message);
  }
}

/** The first time a shard is up it is awaited; later it means that the shard has lost its mailboxes, and all is read again. */
function onShardUp(state: State, shard: number, ctx: Ctx, deps: PoolDeps): State {
  const again = state.up.has(shard);
  state.up.add(shard);
  if (again) return state.phase === 'standby' ? state : begin(state, ctx, deps, false);
  if (state.up.size < deps.shards) return state;
  const { line } = deps;
  if (line.holding !== undefined) {
    line.holding.listen(events(ctx));
    return line.holding.grant === undefined ? state : begin(state, ctx, deps, false);
  }
  line.holding = deps.keeper.hold(line.bot, 'send', events(ctx));
  return state;
}

const events = (ctx: Ctx): Parameters<Holding['listen']>[0] => ({
  granted: (grant) => {
    ctx.tell(ctx.self, { type: 'granted', grant });
  },
  lost: () => {
    ctx.tell(ctx.self, { type: 'lost' });
  },
});

/** Begins to read everything from the store: after a takeover (`taken`), or since the pool or a shard lost what it had in memory. */
function begin(state: State, ctx: Ctx, deps: PoolDeps, taken: boolean): State {
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
    void line.client.warm(WARM_CONNECTIONS);
  }
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
  line.pacing.setRate(fresh.throttle.rateAt(now));
  tellShards(ctx, deps, { type: 'reset' });
  tellShards(ctx, deps, { type: 'rest', chats: [], groupsUntil: now + quiet.groups });
  if (!taken) {
    // What was begun and not called yet begins anew; chats that were limited stay frozen until the store says so.
    for (const key of line.begun)
      if (!fresh.begunBefore.has(key) && line.registry.get(key) === undefined) forgetBegun(key, deps);
    fresh.frozen = state.frozen;
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
function onLost(state: State, ctx: Ctx, deps: PoolDeps): State {
  const { line } = deps;
  line.registry.clear();
  line.begun.clear();
  line.begunDurable.clear();
  line.commit = undefined;
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

function forgetBegun(key: string, deps: PoolDeps): void {
  deps.line.begun.delete(key);
  deps.line.begunDurable.delete(key);
}

function onNews(state: State, ctx: Ctx, deps: PoolDeps): State {
  if (state.phase === 'running' || state.caughtUp) readOn(state, ctx, deps);
  return state;
}

/** Once everything is read, what turned out to be settled leaves the lease and the registry: begun calls of the owner before, and calls whose end was durable when an earlier life ended. */
function onLoaded(state: State, ctx: Ctx, deps: PoolDeps): State {
  if (state.phase !== 'loading' || !state.caughtUp || state.runs.some((run) => run.phase === 'loading')) return state;
  const { line } = deps;
  const { ledger: pages, reported } = state;
  state.phase = 'running';
  for (const id of state.begunBefore) if (!state.begunPending.has(id)) forgetBegun(id, deps);
  for (let shard = 0; shard < deps.shards; shard += 1) {
    for (const { key } of line.registry.ofShard(shard)) {
      const place = parseDeliveryId(key);
      const open = place === undefined ? undefined : pages.find(place.n, place.k);
      const index = place?.index ?? 0;
      const waits = open !== undefined && !pages.isSettled(open.source, index);
      if (waits || (open !== undefined && reported.has(placeKey(open.source, index)))) continue;
      line.registry.end(key);
      forgetBegun(key, deps);
    }
  }
  line.holding?.publish({ begun: [...line.begun] });
  tellShards(ctx, deps, { type: 'begun' });
  return state;
}

function onTick(state: State, ctx: Ctx, deps: PoolDeps): State {
  const { line } = deps;
  const now = ctx.clock.now();
  const { holding } = line;
  if (holding?.grant === undefined) {
    deps.report({ sending: holding?.holder === undefined ? 'starting' : 'standby' });
    return state;
  }
  if (holding.mustDestroy()) {
    ctx.pipe(
      line.client.destroy(),
      () => ({ type: 'slots' }),
      () => ({ type: 'slots' }),
    );
  }
  for (const [chatId, at] of state.marked) if (now - at > MARKED_MS) state.marked.delete(chatId);
  const ready = now >= state.readyAt;
  if (state.throttle !== undefined) line.pacing.setRate(state.throttle.rateAt(now));
  const rate = line.pacing.rate;
  holding.publish({
    waiting: state.ledger.waiting,
    ready,
    ...(rate === line.rates.perSecond ? { rate: undefined } : { rate }),
  });
  deps.report({
    sending: ready ? 'held' : 'starting',
    ...(line.outage.reason === undefined ? {} : { outage: line.outage.reason }),
  });
  advanceBroadcasts(state, ctx, deps);
  return probe(state, ctx, deps);
}

function onLimited(state: State, chatId: number, retryAfterMs: number, ctx: Ctx, deps: PoolDeps): State {
  const now = ctx.clock.now();
  state.frozen.push({ chatId, until: ctx.clock.wallNow() + retryAfterMs });
  if (state.throttle?.onLimited(chatId, retryAfterMs, now) === true) {
    const rate = state.throttle.rateAt(now);
    deps.line.pacing.setRate(rate);
    ctx.log.warn({ bot: deps.line.bot, rate }, 'several chats were limited: the bot slows down');
  }
  return state;
}

/** Makes the list of begun at-most-once calls durable; one write for all that began meanwhile. */
function publishBegun(state: State, ctx: Ctx, deps: PoolDeps): State {
  const { holding } = deps.line;
  if (state.publishing || holding?.grant === undefined) {
    state.publishWanted = true;
    return state;
  }
  state.publishing = true;
  state.publishWanted = false;
  const begun = [...deps.line.begun];
  const { tenure } = state;
  ctx.pipe(
    holding.publishNow({ begun }),
    () => ({ type: 'published', tenure, begun }),
    () => ({ type: 'publish-failed', tenure }),
  );
  return state;
}

function onPublished(state: State, begun: readonly string[], ctx: Ctx, deps: PoolDeps): State {
  state.publishing = false;
  for (const key of begun) if (deps.line.begun.has(key)) deps.line.begunDurable.add(key);
  tellShards(ctx, deps, { type: 'begun' });
  return state.publishWanted ? publishBegun(state, ctx, deps) : state;
}

function onOutage(state: State, ctx: Ctx, deps: PoolDeps): State {
  const { outage, bot } = deps.line;
  if (outage.paused) ctx.log.warn({ bot, reason: outage.reason }, 'sending paused: Telegram does not serve this bot');
  deps.report({ sending: 'held', ...(outage.reason === undefined ? {} : { outage: outage.reason }) });
  return probe(state, ctx, deps);
}

/** Asks getMe when the outage wants it: one call at a time. */
function probe(state: State, ctx: Ctx, deps: PoolDeps): State {
  const { line } = deps;
  const now = ctx.clock.now();
  if (state.probing || line.outage.probeAt() > now || line.draining) return state;
  state.probing = true;
  line.outage.probing(now);
  ctx.pipe(
    line.client.call('getMe', {}, { timeoutMs: PROBE_TIMEOUT_MS }),
    (answer) => ({
      type: 'probed',
      ok: isAlive(answer),
      unauthorized: answer.kind === 'answer' && answer.status === 401,
    }),
    () => ({ type: 'probed', ok: false, unauthorized: false }),
  );
  return state;
}

/** Answers a drain once nothing is in the air and everything is written. */
function drained(state: State, deps: PoolDeps): void {
  const { line } = deps;
  if (state.drain === undefined) return;
  const unwritten =
    state.phase !== 'standby' && (line.registry.size > 0 || line.commit !== undefined || state.ledger.dirty);
  if (!unwritten) answerDrain(state);
}

function answerDrain(state: State): void {
  const { drain } = state;
  state.drain = undefined;
  if (drain !== undefined) reply(drain, undefined);
}
