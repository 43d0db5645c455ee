/**
 * SenderActor: one shard of a bot's sending. Holds the mailboxes of the chats whose hash is its own, makes their calls when the pool gives it the
 * turn, and reports how each ended. Order: a chat has at most one unsettled call, its items go in the order of each chain. Failure policy: a crash
 * loses the mailboxes and nothing else; the pool feeds the restarted shard again, and calls in the air are taken over from the registry.
 * Times are ms of the injected monotonic clock; stored times are epoch ms.
 */

import type { ActorSpec } from './runtime.js';
import { assertNever } from './runtime.js';
import { awaitEnd, handBackWithdrawn, onDurable, onEnded, onWithdraw, takeOver } from './sender/ends.js';
import { onArrive, onMove } from './sender/moves.js';
import {
  announce,
  BROADCAST_CHAIN,
  type Ctx,
  empty,
  type Feed,
  keyOf,
  type OwnMessage,
  REFETCH_MS,
  type SenderDeps,
  type SenderMessage,
  type State,
} from './sender/state.js';
import { onLoaded, onTurn } from './sender/turn.js';

/** What the pool tells a shard must never meet a full mailbox. */
const MAILBOX = 1_000_000;

/** The actor `sender:<shard>`. Policy: one-for-one under its pool. */
export function senderActor(deps: SenderDeps): ActorSpec<State, OwnMessage> {
  return {
    name: `sender:${deps.shard}`,
    mailbox: { capacity: MAILBOX },
    init(ctx) {
      ctx.tell(deps.pool, { type: 'shard-up', shard: deps.shard });
      return empty(0, 0);
    },
    receive(state, message, ctx) {
      // Mail to the life before this one: what came before it is lost, so it would be out of order. The pool resets and feeds again.
      if (state.tenure === 0 && message.type !== 'reset') return state;
      switch (message.type) {
        case 'feed':
          return onFeed(state, message.feed, ctx, deps);
        case 'rest':
          return onRest(state, message, ctx, deps);
        case 'turn':
          return onTurn(state, message, ctx, deps);
        case 'begun':
          return announce(state, ctx, deps);
        case 'durable':
          return onDurable(state, message, ctx, deps);
        case 'move':
          return onMove(state, message, ctx, deps);
        case 'arrive':
          return onArrive(state, message, ctx, deps);
        case 'forget':
          for (const source of message.sources) state.sources.delete(source);
          return state;
        case 'withdraw':
          return onWithdraw(state, message.n, message.withdrawal, ctx, deps);
        case 'release':
          state.withdrawn.delete(message.n);
          return state;
        case 'reset':
          return onReset(state, deps);
        case 'ended':
          return onEnded(state, message.call, message.answer, ctx, deps);
        case 'loaded':
          return onLoaded(state, message.n, message.found, ctx, deps);
        case 'unloadable':
          ctx.after(REFETCH_MS, { type: 'loaded', n: message.n, found: true });
          return state;
        case 'unread':
          ctx.after(REFETCH_MS, { ...message, type: 'reread' });
          return state;
        case 'reread': {
          const place = state.sources.get(message.item.source);
          if (message.tenure === state.tenure && place !== undefined)
            awaitEnd(state, message.item, place, message.entry, ctx, deps);
          return state;
        }
        case 'ripe':
          return message.generation === state.generation
            ? announce({ ...state, ripeAt: Number.POSITIVE_INFINITY }, ctx, deps)
            : state;
        default:
          return assertNever(message);
      }
    },
  };
}

function onReset(state: State, deps: SenderDeps): State {
  deps.line.ready[deps.shard] = [];
  return empty(state.tenure + 1, state.generation + 1);
}

const CHAINS = { reply: 0, notify: 1, bulk: 2 } as const;

function onFeed(state: State, feed: Feed, ctx: Ctx, deps: SenderDeps): State {
  const { source, n, k } = feed;
  state.sources.set(source, { n, k });
  feed.indexes.forEach((index, at) => {
    const chatId = feed.chats[at] ?? 0;
    const lane = feed.lanes[at] ?? 'bulk';
    const part = feed.sent.get(index) ?? 0;
    state.boxes.push(chatId, k === undefined ? CHAINS[lane] : BROADCAST_CHAIN, source, index, lane, 0, part);
    const entry = deps.line.registry.get(keyOf(deps, { n, k }, index, part));
    if (entry !== undefined) takeOver(state, entry, chatId, source, index, ctx, deps);
  });
  if (k !== undefined) handBackWithdrawn(state, n, ctx, deps);
  ctx.tell(deps.pool, { type: 'fed', shard: deps.shard, source });
  return announce(state, ctx, deps);
}

function onRest(state: State, rest: Extract<SenderMessage, { type: 'rest' }>, ctx: Ctx, deps: SenderDeps): State {
  if (rest.groupsUntil !== undefined) state.boxes.freezeGroups(rest.groupsUntil);
  for (const { chatId, until } of rest.chats) state.boxes.freeze(chatId, until);
  return announce(state, ctx, deps);
}
