import type { ChatTable } from './chat-table.js';

const FIRST_CAPACITY = 64;

/** The chats of a table by `notBefore`, the soonest first; their places are kept in the table's `place`. No method throws. */
export interface ChatHeap {
  readonly size: number;
  /** When the soonest is due; Infinity when there is none. */
  soonest(): number;
  add(slot: number): void;
  /** Takes the soonest out; only when there is one. */
  pop(): number;
  /** Takes any chat of this heap out. */
  remove(slot: number): void;
  /** Puts a chat right whose time has become later. */
  later(slot: number): void;
}

/** An empty binary heap over a table. Never throws. */
export function chatHeap(table: ChatTable): ChatHeap {
  let slots = new Uint32Array(FIRST_CAPACITY);
  let size = 0;

  function put(slot: number, at: number): void {
    slots[at] = slot;
    table.place[slot] = at;
  }

  function up(slot: number, from: number): void {
    const key = table.notBefore[slot] as number;
    let at = from;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const other = slots[above] as number;
      if ((table.notBefore[other] as number) <= key) break;
      put(other, at);
      at = above;
    }
    put(slot, at);
  }

  function down(slot: number, from: number): void {
    const key = table.notBefore[slot] as number;
    let at = from;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= size) break;
      if (below + 1 < size && keyAt(below + 1) < keyAt(below)) below += 1;
      if (keyAt(below) >= key) break;
      put(slots[below] as number, at);
      at = below;
    }
    put(slot, at);
  }

  function keyAt(at: number): number {
    return table.notBefore[slots[at] as number] as number;
  }

  function removeAt(at: number): void {
    size -= 1;
    const last = slots[size] as number;
    if (at === size) return;
    down(last, at);
    up(last, table.place[last] as number);
  }

  return {
    get size() {
      return size;
    },
    soonest: () => (size === 0 ? Number.POSITIVE_INFINITY : keyAt(0)),
    add(slot) {
      if (size === slots.length) {
        const grown = new Uint32Array(Math.ceil(slots.length * 1.5));
        grown.set(slots);
        slots = grown;
      }
      size += 1;
      up(slot, size - 1);
    },
    pop() {
      const slot = slots[0] as number;
      removeAt(0);
      return slot;
    },
    remove: (slot) => removeAt(table.place[slot] as number),
    later: (slot) => down(slot, table.place[slot] as number),
  };
}
