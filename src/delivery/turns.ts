import { NONE } from './chains.js';
import { chatHeap } from './chat-heap.js';
import type { ChatTable } from './chat-table.js';
import { LANES } from './lanes.js';

/**
 * Whose turn it is among the chats of a table. A slot is `loose` (in nobody's hands), resting (no items, remembered until its time), timed (has
 * items, waits for its time), ready (in the list of its lane, the first come first), busy (has a call) or parked (held while not busy). Held is a
 * mark beside these. Uses the table's `place`, `follower`, `state`, and of ready slots `detail`. No method throws; slots are not checked.
 */
export interface Turns {
  /** How many chats are ready, in a lane (by code) or in all. */
  ready(lane?: number): number;
  /** Lets time go on: what is due becomes ready, what need not be remembered any more is removed. */
  advance(now: number): void;
  /** The chat that has been ready longest in a lane (by code), or NONE. */
  first(lane: number): number;
  /** When the next timed chat is due; Infinity when there is none. */
  earliest(): number;
  /** Takes a slot out of where it is (ready, timed, resting); it is loose then. */
  loosen(slot: number): void;
  /** Puts a loose slot where it belongs; without items and due, it is removed from the table. */
  place(slot: number): void;
  /** Puts a slot right after a change of its items. */
  review(slot: number): void;
  /** Puts a slot right after its `notBefore` was raised. */
  delayed(slot: number): void;
  /** Raises `notBefore`; NaN and earlier times change nothing. */
  raise(slot: number, notBefore: number): void;
  isReady(slot: number): boolean;
  isBusy(slot: number): boolean;
  /** Takes a slot from where it is and makes it busy. */
  occupy(slot: number): void;
  /** Makes a busy slot loose. */
  free(slot: number): void;
  hold(slot: number): void;
  unhold(slot: number): void;
  /** No group is due before `until`. O(chats). */
  delayGroups(until: number): void;
}

const LOOSE = 0;
const RESTING = 1;
const TIMED = 2;
const READY = 3;
const BUSY = 4;
const PARKED = 5;
const STATE = 7;
const HELD = 8;

/** The turns of a table; `laneOfNext` tells the lane (code) of a slot's next item, −1 when it has none. Never throws. */
export function turns(chats: ChatTable, laneOfNext: (slot: number) => number): Turns {
  const timed = chatHeap(chats);
  const resting = chatHeap(chats);
  /** The lists of ready slots by lane, doubly linked by `place` (before) and `follower`. */
  const firsts = LANES.map(() => NONE);
  const lasts = LANES.map(() => NONE);
  let clock = Number.NEGATIVE_INFINITY;
  let groupsNotBefore = Number.NEGATIVE_INFINITY;

  const stateOf = (slot: number): number => (chats.state[slot] as number) & STATE;

  function setState(slot: number, state: number): void {
    chats.state[slot] = ((chats.state[slot] as number) & HELD) | state;
  }

  const ready = LANES.map(() => 0);

  function enlist(slot: number, lane: number): void {
    ready[lane] = (ready[lane] as number) + 1;
    const before = lasts[lane] as number;
    chats.detail[slot] = lane;
    chats.place[slot] = before;
    chats.follower[slot] = NONE;
    if (before === NONE) firsts[lane] = slot;
    else chats.follower[before] = slot;
    lasts[lane] = slot;
  }

  function delist(slot: number): void {
    const lane = chats.detail[slot] as number;
    ready[lane] = (ready[lane] as number) - 1;
    const before = chats.place[slot] as number;
    const after = chats.follower[slot] as number;
    if (before === NONE) firsts[lane] = after;
    else chats.follower[before] = after;
    if (after === NONE) lasts[lane] = before;
    else chats.place[after] = before;
  }

  function raise(slot: number, notBefore: number): void {
    if (notBefore > (chats.notBefore[slot] as number)) chats.notBefore[slot] = notBefore;
  }

  function loosen(slot: number): void {
    const state = stateOf(slot);
    if (state === READY) delist(slot);
    else if (state === TIMED) timed.remove(slot);
    else if (state === RESTING) resting.remove(slot);
    setState(slot, LOOSE);
  }

  function place(slot: number): void {
    const lane = laneOfNext(slot);
    if (lane !== -1 && (chats.chatId[slot] as number) < 0) raise(slot, groupsNotBefore);
    const due = (chats.notBefore[slot] as number) <= clock;
    if (((chats.state[slot] as number) & HELD) !== 0) {
      setState(slot, PARKED);
    } else if (lane !== -1 && due) {
      setState(slot, READY);
      enlist(slot, lane);
    } else if (lane !== -1) {
      setState(slot, TIMED);
      timed.add(slot);
    } else if (due) {
      chats.remove(slot);
    } else {
      setState(slot, RESTING);
      resting.add(slot);
    }
  }

  function expire(heap: typeof timed): void {
    while (heap.soonest() <= clock) {
      const slot = heap.pop();
      setState(slot, LOOSE);
      place(slot);
    }
  }

  return {
    advance(now) {
      if (now > clock) clock = now;
      expire(timed);
      expire(resting);
    },
    first: (lane) => firsts[lane] as number,
    earliest: () => timed.soonest(),
    loosen,
    place,
    review(slot) {
      const state = stateOf(slot);
      if (state === BUSY || state === PARKED) return;
      const lane = laneOfNext(slot);
      if (state === TIMED && lane !== -1) return;
      if (state === READY && lane === chats.detail[slot]) return;
      loosen(slot);
      place(slot);
    },
    delayed(slot) {
      const state = stateOf(slot);
      if (state === TIMED) timed.later(slot);
      else if (state === RESTING) resting.later(slot);
      else if (state === READY || state === LOOSE) {
        loosen(slot);
        place(slot);
      }
    },
    raise,
    ready: (lane) => (lane === undefined ? ready.reduce((sum, count) => sum + count, 0) : (ready[lane] as number)),
    isReady: (slot) => stateOf(slot) === READY,
    isBusy: (slot) => stateOf(slot) === BUSY,
    occupy(slot) {
      loosen(slot);
      setState(slot, BUSY);
    },
    free: (slot) => setState(slot, LOOSE),
    hold(slot) {
      if (stateOf(slot) !== BUSY) {
        loosen(slot);
        setState(slot, PARKED);
      }
      chats.state[slot] = (chats.state[slot] as number) | HELD;
    },
    unhold(slot) {
      chats.state[slot] = (chats.state[slot] as number) & STATE;
      if (stateOf(slot) === PARKED) place(slot);
    },
    delayGroups(until) {
      if (until > groupsNotBefore) groupsNotBefore = until;
      for (let slot = 0; slot < chats.used; slot += 1) {
        const state = stateOf(slot);
        if ((chats.chatId[slot] as number) >= 0 || (state !== READY && state !== TIMED)) continue;
        loosen(slot);
        place(slot);
      }
    },
  };
}
