/** Most updates kept for one bot; older ones are given up first. */
const UPDATES_MAX = 1_000_000;
const DONE = 0;

/** An update that waits: its id, the offset of its record in the journal, and until when it is worth delivering (ms since the epoch). */
export interface WaitingUpdate {
  readonly id: number;
  readonly offset: number;
  readonly until: number;
}

/**
 * A bot's updates that wait, 16 bytes each: ids without gaps, where their records lie and when they expire. They leave from the oldest on
 * (polling), singly (a webhook), and by themselves when their time is over. Never throws.
 */
export class UpdateQueue {
  /** By place from the head on; an update that has left before those ahead of it stays as `DONE`. The head is never one. */
  #offsets: number[] = [];
  #untils: number[] = [];
  #head = 0;
  #firstId: number;
  #done = 0;
  /** Ids of those that expire before one that is ahead of them, ascending; times are of two kinds only, so in the order of expiry too. */
  #early: number[] = [];
  #latest = 0;

  constructor(firstId: number) {
    this.#firstId = firstId;
  }

  /** How many wait, expired ones among them until `expire` is called. */
  get length(): number {
    return this.#offsets.length - this.#head - this.#done;
  }

  /** Id of the oldest one waiting, or of the next to come. */
  get firstId(): number {
    return this.#firstId;
  }

  /** Id that the next update gets. */
  get nextId(): number {
    return this.#firstId + this.#offsets.length - this.#head;
  }

  /** Appends an update; its id was `nextId`. */
  push(offset: number, until: number): void {
    if (until < this.#latest) this.#early.push(this.nextId);
    else this.#latest = until;
    this.#offsets.push(offset);
    this.#untils.push(until);
    if (this.length > UPDATES_MAX) this.forgetBelow(this.#firstId + 1);
  }

  /** Drops all below an id; returns whether there were any. */
  forgetBelow(id: number): boolean {
    if (this.length === 0 || id <= this.#firstId) return false;
    const end = Math.min(this.#offsets.length, this.#head + id - this.#firstId);
    for (let place = this.#head; place < end; place += 1) if (this.#offsets[place] === DONE) this.#done -= 1;
    this.#moveHead(end);
    return true;
  }

  /** Takes one out, wherever it stands; returns whether it was waiting. */
  finish(id: number): boolean {
    if (this.get(id) === undefined) return false;
    this.#offsets[this.#head + id - this.#firstId] = DONE;
    this.#done += 1;
    if (id === this.#firstId) this.#moveHead(this.#head);
    return true;
  }

  /** Drops those whose time is over. */
  expire(now: number): void {
    while (this.length > 0 && (this.#untils[this.#head] ?? 0) < now) this.finish(this.#firstId);
    while (this.#early.length > 0) {
      const id = this.#early[0] ?? 0;
      const waiting = this.get(id);
      if (waiting !== undefined && waiting.until >= now) break;
      if (waiting !== undefined) this.finish(id);
      this.#early.shift();
    }
  }

  /** Drops those whose records lie below an offset. */
  forgetOffsetsBelow(offset: number): void {
    while (this.length > 0 && (this.#offsets[this.#head] ?? 0) < offset) this.finish(this.#firstId);
  }

  /** The one with an id, if it waits. */
  get(id: number): WaitingUpdate | undefined {
    const place = this.#head + id - this.#firstId;
    const offset = place < this.#head ? DONE : (this.#offsets[place] ?? DONE);
    return offset === DONE ? undefined : { id, offset, until: this.#untils[place] ?? 0 };
  }

  /** The oldest ones from an id on, at most `limit`. */
  from(id: number, limit: number): WaitingUpdate[] {
    const found: WaitingUpdate[] = [];
    for (let next = Math.max(id, this.#firstId); next < this.nextId && found.length < limit; next += 1) {
      const waiting = this.get(next);
      if (waiting !== undefined) found.push(waiting);
    }
    return found;
  }

  /** The id from which on `count` wait, or that of the oldest when fewer do. */
  idOfNewest(count: number): number {
    let id = this.nextId;
    for (let left = Math.min(count, this.length); left > 0; ) {
      id -= 1;
      if (this.get(id) !== undefined) left -= 1;
    }
    return id;
  }

  /** All of it from the oldest on, for a snapshot: offsets (0 for those that have left), then as many times. */
  pack(): number[] {
    return [...this.#offsets.slice(this.#head), ...this.#untils.slice(this.#head)];
  }

  /** Lays a snapshot over an empty queue whose first id is the packed one's. */
  adopt(packed: readonly number[]): void {
    const count = packed.length / 2;
    for (let place = 0; place < count; place += 1) {
      const offset = packed[place] ?? DONE;
      this.push(offset, packed[count + place] ?? 0);
      if (offset === DONE) this.#done += 1;
    }
  }

  /** Has the queue begin at the first one that waits at a place or after it. */
  #moveHead(from: number): void {
    let head = from;
    while (head < this.#offsets.length && this.#offsets[head] === DONE) {
      head += 1;
      this.#done -= 1;
    }
    this.#firstId += head - this.#head;
    this.#head = head;
    if (head > 1024 && head * 2 > this.#offsets.length) {
      this.#offsets = this.#offsets.slice(head);
      this.#untils = this.#untils.slice(head);
      this.#head = 0;
    }
  }
}
