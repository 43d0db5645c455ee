import { bug } from './bug.js';
import { chains as itemChains, NONE } from './chains.js';
import { CHAINS, chatTable } from './chat-table.js';
import { LANES, type Lane, laneCode, laneOf } from './lanes.js';
import { turns } from './turns.js';

/** Chain of a chat: 0 reply, 1 notify, 2 bulk (messages by chat id), 3 the items of broadcasts, whose lane is said at the push. */
export type Chain = 0 | 1 | 2 | 3;

/** One waiting or begun item, as a copy: `source` and `index` are the caller's handles. */
export interface Item {
  readonly chatId: number;
  readonly chain: number;
  readonly lane: Lane;
  /** u32: the caller's handle of the page. */
  readonly source: number;
  /** u32: the place in that page. */
  readonly index: number;
  /** Attempts spent so far, at most 63. */
  readonly attempts: number;
  /** How many parts of it are sent; its next call is for that part (from 0). */
  readonly part: number;
  /** The end of its last call, when that failed and it is open whose fault it was (see `beforeCall`). */
  readonly doubtedSince?: number;
}

/**
 * The mailboxes of one shard: four chains of items a chat, in the order of their push. A chat is ready (its turn has come), timed (waits for its
 * time), busy (has a call, at most one) or held; a chat without items is remembered while it must not be called. Time is a monotonic clock in ms
 * that reaches the mailboxes by `next` and `readyLanes` only. Chat ids are non-zero safe integers, negative ones are groups. What is done to one
 * chat costs O(log n) in the number of chats. An item of which parts are sent goes before all else of its chat, whatever its lane: nothing comes
 * between the parts of a message.
 */
export interface Mailboxes {
  /** Adds an item at the tail of a chain, one of which parts are sent at its head; throws PH_MAILBOX_CHAT for a chat id that is none. */
  push(chatId: number, chain: Chain, source: number, index: number, lane: Lane, attempts?: number, part?: number): void;
  /** Adds an item before all that waits in its chain (behind one that is begun, or of which parts are sent); throws like `push`. */
  pushFirst(chatId: number, chain: Chain, source: number, index: number, lane: Lane, attempts?: number): void;
  /** The item to send next of that lane: the best head of the chat that has been ready longest. Nothing is removed: `begin`, `hold` or `freeze` the chat, or the answer stays the same. Never throws. */
  next(now: number, lane: Lane): Item | undefined;
  /** Which lanes have a ready chat: bit 1 << laneCode. Never throws. */
  readyLanes(now: number): number;
  /** When the next chat that is not ready yet becomes so (busy and held ones not counted); Infinity if none. In the past when it came due since the last `next` or `readyLanes`. Never throws. */
  earliest(): number;
  /** Makes a ready chat busy with the item that `next` gives for it; `spend` counts an attempt first, and a doubt is over. Throws PH_MAILBOX_NOT_READY. */
  begin(chatId: number, spend?: boolean): Item;
  /** Makes any chat that is not busy so without an item: a call of an earlier incarnation is still in the air. Throws PH_MAILBOX_BUSY. */
  busy(chatId: number): void;
  /**
   * Makes a chat busy with this very item, whatever its time and its place: it becomes the head of its chain (its call began when those before it
   * were withheld). Undefined, and nothing done, when it does not wait here. Throws PH_MAILBOX_BUSY.
   */
  adopt(chatId: number, source: number, index: number): Item | undefined;
  /** Ends the call of a busy chat for good: its item (if `begin` or `adopt` gave one) is removed, the next may go at `notBefore`. Throws PH_MAILBOX_NOT_BUSY. */
  settle(chatId: number, notBefore: number): void;
  /** Ends the call of a busy chat, its item stays the head of its chain. `spend` counts an attempt, `doubtedSince` marks it. Throws PH_MAILBOX_NOT_BUSY. */
  retry(
    chatId: number,
    notBefore: number,
    charge?: { readonly spend?: boolean; readonly doubtedSince?: number | undefined },
  ): void;
  /** A part of a busy chat's item is sent: the item stays the head of its chain for the next part, with no attempt spent, and nothing of the chat goes before it. Throws PH_MAILBOX_NOT_BUSY. */
  advance(chatId: number, notBefore: number): void;
  /** No item of the chat before `until`; remembered for a chat without items too, and never shortened. Throws PH_MAILBOX_CHAT. */
  freeze(chatId: number, until: number): void;
  /** When the chat may get its next call, as far as it is known; −Infinity for a chat that is not known. Never throws. */
  notBefore(chatId: number): number;
  /** No item of any group before `until`, now and for those to come. O(chats). Never throws. */
  freezeGroups(until: number): void;
  /** Leaves a chat out until `unhold` (its body is being fetched); nothing for a chat that is not known. Never throws. */
  hold(chatId: number): void;
  unhold(chatId: number): void;
  /** Removes the items that wait (a begun one stays) and for which `where` (default: all) holds; in the order of the chains and within each. Never throws itself. */
  dropWaiting(chatId: number, where?: (item: Item) => boolean): Item[];
  /** Removes what waits in one chain of every chat (a begun item stays) and for which `where` holds. O(chats, and items of that chain). Never throws itself. */
  dropChain(chain: Chain, where: (item: Item) => boolean): Item[];
  /** The items of one chat that wait, in the order of `dropWaiting`. Never throws. */
  peek(chatId: number): Item[];
  isBusy(chatId: number): boolean;
  /** Items that wait (begun ones not counted). */
  readonly waiting: number;
  /** Chats whose turn has come, as of the last time that was told. */
  readonly ready: number;
  /** Of these, those whose next item is of that lane. Never throws. */
  readyIn(lane: Lane): number;
  waitingOf(chatId: number): number;
  /** Chats that are remembered. */
  readonly chats: number;
}

/** `detail` of a busy chat without an item. */
const NO_CHAIN = CHAINS;

/** Empty mailboxes; grow as needed. Never throws. */
export function mailboxes(): Mailboxes {
  const items = itemChains();
  const chats = chatTable();
  const turn = turns(chats, (slot) => {
    const chain = bestChain(slot);
    return chain === NO_CHAIN ? -1 : items.laneCode(items.after(tailOf(slot, chain)));
  });
  /** By item; few at any time. */
  const doubts = new Map<number, number>();
  /** By item of which parts are sent: how many. Few at any time, at most one a chat. */
  const sentParts = new Map<number, number>();
  let begun = 0;

  const tailOf = (slot: number, chain: number): number => chats.tails[slot * CHAINS + chain] as number;

  function setTail(slot: number, chain: number, tail: number): void {
    chats.tails[slot * CHAINS + chain] = tail;
  }

  function slotOf(chatId: number): number {
    const known = chats.find(chatId);
    if (known !== NONE) return known;
    if (!Number.isSafeInteger(chatId) || chatId === 0) throw bug('PH_MAILBOX_CHAT', `${chatId} is no chat id`);
    return chats.insert(chatId);
  }

  /** The chain whose head goes next: of the highest lane, among equals the lowest chain; NO_CHAIN when nothing waits. */
  function bestChain(slot: number): number {
    if (sentParts.size > 0) {
      for (let chain = 0; chain < CHAINS; chain += 1) {
        const tail = tailOf(slot, chain);
        if (tail !== NONE && sentParts.has(items.after(tail))) return chain;
      }
    }
    let best = NO_CHAIN;
    let bestLane = LANES.length;
    for (let chain = 0; chain < CHAINS; chain += 1) {
      const tail = tailOf(slot, chain);
      if (tail === NONE) continue;
      const lane = items.laneCode(items.after(tail));
      if (lane < bestLane) {
        best = chain;
        bestLane = lane;
      }
    }
    return best;
  }

  function itemOf(slot: number, chain: number, item: number): Item {
    const doubtedSince = doubts.size === 0 ? undefined : doubts.get(item);
    return {
      chatId: chats.chatId[slot] as number,
      chain,
      lane: laneOf(items.laneCode(item)),
      source: items.source(item),
      index: items.index(item),
      attempts: items.attempts(item),
      part: sentParts.size === 0 ? 0 : (sentParts.get(item) ?? 0),
      ...(doubtedSince === undefined ? {} : { doubtedSince }),
    };
  }

  function removeAfter(slot: number, chain: number, before: number): void {
    if (doubts.size > 0) doubts.delete(items.after(before));
    if (sentParts.size > 0) sentParts.delete(items.after(before));
    setTail(slot, chain, items.removeAfter(tailOf(slot, chain), before));
  }

  function start(slot: number, chain: number): void {
    turn.occupy(slot);
    chats.detail[slot] = chain;
    if (chain !== NO_CHAIN) begun += 1;
  }

  /** A busy slot with its begun chain; the slot is loose afterwards. */
  function end(chatId: number, what: string): { readonly slot: number; readonly chain: number } {
    const slot = chats.find(chatId);
    if (slot === NONE || !turn.isBusy(slot)) throw bug('PH_MAILBOX_NOT_BUSY', `${what} of chat ${chatId}`);
    const chain = chats.detail[slot] as number;
    if (chain !== NO_CHAIN) begun -= 1;
    turn.free(slot);
    return { slot, chain };
  }

  /** The begun item of a chain, or NONE. */
  function begunOf(slot: number, chain: number): number {
    return turn.isBusy(slot) && chats.detail[slot] === chain ? items.after(tailOf(slot, chain)) : NONE;
  }

  function eachWaiting(slot: number, visit: (chain: number, item: number, before: number) => 'keep' | 'drop'): void {
    for (let chain = 0; chain < CHAINS; chain += 1) eachWaitingIn(slot, chain, visit);
  }

  function eachWaitingIn(
    slot: number,
    chain: number,
    visit: (chain: number, item: number, before: number) => 'keep' | 'drop',
  ): void {
    const tail = tailOf(slot, chain);
    if (tail === NONE) return;
    const skip = begunOf(slot, chain);
    let before = tail;
    for (let more = true; more; ) {
      const item = items.after(before);
      more = item !== tail;
      if (item === skip || visit(chain, item, before) === 'keep') before = item;
    }
  }

  /** Visits as above and removes what `where` chooses. */
  function dropping(slot: number, where: (item: Item) => boolean, dropped: Item[]) {
    return (chain: number, item: number, before: number): 'keep' | 'drop' => {
      const copy = itemOf(slot, chain, item);
      if (!where(copy)) return 'keep';
      dropped.push(copy);
      removeAfter(slot, chain, before);
      return 'drop';
    };
  }

  /** Moves an item to the head of a chain; false when it is not in it. */
  function toHead(slot: number, chain: number, source: number, index: number): boolean {
    const tail = tailOf(slot, chain);
    if (tail === NONE) return false;
    for (let before = tail, item = items.after(tail); ; before = item, item = items.after(item)) {
      if (items.source(item) === source && items.index(item) === index) {
        if (before === tail) return true;
        const [lane, attempts, part] = [items.laneCode(item), items.attempts(item), sentParts.get(item)];
        removeAfter(slot, chain, before);
        setTail(slot, chain, items.insertAfter(tailOf(slot, chain), NONE, source, index, lane, attempts));
        if (part !== undefined) sentParts.set(items.after(tailOf(slot, chain)), part);
        return true;
      }
      if (item === tail) return false;
    }
  }

  function refuseBusy(slot: number): void {
    if (turn.isBusy(slot)) throw bug('PH_MAILBOX_BUSY', `chat ${chats.chatId[slot]} has a call`);
  }

  function peek(chatId: number): Item[] {
    const slot = chats.find(chatId);
    const found: Item[] = [];
    if (slot === NONE) return found;
    eachWaiting(slot, (chain, item) => {
      found.push(itemOf(slot, chain, item));
      return 'keep';
    });
    return found;
  }

  return {
    push(chatId, chain, source, index, lane, attempts = 0, part = 0) {
      const slot = slotOf(chatId);
      const tail = tailOf(slot, chain);
      // One of which parts are sent goes on before what was withheld when they were sent.
      const before = part > 0 ? begunOf(slot, chain) : tail;
      const after = items.insertAfter(tail, before, source, index, laneCode(lane), attempts);
      setTail(slot, chain, after);
      if (part > 0) sentParts.set(items.after(before === NONE ? after : before), part);
      turn.review(slot);
    },
    pushFirst(chatId, chain, source, index, lane, attempts = 0) {
      const slot = slotOf(chatId);
      const tail = tailOf(slot, chain);
      const isUnderWay = tail !== NONE && sentParts.has(items.after(tail));
      const before = isUnderWay ? items.after(tail) : begunOf(slot, chain);
      setTail(slot, chain, items.insertAfter(tailOf(slot, chain), before, source, index, laneCode(lane), attempts));
      turn.review(slot);
    },
    next(now, lane) {
      turn.advance(now);
      const slot = turn.first(laneCode(lane));
      if (slot === NONE) return undefined;
      const chain = bestChain(slot);
      return itemOf(slot, chain, items.after(tailOf(slot, chain)));
    },
    readyLanes(now) {
      turn.advance(now);
      return LANES.reduce((mask, _, lane) => (turn.first(lane) === NONE ? mask : mask | (1 << lane)), 0);
    },
    earliest: () => turn.earliest(),
    begin(chatId, spend = false) {
      const slot = chats.find(chatId);
      if (slot === NONE || !turn.isReady(slot)) throw bug('PH_MAILBOX_NOT_READY', `begin of chat ${chatId}`);
      const chain = bestChain(slot);
      const item = items.after(tailOf(slot, chain));
      if (spend) items.spend(item);
      if (doubts.size > 0) doubts.delete(item);
      start(slot, chain);
      return itemOf(slot, chain, item);
    },
    busy(chatId) {
      const slot = slotOf(chatId);
      refuseBusy(slot);
      start(slot, NO_CHAIN);
    },
    adopt(chatId, source, index) {
      const slot = chats.find(chatId);
      if (slot === NONE) return undefined;
      refuseBusy(slot);
      for (let chain = 0; chain < CHAINS; chain += 1) {
        if (!toHead(slot, chain, source, index)) continue;
        start(slot, chain);
        return itemOf(slot, chain, items.after(tailOf(slot, chain)));
      }
      return undefined;
    },
    settle(chatId, notBefore) {
      const { slot, chain } = end(chatId, 'settle');
      if (chain !== NO_CHAIN) removeAfter(slot, chain, tailOf(slot, chain));
      turn.raise(slot, notBefore);
      turn.place(slot);
    },
    retry(chatId, notBefore, charge) {
      const { slot, chain } = end(chatId, 'retry');
      if (chain !== NO_CHAIN) {
        const item = items.after(tailOf(slot, chain));
        if (charge?.spend === true) items.spend(item);
        if (charge?.doubtedSince !== undefined) doubts.set(item, charge.doubtedSince);
      }
      turn.raise(slot, notBefore);
      turn.place(slot);
    },
    advance(chatId, notBefore) {
      const { slot, chain } = end(chatId, 'advance');
      if (chain !== NO_CHAIN) {
        const item = items.after(tailOf(slot, chain));
        items.refresh(item);
        if (doubts.size > 0) doubts.delete(item);
        sentParts.set(item, (sentParts.get(item) ?? 0) + 1);
      }
      turn.raise(slot, notBefore);
      turn.place(slot);
    },
    freeze(chatId, until) {
      const slot = slotOf(chatId);
      turn.raise(slot, until);
      turn.delayed(slot);
    },
    notBefore(chatId) {
      const slot = chats.find(chatId);
      return slot === NONE ? Number.NEGATIVE_INFINITY : (chats.notBefore[slot] as number);
    },
    freezeGroups: (until) => turn.delayGroups(until),
    hold(chatId) {
      const slot = chats.find(chatId);
      if (slot !== NONE) turn.hold(slot);
    },
    unhold(chatId) {
      const slot = chats.find(chatId);
      if (slot !== NONE) turn.unhold(slot);
    },
    dropWaiting(chatId, where = () => true) {
      const slot = chats.find(chatId);
      const dropped: Item[] = [];
      if (slot === NONE) return dropped;
      eachWaiting(slot, dropping(slot, where, dropped));
      if (dropped.length > 0) turn.review(slot);
      return dropped;
    },
    dropChain(chain, where) {
      const dropped: Item[] = [];
      // The arrays may be replaced, and the table emptied, by each removal: nothing of it is kept over a step.
      for (let slot = 0; slot < chats.used; slot += 1) {
        if (tailOf(slot, chain) === NONE) continue;
        const before = dropped.length;
        eachWaitingIn(slot, chain, dropping(slot, where, dropped));
        if (dropped.length > before) turn.review(slot);
      }
      return dropped;
    },
    peek,
    isBusy(chatId) {
      const slot = chats.find(chatId);
      return slot !== NONE && turn.isBusy(slot);
    },
    get waiting() {
      return items.size - begun;
    },
    get ready() {
      return turn.ready();
    },
    readyIn: (lane) => turn.ready(laneCode(lane)),
    waitingOf: (chatId) => peek(chatId).length,
    get chats() {
      return chats.size;
    },
  };
}
