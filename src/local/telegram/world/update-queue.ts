/** Most updates kept for one bot; older ones are given up first. */
const UPDATES_MAX = 1_000_000;

/** An update that waits: its id and the offset of its record in the journal. */
export interface WaitingUpdate {
  readonly id: number;
  readonly offset: number;
}

/** A bot's updates that were not confirmed yet, 8 bytes each: ids without gaps, and where their records lie. Never throws. */
export class UpdateQueue {
  #offsets: number[] = [];
  #head = 0;
  #firstId: number;

  constructor(firstId: number, offsets: number[] = []) {
    this.#firstId = firstId;
    this.#offsets = offsets;
  }

  get length(): number {
    return this.#offsets.length - this.#head;
  }

  /** Id of the oldest one waiting, or of the next to come. */
  get firstId(): number {
    return this.#firstId;
  }

  /** Id that the next update gets. */
  get nextId(): number {
    return this.#firstId + this.length;
  }

  /** Appends an update; its id was `nextId`. */
  push(offset: number): void {
    this.#offsets.push(offset);
    if (this.length > UPDATES_MAX) this.forgetBelow(this.#firstId + 1);
  }

  /** Drops all below an id; returns whether there were any. */
  forgetBelow(id: number): boolean {
    const drop = Math.min(this.length, id - this.#firstId);
    if (drop <= 0) return false;
    this.#head += drop;
    this.#firstId += drop;
    if (this.#head > 1024 && this.#head * 2 > this.#offsets.length) {
      this.#offsets = this.#offsets.slice(this.#head);
      this.#head = 0;
    }
    return true;
  }

  /** Drops those whose records lie below an offset. */
  forgetOffsetsBelow(offset: number): void {
    while (this.length > 0 && (this.#offsets[this.#head] ?? 0) < offset) this.forgetBelow(this.#firstId + 1);
  }

  /** The oldest ones, at most `limit`. */
  oldest(limit: number): WaitingUpdate[] {
    const found: WaitingUpdate[] = [];
    const count = Math.min(limit, this.length);
    for (let i = 0; i < count; i += 1)
      found.push({ id: this.#firstId + i, offset: this.#offsets[this.#head + i] ?? 0 });
    return found;
  }

  /** All offsets, for a snapshot. */
  offsets(): number[] {
    return this.#offsets.slice(this.#head);
  }
}
