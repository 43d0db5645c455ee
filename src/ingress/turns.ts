/** One update as the order of handling knows it. `alone`: nothing else may be handled beside it. */
export interface Turn {
  readonly updateId: number;
  /** The order key: updates with the same one never overtake each other and are never handled two at once. */
  readonly chat: number;
  /** Failed tries so far. */
  readonly tries: number;
  readonly alone: boolean;
}

/** Which update may be handled next: in order within a chat, chats side by side. Holds ids only, no bodies. */
export interface Turns {
  /** Appends an update to its chat. False, and nothing happens, when it waits or is under way already. */
  offer(turn: Turn): boolean;
  /** Begins the update whose chat has been ready the longest, or undefined while none may begin. `now` in ms. */
  begin(now: number): Turn | undefined;
  /** The update is over; its chat goes on with the next one. */
  end(updateId: number): void;
  /** The update stays first in its chat, with this count of failed tries; the chat rests until `notBefore`. */
  again(updateId: number, tries: number, notBefore: number): void;
  /** When the first resting chat may go on, ms; Infinity when none rests. */
  earliest(): number;
  /** Updates that wait or are under way. */
  readonly size: number;
  /** The ids under way, in the order of their beginning. */
  underWay(): number[];
}

interface Chat {
  readonly id: number;
  readonly queue: Turn[];
  busy: boolean;
  notBefore: number;
}

/** Makes an empty order with at most `parallel` updates under way. Throws PH_INGRESS_TURN when an update is ended that was not begun: a bug. */
export function turns(parallel: number): Turns {
  const chats = new Map<number, Chat>();
  const waiting = new Set<number>();
  const begun = new Map<number, Chat>();
  const ready: Chat[] = [];
  /** Ascending by notBefore. */
  const resting: Chat[] = [];
  let alone = false;

  function take(updateId: number): Chat {
    const chat = begun.get(updateId);
    if (chat === undefined) {
      throw Object.assign(new Error(`update ${updateId} is not under way`), { code: 'PH_INGRESS_TURN' });
    }
    begun.delete(updateId);
    if (begun.size === 0) alone = false;
    chat.busy = false;
    return chat;
  }

  function rest(chat: Chat): void {
    let low = 0;
    let high = resting.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((resting[middle]?.notBefore ?? 0) <= chat.notBefore) low = middle + 1;
      else high = middle;
    }
    resting.splice(low, 0, chat);
  }

  function wake(now: number): void {
    let due = 0;
    while ((resting[due]?.notBefore ?? Infinity) <= now) due += 1;
    if (due > 0) ready.push(...resting.splice(0, due));
  }

  return {
    offer(turn) {
      if (waiting.has(turn.updateId)) return false;
      waiting.add(turn.updateId);
      const chat = chats.get(turn.chat);
      if (chat !== undefined) {
        chat.queue.push(turn);
        return true;
      }
      const fresh = { id: turn.chat, queue: [turn], busy: false, notBefore: 0 };
      chats.set(turn.chat, fresh);
      ready.push(fresh);
      return true;
    },
    begin(now) {
      wake(now);
      const chat = ready[0];
      const turn = chat?.queue[0];
      if (chat === undefined || turn === undefined || alone || begun.size >= parallel) return undefined;
      // A suspect waits for an empty stage, and holds the others back until it had its turn: else it would wait for ever.
      if (turn.alone && begun.size > 0) return undefined;
      ready.shift();
      alone = turn.alone;
      chat.busy = true;
      begun.set(turn.updateId, chat);
      return turn;
    },
    end(updateId) {
      const chat = take(updateId);
      chat.queue.shift();
      waiting.delete(updateId);
      if (chat.queue.length === 0) chats.delete(chat.id);
      else ready.push(chat);
    },
    again(updateId, tries, notBefore) {
      const chat = take(updateId);
      const [turn] = chat.queue;
      if (turn !== undefined) chat.queue[0] = { ...turn, tries };
      chat.notBefore = notBefore;
      rest(chat);
    },
    earliest: () => resting[0]?.notBefore ?? Infinity,
    get size() {
      return waiting.size;
    },
    underWay: () => [...begun.keys()],
  };
}
