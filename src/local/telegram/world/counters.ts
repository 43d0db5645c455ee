/** The figures of `GET /local/stats` (docs/contract.md). */
export interface Counters {
  calls: Record<string, number>;
  accepted: number;
  distinct: number;
  duplicates: number;
  outOfOrder: number;
  tooMany: number;
  blocked: number;
  maxInOneSecond: number;
  maxInFlight: number;
  /** Arguments that their method does not know, by `method.argument`. */
  unknownArguments: Record<string, number>;
}

/** Figures at zero. Never throws. */
export function newCounters(): Counters {
  return {
    calls: {},
    accepted: 0,
    distinct: 0,
    duplicates: 0,
    outOfOrder: 0,
    tooMany: 0,
    blocked: 0,
    maxInOneSecond: 0,
    maxInFlight: 0,
    unknownArguments: {},
  };
}

/** Counts a call of a method by its own name. Never throws. */
export function countCall({ calls }: Counters, name: string): void {
  calls[name] = (calls[name] ?? 0) + 1;
}

const SECOND_MS = 1000;

/** Counts the events of the last sliding second: those less than 1000 ms before the newest. */
export class SecondWindow {
  #times = new Float64Array(64);
  #head = 0;
  #size = 0;

  /** How many events lie within the second that ends now. Never throws. */
  count(now: number): number {
    while (this.#size > 0 && now - (this.#times[this.#head] ?? 0) >= SECOND_MS) {
      this.#head = (this.#head + 1) % this.#times.length;
      this.#size -= 1;
    }
    return this.#size;
  }

  /** Notes an event and returns how many lie within the second that ends with it. Never throws. */
  note(now: number): number {
    this.count(now);
    if (this.#size === this.#times.length) this.#grow();
    this.#times[(this.#head + this.#size) % this.#times.length] = now;
    this.#size += 1;
    return this.#size;
  }

  /** The times noted that may still count, ascending, for a snapshot. Never throws. */
  times(): number[] {
    return Array.from({ length: this.#size }, (_, i) => this.#times[(this.#head + i) % this.#times.length] ?? 0);
  }

  /** Forgets all. Never throws. */
  clear(): void {
    this.#head = 0;
    this.#size = 0;
  }

  #grow(): void {
    const grown = new Float64Array(this.#times.length * 2);
    for (let i = 0; i < this.#size; i += 1) grown[i] = this.#times[(this.#head + i) % this.#times.length] ?? 0;
    this.#times = grown;
    this.#head = 0;
  }
}
