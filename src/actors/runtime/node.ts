import type { ChildSpec } from '../supervision.js';
import { actorError } from './actor-error.js';
import type { NodeState, TreeNode } from './contract.js';
import type { DeadMail } from './dead-mail.js';
import { Letter } from './letter.js';
import { Life, type LifeHost } from './life.js';
import { joinPath } from './path.js';
import { Queue } from './queue.js';
import { Restarts } from './restarts.js';

/** What a mailbox holds when its spec names no capacity. */
const DEFAULT_CAPACITY = 10_000;

/** What all nodes of a system share. */
export interface NodeHost extends LifeHost {
  readonly nodes: Map<string, ActorNode>;
  readonly undelivered: DeadMail;
  readonly overflow: DeadMail;
  parked(path: string, error: Error): void;
  rootFailed(error: Error): void;
}

/**
 * One place in the tree, from the moment it is described until it is removed: its mailbox, its children, its present
 * life. Every change of it is one of `start`, `stop`, `fail`, `park`; lives come and go, the node and its mail stay.
 */
export class ActorNode {
  readonly path: string;
  readonly spec: ChildSpec;
  readonly parent: ActorNode | undefined;
  readonly host: NodeHost;
  readonly children = new Map<string, ActorNode>();
  state: NodeState = 'starting';
  starts = 0;
  lastError: Error | undefined;
  /** Set for good once it is taken out of the tree. */
  removed: boolean;
  /** A stop or a failure is being carried out, or was: nothing under it may start until it starts itself. */
  halted: boolean;
  readonly #queue = new Queue<unknown>();
  readonly #capacity: number;
  #life: Life | undefined;
  /** Made when it is first needed: most nodes never have a child that fails. */
  #restarter: Restarts | undefined;
  #halting: Promise<void> | undefined;
  /** The stop asked for is final: no life comes after it, so its mail goes nowhere and its handlers are not waited for without bound. */
  #final: boolean;
  #crash: Error | undefined;

  constructor(host: NodeHost, parent: ActorNode | undefined, spec: ChildSpec) {
    this.host = host;
    this.parent = parent;
    this.spec = spec;
    this.path = parent === undefined ? '' : joinPath(parent.path, spec.name);
    this.removed = false;
    this.halted = false;
    this.#final = false;
    this.#capacity = spec.actor?.mailbox?.capacity ?? DEFAULT_CAPACITY;
    host.nodes.set(this.path, this);
    for (const child of spec.children) this.children.set(child.name, new ActorNode(host, this, child));
  }

  /** What the log calls it: the root has no path. */
  get label(): string {
    return this.path === '' ? this.spec.name : this.path;
  }

  get restarter(): Restarts {
    this.#restarter ??= new Restarts(this);
    return this.#restarter;
  }

  /** Puts mail into the mailbox: 'full' and 'undelivered' leave it with the caller, and are counted. */
  deliver(mail: unknown): 'accepted' | 'full' | 'undelivered' {
    if (!this.#hasTakers()) {
      this.host.undelivered.count(this.label, mail instanceof Letter ? mail.message : mail);
      return 'undelivered';
    }
    if (this.#queue.size >= this.#capacity) {
      this.host.overflow.count(this.label, mail instanceof Letter ? mail.message : mail);
      return 'full';
    }
    this.#queue.push(mail);
    this.#life?.wake();
    return 'accepted';
  }

  /** Starts its life, then its children in order. Rejects with the first fault when all that had started is stopped again. */
  async start(): Promise<void> {
    if (this.#halting !== undefined) await this.#halting;
    if (this.removed) throw this.#stoppedError();
    this.halted = false;
    this.#final = false;
    this.#crash = undefined;
    this.state = this.starts++ === 0 ? 'starting' : 'restarting';
    this.#restarter?.reset();
    try {
      if (this.spec.actor !== undefined) {
        this.#life = new Life(this.host, this.path, this.spec.actor, this.#queue, (error) => this.fail(error, false));
        await this.#life.start();
      }
      for (const child of [...this.children.values()]) {
        if (this.halted) break;
        if (!child.removed) await this.#startChild(child);
      }
      if (this.halted) throw this.#crash ?? this.#stoppedError();
    } catch (error) {
      await this.#halt('restart');
      this.lastError = this.#crash ?? (error as Error);
      throw this.lastError;
    }
    this.state = 'running';
    this.#restarter?.resume();
  }

  async #startChild(child: ActorNode): Promise<void> {
    try {
      await child.start();
    } catch (error) {
      // The first start must show every fault; at a restart, what is known to be broken must not take the rest down.
      if (this.starts === 1 || child.spec.policy.exhausted !== 'park' || this.halted) throw error;
      this.restarter.park(child, error as Error);
    }
  }

  /**
   * Stops its children in reverse order, then its life. 'stop' is final: what is left in mailboxes is undelivered.
   * 'restart' keeps the mail for the life to come. Never rejects.
   */
  async stop(reason: 'stop' | 'restart'): Promise<void> {
    if (this.state === 'stopped') return;
    const wasParked = this.state === 'parked';
    if (reason === 'stop') this.#finally();
    this.state = reason === 'stop' ? 'stopping' : 'restarting';
    if (wasParked) this.parent?.restarter.unpark(this);
    await this.#halt(reason);
    if (this.#final) this.lay('stopped');
  }

  /** Its life crashed, or its budget is spent: stops what is under it and it, then tells its supervisor. */
  fail(error: Error, spent: boolean): void {
    this.lastError = error;
    if (this.halted) return;
    if (this.state !== 'running') {
      // `start` is waiting for its children and rejects with this.
      this.#crash = error;
      void this.#halt('restart');
      return;
    }
    this.state = 'restarting';
    void this.#halt('restart').then(() => {
      if (this.#final) return;
      if (this.parent === undefined) this.host.rootFailed(error);
      else this.parent.restarter.failed(this, error, spent);
    });
  }

  /** As OTP's exit/2: an actor crashes at its next turn, a supervisor as if its budget were spent. */
  exit(error: Error): boolean {
    if (this.halted) return false;
    if (this.#life !== undefined) return this.#life.exit(error);
    if (this.spec.actor !== undefined) return false;
    this.fail(error, true);
    return true;
  }

  /** Leaves it stopped in the tree, its mail undelivered, until someone starts it; it must be halted. */
  lay(state: 'stopped' | 'parked'): void {
    this.state = state;
    this.#final = true;
    this.halted = true;
    for (const child of this.children.values()) child.lay('stopped');
    while (this.#queue.size > 0) {
      const mail = this.#queue.shift();
      this.host.undelivered.count(this.label, mail instanceof Letter ? mail.message : mail);
      if (mail instanceof Letter)
        mail.question?.fail('PH_ACTOR_CRASHED', `${this.label} stopped before it looked at it`);
    }
  }

  /** Takes it and what is under it out of the index; it must be stopped. */
  forget(): void {
    this.removed = true;
    for (const child of this.children.values()) child.forget();
    if (this.host.nodes.get(this.path) === this) this.host.nodes.delete(this.path);
  }

  snapshot(): TreeNode {
    const node = {
      name: this.spec.name,
      state: this.state,
      restarts: Math.max(0, this.starts - 1),
      mailbox: this.#queue.size,
      children: [...this.children.values()].map((child) => child.snapshot()),
    };
    return this.lastError === undefined ? node : { ...node, lastError: this.lastError.message };
  }

  #hasTakers(): boolean {
    if (this.spec.actor === undefined || this.#final) return this.#life?.takesMail ?? false;
    return this.state === 'starting' || this.state === 'running' || this.state === 'restarting';
  }

  #finally(): void {
    this.#final = true;
    this.#life?.hurry();
    for (const child of this.children.values()) child.#finally();
  }

  #halt(reason: 'stop' | 'restart'): Promise<void> {
    this.#halting ??= this.#haltNow(reason).finally(() => {
      this.#halting = undefined;
    });
    return this.#halting;
  }

  async #haltNow(reason: 'stop' | 'restart'): Promise<void> {
    this.halted = true;
    this.#restarter?.interrupt();
    for (const child of [...this.children.values()].reverse()) await child.stop(reason);
    await this.#restarter?.idle();
    await this.#life?.end(reason, this.#final);
    this.#life = undefined;
  }

  #stoppedError(): Error {
    return actorError('PH_ACTOR_STOPPED', `${this.label} was stopped while it started`);
  }
}
