import type { Log } from '../../log.js';
import type { Clock } from '../clock.js';

/** How long a path that has been named in the log is only counted. */
const QUIET_MS = 10_000;
/** Above this many paths the one named longest ago is forgotten: paths can be made up without end. */
const MAX_PATHS = 1_000;

/** The `type` of a message, or what kind of value it is. Never throws. */
export const typeOf = (message: unknown): string => {
  if (typeof message === 'object' && message !== null && 'type' in message && typeof message.type === 'string') {
    return message.type;
  }
  return message === null ? 'null' : typeof message;
};

/** Counts mail that went nowhere and names it in the log: the first of a path at once, then one count each 10 s at most. Never throws. */
export class DeadMail {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #text: string;
  readonly #paths = new Map<string, { namedAt: number; since: number; type: string }>();
  #total = 0;

  constructor(clock: Clock, log: Log, text: string) {
    this.#clock = clock;
    this.#log = log;
    this.#text = text;
  }

  get total(): number {
    return this.#total;
  }

  count(path: string, message: unknown): void {
    this.#total++;
    const now = this.#clock.now();
    const entry = this.#paths.get(path);
    if (entry !== undefined && now - entry.namedAt < QUIET_MS) {
      entry.since++;
      entry.type = typeOf(message);
      return;
    }
    this.#paths.delete(path);
    this.#name(path, typeOf(message), (entry?.since ?? 0) + 1);
    this.#paths.set(path, { namedAt: now, since: 0, type: '' });
    if (this.#paths.size > MAX_PATHS) this.#forget(this.#paths.keys().next().value);
  }

  /** Logs what was counted and not named yet. */
  flush(): void {
    for (const path of [...this.#paths.keys()]) this.#forget(path);
  }

  #forget(path: string | undefined): void {
    const entry = path === undefined ? undefined : this.#paths.get(path);
    if (path === undefined || entry === undefined) return;
    this.#paths.delete(path);
    if (entry.since > 0) this.#name(path, entry.type, entry.since);
  }

  #name(path: string, type: string, count: number): void {
    this.#log.warn({ path, type, count }, this.#text);
  }
}
