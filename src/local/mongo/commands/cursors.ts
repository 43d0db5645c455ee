import { randomInt } from 'node:crypto';
import { StoreError } from '../errors.js';
import type { Source } from './query.js';

/** An open cursor. */
export interface Cursor {
  readonly id: bigint;
  readonly namespace: string;
  readonly source: Source;
  /** Waits for what comes after the end, up to so many ms; undefined: an ordinary cursor. */
  readonly waitForMore: ((ms: number, signal: AbortSignal) => Promise<void>) | undefined;
  /** A tailable cursor stays open at its end. */
  readonly tailable: boolean;
  batchSize: number;
  usedAt: number;
  busy: boolean;
}

/** The open cursors of all clients. */
export interface Cursors {
  open(cursor: Omit<Cursor, 'id' | 'usedAt' | 'busy'>): Cursor;
  /** The cursor of that id. Throws CursorNotFound (43), and 61 on another namespace. */
  get(id: bigint, namespace: string): Cursor;
  kill(id: bigint): boolean;
  /** Kills what nobody used for 10 minutes. */
  sweep(): void;
}

const IDLE_MS = 10 * 60 * 1000; // MongoDB's cursorTimeoutMillis

/** Makes the table of cursors. `now`: monotonic ms. Never throws. */
export function openCursors(now: () => number): Cursors {
  const cursors = new Map<bigint, Cursor>();
  return {
    open(given) {
      let id: bigint;
      do id = BigInt(randomInt(1, 2 ** 47)) * 32768n + BigInt(randomInt(32768));
      while (cursors.has(id));
      const cursor: Cursor = { ...given, id, usedAt: now(), busy: false };
      cursors.set(id, cursor);
      return cursor;
    },
    get(id, namespace) {
      const cursor = cursors.get(id);
      if (cursor === undefined) throw new StoreError(43, 'CursorNotFound', `cursor id ${id} not found`);
      if (cursor.namespace !== namespace) {
        throw new StoreError(13, 'Unauthorized', `cursor id ${id} belongs to ${cursor.namespace}, not to ${namespace}`);
      }
      cursor.usedAt = now();
      return cursor;
    },
    kill: (id) => cursors.delete(id),
    sweep() {
      for (const cursor of cursors.values()) {
        if (!cursor.busy && now() - cursor.usedAt > IDLE_MS) cursors.delete(cursor.id);
      }
    },
  };
}
