/** A first-in-first-out queue on a ring that grows and shrinks by powers of two; both ends cost O(1). Never throws. */
export class Queue<T> {
  #ring: (T | undefined)[] = new Array(4);
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(item: T): void {
    if (this.#size === this.#ring.length) this.#resize(this.#ring.length * 2);
    this.#ring[(this.#head + this.#size) & (this.#ring.length - 1)] = item;
    this.#size++;
  }

  /** The oldest item, taken off; undefined when there is none (an item that is undefined looks the same: see `size`). */
  shift(): T | undefined {
    if (this.#size === 0) return undefined;
    const item = this.#ring[this.#head];
    this.#ring[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#ring.length - 1);
    this.#size--;
    // A burst must not hold its memory for ever.
    if (this.#ring.length > 64 && this.#size < this.#ring.length >> 2) this.#resize(this.#ring.length >> 1);
    return item;
  }

  /** Keeps, in order, only what passes. */
  retain(keep: (item: T) => boolean): void {
    for (let left = this.#size; left > 0; left--) {
      const item = this.shift() as T;
      if (keep(item)) this.push(item);
    }
  }

  #resize(length: number): void {
    const ring = new Array<T | undefined>(length);
    for (let i = 0; i < this.#size; i++) ring[i] = this.#ring[(this.#head + i) & (this.#ring.length - 1)];
    this.#ring = ring;
    this.#head = 0;
  }
}
