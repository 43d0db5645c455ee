/**
 * BotActor: handles the updates of one bot. Order: one update of a chat at a time, in the order they were handed over; chats side by side, at most
 * 32. Before a handler runs its update's id is durable in the lease, and the chat's reachability is written; all that the handler collected becomes
 * one page under the key `u:<update>`; then the update is settled. Failure policy: a handler that fails is tried 3 times in all (after 1 s,
 * 2 s), then its update goes to the dead letters; the store being away is no try, the bot just waits. A crash loses nothing: the
 * ingress hands all that is unsettled over again, and what was appended already is not appended twice. Times are ms of the injected clock.
 */
import { Composer } from 'telegraf';
import type { UserFromGetMe } from 'telegraf/types';
import type { Answer } from '../delivery/outcome.js';
import type { Feature, FeatureCommand, FeaturePorts, Handler } from '../feature.js';
import { pollEnd } from '../ingress/poll-answer.js';
import { pauseMs, SUSPECT_CRASHES } from '../ingress/tries.js';
import { type Turn, turns } from '../ingress/turns.js';
import type { QueuedUpdate } from '../store/inbox.js';
import type { TelegramClient } from '../telegram/client.js';
import type { IngressMessage } from './ingress.js';
import type { IngressStatus, ReceiveLease } from './receive-lease.js';
import type { ActorContext, ActorSpec } from './runtime.js';
import { type Round, type RunDeps, type RunEnd, run, within } from './update-run.js';

/** Updates handled at once. */
const PARALLEL = 32;
/** How long a stop waits for updates under way to be settled. */
const DRAIN_MS = 4_000;
const CALL_MS = 10_000;
const UNAUTHORIZED_PAUSE_MS = 60_000;
/** The list of commands is a convenience: after so many failures in a row it waits for the next start. */
const MOST_PUBLISHINGS = 8;

/** What the ingress tells. */
export type BotMessage =
  /** A round begins: forget all updates, those of this round follow. */
  | { readonly type: 'take-over'; readonly lease: ReceiveLease }
  | { readonly type: 'handle'; readonly round: number; readonly updates: readonly QueuedUpdate[] }
  /** The lease is lost: drop everything. */
  | { readonly type: 'stand-down' };

type OwnMessage =
  | BotMessage
  | { readonly type: 'met'; readonly answer: Answer }
  | { readonly type: 'meet' }
  | { readonly type: 'publish' }
  | { readonly type: 'published'; readonly answer: Answer }
  | { readonly type: 'ended'; readonly round: number; readonly updateId: number; readonly end: RunEnd }
  | { readonly type: 'wake' };

interface State {
  readonly handler: Handler;
  readonly me: UserFromGetMe | undefined;
  readonly round: Round | undefined;
  /** Failures in a row of getMe, of publishing the commands, of the store. */
  readonly unmet: number;
  readonly unpublished: number;
  readonly away: number;
  /** Nothing begins before: the store is away. */
  readonly notBefore: number;
  readonly cancelWake: () => void;
}

/** What the actor needs. `adminIds`, `parallel` default to nobody and 32. */
export interface BotDeps extends RunDeps {
  readonly client: Pick<TelegramClient, 'call'>;
  readonly features: readonly Feature[];
  readonly status: { report(status: IngressStatus): void };
  readonly adminIds?: readonly number[];
  readonly parallel?: number;
  onUnauthorized(description: string): void;
}

type Ctx = ActorContext<OwnMessage>;

/** The actor `bot`, sibling of `ingress` and after it, under a rest-for-one supervisor. */
export function botActor(deps: BotDeps): ActorSpec<State, OwnMessage> {
  return {
    name: 'bot',
    init: (ctx) => onInit(ctx, deps),
    receive(state, message, ctx) {
      switch (message.type) {
        case 'take-over':
          return onTakeOver(state, message.lease, ctx, deps);
        case 'handle':
          return onHandle(state, message.round, message.updates, ctx, deps);
        case 'stand-down':
          return standDown(state);
        case 'meet':
          return meet(state, ctx, deps);
        case 'met':
          return onMet(state, message.answer, ctx, deps);
        case 'publish':
          return publish(state, ctx, deps);
        case 'published':
          return onPublished(state, message.answer, ctx, deps);
        case 'ended':
          return onEnded(state, message.round, message.updateId, message.end, ctx, deps);
        case 'wake':
          return pump(state, ctx, deps);
        default:
          return unheard(message);
      }
    },
    async stop(state, ctx, reason) {
      const { round } = state;
      if (round === undefined) return;
      round.phase = reason === 'stop' ? 'draining' : 'over';
      if (reason === 'restart') return;
      await within(Promise.allSettled([...round.runs.values()]), DRAIN_MS, ctx.clock).catch(() => undefined);
      round.phase = 'over';
      round.lease.publish([...round.runs.keys()]);
    },
  };
}

function onInit(ctx: Ctx, deps: BotDeps): State {
  ctx.tell(ctx.sibling<IngressMessage>('ingress'), { type: 'bot-up' });
  const state: State = {
    handler: handlerOf(deps),
    me: undefined,
    round: undefined,
    unmet: 0,
    unpublished: 0,
    away: 0,
    notBefore: 0,
    cancelWake: () => undefined,
  };
  return meet(state, ctx, deps);
}

function handlerOf(deps: BotDeps): Handler {
  const ports: FeaturePorts = {
    bot: deps.bot,
    subscribers: deps.subscribers,
    commandsFor: (userId) => commandsOf(deps, userId !== undefined && (deps.adminIds ?? []).includes(userId)),
  };
  return Composer.compose([
    ...deps.features.flatMap((feature) => feature.handlers?.(ports) ?? []),
    ...deps.features.flatMap((feature) => feature.fallback?.(ports) ?? []),
  ]);
}

function commandsOf({ features }: BotDeps, admin: boolean): FeatureCommand[] {
  return features.flatMap(({ commands }) => commands ?? []).filter(({ admins }) => admin || admins !== true);
}

function meet(state: State, ctx: Ctx, deps: BotDeps): State {
  return call(state, 'getMe', {}, 'met', ctx, deps);
}

function onMet(state: State, answer: Answer, ctx: Ctx, deps: BotDeps): State {
  const end = pollEnd(answer);
  if (end.kind === 'ok') {
    const next = { ...state, me: end.result as UserFromGetMe, unmet: 0 };
    return pump(next.round === undefined ? next : publish(next, ctx, deps), ctx, deps);
  }
  const unmet = state.unmet + 1;
  let delayMs = end.kind === 'limited' ? end.retryAfterMs : pauseMs(unmet, ctx.random());
  if (end.kind === 'unauthorized') {
    delayMs = UNAUTHORIZED_PAUSE_MS;
    deps.status.report({ state: 'unauthorized', detail: end.description });
    deps.onUnauthorized(end.description);
  } else deps.status.report({ state: 'degraded', detail: 'getMe has no answer' });
  ctx.after(delayMs, { type: 'meet' });
  return { ...state, unmet };
}

/** Tells Telegram which commands there are; only who receives the bot's updates does so. */
function publish(state: State, ctx: Ctx, deps: BotDeps): State {
  const commands = commandsOf(deps, false).map(({ name, description }) => ({ command: name, description }));
  return call(state, 'setMyCommands', { commands }, 'published', ctx, deps);
}

function onPublished(state: State, answer: Answer, ctx: Ctx, deps: BotDeps): State {
  const end = pollEnd(answer);
  if (end.kind === 'ok') return { ...state, unpublished: 0 };
  const unpublished = state.unpublished + 1;
  ctx.log.warn({ bot: deps.bot, end }, 'the list of commands could not be published');
  if (unpublished < MOST_PUBLISHINGS) {
    ctx.after(end.kind === 'limited' ? end.retryAfterMs : pauseMs(unpublished, ctx.random()), { type: 'publish' });
  }
  return { ...state, unpublished };
}

function call(
  state: State,
  method: string,
  payload: object,
  type: 'met' | 'published',
  ctx: Ctx,
  deps: BotDeps,
): State {
  ctx.pipe(
    deps.client.call(method, payload, { timeoutMs: CALL_MS }),
    (answer) => ({ type, answer }),
    (error) => ({ type, answer: { kind: 'failure', beforeFirstByte: true, reason: String(error) } }),
  );
  return state;
}

function onTakeOver(state: State, lease: ReceiveLease, ctx: Ctx, deps: BotDeps): State {
  const round: Round = {
    lease,
    turns: turns(deps.parallel ?? PARALLEL),
    updates: new Map(),
    reasons: new Map(),
    runs: new Map(),
    phase: 'live',
  };
  const next = { ...standDown(state), round };
  return next.me === undefined ? next : publish(next, ctx, deps);
}

function standDown(state: State): State {
  if (state.round !== undefined) state.round.phase = 'over';
  return { ...state, round: undefined, away: 0, notBefore: 0 };
}

function onHandle(state: State, id: number, updates: readonly QueuedUpdate[], ctx: Ctx, deps: BotDeps): State {
  const { round } = state;
  if (round === undefined || round.lease.round !== id) return state;
  for (const update of updates) {
    const { updateId, chat, tries } = update;
    if (round.turns.offer({ updateId, chat, tries, alone: update.crashes >= SUSPECT_CRASHES })) {
      round.updates.set(updateId, update);
    } else ctx.tell(ctx.sibling<IngressMessage>('ingress'), { type: 'done', round: id, count: 1 });
  }
  return pump(state, ctx, deps);
}

/** Begins all that may begin now: one write of the lease for all of them. */
function pump(state: State, ctx: Ctx, deps: BotDeps): State {
  const { round, me } = state;
  state.cancelWake();
  if (round === undefined || me === undefined) return state;
  const now = ctx.clock.now();
  if (now < state.notBefore) return wakeAt(state, state.notBefore, ctx);
  const begun: Turn[] = [];
  for (let turn = round.turns.begin(now); turn !== undefined; turn = round.turns.begin(now)) begun.push(turn);
  if (begun.length > 0) {
    const published = round.lease.publishNow(round.turns.underWay());
    for (const turn of begun) start(turn, round, published, me, state.handler, ctx, deps);
  }
  return wakeAt(state, round.turns.earliest(), ctx);
}

function wakeAt(state: State, at: number, ctx: Ctx): State {
  const cancelWake = at === Infinity ? () => undefined : ctx.after(Math.max(0, at - ctx.clock.now()), { type: 'wake' });
  return { ...state, cancelWake };
}

function start(
  turn: Turn,
  round: Round,
  published: Promise<void>,
  me: UserFromGetMe,
  handler: Handler,
  ctx: Ctx,
  deps: BotDeps,
): void {
  const { updateId } = turn;
  const update = round.updates.get(updateId);
  if (update === undefined) return;
  const work = run({ turn, update, round, published, me, handler, clock: ctx.clock, log: ctx.log, deps }).finally(() =>
    round.runs.delete(updateId),
  );
  round.runs.set(updateId, work);
  ctx.pipe(
    work,
    (end) => ({ type: 'ended', round: round.lease.round, updateId, end }),
    (error) => ({ type: 'ended', round: round.lease.round, updateId, end: { kind: 'away', tries: turn.tries, error } }),
  );
}

function onEnded(state: State, id: number, updateId: number, end: RunEnd, ctx: Ctx, deps: BotDeps): State {
  const { round } = state;
  if (round === undefined || round.lease.round !== id) return state;
  const now = ctx.clock.now();
  switch (end.kind) {
    case 'settled':
    case 'dead':
      round.turns.end(updateId);
      round.updates.delete(updateId);
      round.reasons.delete(updateId);
      round.lease.publish(round.turns.underWay());
      ctx.tell(ctx.sibling<IngressMessage>('ingress'), { type: 'done', round: id, count: 1 });
      return pump({ ...state, away: 0 }, ctx, deps);
    case 'again':
      round.turns.again(updateId, end.tries, now + end.delayMs);
      round.lease.publish(round.turns.underWay());
      return pump(state, ctx, deps);
    case 'away':
      return onAway(state, round, updateId, end, ctx, deps);
    default:
      return unheard(end);
  }
}

/** Many runs fail at once when the store goes: only the first of them makes the pause longer. */
function onAway(
  state: State,
  round: Round,
  updateId: number,
  end: RunEnd & { kind: 'away' },
  ctx: Ctx,
  deps: BotDeps,
): State {
  const now = ctx.clock.now();
  const first = now >= state.notBefore;
  const away = first ? state.away + 1 : state.away;
  const notBefore = first ? now + pauseMs(away, ctx.random()) : state.notBefore;
  if (first)
    ctx.log.warn(
      { bot: deps.bot, error: String(end.error), pausedMs: notBefore - now },
      'updates wait: the store or the lease is away',
    );
  round.turns.again(updateId, end.tries, notBefore);
  round.lease.publish(round.turns.underWay());
  return pump({ ...state, away, notBefore }, ctx, deps);
}

function unheard(value: never): never {
  throw new Error(`not expected: ${JSON.stringify(value)}`);
}
