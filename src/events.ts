import type { Log } from './log.js';
import type { Queue } from './queues.js';

/** The facts that parts of the program tell each other, in the past tense. A crash may swallow one or tell it twice: what must not be lost is in the store. */
export interface Facts {
  /** A delivery was given up, or its end is in doubt; its dead letter waits. */
  readonly 'delivery.dead': {
    readonly bot: string;
    /** The delivery's id, which is its dead letter's too. */
    readonly id: string;
    readonly chatId: number;
    readonly outcome: 'dead' | 'unknown';
    readonly reason: string;
  };
  /** An update was given up; its dead letter waits. */
  readonly 'update.dead': { readonly bot: string; readonly updateId: number; readonly reason: string };
  /** More dead letters of a queue wait than are borne in silence; `waiting` is counted up to 1,001. */
  readonly 'dead-letters.piled-up': { readonly queue: Queue; readonly waiting: number };
  /** They were dealt with: no more of the queue wait than that. */
  readonly 'dead-letters.dealt-with': { readonly queue: Queue; readonly waiting: number };
}

/** The events of one process. */
export interface Events {
  /** Tells all who listen, in the order of their subscription, before it returns. Never throws: what a listener throws is logged. */
  publish<Name extends keyof Facts>(name: Name, fact: Facts[Name]): void;
  /** Returns how to stop listening. */
  subscribe<Name extends keyof Facts>(name: Name, listener: (fact: Facts[Name]) => void): () => void;
}

/** Makes the events of a process. */
export function createEvents(log: Log): Events {
  const listeners = new Map<keyof Facts, Set<(fact: never) => void>>();
  return {
    publish(name, fact) {
      for (const listener of [...(listeners.get(name) ?? [])]) {
        try {
          listener(fact as never);
        } catch (error) {
          log.error({ err: error, event: name }, 'a listener of an event failed');
        }
      }
    },
    subscribe(name, listener) {
      const known = listeners.get(name) ?? new Set();
      listeners.set(name, known);
      // Its own function each time: the same listener may subscribe twice.
      const own = (fact: never): void => listener(fact);
      known.add(own);
      return () => known.delete(own);
    },
  };
}
