import { type Collection, ObjectId } from 'mongodb';
import { backToBack } from '../ingress/back-to-back.js';
import type { RawUpdate } from '../ingress/poll-answer.js';
import { factsOf } from '../ingress/update-facts.js';
import type { DeadLetterRow, UpdateRow } from './models.js';
import type { Store } from './store.js';

/** An update of the inbox that is not settled. */
export interface QueuedUpdate {
  readonly updateId: number;
  /** The order key, see update-facts.ts. */
  readonly chat: number;
  readonly body: RawUpdate;
  /** Failed tries so far. */
  readonly tries: number;
  /** How often a process died while it handled this. */
  readonly crashes: number;
  /** How often an operator has replayed it from the dead letters; absent = never. */
  readonly replays?: number;
  /** When it was written here; the same for every reader. */
  readonly at: Date;
}

/** Updates of one answer of Telegram on their way in; `write` may be called again until it succeeds. */
export interface InboxBatch {
  /**
   * Resolves once all are durable, with those of them that are not settled, by ascending id. What was there before is among them: an owner that was
   * fenced may have written it after the backlog was read. Rejects with the store's error.
   */
  write(): Promise<QueuedUpdate[]>;
}

/** The inbox of one bot. Each method rejects with the store's error and may then be called again with the same arguments. */
export interface Inbox {
  batch(updates: readonly RawUpdate[]): InboxBatch;
  /** Up to `limit` unsettled updates with an id above `after`, by ascending id. */
  unsettled(after: number, limit: number): Promise<QueuedUpdate[]>;
  /** Those of `ids` that are not settled, by ascending id. */
  find(ids: readonly number[]): Promise<QueuedUpdate[]>;
  /** Sets how often the process died while it handled these: absolute figures, so that a repeat counts nothing twice. */
  recordCrashes(updates: readonly { readonly updateId: number; readonly crashes: number }[]): Promise<void>;
  recordTries(updateId: number, tries: number): Promise<void>;
  /** Done: kept 48 h more for deduplication. */
  settle(updateId: number): Promise<void>;
  /** Gives an update up: its dead letter first, then its state. A replayed one's letter waits again. */
  bury(update: Pick<QueuedUpdate, 'updateId' | 'body' | 'replays'>, reason: string, attempts: number): Promise<void>;
  /**
   * Carries out what operators replayed: up to `limit` dead updates are queued again with no tries. Answers those that are queued by a replay, also when an earlier
   * call queued them: who owns the receiving hands each over once. A letter is done with when its update is settled, so a crash in between loses nothing.
   */
  replayed(limit: number): Promise<QueuedUpdate[]>;
}

/** Opens the inbox of `bot`; `wallNow` is in epoch ms. */
export function inbox(store: Pick<Store, 'models'>, bot: string, clock: { wallNow(): number }): Inbox {
  const updates = store.models.Updates.collection as unknown as Collection<UpdateRow>;
  const deadLetters = store.models.DeadLetters.collection as unknown as Collection<DeadLetterRow>;

  const settle = backToBack<number, void>(async (ids) => {
    await updates.updateMany(
      { bot, updateId: { $in: [...ids] }, state: 'queued' },
      { $set: { state: 'settled', settledAt: new Date(clock.wallNow()) } },
    );
    return ids.map(() => undefined);
  });

  async function queued(filter: object, limit = 0): Promise<QueuedUpdate[]> {
    const rows = await updates
      .find({ bot, state: 'queued', ...filter })
      .sort({ updateId: 1 })
      .limit(limit)
      .toArray();
    return rows.map(asQueued);
  }

  return {
    batch(given) {
      const at = new Date(clock.wallNow());
      const rows = given.map(
        (body): UpdateRow => ({
          _id: new ObjectId(),
          bot,
          updateId: body.update_id,
          chat: factsOf(body).orderKey,
          body: body as Record<string, unknown>,
          state: 'queued',
          tries: 0,
          crashes: 0,
          at,
        }),
      );
      return {
        async write() {
          if (rows.length === 0) return [];
          const refused = await insert(updates, rows);
          if (refused.size === 0) return rows.map(asQueued);
          const there = await unsettledRows(updates, bot, refused);
          return [...rows.filter((row) => !refused.has(row.updateId)), ...there]
            .sort((a, b) => a.updateId - b.updateId)
            .map(asQueued);
        },
      };
    },
    unsettled: (after, limit) => queued({ updateId: { $gt: after } }, limit),
    find: (ids) => (ids.length === 0 ? Promise.resolve([]) : queued({ updateId: { $in: [...ids] } })),
    async recordCrashes(figures) {
      if (figures.length === 0) return;
      await updates.bulkWrite(
        figures.map(({ updateId, crashes }) => ({
          updateOne: { filter: { bot, updateId, state: 'queued' }, update: { $set: { crashes } } },
        })),
        { ordered: false },
      );
    },
    async recordTries(updateId, tries) {
      await updates.updateOne({ bot, updateId, state: 'queued' }, { $set: { tries } });
    },
    settle,
    async bury({ updateId, body, replays }, reason, attempts) {
      const letter = { bot, queue: 'updates', source: String(updateId) } as const;
      const death = { reason, attempts, state: 'waiting', at: new Date(clock.wallNow()) } as const;
      // Which death it is, `replays` says: a late copy of an earlier one changes nothing that a later replay has moved.
      const again =
        replays !== undefined &&
        (
          await deadLetters.updateOne(
            { ...letter, replays, state: 'replayed' },
            { $set: death, $unset: { requeue: '', endedAt: '' } },
          )
        ).matchedCount > 0;
      if (!again) {
        const counted = replays === undefined ? {} : { replays };
        await writeOnce(deadLetters, { _id: new ObjectId(), ...letter, payload: body, ...death, ...counted });
      }
      await updates.updateOne(
        { bot, updateId, state: 'queued', replays: replays ?? { $exists: false } },
        { $set: { state: 'dead', settledAt: new Date(clock.wallNow()) } },
      );
    },
    async replayed(limit) {
      const asked = await deadLetters.find({ bot, requeue: true }).sort({ at: 1 }).limit(limit).toArray();
      if (asked.length === 0) return [];
      await updates.bulkWrite(asked.map((letter) => requeueOp(bot, letter)));
      const ids = asked.map(({ source }) => Number(source));
      const rows = new Map(
        (await updates.find({ bot, updateId: { $in: ids } }).toArray()).map((row) => [row.updateId, row]),
      );
      // Its row has expired since: the letter has all that is needed.
      const expired = asked.filter(({ source }) => !rows.has(Number(source))).map((letter) => rowAgain(bot, letter));
      if (expired.length > 0) await insert(updates, expired);
      const seen = asked.filter(({ source }) => rows.get(Number(source))?.state === 'settled');
      if (seen.length > 0) {
        await deadLetters.updateMany(
          { _id: { $in: seen.map(({ _id }) => _id) }, state: 'replayed', requeue: true },
          { $unset: { requeue: '' } },
        );
      }
      return [
        ...expired,
        ...asked.flatMap(({ source, replays }) => {
          const row = rows.get(Number(source));
          return row?.state === 'queued' && row.replays === replays ? [row] : [];
        }),
      ].map(asQueued);
    },
  };
}

/** Inserts what is not there yet; answers the ids of the updates that a unique index refused. */
async function insert(updates: Collection<UpdateRow>, rows: UpdateRow[]): Promise<Set<number>> {
  try {
    await updates.insertMany(rows, { ordered: false });
    return new Set();
  } catch (error) {
    const indexes = duplicates(error);
    if (indexes === undefined) throw error;
    return new Set(indexes.flatMap((index) => rows[index]?.updateId ?? []));
  }
}

/** The rows of refused updates that are not settled. */
async function unsettledRows(
  updates: Collection<UpdateRow>,
  bot: string,
  refused: ReadonlySet<number>,
): Promise<UpdateRow[]> {
  const there = await updates.find({ bot, updateId: { $in: [...refused] } }).toArray();
  if (there.length < refused.size) {
    throw Object.assign(new Error('an update that exists cannot be read yet'), { code: 'PH_INBOX_UNSEEN' });
  }
  return there.filter((row) => row.state === 'queued');
}

/** Queues a dead update again for this replay of its letter. One that is not dead (yet) is left alone. */
function requeueOp(bot: string, { source, replays = 1 }: DeadLetterRow) {
  return {
    updateOne: {
      filter: {
        bot,
        updateId: Number(source),
        state: 'dead' as const,
        $or: [{ replays: { $exists: false } }, { replays: { $lt: replays } }],
      },
      update: { $set: { state: 'queued' as const, tries: 0, crashes: 0, replays }, $unset: { settledAt: '' as const } },
    },
  };
}

function rowAgain(bot: string, { source, payload, at, replays = 1 }: DeadLetterRow): UpdateRow {
  const body = payload as Record<string, unknown>;
  const chat = factsOf(body).orderKey;
  const counts = { tries: 0, crashes: 0, replays };
  return { _id: new ObjectId(), bot, updateId: Number(source), chat, body, state: 'queued', ...counts, at };
}

async function writeOnce(deadLetters: Collection<DeadLetterRow>, row: DeadLetterRow): Promise<void> {
  try {
    await deadLetters.insertOne(row);
  } catch (error) {
    if ((error as { code?: unknown }).code !== 11_000) throw error;
  }
}

/** The indexes of the operations that a unique index refused; undefined when the bulk failed by anything else too. */
export function duplicates(error: unknown): number[] | undefined {
  const bulk = error as {
    writeErrors?: { code?: unknown; index: number } | { code?: unknown; index: number }[];
    result?: { getWriteConcernError?(): unknown };
  } | null;
  if (typeof bulk !== 'object' || bulk?.writeErrors === undefined) return undefined;
  if (bulk.result?.getWriteConcernError?.() !== undefined) return undefined;
  const errors = [bulk.writeErrors].flat();
  return errors.length > 0 && errors.every(({ code }) => code === 11_000)
    ? errors.map(({ index }) => index)
    : undefined;
}

function asQueued({ updateId, chat, body, tries, crashes, replays, at }: UpdateRow): QueuedUpdate {
  const counted = replays === undefined ? {} : { replays };
  return { updateId, chat, body: body as unknown as RawUpdate, tries, crashes, ...counted, at };
}
