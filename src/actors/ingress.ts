/**
 * IngressActor: owns the receiving of one bot. While it has the lease it settles what the owner before left, hands the unsettled updates of the
 * inbox to its sibling `bot`, and then polls getUpdates itself: an answer is durable in the inbox before the offset moves.
 * Order: updates are handed over by ascending id, those of the inbox before those of Telegram. Failure policy: Telegram or the store being away
 * is a state with growing pauses, never a crash; a crash loses nothing, the next life reads the inbox again. Back-pressure: with more than
 * 5,000 updates unsettled in memory nothing more is read; the rest stays in the inbox or at Telegram. Times are ms of the injected clock.
 */

import type { Answer } from '../delivery/outcome.js';
import { pollEnd, updatesOf } from '../ingress/poll-answer.js';
import { afterCrash, MAX_CRASHES, pauseMs } from '../ingress/tries.js';
import { ALLOWED_UPDATES } from '../ingress/update-facts.js';
import type { Inbox, InboxBatch, QueuedUpdate } from '../store/inbox.js';
import type { HoldingEvents } from '../store/lease-keeper.js';
import type { TelegramClient } from '../telegram/client.js';
import type { BotMessage } from './bot.js';
import { type IngressStatus, type ReceiveHolding, receiveLease } from './receive-lease.js';
import type { ActorContext, ActorSpec } from './runtime.js';

/** How long Telegram may hold a getUpdates open, and how much longer we wait for its answer. */
const LONG_POLL_S = 25;
const ANSWER_SLACK_MS = 10_000;
/** Updates of one answer; the Bot API's maximum. */
const POLL_UPDATES = 100;
/** Rows of one read of the inbox. */
const BACKLOG_UPDATES = 500;
/** With more unsettled updates in memory nothing more is read; reading goes on below half of it. */
const MOST_IN_MEMORY = 5_000;
/** A refused token is tried again each minute. */
const UNAUTHORIZED_PAUSE_MS = 60_000;
/** How often a lease that allows no call now, or is not ours, is looked at. */
const LOOK_MS = 500;
/** How often it is looked for updates that an operator replayed, and how many of them are taken at once. */
const REPLAYS_MS = 5_000;
const REPLAYS = 500;
/** The store gets at most this long to take the release; then the lease runs out by itself. */
const RELEASE_MS = 3_000;

/** What is told to the actor. */
export type IngressMessage =
  /** The sibling `bot` has (re)started and holds nothing. */
  | { readonly type: 'bot-up' }
  /** That many updates of the round are settled or dead. */
  | { readonly type: 'done'; readonly round: number; readonly count: number };

type OwnMessage =
  | IngressMessage
  | { readonly type: 'granted' }
  | { readonly type: 'lost'; readonly reason: string }
  | { readonly type: 'look' }
  | { readonly type: 'retry'; readonly round: number }
  | { readonly type: 'suspects'; readonly round: number; readonly rows: readonly QueuedUpdate[] }
  | { readonly type: 'judged'; readonly round: number }
  | { readonly type: 'backlog'; readonly round: number; readonly rows: readonly QueuedUpdate[] }
  | { readonly type: 'answered'; readonly round: number; readonly answer: Answer }
  | { readonly type: 'stored'; readonly round: number; readonly updates: readonly QueuedUpdate[] }
  | { readonly type: 'store-failed'; readonly round: number; readonly error: unknown }
  | { readonly type: 'aborted' }
  | { readonly type: 'look-for-replays' }
  | { readonly type: 'replayed'; readonly round: number; readonly rows: readonly QueuedUpdate[] };

/** What is done next, or again after a failure. */
type Step =
  | { readonly kind: 'idle' }
  /** Which updates were being handled when their process, or the bot's actor, died. */
  | { readonly kind: 'suspects' }
  | { readonly kind: 'judge'; readonly rows: readonly QueuedUpdate[] }
  | { readonly kind: 'backlog'; readonly after: number }
  | { readonly kind: 'webhook' }
  | { readonly kind: 'poll' }
  | { readonly kind: 'store'; readonly batch: InboxBatch; readonly last: number };

interface State {
  readonly holding: ReceiveHolding;
  readonly granted: boolean;
  readonly botUp: boolean;
  readonly round: number;
  readonly abort: AbortController;
  readonly step: Step;
  /** Failures in a row. */
  readonly attempt: number;
  /** Asks for an answer at once, to see whether Telegram is back. */
  readonly quick: boolean;
  /** Only for what is not confirmed yet: after a week without updates ids restart at random, so an offset is not kept. */
  readonly offset: number | undefined;
  /** Updates handed over in this round, and of these the settled ones. */
  readonly fed: number;
  readonly done: number;
  /** Waits for room in memory. */
  readonly full: boolean;
  /** What the bot published last as being handled. */
  readonly handling: { ids: readonly number[] };
  /** Replays that were handed over in this round, as `update/replay`. */
  readonly replays: Set<string>;
}

/** What the actor needs. `onUnauthorized` may be called again and again while the token is refused. */
export interface IngressDeps {
  readonly bot: string;
  readonly client: Pick<TelegramClient, 'call'>;
  readonly keeper: { hold(bot: string, part: 'receive', events: HoldingEvents): ReceiveHolding };
  readonly inbox: Inbox;
  readonly status: { report(status: IngressStatus): void };
  onUnauthorized(description: string): void;
}

type Ctx = ActorContext<OwnMessage>;

/** The actor `ingress`, sibling of `bot` and before it, under a rest-for-one supervisor. */
export function ingressActor(deps: IngressDeps): ActorSpec<State, OwnMessage> {
  return {
    name: 'ingress',
    init: (ctx) => onInit(ctx, deps),
    receive(state, message, ctx) {
      if ('round' in message && message.round !== state.round) return state;
      switch (message.type) {
        case 'granted':
          return begin({ ...state, granted: true, handling: { ids: state.holding.grant?.handling ?? [] } }, ctx, deps);
        case 'lost':
          return onLost(state, message.reason, ctx, deps);
        case 'bot-up':
          return begin({ ...state, botUp: true }, ctx, deps);
        case 'look':
          return onLook(state, ctx, deps);
        case 'done':
          return onDone(state, message.count, ctx, deps);
        case 'retry':
          return proceed(state, state.step, ctx, deps);
        case 'suspects':
          return proceed(recovered(state), { kind: 'judge', rows: message.rows }, ctx, deps);
        case 'judged':
          return proceed(recovered(state), { kind: 'backlog', after: Number.MIN_SAFE_INTEGER }, ctx, deps);
        case 'backlog':
          return onBacklog(recovered(state), message.rows, ctx, deps);
        case 'answered':
          return onAnswered(state, message.answer, ctx, deps);
        case 'stored':
          return onStored(recovered(state), message.updates, ctx, deps);
        case 'store-failed':
          return onStoreFailed(state, message.error, ctx, deps);
        case 'aborted':
          return state;
        case 'look-for-replays':
          return lookForReplays(state, ctx, deps);
        case 'replayed':
          return onReplayed(state, message.rows, ctx);
        default:
          return unheard(message);
      }
    },
    async stop(state, ctx) {
      state.abort.abort();
      await new Promise<void>((resolve) => {
        const cancel = ctx.clock.setTimer(RELEASE_MS, resolve);
        void state.holding.release().finally(() => {
          cancel();
          resolve();
        });
      });
    },
  };
}

function onInit(ctx: Ctx, deps: IngressDeps): State {
  // The keeper calls from outside the actor: a pipe makes it mail of this life only.
  const post = (message: OwnMessage) => {
    ctx.pipe(
      Promise.resolve(message),
      (mail) => mail,
      () => message,
    );
  };
  const holding = deps.keeper.hold(deps.bot, 'receive', {
    granted: () => post({ type: 'granted' }),
    lost: (reason) => post({ type: 'lost', reason }),
  });
  ctx.after(LOOK_MS, { type: 'look' });
  ctx.after(REPLAYS_MS, { type: 'look-for-replays' });
  return {
    holding,
    granted: false,
    botUp: false,
    round: 0,
    abort: new AbortController(),
    step: { kind: 'idle' },
    attempt: 0,
    quick: false,
    offset: undefined,
    fed: 0,
    done: 0,
    full: false,
    handling: { ids: [] },
    replays: new Set(),
  };
}

/** Begins a round as soon as the lease is held and the bot is up: from the inbox, with nothing in memory. */
function begin(state: State, ctx: Ctx, deps: IngressDeps): State {
  const next = ended(state);
  if (!next.granted || !next.botUp) return next;
  ctx.tell(ctx.sibling<BotMessage>('bot'), {
    type: 'take-over',
    lease: receiveLease(next.round, next.holding, next.abort.signal, next.handling),
  });
  return proceed(next, { kind: 'suspects' }, ctx, deps);
}

/** The round is over: its poll is aborted, and whatever of it is still to come counts no more. */
function ended(state: State): State {
  state.abort.abort();
  return {
    ...state,
    round: state.round + 1,
    abort: new AbortController(),
    step: { kind: 'idle' },
    attempt: 0,
    quick: false,
    offset: undefined,
    fed: 0,
    done: 0,
    full: false,
    handling: { ids: state.handling.ids },
    replays: new Set(),
  };
}

function onLost(state: State, reason: string, ctx: Ctx, deps: IngressDeps): State {
  if (state.botUp) ctx.tell(ctx.sibling<BotMessage>('bot'), { type: 'stand-down' });
  deps.status.report({ state: 'standby', detail: reason });
  ctx.after(LOOK_MS, { type: 'look' });
  return { ...ended(state), granted: false, handling: { ids: [] } };
}

function onLook(state: State, ctx: Ctx, deps: IngressDeps): State {
  if (state.granted) return state;
  const { holder } = state.holding;
  if (holder !== undefined)
    deps.status.report({ state: 'standby', detail: `received by process ${holder.pid} on ${holder.host}` });
  ctx.after(LOOK_MS, { type: 'look' });
  return state;
}

function onDone(state: State, count: number, ctx: Ctx, deps: IngressDeps): State {
  const next = { ...state, done: state.done + count };
  return next.full && next.fed - next.done <= MOST_IN_MEMORY / 2
    ? proceed({ ...next, full: false }, next.step, ctx, deps)
    : next;
}

/** Starts a step; its end comes as a message. */
function proceed(state: State, step: Step, ctx: Ctx, deps: IngressDeps): State {
  const { round, holding } = state;
  const next: State = { ...state, step };
  const fromStore = <T>(work: Promise<T>, ok: (value: T) => OwnMessage) => {
    ctx.pipe(work, ok, (error) => ({ type: 'store-failed', round, error }));
    return next;
  };
  switch (step.kind) {
    case 'idle':
      return next;
    case 'suspects':
      return fromStore(deps.inbox.find(state.handling.ids), (rows) => ({ type: 'suspects', round, rows }));
    case 'judge':
      return fromStore(judge(step.rows, holding, ctx, deps), () => ({ type: 'judged', round }));
    case 'backlog':
      if (isFull(next)) return { ...next, full: true };
      return fromStore(deps.inbox.unsettled(step.after, BACKLOG_UPDATES), (rows) => ({ type: 'backlog', round, rows }));
    case 'webhook':
      return call(next, 'deleteWebhook', {}, ANSWER_SLACK_MS, ctx, deps);
    case 'poll': {
      if (isFull(next)) return { ...next, full: true };
      const timeout = state.quick ? 0 : LONG_POLL_S;
      const { offset } = state;
      const payload = {
        ...(offset === undefined ? {} : { offset }),
        limit: POLL_UPDATES,
        timeout,
        allowed_updates: ALLOWED_UPDATES,
      };
      return call(next, 'getUpdates', payload, timeout * 1_000 + ANSWER_SLACK_MS, ctx, deps);
    }
    case 'store':
      return fromStore(step.batch.write(), (updates) => ({ type: 'stored', round, updates }));
    default:
      return unheard(step);
  }
}

const isFull = ({ fed, done }: State): boolean => fed - done > MOST_IN_MEMORY;

function call(state: State, method: string, payload: object, timeoutMs: number, ctx: Ctx, deps: IngressDeps): State {
  const { round, abort } = state;
  if (!state.holding.mayCall()) {
    ctx.after(LOOK_MS, { type: 'retry', round });
    return state;
  }
  ctx.pipe(
    deps.client.call(method, payload, { timeoutMs, signal: abort.signal }),
    (answer) => ({ type: 'answered', round, answer }),
    () => ({ type: 'aborted' }), // a client rejects for our own signal only
  );
  return state;
}

/** Counts a crash for each update that was being handled, and gives up those that it takes for poison. Says the same again when it is repeated. */
async function judge(
  rows: readonly QueuedUpdate[],
  holding: ReceiveHolding,
  ctx: Ctx,
  deps: IngressDeps,
): Promise<void> {
  const figures = rows.map((row) => ({ ...row, crashes: row.crashes + 1 }));
  await deps.inbox.recordCrashes(figures);
  for (const update of figures) {
    const { updateId, tries, crashes } = update;
    ctx.log.warn({ bot: deps.bot, updateId, crashes }, 'an update was being handled when its process or actor died');
    if (afterCrash(crashes) === 'dead') {
      await deps.inbox.bury(
        update,
        `poison: ${MAX_CRASHES} times the process or the actor that handled it died`,
        tries + crashes,
      );
    }
  }
  await holding.publishNow({ handling: [] });
}

function onBacklog(state: State, rows: readonly QueuedUpdate[], ctx: Ctx, deps: IngressDeps): State {
  const next = hand(state, rows, ctx);
  const last = rows.at(-1);
  const more = rows.length === BACKLOG_UPDATES && last !== undefined;
  return proceed(next, more ? { kind: 'backlog', after: last.updateId } : { kind: 'webhook' }, ctx, deps);
}

function onAnswered(state: State, answer: Answer, ctx: Ctx, deps: IngressDeps): State {
  const end = pollEnd(answer);
  const { bot } = deps;
  switch (end.kind) {
    case 'ok':
      deps.status.report({ state: 'polling' });
      return state.step.kind === 'poll'
        ? onUpdates(recovered(state), end.result, ctx, deps)
        : proceed(recovered(state), { kind: 'poll' }, ctx, deps);
    case 'conflict':
      ctx.log.warn({ bot, description: end.description }, 'someone else receives the updates of this bot');
      deps.status.report({ state: 'degraded', detail: end.description });
      return pause({ ...state, quick: false, ...(end.webhook ? { step: { kind: 'webhook' } } : {}) }, undefined, ctx);
    case 'unauthorized':
      ctx.log.error({ bot, description: end.description }, 'Telegram refuses the token of this bot');
      deps.status.report({ state: 'unauthorized', detail: end.description });
      deps.onUnauthorized(end.description);
      return pause({ ...state, quick: true }, UNAUTHORIZED_PAUSE_MS, ctx);
    case 'limited':
      deps.status.report({ state: 'degraded', detail: 'limited by Telegram' });
      return pause({ ...state, quick: true }, end.retryAfterMs, ctx);
    case 'failed':
      ctx.log.warn({ bot, reason: end.reason, attempt: state.attempt + 1 }, 'receiving failed; tried again');
      deps.status.report({ state: 'degraded', detail: `Telegram: ${end.reason}` });
      return pause({ ...state, quick: true }, undefined, ctx);
    default:
      return unheard(end);
  }
}

function onUpdates(state: State, result: unknown, ctx: Ctx, deps: IngressDeps): State {
  const { updates, malformed } = updatesOf(result);
  const last = updates.at(-1);
  if (malformed > 0) ctx.log.error({ bot: deps.bot, malformed }, 'an answer of getUpdates held what is no update');
  if (last === undefined) {
    const empty: State = { ...state, offset: undefined };
    return malformed > 0
      ? pause({ ...empty, attempt: state.attempt }, undefined, ctx)
      : proceed(empty, { kind: 'poll' }, ctx, deps);
  }
  return proceed(state, { kind: 'store', batch: deps.inbox.batch(updates), last: last.update_id }, ctx, deps);
}

function onStored(state: State, updates: readonly QueuedUpdate[], ctx: Ctx, deps: IngressDeps): State {
  const offset = state.step.kind === 'store' ? state.step.last + 1 : state.offset;
  return proceed({ ...hand(state, updates, ctx), offset }, { kind: 'poll' }, ctx, deps);
}

/** Hands updates over in memory. If the bot cannot take them now, the inbox has them, and its next start begins a round. */
function hand(state: State, updates: readonly QueuedUpdate[], ctx: Ctx): State {
  if (updates.length === 0) return state;
  ctx.tell(ctx.sibling<BotMessage>('bot'), { type: 'handle', round: state.round, updates });
  return { ...state, fed: state.fed + updates.length };
}

/** Only once the inbox is read: what was queued before the round is in there. A failure waits for the next look. */
function lookForReplays(state: State, ctx: Ctx, deps: IngressDeps): State {
  ctx.after(REPLAYS_MS, { type: 'look-for-replays' });
  const { round, step } = state;
  const isReady = step.kind === 'webhook' || step.kind === 'poll' || step.kind === 'store';
  if (!isReady || isFull(state) || !state.holding.mayCall()) return state;
  ctx.pipe(
    deps.inbox.replayed(REPLAYS),
    (rows) => ({ type: 'replayed', round, rows }),
    () => ({ type: 'aborted' }),
  );
  return state;
}

/** Each replay is handed over once in a round, however often it is read before it is settled. */
function onReplayed(state: State, rows: readonly QueuedUpdate[], ctx: Ctx): State {
  const fresh = rows.filter(({ updateId, replays }) => !state.replays.has(`${updateId}/${replays}`));
  for (const { updateId, replays } of fresh) state.replays.add(`${updateId}/${replays}`);
  return hand(state, fresh, ctx);
}

function onStoreFailed(state: State, error: unknown, ctx: Ctx, deps: IngressDeps): State {
  ctx.log.warn(
    { bot: deps.bot, error: String(error), attempt: state.attempt + 1, step: state.step.kind },
    'the inbox failed; tried again',
  );
  deps.status.report({ state: 'degraded', detail: 'the store is away' });
  return pause({ ...state, quick: true }, undefined, ctx);
}

const recovered = (state: State): State => ({ ...state, attempt: 0, quick: false });

function pause(state: State, pausedMs: number | undefined, ctx: Ctx): State {
  const attempt = state.attempt + 1;
  ctx.after(pausedMs ?? pauseMs(attempt, ctx.random()), { type: 'retry', round: state.round });
  return { ...state, attempt };
}

function unheard(value: never): never {
  throw new Error(`not expected: ${JSON.stringify(value)}`);
}
