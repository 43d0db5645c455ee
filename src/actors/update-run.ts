import type { UserFromGetMe } from 'telegraf/types';
import type { Handler } from '../feature.js';
import { afterFailure, MAX_TRIES } from '../ingress/tries.js';
import type { Turn, Turns } from '../ingress/turns.js';
import { factsOf } from '../ingress/update-facts.js';
import type { Log } from '../log.js';
import type { Acceptance, NewMessage } from '../store/acceptance.js';
import { isFull } from '../store/failure.js';
import type { Inbox, QueuedUpdate } from '../store/inbox.js';
import { isConnectionError } from '../store/store.js';
import type { Subscribers } from '../store/subscribers.js';
import { collectingContext } from '../telegram/collecting-context.js';
import type { ReceiveLease } from './receive-lease.js';
import type { Clock } from './runtime.js';

/** A handler that takes longer has failed. */
const HANDLER_MS = 30_000;
/** UTF-16 units of a reason in the dead letters. */
const REASON_UNITS = 500;
/** Refusals of the store's services that pass by themselves: no fault of the update. */
const PASSING: ReadonlySet<unknown> = new Set([
  'PH_STORE_AWAY',
  'PH_STORE_FULL',
  'PH_TOO_MANY_WAITING',
  'PH_LEASE_FENCED',
]);

/** What the runs of a bot's updates write to. */
export interface RunDeps {
  readonly bot: string;
  readonly inbox: Pick<Inbox, 'settle' | 'bury' | 'recordTries'>;
  readonly subscribers: Subscribers;
  readonly acceptance: Pick<Acceptance, 'outputs'>;
}

/** How one run of an update ended. */
export type RunEnd =
  | { readonly kind: 'settled' }
  | { readonly kind: 'dead' }
  /** The handler failed; `tries` counts this one. */
  | { readonly kind: 'again'; readonly tries: number; readonly delayMs: number; readonly reason: string }
  /** The store, or the right to act, is away. `reason` of a failure that still waits for its dead letter. */
  | { readonly kind: 'away'; readonly tries: number; readonly reason?: string; readonly error: unknown };

/** One round of receiving: what is known of its updates, and whether its runs may go on. */
export interface Round {
  readonly lease: ReceiveLease;
  readonly turns: Turns;
  readonly updates: Map<number, QueuedUpdate>;
  /** Why the last try of an update failed, until its dead letter is written. */
  readonly reasons: Map<number, string>;
  readonly runs: Map<number, Promise<unknown>>;
  /** `draining`: no handler starts, what has run is settled; `over`: nothing more is written. */
  phase: 'live' | 'draining' | 'over';
}

/** What one run works on. `published` resolves when the update's id is durable in the lease. */
export interface Run {
  readonly turn: Turn;
  readonly update: QueuedUpdate;
  readonly round: Round;
  readonly published: Promise<void>;
  readonly me: UserFromGetMe;
  readonly handler: Handler;
  readonly clock: Clock;
  readonly log: Log;
  readonly deps: RunDeps;
}

/** One run of an update, from the lease to its settlement. What rejects here is the store's or the lease's, and no try of the update. */
export async function run(given: Run): Promise<RunEnd> {
  const { turn, update, round, published, deps } = given;
  const { updateId } = turn;
  await published;
  if (turn.tries >= MAX_TRIES)
    return bury(given, turn.tries, round.reasons.get(updateId) ?? `failed ${turn.tries} times`);
  if (round.phase !== 'live') return overEnd(turn);
  let inHandler = false;
  try {
    const { chat, moved } = factsOf(update.body);
    if (moved !== undefined) await deps.subscribers.move(moved);
    if (chat !== undefined) await deps.subscribers.mark(chat, { updateId, at: update.at });
    inHandler = true;
    const messages = await collect(given);
    inHandler = false;
    if (isOver(round)) return overEnd(turn);
    if (messages.length > 0) await deps.acceptance.outputs(deps.bot, updateId, messages);
    await deps.inbox.settle(updateId);
    return { kind: 'settled' };
  } catch (error) {
    // Whatever the store refuses us is no fault of the update; what it refuses a handler may be a wrong question of the handler.
    if (isPassing(error) || (!inHandler && isFromStore(error))) return { kind: 'away', tries: turn.tries, error };
    return failed(given, turn.tries + 1, error);
  }
}

/** Asked anew each time: the phase changes while a run waits. */
const isOver = ({ phase }: Round): boolean => phase === 'over';

const overEnd = ({ tries }: Turn): RunEnd => ({ kind: 'away', tries, error: new Error('the round is over') });

async function collect({ update, me, handler, clock }: Run): Promise<readonly NewMessage[]> {
  const collecting = collectingContext(update.body, me, update.at);
  try {
    await within(Promise.resolve(handler(collecting.context, () => Promise.resolve())), HANDLER_MS, clock);
  } finally {
    collecting.close();
  }
  return collecting.close();
}

async function failed(given: Run, tries: number, error: unknown): Promise<RunEnd> {
  const { turn, log, deps, round } = given;
  const reason = reasonOf(error);
  log.warn({ bot: deps.bot, updateId: turn.updateId, tries, err: error }, 'the handler of an update failed');
  const verdict = afterFailure(tries);
  if (verdict.kind === 'dead') {
    round.reasons.set(turn.updateId, reason);
    return bury(given, tries, reason);
  }
  if (!isOver(round)) await deps.inbox.recordTries(turn.updateId, tries).catch(() => undefined); // the count in memory goes on
  return { ...verdict, tries, reason };
}

async function bury({ turn, update, round, log, deps }: Run, tries: number, reason: string): Promise<RunEnd> {
  const away = (error: unknown): RunEnd => ({ kind: 'away', tries, reason, error });
  if (isOver(round) || !round.lease.mayCall()) return away(new Error('the lease is not sure'));
  try {
    await deps.inbox.bury(update, reason, tries);
  } catch (error) {
    return away(error);
  }
  log.error({ bot: deps.bot, updateId: turn.updateId, reason }, 'an update was given up; it is in the dead letters');
  return { kind: 'dead' };
}

function isPassing(error: unknown): boolean {
  return isConnectionError(error) || isFull(error) || PASSING.has((error as { code?: unknown } | null)?.code);
}

const isFromStore = (error: unknown): boolean => error instanceof Error && error.name.startsWith('Mongo');

function reasonOf(error: unknown): string {
  const { code, name, message } = (error instanceof Error ? error : { message: String(error) }) as {
    code?: unknown;
    name?: string;
    message: string;
  };
  const kind = typeof code === 'string' ? code : name;
  return (kind === undefined ? message : `${kind}: ${message}`).slice(0, REASON_UNITS);
}

/** `work`, or a rejection with PH_HANDLER_TIMEOUT after `ms`. */
export function within<T>(work: Promise<T>, ms: number, clock: Clock): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const cancel = clock.setTimer(ms, () => {
      reject(Object.assign(new Error(`not done within ${ms} ms`), { code: 'PH_HANDLER_TIMEOUT' }));
    });
    work.then(resolve, reject).finally(cancel);
  });
}
