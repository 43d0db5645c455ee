import { randomInt } from 'node:crypto';
import { StoreError } from '../errors.js';
import type { Source } from './query.js';
import type { TimeLimit } from './time-limit.js';

/** An open cursor. */
export interface Cursor {
  readonly id: bigint;
  readonly namespace: string;
  readonly source: Source;
  /** What all its batches together may take. */
  readonly time: TimeLimit | undefined;
  /** The session that opened it, as sessionOf names it. */
  readonly session: string | undefined;
  /** Waits for what comes after the end, up to so many ms; undefined: an ordinary cursor. */
  readonly waitForMore: ((ms: number, signal: AbortSignal) => Promise<void>) | undefined;
  /** A tailable cursor stays open at its end. */
  readonly tailable: boolean;
  /** It does not expire by itself, only with its session. */
  readonly noTimeout: boolean;
  /** Aborted when it is killed. */
  readonly killed: AbortController;
  usedAt: number;
  busy: boolean;
}

/** The open cursors of all clients. */
export interface Cursors {
  open(cursor: Omit<Cursor, 'id' | 'killed' | 'usedAt' | 'busy'>): Cursor;
  /** The cursor of that id, to be released after use. Throws CursorNotFound (43), CursorInUse (12051), 13 on another namespace, 50736 to 50738 in another session. */
  take(id: bigint, namespace: string, session: string | undefined): Cursor;
  release(cursor: Cursor): void;
  /** Ends a cursor, one in use too. Returns whether there was one. */
  kill(id: bigint): boolean;
  /** Ends the cursors that a session has opened. */
  endSession(session: string): void;
  /** Counts as a use of all cursors that a session has opened. */
  refreshSession(session: string): void;
  /** Ends what nobody used for 10 minutes, and what was opened without a time-out in a session after 30. */
  sweep(): void;
}

const IDLE_MS = 10 * 60 * 1000; // MongoDB's cursorTimeoutMillis
const SESSION_MS = 30 * 60 * 1000; // logicalSessionTimeoutMinutes of hello

function checkSession({ id, session: own }: Cursor, asking: string | undefined): void {
  const refuse = (code: number, text: string): StoreError =>
    new StoreError(code, `Location${code}`, `Cannot run getMore on cursor ${id}, ${text}`);
  if (asking === own) return;
  if (own === undefined) throw refuse(50736, `which was not created in a session, in session ${asking}`);
  if (asking === undefined) throw refuse(50737, `which was created in session ${own}, without an lsid`);
  throw refuse(50738, `which was created in session ${own}, in session ${asking}`);
}

/** Makes the table of cursors. `now`: monotonic ms. Never throws. */
export function openCursors(now: () => number): Cursors {
  const cursors = new Map<bigint, Cursor>();

  function kill(id: bigint): boolean {
    cursors.get(id)?.killed.abort();
    return cursors.delete(id);
  }

  const ofSession = (session: string): Cursor[] => [...cursors.values()].filter((cursor) => cursor.session === session);

  return {
    open(given) {
      let id: bigint;
      do id = BigInt(randomInt(1, 2 ** 47)) * 32768n + BigInt(randomInt(32768));
      while (cursors.has(id));
      const cursor: Cursor = { ...given, id, killed: new AbortController(), usedAt: now(), busy: false };
      cursors.set(id, cursor);
      return cursor;
    },
    take(id, namespace, session) {
      const cursor = cursors.get(id);
      if (cursor === undefined) throw new StoreError(43, 'CursorNotFound', `cursor id ${id} not found`);
      if (cursor.busy) throw new StoreError(12051, 'CursorInUse', `cursor id ${id} is already in use`);
      checkSession(cursor, session);
      if (cursor.namespace !== namespace) {
        throw new StoreError(13, 'Unauthorized', `cursor id ${id} belongs to ${cursor.namespace}, not to ${namespace}`);
      }
      cursor.busy = true;
      return cursor;
    },
    release(cursor) {
      cursor.busy = false;
      cursor.usedAt = now();
    },
    kill,
    endSession(session) {
      for (const { id } of ofSession(session)) kill(id);
    },
    refreshSession(session) {
      for (const cursor of ofSession(session)) cursor.usedAt = now();
    },
    sweep() {
      for (const { id, busy, usedAt, noTimeout, session } of cursors.values()) {
        const idle = now() - usedAt;
        const limit = !noTimeout ? IDLE_MS : session !== undefined ? SESSION_MS : Number.POSITIVE_INFINITY;
        if (!busy && idle > limit) kill(id);
      }
    },
  };
}
