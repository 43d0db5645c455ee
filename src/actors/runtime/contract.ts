import type { Log } from '../../log.js';
import type { Clock } from '../clock.js';
import type { ChildSpec } from '../supervision.js';

declare const mailOf: unique symbol;
declare const answerOf: unique symbol;

/**
 * The name of an actor that takes mail of type `M`: a path such as `core/app/bots/bot:1/sender-pool` (the root has the
 * empty path and is no part of the others'). It is resolved at each send, so it stays good across restarts.
 * Contravariant in `M`: whoever takes all of a union takes a part of it; other types never assign.
 */
export interface Address<in M> {
  readonly path: string;
  readonly [mailOf]: (message: M) => void;
}

/** Where the answer of type `R` to one ask goes: to be put into a message as `replyTo`, and used with `reply`. */
export interface Reply<in R> {
  readonly [answerOf]: (value: R) => void;
}

/**
 * What became of a send. `full`: the mailbox holds its capacity, the message is still the sender's (back-pressure).
 * `undelivered`: nobody is there and nobody is going to be. Both are counted and logged.
 */
export type Delivery = 'accepted' | 'full' | 'undelivered';

/** `restarting` lasts from a fault until all is up again, the wait before it included; `parked` is stopped until its next try. */
export type NodeState = 'starting' | 'running' | 'restarting' | 'parked' | 'stopping' | 'stopped';

/** One place of the tree as a document: `restarts` since the system's start (failed ones too), `mailbox` waiting messages. */
export interface TreeNode {
  readonly name: string;
  readonly state: NodeState;
  readonly restarts: number;
  readonly mailbox: number;
  readonly lastError?: string;
  readonly children: readonly TreeNode[];
}

/** What an actor has at hand. It belongs to one life of the actor: after that its timers and pipes are dead. */
export interface ActorContext<M> {
  readonly self: Address<M>;
  readonly path: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  /** As `ActorSystem.tell`. */
  tell<N>(to: Address<N>, message: NoInfer<N>): Delivery;
  /** Sends `message` to itself after `delayMs`, above the mailbox's bound; the answer cancels it unless it lies in the mailbox already. Throws a RangeError for NaN. */
  after(delayMs: number, message: M): () => void;
  /** Makes the end of `work` a message to itself, above the mailbox's bound; dropped when this life is over. A mapping that throws is a crash. */
  pipe<T>(work: Promise<T>, ok: (value: T) => M, failed: (error: unknown) => M): void;
  /** The address of a child, of a sibling, or by its whole path; it need not exist. */
  child<N>(name: string): Address<N>;
  sibling<N>(name: string): Address<N>;
  address<N>(path: string): Address<N>;
}

/** An actor: one message at a time, never two of its functions at once, restarts included. */
export interface ActorSpec<S, M> {
  readonly name: string;
  /** Makes the first state of a life; a throw, a rejection or undefined is a failed start. */
  init(ctx: ActorContext<M>): S | Promise<S>;
  /** Answers the next state; a throw, a rejection or undefined is a crash, and the message is dropped. */
  receive(state: S, message: M, ctx: ActorContext<M>): S | Promise<S>;
  /** Ends a life whose `init` was done: awaited without bound, so it must bound itself. A throw is logged and counted. After a crash the reason is 'restart', whatever comes of it. */
  stop?(state: S, ctx: ActorContext<M>, reason: 'stop' | 'restart'): void | Promise<void>;
  /** `capacity` in messages, default 10,000: a tell beyond it answers 'full'. */
  readonly mailbox?: { readonly capacity: number };
}

/** What went wrong without ending anything, since the system was made. */
interface Counters {
  readonly undelivered: number;
  /** Sends answered 'full'. */
  readonly full: number;
  /** `stop` functions that threw. */
  readonly stopFaults: number;
  /** Handlers in flight that a final stop gave up after 5 s. */
  readonly abandoned: number;
}

/** A tree of supervised actors. */
export interface ActorSystem {
  /** Puts a message into a mailbox. Never throws. */
  tell<N>(to: Address<N>, message: NoInfer<N>): Delivery;
  /**
   * Sends what `make` makes and waits for the answer. Rejects PH_ACTOR_TIMEOUT after `timeoutMs`; at once
   * PH_ACTOR_UNDELIVERED or PH_ACTOR_MAILBOX_FULL; and at once PH_ACTOR_CRASHED when the life that took the question ends
   * without an answer (also if it had handed `replyTo` on), or the actor is stopped or parked with it in the mailbox.
   */
  ask<N, R>(to: Address<N>, make: (replyTo: Reply<R>) => NoInfer<N>, timeoutMs: number): Promise<R>;
  /** The address of a path; it need not exist. Never throws. */
  address<N>(path: string): Address<N>;
  /** As OTP's exit/2: the actor crashes with `error` as if its handler had thrown, at its next turn, before further mail; a supervisor fails as if its budget were spent. False if there is none that runs. */
  exit(path: string, error: Error): boolean;
  /** A snapshot; before `start` it throws PH_ACTOR_NOT_RUNNING. */
  tree(): TreeNode;
  undelivered(): number;
  counters(): Counters;
  /** Starts the tree in order, each init awaited. Rejects with the first fault when all that had started is stopped again; PH_ACTOR_NOT_RUNNING when it was started or stopped before. */
  start(root: ChildSpec): Promise<void>;
  /** Stops the tree in reverse order, each stop awaited; a handler in flight is waited for, up to 5 s. Not to be awaited in a handler. Never rejects. */
  stop(): Promise<void>;
  /** Adds a child behind its siblings and starts it. It stays through restarts of its supervisor. Rejects PH_ACTOR_NOT_RUNNING, PH_ACTOR_EXISTS, or with its failed start: then it is not added. */
  addChild(supervisorPath: string, spec: ChildSpec): Promise<void>;
  /** Stops a child and what is under it, and forgets it. Not to be awaited in its own handler. Rejects PH_ACTOR_UNKNOWN. */
  removeChild(path: string): Promise<void>;
  /** Called once when the root has failed (its budget is spent), after an ordered stop of everything. */
  onFailure(listener: (error: Error) => void): void;
  /** Called each time a child is parked. */
  onParked(listener: (path: string, error: Error) => void): void;
}
