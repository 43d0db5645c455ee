import type { Clock } from '../clock.js';
import { actorError } from './actor-error.js';

/** An ask that waits for its answer. It ends once: by an answer, a time-out, or the end of who holds it. */
export class Question {
  readonly #resolve: (value: unknown) => void;
  readonly #reject: (error: Error) => void;
  readonly #path: string;
  #holder: Set<Question> | undefined;
  #cancelTimer: (() => void) | undefined;
  #settled: boolean;

  constructor(path: string, resolve: (value: unknown) => void, reject: (error: Error) => void) {
    this.#path = path;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#settled = false;
  }

  expireAfter(clock: Clock, timeoutMs: number): void {
    this.#cancelTimer = clock.setTimer(timeoutMs, () => {
      this.fail('PH_ACTOR_TIMEOUT', `No answer from ${this.#path} within ${timeoutMs} ms`);
    });
  }

  /** Puts the question in the hands of one life of an actor, whose end is the question's end. */
  heldBy(holder: Set<Question>): void {
    if (this.#settled) return;
    this.#holder = holder;
    holder.add(this);
  }

  answer(value: unknown): void {
    if (this.#settle()) this.#resolve(value);
  }

  fail(code: string, message: string, cause?: unknown): void {
    if (this.#settle()) this.#reject(actorError(code, message, cause));
  }

  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#holder?.delete(this);
    this.#holder = undefined;
    return true;
  }
}
