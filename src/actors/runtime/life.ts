import type { Log } from '../../log.js';
import type { Clock } from '../clock.js';
import { actorError, asError } from './actor-error.js';
import type { ActorContext, ActorSpec, ActorSystem, Address } from './contract.js';
import { typeOf } from './dead-mail.js';
import { Letter } from './letter.js';
import { joinPath, parentPath } from './path.js';
import type { Question } from './question.js';
import type { Queue } from './queue.js';

/** How long a final stop waits for a handler in flight. */
const STOP_WAIT_MS = 5_000;
/** Messages of one turn, and how long it may take, before other actors and I/O have theirs. */
const TURN_MESSAGES = 64;
const TURN_MS = 4;

/** What the runtime asks of an actor's turns; one at a time, in the order asked for. */
export type Turn = 'init' | 'mail' | 'end';

/** The turns of one life, run by nact. */
export interface Turner {
  ask(turn: Turn): void;
  close(): void;
}

/** What all lives of a system share. */
export interface LifeHost {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly tell: ActorSystem['tell'];
  readonly address: ActorSystem['address'];
  readonly counters: { stopFaults: number; abandoned: number };
  /** Begins the turns of a life: `run` takes the state and answers the next one, at once or by a promise; it never throws. */
  turns(run: (state: unknown, turn: Turn) => unknown): Turner;
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';

const stopped = (path: string) => actorError('PH_ACTOR_STOPPED', `${path} was stopped while it started`);

/**
 * One incarnation of an actor, from `init` to `stop`: what it was sent by its timers and pipes, and the questions it
 * has in hand, end with it. Its mailbox is not its own: that outlives it.
 */
export class Life {
  readonly #host: LifeHost;
  readonly #path: string;
  readonly #label: string;
  readonly #spec: ActorSpec<unknown, unknown>;
  readonly #queue: Queue<unknown>;
  readonly #onCrash: (error: Error) => void;
  readonly #turner: Turner;
  readonly #context: ActorContext<unknown>;
  #questions: Set<Question> | undefined;
  #timers: Set<() => void> | undefined;
  #phase: 'starting' | 'running' | 'crashed' | 'closing' | 'over' = 'starting';
  #awake: boolean;
  #exit: Error | undefined;
  #settleStart: { resolve: () => void; reject: (error: Error) => void } | undefined;
  #end:
    | { reason: 'stop' | 'restart'; bounded: boolean; hook: boolean; done: Promise<void>; settle: () => void }
    | undefined;
  #cancelWatch: (() => void) | undefined;
  #hasState: boolean;

  constructor(
    host: LifeHost,
    path: string,
    spec: ActorSpec<unknown, unknown>,
    queue: Queue<unknown>,
    onCrash: (error: Error) => void,
  ) {
    this.#host = host;
    this.#path = path;
    this.#label = path === '' ? spec.name : path;
    this.#spec = spec;
    this.#queue = queue;
    this.#onCrash = onCrash;
    this.#awake = false;
    this.#hasState = false;
    this.#context = this.#makeContext();
    this.#turner = host.turns((state, turn) => this.#run(state, turn));
  }

  /** Whether what is put in the mailbox now will be looked at by this life. */
  get takesMail(): boolean {
    return this.#phase === 'starting' || this.#phase === 'running';
  }

  /** Runs `init`; rejects with what it threw, or with PH_ACTOR_STOPPED when an end was asked for meanwhile. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#settleStart = { resolve, reject };
      this.#turner.ask('init');
    });
  }

  /** Sees to it that a turn comes for what lies in the mailbox. */
  wake(): void {
    if (this.#awake || this.#phase !== 'running') return;
    this.#awake = true;
    this.#turner.ask('mail');
  }

  /** Lets it crash at its next turn; false when there is none to come. */
  exit(error: Error): boolean {
    if (!this.takesMail) return false;
    this.#exit ??= error;
    this.wake();
    return true;
  }

  /**
   * Takes no more mail, waits for the handler in flight, runs `stop`. `bounded`: a handler that has not ended in
   * `STOP_WAIT_MS` is given up (and `stop` is not run). Never rejects.
   */
  end(reason: 'stop' | 'restart', bounded: boolean): Promise<void> {
    if (this.#phase === 'over') return Promise.resolve();
    if (this.#end === undefined) {
      let settle = (): void => undefined;
      const done = new Promise<void>((resolve) => {
        settle = resolve;
      });
      this.#end = { reason, bounded, hook: false, done, settle };
      this.#phase = 'closing';
      this.#forgetSelf();
      this.#watch();
      this.#turner.ask('end');
    } else if (bounded) {
      this.hurry();
    }
    return this.#end.done;
  }

  /** Bounds an end that is under way, from now on. */
  hurry(): void {
    if (this.#end === undefined || this.#end.bounded || this.#end.hook) return;
    this.#end.bounded = true;
    this.#watch();
  }

  #run(state: unknown, turn: Turn): unknown {
    if (turn === 'mail') return this.#mail(state);
    return turn === 'init' ? this.#init() : this.#stop(state);
  }

  #init(): unknown {
    let made: unknown;
    try {
      made = this.#spec.init(this.#context);
    } catch (error) {
      return this.#startFailed(error);
    }
    if (!isThenable(made)) return this.#started(made);
    return Promise.resolve(made).then(
      (state) => this.#started(state),
      (error) => this.#startFailed(error),
    );
  }

  #started(state: unknown): unknown {
    if (this.#phase === 'over') return state;
    if (state === undefined) {
      return this.#startFailed(
        actorError('PH_ACTOR_NO_STATE', `init of ${this.#label} answered undefined, not a state`),
      );
    }
    this.#hasState = true;
    if (this.#phase !== 'starting') {
      this.#settleStart?.reject(stopped(this.#label));
      return state;
    }
    this.#phase = 'running';
    this.#settleStart?.resolve();
    if (this.#queue.size > 0 || this.#exit !== undefined) this.wake();
    return state;
  }

  #startFailed(thrown: unknown): undefined {
    const error = asError(thrown);
    this.#host.log.error({ path: this.#label, err: error }, 'actor failed to start');
    if (this.#phase === 'over') return;
    this.#settleStart?.reject(error);
    this.#over();
  }

  #mail(state: unknown): unknown {
    let current = state;
    const { clock } = this.#host;
    const begunAt = clock.now();
    for (let taken = 0; taken < TURN_MESSAGES; taken++) {
      if (this.#phase !== 'running') break;
      if (this.#exit !== undefined) {
        this.#crash(this.#exit, undefined);
        break;
      }
      if (this.#queue.size === 0 || ((taken & 7) === 7 && clock.now() - begunAt > TURN_MS)) break;
      const mail = this.#queue.shift();
      let message = mail;
      if (mail instanceof Letter) {
        if (mail.question !== undefined) this.#hold(mail.question);
        message = mail.message;
      }
      let next: unknown;
      try {
        next = this.#spec.receive(current, message, this.#context);
        if (isThenable(next)) return this.#later(current, next, message);
      } catch (error) {
        this.#crash(error, message);
        break;
      }
      if (next === undefined) {
        this.#crash(this.#noState(), message);
        break;
      }
      current = next;
    }
    this.#sleepOrGoOn();
    return current;
  }

  #later(state: unknown, promised: PromiseLike<unknown>, message: unknown): Promise<unknown> {
    return Promise.resolve(promised).then(
      (next: unknown) => {
        if (next === undefined) this.#crash(this.#noState(), message);
        this.#sleepOrGoOn();
        return next === undefined ? state : next;
      },
      (error) => {
        this.#crash(error, message);
        this.#sleepOrGoOn();
        return state;
      },
    );
  }

  #noState(): Error {
    return actorError('PH_ACTOR_NO_STATE', `receive of ${this.#label} answered undefined, not a state`);
  }

  #sleepOrGoOn(): void {
    this.#awake = false;
    if (this.#queue.size > 0 || this.#exit !== undefined) this.wake();
  }

  #crash(thrown: unknown, message: unknown): void {
    const error = asError(thrown);
    this.#host.log.error({ path: this.#label, type: typeOf(message), err: error }, 'actor crashed');
    // While it is being ended already, the message is lost the same way, and there is nobody left to restart.
    if (this.#phase !== 'running') return;
    this.#phase = 'crashed';
    this.#forgetSelf();
    this.#dropQuestions(error);
    this.#onCrash(error);
  }

  #stop(state: unknown): unknown {
    const end = this.#end;
    if (end === undefined || this.#phase === 'over') return state;
    end.hook = true;
    let work: unknown;
    try {
      if (this.#hasState) work = this.#spec.stop?.(state, this.#context, end.reason);
    } catch (error) {
      this.#stopFailed(error);
    }
    if (!isThenable(work)) {
      this.#over();
      return state;
    }
    return Promise.resolve(work).then(
      () => this.#over(),
      (error) => {
        this.#stopFailed(error);
        this.#over();
      },
    );
  }

  #stopFailed(thrown: unknown): void {
    this.#host.counters.stopFaults++;
    this.#host.log.error({ path: this.#label, err: asError(thrown) }, 'stop of an actor failed');
  }

  #over(): void {
    this.#phase = 'over';
    this.#cancelWatch?.();
    this.#forgetSelf();
    this.#dropQuestions(undefined);
    this.#turner.close();
    this.#end?.settle();
  }

  /** Looks after an end that takes long: gives up what may be given up, else says so in the log. */
  #watch(): void {
    this.#cancelWatch?.();
    this.#cancelWatch = this.#host.clock.setTimer(STOP_WAIT_MS, () => {
      const end = this.#end;
      if (end === undefined || this.#phase === 'over') return;
      if (!end.bounded || end.hook) {
        this.#host.log.warn({ path: this.#label, in: end.hook ? 'stop' : 'handler' }, 'actor takes long to stop');
        this.#watch();
        return;
      }
      this.#host.counters.abandoned++;
      this.#host.log.error({ path: this.#label, waitedMs: STOP_WAIT_MS }, 'handler in flight given up at stop');
      this.#settleStart?.reject(stopped(this.#label));
      this.#over();
    });
  }

  #forgetSelf(): void {
    for (const cancel of this.#timers ?? []) cancel();
    this.#timers = undefined;
    this.#queue.retain((mail) => !(mail instanceof Letter && mail.life === this));
  }

  #hold(question: Question): void {
    this.#questions ??= new Set();
    question.heldBy(this.#questions);
  }

  #dropQuestions(cause: Error | undefined): void {
    const text = `${this.#label} ${cause === undefined ? 'stopped' : 'crashed'} before it answered`;
    for (const question of [...(this.#questions ?? [])]) question.fail('PH_ACTOR_CRASHED', text, cause);
  }

  #post(message: unknown): void {
    if (!this.takesMail) return;
    this.#queue.push(new Letter(message, undefined, this));
    this.wake();
  }

  #makeContext(): ActorContext<unknown> {
    const host = this.#host;
    const path = this.#path;
    return {
      self: host.address<unknown>(path),
      path,
      clock: host.clock,
      random: host.random,
      log: host.log,
      tell: host.tell,
      after: (delayMs, message) => this.#after(delayMs, message),
      pipe: (work, ok, failed) => this.#pipe(work, ok, failed),
      child: <N>(name: string): Address<N> => host.address<N>(joinPath(path, name)),
      sibling: <N>(name: string): Address<N> => host.address<N>(joinPath(parentPath(path), name)),
      address: host.address,
    };
  }

  #after(delayMs: number, message: unknown): () => void {
    if (!this.takesMail) return () => undefined;
    const cancel = this.#host.clock.setTimer(delayMs, () => {
      this.#timers?.delete(cancel);
      this.#post(message);
    });
    this.#timers ??= new Set();
    this.#timers.add(cancel);
    return () => {
      this.#timers?.delete(cancel);
      cancel();
    };
  }

  #pipe<T>(work: Promise<T>, ok: (value: T) => unknown, failed: (error: unknown) => unknown): void {
    const send = <V>(make: (value: V) => unknown, value: V): void => {
      if (!this.takesMail) return;
      try {
        this.#post(make(value));
      } catch (error) {
        this.exit(asError(error));
      }
    };
    work.then(
      (value) => send(ok, value),
      (error) => send(failed, error),
    );
  }
}
