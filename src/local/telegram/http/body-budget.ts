interface Waiting {
  readonly bytes: number;
  readonly granted: () => void;
}

/** The bytes that request bodies may hold at once, over all connections; who finds too little left waits, first come, first served. Never throws. */
export class BodyBudget {
  #left: number;
  readonly #waiting: Waiting[] = [];

  constructor(bytes: number) {
    this.#left = bytes;
  }

  /**
   * Takes bytes, of which there must be no more than the whole budget. When it returns false they are taken later, and `granted` is then called, once.
   */
  take(bytes: number, granted: () => void): boolean {
    if (this.#waiting.length > 0 || bytes > this.#left) {
      this.#waiting.push({ bytes, granted });
      return false;
    }
    this.#left -= bytes;
    return true;
  }

  /** Gives bytes back; those who wait for them are called from within. */
  give(bytes: number): void {
    this.#left += bytes;
    for (let next = this.#waiting[0]; next !== undefined && next.bytes <= this.#left; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#left -= next.bytes;
      next.granted();
    }
  }

  /** Takes back a wish that has not been granted. */
  forget(granted: () => void): void {
    const place = this.#waiting.findIndex((waiting) => waiting.granted === granted);
    if (place < 0) return;
    this.#waiting.splice(place, 1);
    this.give(0);
  }
}
