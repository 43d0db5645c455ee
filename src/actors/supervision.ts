import { actorError } from './runtime/actor-error.js';
import type { ActorSpec } from './runtime/contract.js';

/**
 * Which children are stopped and started again when one of them fails. `one-for-one`: that one. `one-for-all`: all.
 * `rest-for-one`: that one and those after it in the order of the list.
 */
export type Strategy = 'one-for-one' | 'one-for-all' | 'rest-for-one';

/** How many restarts a supervisor makes: `restarts` within any `withinMs`; the next one spends the budget. */
export interface Budget {
  readonly restarts: number;
  readonly withinMs: number;
}

/** The wait before a restart: `minMs`, doubled at each restart within the budget's window, at most `maxMs`, spread by ± `jitter` (a share). */
export interface Backoff {
  readonly minMs: number;
  readonly maxMs: number;
  readonly jitter: number;
}

/** What becomes of a child whose own budget is spent: its failure goes up to its supervisor, or its supervisor parks it. */
type Exhausted = 'escalate' | 'park';

/** How a node treats the faults of its children, and how its supervisor treats a spent budget of its own. */
export interface Policy {
  readonly strategy: Strategy;
  readonly budget: Budget;
  readonly backoff: Backoff;
  readonly exhausted: Exhausted;
  readonly parkRetryMs: number;
}

/** One child of a supervisor: made by `worker` or `supervisor`, a frozen value that can be started many times. */
export interface ChildSpec {
  readonly name: string;
  /** What it runs; a supervisor has none. */
  readonly actor: ActorSpec<unknown, unknown> | undefined;
  readonly children: readonly ChildSpec[];
  readonly policy: Policy;
}

/** The parts of a policy that a spec may name; the rest has the defaults of `DEFAULT_POLICY`. */
interface PolicyOptions {
  readonly strategy?: Strategy;
  readonly budget?: Budget;
  readonly backoff?: Backoff;
  readonly exhausted?: Exhausted;
  readonly parkRetryMs?: number;
}

/** What a worker may be given besides its actor: children of its own, which start after it and stop before it. */
export interface WorkerOptions extends PolicyOptions {
  readonly children?: readonly ChildSpec[];
}

/** What makes a supervisor: a name, a strategy, its first children in their order of starting, and the policy. */
export interface SupervisorOptions extends PolicyOptions {
  readonly name: string;
  readonly strategy: Strategy;
  readonly children: readonly ChildSpec[];
}

/** One-for-one, 3 restarts in 5 s, backoff 100 ms to 5 s ± 20 %, escalation, and for the parked a new try each minute. */
export const DEFAULT_POLICY: Policy = Object.freeze({
  strategy: 'one-for-one',
  budget: { restarts: 3, withinMs: 5_000 },
  backoff: { minMs: 100, maxMs: 5_000, jitter: 0.2 },
  exhausted: 'escalate',
  parkRetryMs: 60_000,
});

const policyOf = (options: PolicyOptions): Policy => {
  const policy: Policy = {
    strategy: options.strategy ?? DEFAULT_POLICY.strategy,
    budget: options.budget ?? DEFAULT_POLICY.budget,
    backoff: options.backoff ?? DEFAULT_POLICY.backoff,
    exhausted: options.exhausted ?? DEFAULT_POLICY.exhausted,
    parkRetryMs: options.parkRetryMs ?? DEFAULT_POLICY.parkRetryMs,
  };
  const { budget, backoff } = policy;
  const sound =
    Number.isInteger(budget.restarts) &&
    budget.restarts >= 0 &&
    budget.withinMs > 0 &&
    backoff.minMs >= 0 &&
    backoff.maxMs >= backoff.minMs &&
    backoff.jitter >= 0 &&
    backoff.jitter <= 1 &&
    policy.parkRetryMs > 0;
  if (!sound) throw actorError('PH_ACTOR_POLICY', `Not a policy: ${JSON.stringify(policy)}`);
  return Object.freeze(policy);
};

const specOf = (
  name: string,
  actor: ActorSpec<unknown, unknown> | undefined,
  children: readonly ChildSpec[],
  options: PolicyOptions,
): ChildSpec => {
  if (name === '' || name.includes('/')) {
    throw actorError('PH_ACTOR_NAME', `An actor's name is not empty and has no slash: ${JSON.stringify(name)}`);
  }
  const names = new Set<string>();
  for (const child of children) {
    if (names.has(child.name)) throw actorError('PH_ACTOR_NAME', `Two children of ${name} are named ${child.name}`);
    names.add(child.name);
  }
  return Object.freeze({ name, actor, children: Object.freeze([...children]), policy: policyOf(options) });
};

/**
 * Describes a supervised actor, with children of its own if `options.children` names some: they start after its
 * `init` in order, stop before it in reverse, and are stopped first and started again after it when it crashes. Their
 * faults are treated by the options' policy; a spent budget counts as a crash of the worker itself.
 * With `exhausted: 'park'` its crashes count on a budget of its own (`budget`) and not on its supervisor's.
 * Throws PH_ACTOR_NAME, PH_ACTOR_POLICY, or PH_ACTOR_MAILBOX for a capacity that is no positive number.
 */
export const worker = <S, M>(spec: ActorSpec<S, M>, options: WorkerOptions = {}): ChildSpec => {
  if (spec.mailbox !== undefined && !(spec.mailbox.capacity >= 1)) {
    throw actorError('PH_ACTOR_MAILBOX', `The mailbox of ${spec.name} needs a capacity of 1 or more`);
  }
  // The methods of a spec are called with the state and the mail of its own actor only: the runtime pairs them up.
  return specOf(spec.name, spec as ActorSpec<unknown, unknown>, options.children ?? [], options);
};

/**
 * Describes a supervisor: it runs nothing, it only starts, stops and restarts its children. Throws PH_ACTOR_NAME for a
 * name that is empty, has a slash or occurs twice, PH_ACTOR_POLICY for a policy out of its bounds.
 */
export const supervisor = (options: SupervisorOptions): ChildSpec =>
  specOf(options.name, undefined, options.children, options);

/**
 * Counts a restart at `nowMs` in `times` (earlier restarts, oldest first; it is changed) and answers how many the
 * window holds with this one. More than `budget.restarts` = spent, as in OTP's supervisor. Never throws.
 */
export const countRestart = (budget: Budget, times: number[], nowMs: number): number => {
  times.push(nowMs);
  while ((times[0] ?? nowMs) < nowMs - budget.withinMs) times.shift();
  return times.length;
};

/** The wait in ms before the `nth` (from 1) restart of a window; `random` answers [0, 1). Never throws. */
export const backoffDelay = (backoff: Backoff, nth: number, random: () => number): number => {
  const base = Math.min(backoff.maxMs, backoff.minMs * 2 ** (nth - 1));
  return Math.min(backoff.maxMs, base * (1 + backoff.jitter * (2 * random() - 1)));
};

/** Which of `order` (children in order of starting) a failure of `failed` restarts. Never throws. */
export const affected = <T>(strategy: Strategy, order: readonly T[], failed: T): readonly T[] => {
  if (strategy === 'one-for-one') return [failed];
  return strategy === 'one-for-all' ? order : order.slice(order.indexOf(failed));
};
