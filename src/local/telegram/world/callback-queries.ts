/** How long a callback query may be fetched and answered. */
export const QUERY_LIFE_MS = 150_000;

/** A press of a button: by whom, in which chat (in a private chat its id is the person's), on which message; and the button's data. */
export interface CallbackQuery {
  readonly id: string;
  readonly from: number;
  readonly chat: number;
  readonly messageId: number;
  readonly data: string;
}

/** One bot's callback queries that were not answered, each for as long as it lives. Never throws. */
export class CallbackQueries {
  /** When each was made (ms since the epoch), by its id, in that order. */
  readonly #madeAt = new Map<string, number>();

  /** Notes a new one; those whose time is over are forgotten. */
  open(id: string, at: number): void {
    for (const [old, madeAt] of this.#madeAt) {
      if (at - madeAt <= QUERY_LIFE_MS) break;
      this.#madeAt.delete(old);
    }
    this.#madeAt.set(id, at);
  }

  /** Whether one can be answered still. */
  isOpen(id: string, now: number): boolean {
    const madeAt = this.#madeAt.get(id);
    return madeAt !== undefined && now - madeAt <= QUERY_LIFE_MS;
  }

  /** Takes one out: it was answered. */
  close(id: string): void {
    this.#madeAt.delete(id);
  }

  /** All of them, for a snapshot. */
  pack(): (readonly [string, number])[] {
    return [...this.#madeAt];
  }

  /** Lays a snapshot over an empty collection. */
  adopt(packed: Iterable<readonly [string, number]>): void {
    for (const [id, at] of packed) this.#madeAt.set(id, at);
  }
}
