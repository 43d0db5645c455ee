/** A mark is set at the latest after so many message ids, or so many bytes of the journal: what lies between two marks is read to find one. */
const STEP_IDS = 64;
const STEP_BYTES = 64 * 1024;

/** What became of a message since it was written: the offsets of its first record and of its newest version, 0 once it is deleted. */
export interface MessageChange {
  readonly first: number;
  readonly newest: number;
}

/** The changes of a log as a snapshot keeps them. */
export type PackedChanges = readonly (readonly [number, MessageChange])[];

/**
 * Where the messages of one sequence of ids lie in the journal: a sparse index (16 bytes for 64 messages) and the changes of single ones. Ids
 * rise with the offsets. Never throws.
 */
export class MessageLog {
  #ids: number[] = [];
  #offsets: number[] = [];
  #lastId = Number.NEGATIVE_INFINITY;
  #lastOffset = Number.NEGATIVE_INFINITY;
  readonly #changes = new Map<number, MessageChange>();

  /** Notes a new message. */
  note(id: number, offset: number): void {
    if (id - this.#lastId < STEP_IDS && offset - this.#lastOffset < STEP_BYTES) return;
    this.#ids.push(id);
    this.#offsets.push(offset);
    this.#lastId = id;
    this.#lastOffset = offset;
  }

  /** The bytes of the journal that hold a message's first record's begin, if it exists: [from, to). */
  range(id: number): readonly [number, number] | undefined {
    let low = 0;
    let high = this.#ids.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ids[middle] ?? 0) <= id) low = middle + 1;
      else high = middle;
    }
    const from = this.#offsets[low - 1];
    if (from === undefined) return undefined;
    return [from, Math.min(this.#offsets[low] ?? Number.POSITIVE_INFINITY, from + STEP_BYTES)];
  }

  /** What became of a message; undefined for one that was never changed. */
  change(id: number): MessageChange | undefined {
    return this.#changes.get(id);
  }

  /** Notes a newer version of a message, or its deletion (0); `first` is the offset of its first record. */
  setChange(id: number, first: number, newest: number): void {
    this.#changes.set(id, { first, newest });
  }

  /** Forgets the messages whose first record lies below an offset. */
  forgetBelow(offset: number): void {
    // The mark before the first one kept still leads to messages that are kept.
    let drop = 0;
    while (drop + 1 < this.#offsets.length && (this.#offsets[drop + 1] ?? 0) <= offset) drop += 1;
    this.#ids = this.#ids.slice(drop);
    this.#offsets = this.#offsets.slice(drop);
    for (const [id, { first }] of this.#changes) if (first < offset) this.#changes.delete(id);
  }

  /** The index, for a snapshot: all ids, then their offsets. */
  marks(): number[] {
    return [...this.#ids, ...this.#offsets];
  }

  /** What became of messages, for a snapshot. */
  changes(): PackedChanges {
    return [...this.#changes];
  }

  /** Lays a snapshot over an empty log. */
  adopt(marks: readonly number[], changes: PackedChanges): void {
    this.#ids = marks.slice(0, marks.length / 2);
    this.#offsets = marks.slice(marks.length / 2);
    this.#lastId = this.#ids.at(-1) ?? Number.NEGATIVE_INFINITY;
    this.#lastOffset = this.#offsets.at(-1) ?? Number.NEGATIVE_INFINITY;
    for (const [id, change] of changes) this.#changes.set(id, change);
  }
}
