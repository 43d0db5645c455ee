import type { LocalClock } from './clock.js';

/** How virtual time stands to the clock beneath it: so many ms ahead of it; or it stands still at a moment (ms since the epoch). */
export interface VirtualTime {
  readonly aheadMs: number;
  readonly stoppedAt?: number;
}

interface Timer {
  readonly at: number;
  readonly run: () => void;
  cancel: () => void;
}

/**
 * A clock over another one that can be put forward, or stand still until it is put forward. Timers follow it: those that fall due on the way
 * run in order of time, each at its moment, with a turn of the event loop after it. Never throws.
 */
export class VirtualClock implements LocalClock {
  readonly #base: LocalClock;
  readonly #timers = new Set<Timer>();
  #aheadMs = 0;
  #stoppedAt: number | undefined;
  #wish: VirtualTime = { aheadMs: 0 };
  #changes: Promise<void> = Promise.resolve();
  #underWay = 0;

  constructor(base: LocalClock) {
    this.#base = base;
  }

  now(): number {
    return this.#stoppedAt ?? this.#base.now() + this.#aheadMs;
  }

  after(ms: number, run: () => void): () => void {
    const timer: Timer = { at: this.now() + ms, run, cancel: () => undefined };
    this.#timers.add(timer);
    this.#arm(timer);
    return () => this.#drop(timer);
  }

  /** How it stands, or will when the changes under way are done. */
  get time(): VirtualTime {
    return this.#wish;
  }

  /** Takes its time as it was kept, before anyone has set a timer. */
  adopt(time: VirtualTime): void {
    this.#wish = time;
    this.#set(time);
  }

  /** Resolves when the changes asked for so far are done, and all that fell due on the way has run. */
  get changed(): Promise<void> {
    return this.#changes;
  }

  /** Lets time stand still, at a whole millisecond, or go on from where it stood. */
  setStopped(stopped: boolean): void {
    const { aheadMs, stoppedAt } = this.#wish;
    if (stopped === (stoppedAt !== undefined)) return;
    if (stoppedAt !== undefined) {
      this.#change({ aheadMs: stoppedAt - this.#base.now() });
      return;
    }
    const now = this.#base.now() + aheadMs;
    // With no change under way it stands from this very moment on: else it could be past its millisecond when the change is made.
    if (this.#underWay === 0) this.#set({ aheadMs, stoppedAt: now });
    this.#change({ aheadMs, stoppedAt: Math.ceil(now) });
  }

  /** Puts time forward; `settled` resolves when what runs beside the clock has caught up with it, and is asked before each timer on the way. */
  advance(ms: number, settled?: () => Promise<void>): void {
    const { aheadMs, stoppedAt } = this.#wish;
    const time = stoppedAt === undefined ? { aheadMs: aheadMs + ms } : { aheadMs, stoppedAt: stoppedAt + ms };
    this.#change(time, settled);
  }

  /** Drops all timers that still run. */
  dropAll(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  /** Changes happen one after another. */
  #change(time: VirtualTime, settled?: () => Promise<void>): void {
    this.#wish = time;
    this.#underWay++;
    this.#changes = this.#changes
      .then(() => this.#reach(time, settled))
      .finally(() => {
        this.#underWay--;
      });
  }

  async #reach(time: VirtualTime, settled: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    const end = time.stoppedAt ?? this.#base.now() + time.aheadMs;
    // On the way it stands at the moment of each timer in turn.
    this.#set({ aheadMs: this.#aheadMs, stoppedAt: this.now() });
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      await settled();
      const next = this.#nextUntil(end);
      if (next === undefined) break;
      this.#drop(next);
      this.#stoppedAt = Math.max(next.at, this.now());
      next.run();
    }
    const { aheadMs, stoppedAt } = time;
    this.#set(stoppedAt === undefined ? time : { aheadMs, stoppedAt: Math.max(stoppedAt, this.now()) });
  }

  #nextUntil(end: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.at <= end && (next === undefined || timer.at < next.at)) next = timer;
    }
    return next;
  }

  #set({ aheadMs, stoppedAt }: VirtualTime): void {
    for (const timer of this.#timers) timer.cancel();
    this.#aheadMs = aheadMs;
    this.#stoppedAt = stoppedAt;
    for (const timer of this.#timers) this.#arm(timer);
  }

  #arm(timer: Timer): void {
    if (this.#stoppedAt !== undefined) return;
    timer.cancel = this.#base.after(Math.max(0, timer.at - this.now()), () => {
      this.#timers.delete(timer);
      timer.run();
    });
  }

  #drop(timer: Timer): void {
    timer.cancel();
    this.#timers.delete(timer);
  }
}
