import { eachField, elements, type RawValue, Type } from '../bson/raw-value.js';
import { integerOf, stringOf } from '../bson/values.js';
import { arrayOf } from '../bson/writer.js';
import { badValue, StoreError, typeMismatch } from '../errors.js';
import type { Command } from '../wire/message.js';
import { checkFields, countOption, documentField, type Handler, type Store, sessionOf, sessionsOf } from './context.js';
import type { Cursor } from './cursors.js';
import type { Source } from './query.js';
import { cursorReply, mixedReply } from './reply.js';
import type { TimeLimit } from './time-limit.js';

const FIRST_BATCH = 101; // as MongoDB's
const BATCH_BYTES = 15 * 1024 * 1024;
const AWAIT_MS = 1000; // of a getMore without maxTimeMS, as MongoDB's

/** What a command answers by a cursor. */
export interface Opening {
  readonly namespace: string;
  readonly source: Source;
  /** Documents in the first answer; undefined: 101. */
  readonly batchSize?: number | undefined;
  /** No more than the first answer. */
  readonly single?: boolean;
  readonly time?: TimeLimit | undefined;
  readonly noTimeout?: boolean;
  readonly tailable?: boolean;
  readonly waitForMore?: Cursor['waitForMore'];
  /** What the answer holds beside the cursor. */
  readonly extra?: Readonly<Record<string, number>>;
}

/** `cursor.batchSize` of a command. Throws BadValue on a negative one, 40415 on another option of a cursor. */
export function batchSizeOf(command: Command): number | undefined {
  let size: number | undefined;
  eachField(documentField(command.fields.get('cursor'), 'cursor'), (name, value) => {
    if (name !== 'batchSize')
      throw new StoreError(40415, 'Location40415', `BSON field 'cursor.${name}' is an unknown field.`);
    size = integerOf(value, 'cursor.batchSize');
    if (size < 0) throw badValue(`BSON field 'cursor.batchSize' value must be >= 0, actual value '${size}'`);
    return false;
  });
  return size;
}

/** Answers with the first batch of a source and keeps the rest as a cursor of the command's session. */
export async function startCursor(store: Store, command: Command, opening: Opening): Promise<Buffer> {
  const { namespace, source, batchSize, single = false, tailable = false, time, extra } = opening;
  const batch = batchSize === 0 ? [] : await source.pull(batchSize ?? FIRST_BATCH, BATCH_BYTES);
  if (single || (source.ended() && !tailable)) return cursorReply('firstBatch', namespace, 0n, batch, extra);
  time?.pause();
  const cursor = store.cursors.open({
    namespace,
    source,
    time,
    session: sessionOf(command),
    waitForMore: opening.waitForMore,
    tailable,
    noTimeout: opening.noTimeout ?? false,
  });
  return cursorReply('firstBatch', namespace, cursor.id, batch, extra);
}

function cursorId(value: RawValue | undefined): bigint {
  if (value?.type !== Type.int64) throw typeMismatch("BSON field 'getMore.getMore' must be of type 'long'");
  return value.bytes.readBigInt64LE(value.start);
}

/** Waits with a signal that is aborted with the first of several. Not by AbortSignal.any: what that leaves at signals as long-lived as connections is not always given free. */
async function waitUnless(
  signals: readonly AbortSignal[],
  wait: (stopped: AbortSignal) => Promise<void> | undefined,
): Promise<void> {
  const stop = new AbortController();
  const end = (): void => stop.abort();
  for (const signal of signals) {
    if (signal.aborted) end();
    signal.addEventListener('abort', end);
  }
  try {
    await wait(stop.signal);
  } finally {
    for (const signal of signals) signal.removeEventListener('abort', end);
  }
}

async function nextBatch(cursor: Cursor, command: Command, signal: AbortSignal): Promise<RawValue[]> {
  // Without a size of its own, or with 0, a getMore answers with all that fits, whatever the first batch was.
  const size = countOption(command, 'batchSize') ?? 0;
  const max = size === 0 ? Number.POSITIVE_INFINITY : size;
  const wait = countOption(command, 'maxTimeMS') ?? 0;
  if (wait > 0 && cursor.waitForMore === undefined) {
    throw badValue('cannot set maxTimeMS on getMore command for a non-awaitData cursor');
  }
  const batch = await cursor.source.pull(max, BATCH_BYTES);
  if (batch.length > 0 || cursor.waitForMore === undefined) return batch;
  await waitUnless([signal, cursor.killed.signal], (stopped) =>
    cursor.waitForMore?.(wait > 0 ? wait : AWAIT_MS, stopped),
  );
  return cursor.killed.signal.aborted ? [] : await cursor.source.pull(max, BATCH_BYTES);
}

/** `getMore`: the next batch; at the end of a tailable cursor with awaitData it waits for more, up to maxTimeMS (default 1 s). */
export const getMore: Handler = async (store, command, asker) => {
  checkFields(command, ['collection', 'batchSize'], ['term', 'lastKnownCommittedOpTime']);
  const namespace = `${command.database}.${stringOf(command.fields.get('collection'), 'collection')}`;
  const cursor = store.cursors.take(cursorId(command.fields.get('getMore')), namespace, sessionOf(command));
  try {
    cursor.time?.resume();
    const batch = await nextBatch(cursor, command, asker.signal);
    if (cursor.killed.signal.aborted) throw new StoreError(237, 'CursorKilled', 'cursor was killed');
    const ended = !cursor.tailable && cursor.source.ended();
    if (ended || asker.signal.aborted) store.cursors.kill(cursor.id);
    return cursorReply('nextBatch', namespace, ended ? 0n : cursor.id, batch);
  } catch (error) {
    store.cursors.kill(cursor.id);
    throw error;
  } finally {
    cursor.time?.pause();
    store.cursors.release(cursor);
  }
};

/** `killCursors`: by their ids, those in use too. */
export const killCursors: Handler = (store, command) => {
  checkFields(command, ['cursors']);
  const value = command.fields.get('cursors');
  if (value?.type !== Type.array) throw typeMismatch("BSON field 'killCursors.cursors' must be an array");
  const killed: RawValue[] = [];
  const unknown: RawValue[] = [];
  for (const id of elements(value)) (store.cursors.kill(cursorId(id)) ? killed : unknown).push(id);
  return mixedReply({
    cursorsKilled: arrayOf(killed),
    cursorsNotFound: arrayOf(unknown),
    cursorsAlive: arrayOf([]),
    cursorsUnknown: arrayOf([]),
  });
};

/** `endSessions` and `killSessions`: the sessions' cursors end with them. */
export const endSessions: Handler = (store, command) => {
  checkFields(command, []);
  for (const session of sessionsOf(command)) store.cursors.endSession(session);
  return mixedReply({});
};

/** `refreshSessions`: the sessions' cursors count as used. */
export const refreshSessions: Handler = (store, command) => {
  checkFields(command, []);
  for (const session of sessionsOf(command)) store.cursors.refreshSession(session);
  return mixedReply({});
};
