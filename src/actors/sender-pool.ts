/**
 * SenderPool: the sending of one bot. Holds the send lease, reads the log of pages, feeds the shards, gives them their turns, writes outcomes in
 * back-to-back commits and runs the broadcasts. Order: pages go to the shards in the order of the log, one read at a time. Failure policy: everything
 * it holds can be read again, so a crash of the pool or of a shard makes all of it be read again; calls in the air stay in the registry of its
 * SendLine and are taken over. Times are ms of the injected monotonic clock.
 */

import type { Holding } from '../store/lease-keeper.js';
import { onAgain, onBroadcastFailed, onBroadcastLoaded, reloadRun } from './pool/broadcast-loading.js';
import { feedHeld, lookAtWishes, lookSoon, onHandedBack, onWithdrawn } from './pool/broadcast-moves.js';
import {
  advanceBroadcasts,
  onBroadcastMoved,
  onBroadcastPage,
  onNotMade,
  onRest,
  onWishes,
} from './pool/broadcasts.js';
import { commitNext, onCommitFailed, onCommitted, onItemEnded, onPartSent, writeCommit } from './pool/commits.js';
import { answerDrain, drained } from './pool/drain.js';
import { restFrozen, settleUnreachable } from './pool/feeding.js';
import { locate, onRead, onReadFailed, readOn } from './pool/loading.js';
import { onHanded, onHandedAgain } from './pool/moves.js';
import { type Ctx, type OwnMessage, type PoolDeps, placeKey, type State } from './pool/state.js';
import { begin, onLoaded, onLost, onNews, standby } from './pool/tenure.js';
import { offerTurns, wanted } from './pool/turns.js';
import { noteFrozen, onLimited, onOutage, onPublished, onTick, probe, publishBegun } from './pool/upkeep.js';
import { type ActorSpec, assertNever } from './runtime.js';

const TICK_MS = 1_000;
const SCAN_MS = 2_000;
const PUBLISH_RETRY_MS = 500;
/** Above what the shards can have under way: an outcome must never meet a full mailbox. */
const MAILBOX = 1_000_000;

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
    async stop(state, _ctx, reason) {
      for (const end of unsubscribe) end();
      if (reason === 'restart') return;
      await deps.line.commit?.done;
      // Calls of this process in the air, and those of the owner before whose end as unknown is not durable yet: the next owner must not make them.
      const doubtful = [...deps.line.begun].filter(
        (key) => deps.line.registry.get(key) !== undefined || state.begunBefore.has(key),
      );
      deps.line.holding?.publish({ begun: doubtful });
      await deps.line.holding?.release();
      deps.line.holding = undefined;
    },
  };
}

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
      lookSoon(state, ctx, deps);
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
      state.shares.made(message.lane, message.calls, wanted(state));
      if (state.runs.length > 0) advanceBroadcasts(state, ctx, deps);
      return state;
    case 'ended':
      onItemEnded(state, message, ctx, deps);
      return state;
    case 'part-sent':
      onPartSent(state, message, ctx, deps);
      return state;
    case 'migrated':
      state.moves.push({ chatId: message.chatId, to: message.to });
      return state;
    case 'handed':
      onHanded(state, message, ctx, deps);
      return state;
    case 'handed-again':
      onHandedAgain(message.handed, ctx);
      return state;
    case 'unreachable':
      for (const { source, index } of message.items) settleUnreachable(state, source, index, ctx.clock.wallNow());
      return state;
    case 'withdrawn':
      onWithdrawn(state, message.n, message.shard, message.withdrawal);
      advanceBroadcasts(state, ctx, deps);
      return state;
    case 'handed-back':
      onHandedBack(state, message, ctx, deps);
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
      noteFrozen(state, message.frozen, ctx);
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
    case 'gathered':
      state.gatherTimer = false;
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
      onBroadcastMoved(state, message, ctx, deps);
      return state;
    case 'broadcast-look':
      lookAtWishes(state, ctx, deps);
      return state;
    case 'broadcast-wishes':
      onWishes(state, message.wishes, ctx, deps);
      return state;
    case 'broadcast-not-made':
      onNotMade(state, message.wish, ctx, deps);
      return state;
    case 'broadcast-held':
      feedHeld(state, message.n, message.held, ctx, deps);
      advanceBroadcasts(state, ctx, deps);
      return state;
    case 'broadcast-rest':
      onRest(state, message.n, message.skipped, ctx, deps);
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
