import { NONE } from './chains.js';
import { chatHash } from './shards.js';

const FIRST_CAPACITY = 64;
/** An empty table larger than this gives its memory back. */
const KEEP_CAPACITY = 16_384;
const SEED = 0x2c9277b5;
/** Chains of a chat. */
export const CHAINS = 4;

/**
 * The chats of a shard: one slot (42 bytes and 4 to 8 of index) each, in arrays that are replaced when they grow, so never kept by a caller.
 * The fields belong to the mailboxes; a new slot has no items, place NONE, state 0, `notBefore` −Infinity.
 */
export interface ChatTable {
  chatId: Float64Array;
  /** No call before that time (ms). */
  notBefore: Float64Array;
  /** Four tails of chains a slot. */
  tails: Uint32Array;
  /** The place in a heap, or the neighbours in a list. */
  place: Uint32Array;
  follower: Uint32Array;
  state: Uint8Array;
  /** The lane of the list it is in, or the chain of the head that was begun. */
  detail: Uint8Array;
  readonly size: number;
  /** Slots in use are below this; free ones are among them, with state 0. */
  readonly used: number;
  /** The slot of a chat, or NONE. Never throws. */
  find(chatId: number): number;
  /** A new slot for a chat that has none. Never throws. */
  insert(chatId: number): number;
  /** Frees a slot. Never throws. */
  remove(slot: number): void;
}

/** An empty table of chats that grows as needed: open addressing with linear probing and removal by shifting back. Never throws. */
export function chatTable(): ChatTable {
  let capacity = 0;
  let free = NONE;
  let used = 0;
  let size = 0;
  /** Slot + 1 by hash; 0 = empty. A power of two, at most 2/3 full. */
  let index = new Uint32Array(FIRST_CAPACITY * 2);

  const table: ChatTable = {
    chatId: new Float64Array(0),
    notBefore: new Float64Array(0),
    tails: new Uint32Array(0),
    place: new Uint32Array(0),
    follower: new Uint32Array(0),
    state: new Uint8Array(0),
    detail: new Uint8Array(0),
    get size() {
      return size;
    },
    get used() {
      return used;
    },
    find(chatId) {
      const at = index[whereIs(chatId)] as number;
      return at === 0 ? NONE : at - 1;
    },
    insert(chatId) {
      if (size * 3 >= index.length * 2) rehash(index.length * 2);
      let slot = free;
      if (slot === NONE) {
        if (used === capacity) resize(Math.max(FIRST_CAPACITY, Math.ceil(capacity * 1.5)));
        slot = used;
        used += 1;
      } else {
        free = table.follower[slot] as number;
      }
      table.chatId[slot] = chatId;
      table.notBefore[slot] = Number.NEGATIVE_INFINITY;
      table.tails.fill(NONE, slot * CHAINS, slot * CHAINS + CHAINS);
      table.place[slot] = NONE;
      table.follower[slot] = NONE;
      table.state[slot] = 0;
      table.detail[slot] = 0;
      index[whereIs(chatId)] = slot + 1;
      size += 1;
      return slot;
    },
    remove(slot) {
      shiftBack(whereIs(table.chatId[slot] as number));
      table.state[slot] = 0;
      table.follower[slot] = free;
      free = slot;
      size -= 1;
      if (size > 0) return;
      free = NONE;
      used = 0;
      if (capacity > KEEP_CAPACITY) {
        resize(FIRST_CAPACITY);
        index = new Uint32Array(FIRST_CAPACITY * 2);
      }
    },
  };

  /** Where the chat is in the index, or the empty place where it would go. */
  function whereIs(chatId: number): number {
    const mask = index.length - 1;
    let at = chatHash(chatId, SEED) & mask;
    for (;;) {
      const slot = index[at] as number;
      if (slot === 0 || table.chatId[slot - 1] === chatId) return at;
      at = (at + 1) & mask;
    }
  }

  /** Empties a place of the index and moves up those that had to pass it. */
  function shiftBack(hole: number): void {
    const mask = index.length - 1;
    let empty = hole;
    let at = (hole + 1) & mask;
    for (;;) {
      const slot = index[at] as number;
      if (slot === 0) break;
      const home = chatHash(table.chatId[slot - 1] as number, SEED) & mask;
      if (((at - home) & mask) >= ((at - empty) & mask)) {
        index[empty] = slot;
        empty = at;
      }
      at = (at + 1) & mask;
    }
    index[empty] = 0;
  }

  function rehash(length: number): void {
    const old = index;
    index = new Uint32Array(length);
    for (const slot of old) if (slot !== 0) index[whereIs(table.chatId[slot - 1] as number)] = slot;
  }

  function resize(to: number): void {
    const keep = Math.min(used, to);
    table.chatId = floats(table.chatId, keep, to);
    table.notBefore = floats(table.notBefore, keep, to);
    table.tails = words(table.tails, keep * CHAINS, to * CHAINS);
    table.place = words(table.place, keep, to);
    table.follower = words(table.follower, keep, to);
    table.state = bytes(table.state, keep, to);
    table.detail = bytes(table.detail, keep, to);
    capacity = to;
  }

  return table;
}

function floats(from: Float64Array, keep: number, to: number): Float64Array {
  const grown = new Float64Array(to);
  grown.set(from.subarray(0, keep));
  return grown;
}

function words(from: Uint32Array, keep: number, to: number): Uint32Array {
  const grown = new Uint32Array(to);
  grown.set(from.subarray(0, keep));
  return grown;
}

function bytes(from: Uint8Array, keep: number, to: number): Uint8Array {
  const grown = new Uint8Array(to);
  grown.set(from.subarray(0, keep));
  return grown;
}
