import { dispatch, spawn, start as startNact, stop as stopNact } from 'nact';
import type { Log } from '../log.js';
import { type Clock, systemClock } from './clock.js';
import { actorError } from './runtime/actor-error.js';
import type { ActorSystem, Address, Delivery, Reply } from './runtime/contract.js';
import { DeadMail } from './runtime/dead-mail.js';
import { Letter } from './runtime/letter.js';
import type { Turn, Turner } from './runtime/life.js';
import { ActorNode, type NodeHost } from './runtime/node.js';
import { parentPath } from './runtime/path.js';
import { Question } from './runtime/question.js';

export { type Clock, systemClock } from './clock.js';

export type {
  ActorContext,
  ActorSpec,
  ActorSystem,
  Address,
  Delivery,
  Reply,
  TreeNode,
} from './runtime/contract.js';

/** What a system is made of; clock and random default to the machine's. */
export interface ActorSystemOptions {
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly log: Log;
}

/** Answers an ask; the first answer counts, later ones and those after the time-out are dropped. Never throws. */
export const reply = <R>(to: Reply<R>, value: NoInfer<R>): void => {
  if (to instanceof Question) to.answer(value);
};

/** Ends a switch over a closed union: a value that gets here is a bug. Throws PH_ACTOR_MESSAGE. */
export function assertNever(value: never): never {
  throw actorError('PH_ACTOR_MESSAGE', `No case for ${JSON.stringify(value)}`);
}

/**
 * Runs lives on nact, each a nact actor directly under nact's system: a nact parent copies its list of children at every
 * message. nact keeps the state and sees to one turn at a time; mail, timers, faults and stops are ours.
 */
const nactTurns = () => {
  const root = startNact();
  let lives = 0;
  const turns: NodeHost['turns'] = (run): Turner => {
    // A name of ours: nact draws 31 random bits for those without, and throws when two are alike.
    const actor = spawn(root, (state: unknown, turn: Turn): unknown => run(state, turn), `life-${lives++}`);
    return { ask: (turn) => dispatch(actor, turn), close: () => stopNact(actor) };
  };
  return { turns, close: () => stopNact(root) };
};

/** Makes a system that has no actors yet. Never throws. */
export const createActorSystem = (options: ActorSystemOptions): ActorSystem => {
  const clock = options.clock ?? systemClock;
  const { log } = options;
  const nact = nactTurns();
  const nodes = new Map<string, ActorNode>();
  const undelivered = new DeadMail(clock, log, 'undelivered messages');
  const overflow = new DeadMail(clock, log, 'messages refused by a full mailbox');
  const failureListeners: ((error: Error) => void)[] = [];
  const parkedListeners: ((path: string, error: Error) => void)[] = [];
  let root: ActorNode | undefined;
  let stopping: Promise<void> | undefined;

  const inform = <A extends unknown[]>(listeners: readonly ((...args: A) => void)[], ...args: A): void => {
    for (const listener of listeners) {
      try {
        listener(...args);
      } catch (error) {
        log.error({ err: error }, 'listener of the actor system failed');
      }
    }
  };

  const deliver = (path: string, mail: unknown): Delivery => {
    const node = nodes.get(path);
    if (node !== undefined) return node.deliver(mail);
    undelivered.count(path, mail instanceof Letter ? mail.message : mail);
    return 'undelivered';
  };

  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      await root?.stop('stop');
      nact.close();
      undelivered.flush();
      overflow.flush();
    })();
    return stopping;
  };

  const host: NodeHost = {
    clock,
    random: options.random ?? Math.random,
    log,
    nodes,
    undelivered,
    overflow,
    counters: { stopFaults: 0, abandoned: 0 },
    turns: nact.turns,
    tell: (to, message) => deliver(to.path, message),
    // The brand is for the compiler only.
    address: <N>(path: string) => Object.freeze({ path }) as Address<N>,
    parked: (path, error) => inform(parkedListeners, path, error),
    rootFailed: (error) => {
      if (stopping !== undefined) return;
      log.error({ err: error }, 'the root of the actors has failed, all stop');
      void stop().then(() => inform(failureListeners, error));
    },
  };

  return {
    tell: host.tell,
    address: host.address,
    ask: <N, R>(to: Address<N>, make: (replyTo: Reply<R>) => NoInfer<N>, timeoutMs: number): Promise<R> =>
      new Promise<R>((resolve, reject) => {
        const question = new Question(to.path, (value) => resolve(value as R), reject);
        const delivery = deliver(to.path, new Letter(make(question as unknown as Reply<R>), question, undefined));
        if (delivery === 'accepted') question.expireAfter(clock, timeoutMs);
        else if (delivery === 'full') question.fail('PH_ACTOR_MAILBOX_FULL', `The mailbox of ${to.path} is full`);
        else question.fail('PH_ACTOR_UNDELIVERED', `There is no actor ${to.path} to ask`);
      }),
    exit: (path, error) => nodes.get(path)?.exit(error) ?? false,
    tree() {
      if (root === undefined) throw actorError('PH_ACTOR_NOT_RUNNING', 'The actor system has not been started');
      return root.snapshot();
    },
    undelivered: () => undelivered.total,
    counters: () => ({ undelivered: undelivered.total, full: overflow.total, ...host.counters }),
    async start(spec) {
      if (root !== undefined || stopping !== undefined) {
        throw actorError('PH_ACTOR_NOT_RUNNING', 'An actor system is started once');
      }
      root = new ActorNode(host, undefined, spec);
      try {
        await root.start();
      } catch (error) {
        await stop();
        throw error;
      }
    },
    stop,
    async addChild(supervisorPath, spec) {
      const owner = nodes.get(supervisorPath);
      await owner?.restarter.quiet();
      if (owner === undefined || owner.halted || owner.state !== 'running') {
        throw actorError('PH_ACTOR_NOT_RUNNING', `There is no running supervisor at "${supervisorPath}"`);
      }
      if (owner.children.has(spec.name)) {
        throw actorError('PH_ACTOR_EXISTS', `${owner.label} has a child ${spec.name} already`);
      }
      const child = new ActorNode(host, owner, spec);
      owner.children.set(spec.name, child);
      try {
        await child.start();
      } catch (error) {
        child.removed = true;
        await child.stop('stop');
        child.forget();
        if (owner.children.get(spec.name) === child) owner.children.delete(spec.name);
        throw error;
      }
    },
    async removeChild(path) {
      const node = nodes.get(path);
      const owner = node === undefined || path === '' ? undefined : nodes.get(parentPath(path));
      if (node === undefined || owner === undefined) {
        throw actorError('PH_ACTOR_UNKNOWN', `There is no child at "${path}"`);
      }
      node.removed = true;
      owner.restarter.wake(node);
      await node.stop('stop');
      node.forget();
      if (owner.children.get(node.spec.name) === node) owner.children.delete(node.spec.name);
    },
    onFailure: (listener) => {
      failureListeners.push(listener);
    },
    onParked: (listener) => {
      parkedListeners.push(listener);
    },
  };
};
