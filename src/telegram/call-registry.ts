import type { Answer } from '../delivery/outcome.js';

/** One call of a delivery: it stays here from the moment it starts until its outcome is durable, whatever becomes of the actors. */
export interface CallEntry {
  readonly key: string;
  readonly chatId: number;
  readonly shard: number;
  /** Monotonic and wall time of the call's start, ms. */
  readonly startedAt: number;
  readonly startedWall: number;
  readonly answer: Promise<Answer>;
}

/**
 * The calls of one bot, outside the actors (docs/protocol.md): a restarted shard or pool takes over what is in it and never starts it again.
 * Its size is the number of slots in use.
 */
export interface CallRegistry {
  readonly size: number;
  get(key: string): CallEntry | undefined;
  /** Entries of one shard, oldest first. */
  ofShard(shard: number): CallEntry[];
  /** Begins a call. Throws PH_CALL_REPEATED when this delivery has a call already: a bug. */
  start(entry: Omit<CallEntry, 'answer'>, call: () => Promise<Answer>): CallEntry;
  /** Whether a call of a delivery whose id begins with `prefix` is here. O(calls). */
  some(prefix: string): boolean;
  /** The outcome is durable, or nothing of the call needs to be: the slot is free. */
  end(key: string): void;
  /** Another owns the bot now: nothing of these calls concerns this process any more. */
  clear(): void;
  /** Resolves when no call is in the air, or after `timeoutMs`. */
  idle(timeoutMs: number): Promise<void>;
}

/** Makes the registry of one bot. `onAnswer` hears of each call once it has an answer or has failed, `onEnd` of each slot that is free again. */
export function callRegistry(
  onAnswer: (entry: CallEntry, answer: Answer | undefined) => void,
  onEnd: () => void,
): CallRegistry {
  const entries = new Map<string, CallEntry>();
  const inAir = new Set<Promise<Answer>>();
  return {
    get size() {
      return entries.size;
    },
    get: (key) => entries.get(key),
    ofShard: (shard) => [...entries.values()].filter((entry) => entry.shard === shard),
    start(entry, call) {
      if (entries.has(entry.key)) throw new Error(`PH_CALL_REPEATED: ${entry.key} has a call already`);
      const answer = call();
      const whole = { ...entry, answer };
      inAir.add(answer);
      const over = (end?: Answer) => {
        inAir.delete(answer);
        onAnswer(whole, end);
      };
      answer.then(over, () => over());
      entries.set(entry.key, whole);
      return whole;
    },
    some: (prefix) => [...entries.keys()].some((key) => key.startsWith(prefix)),
    end(key) {
      if (entries.delete(key)) onEnd();
    },
    clear() {
      for (const key of [...entries.keys()]) this.end(key);
    },
    async idle(timeoutMs) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, timeoutMs);
      });
      while (inAir.size > 0) {
        const before = inAir.size;
        await Promise.race([Promise.allSettled([...inAir]), late]);
        if (inAir.size >= before) break;
      }
      clearTimeout(timer);
    },
  };
}
