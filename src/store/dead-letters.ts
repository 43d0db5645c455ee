import { type AnyBulkWriteOperation, type Collection, type Filter, ObjectId } from 'mongodb';
import type { Lane, MessageClass } from '../delivery/lanes.js';
import type { TextPart } from '../delivery/text/cut-text.js';
import type { Queue } from '../queues.js';
import type { Acceptance, Replay } from './acceptance.js';
import { settledState } from './deliveries.js';
import type { DeadLetterRow } from './models.js';
import type { Store } from './store.js';

/** Letters that are read and moved at once. */
const BATCH = 500;
/** Waiting letters are counted up to this number; more are `more than`. */
export const COUNTED = 1_000;

/** Which letters: all that is given must hold. `reason` is a part of the reason, whatever its case. */
export interface DeadLetterFilter {
  readonly bot?: string;
  readonly reason?: string;
  readonly since?: Date;
}

/** Which letters a list shows, newest first; `cursor` is `next` of the page before. */
export interface DeadLetterQuery extends DeadLetterFilter {
  readonly state: DeadLetterRow['state'];
  readonly cursor?: string;
  readonly limit: number;
}

/** A dead letter as the API shows it; times are ISO 8601 UTC. */
export interface DeadLetterView {
  /** Of a delivery its id, else `<bot>-<the update's id>`. */
  readonly id: string;
  readonly botId: string;
  readonly reason: string;
  readonly attempts: number;
  readonly at: string;
  readonly state: DeadLetterRow['state'];
  readonly chatId?: number;
  readonly lane?: Lane;
  readonly class?: MessageClass;
  /** How a delivery ended: given up, or in doubt. */
  readonly outcome?: 'dead' | 'unknown';
  readonly updateId?: number;
  /** A replay of a delivery has begun: replay it to the end. Of an update: the receive owner has not seen it through yet. */
  readonly replaying?: true;
  /** The delivery that it became. */
  readonly replayedAs?: string;
  readonly endedAt?: string;
}

/** One with all that is kept of it: the message of a delivery, the update of an update. */
export interface DeadLetterDetail extends DeadLetterView {
  readonly message?: { readonly text: string; readonly parseMode?: string };
  readonly update?: object;
}

/** What a replay of what waits came to; `refused` are letters of messages that were sent after all: they still wait, to be dropped. */
export interface Replayed {
  readonly replayed: number;
  readonly refused: readonly string[];
}

/** The dead letters of all bots. Each method rejects with the driver's error while the store is away; moves may then be asked for again. */
export interface DeadLetters {
  list(queue: Queue, query: DeadLetterQuery): Promise<{ items: DeadLetterView[]; next?: string }>;
  find(queue: Queue, id: string): Promise<DeadLetterDetail | undefined>;
  /** Those of `ids` that there are, by id. */
  look(queue: Queue, ids: readonly string[]): Promise<Map<string, DeadLetterView>>;
  /**
   * Replays those of `which` that wait. A delivery becomes a new one, once, whoever else replays it at the same time or again after a crash; an update is
   * queued again, and handled by the bot's receive owner. Throws StoreError as acceptance does; what was replayed before stays so.
   */
  replay(queue: Queue, which: readonly string[] | DeadLetterFilter): Promise<Replayed>;
  /** Drops those of `which` that wait; answers how many. One whose replay has begun is left alone. */
  drop(queue: Queue, which: readonly string[] | DeadLetterFilter): Promise<number>;
}

type Row = DeadLetterRow;
type Payload = {
  readonly chatId: number;
  readonly text: string;
  readonly parseMode?: 'HTML' | 'MarkdownV2';
  readonly lane: Lane;
  readonly class: MessageClass;
  readonly state: 'dead' | 'unknown';
  readonly messageIds?: readonly number[];
  readonly parts?: readonly TextPart[];
};

/** A letter's id. Never throws. */
const idOf = ({ queue, bot, source }: Pick<Row, 'queue' | 'bot' | 'source'>): string =>
  queue === 'deliveries' ? source : `${bot}-${source}`;

/** The bot and source of an id, or undefined when it is none. Never throws. */
function placeOf(queue: Queue, id: string): { bot: string; source: string } | undefined {
  const [, bot = '', rest = ''] = /^(\d{1,16})-(.{1,200})$/.exec(id) ?? [];
  if (bot === '') return undefined;
  return { bot, source: queue === 'deliveries' ? id : rest };
}

/** Opens the dead letters; `wallNow` is in epoch ms. */
export function deadLetters(
  store: Pick<Store, 'models'>,
  acceptance: Pick<Acceptance, 'replays'>,
  clock: { wallNow(): number },
): DeadLetters {
  const letters = store.models.DeadLetters.collection as unknown as Collection<Row>;

  async function rowsOf(queue: Queue, ids: readonly string[]): Promise<Row[]> {
    const byBot = new Map<string, string[]>();
    for (const id of ids) {
      const place = placeOf(queue, id);
      if (place !== undefined) byBot.set(place.bot, [...(byBot.get(place.bot) ?? []), place.source]);
    }
    const rows = [];
    for (const [bot, sources] of byBot)
      rows.push(...(await letters.find({ bot, queue, source: { $in: sources } }).toArray()));
    return rows;
  }

  /** What waits, in batches: those named, or all that `which` fits and that died before now, oldest first. */
  async function* waiting(queue: Queue, which: readonly string[] | DeadLetterFilter): AsyncGenerator<Row[]> {
    if (isIds(which)) {
      const rows = (await rowsOf(queue, which)).filter(({ state }) => state === 'waiting');
      for (let at = 0; at < rows.length; at += BATCH) yield rows.slice(at, at + BATCH);
      return;
    }
    const until = new Date(clock.wallNow());
    let last: Row | undefined;
    for (;;) {
      const rows = await letters
        .find({ ...filterOf(queue, 'waiting', which, last && { from: last }, until) })
        .sort({ at: 1, _id: 1 })
        .limit(BATCH)
        .toArray();
      if (rows.length > 0) yield rows;
      last = rows.at(-1);
      if (rows.length < BATCH) return;
    }
  }

  async function replayDeliveries(rows: readonly Row[]): Promise<Replayed> {
    const ends = await Promise.all(rows.map(({ source }) => settledState(store, source)));
    const refused = rows.filter((_, index) => ends[index] === 'sent').map(idOf);
    const ids = rows.filter((_, index) => ends[index] !== 'sent').map(({ _id }) => _id);
    // From here on nobody drops them; what was dropped before is not sent.
    await letters.updateMany({ _id: { $in: ids }, state: 'waiting' }, { $set: { replaying: true } });
    const marked = await letters.find({ _id: { $in: ids }, state: 'waiting', replaying: true }).toArray();
    // In the order of their deaths, so that a chat's messages keep theirs.
    const begun = marked.toSorted(
      (a, b) => a.at.getTime() - b.at.getTime() || (String(a._id) < String(b._id) ? -1 : 1),
    );
    const appended = await append(begun);
    const endedAt = new Date(clock.wallNow());
    const writes = appended.flatMap(({ row, end }): AnyBulkWriteOperation<Row>[] => {
      if (end.status === 'rejected') return [];
      const ended = { state: 'replayed', replays: 1, replayedAs: end.value.id, endedAt } as const;
      const update = { $set: ended, $unset: { replaying: '' } } as const;
      return [{ updateOne: { filter: { _id: row._id, state: 'waiting', replaying: true }, update } }];
    });
    const replayed = writes.length === 0 ? 0 : (await letters.bulkWrite(writes, { ordered: false })).modifiedCount;
    for (const { end } of appended) if (end.status === 'rejected') throw end.reason;
    return { replayed, refused };
  }

  /** The messages as new deliveries. A key names its letter: a second append of it finds the first. */
  async function append(rows: readonly Row[]) {
    const appended: { row: Row; end: PromiseSettledResult<{ id: string }> }[] = [];
    for (const bot of new Set(rows.map((row) => row.bot))) {
      const own = rows.filter((row) => row.bot === bot);
      const ends = await acceptance.replays(bot, own.map(replayOf));
      own.forEach((row, index) => {
        const end = ends[index];
        if (end !== undefined) appended.push({ row, end });
      });
    }
    return appended;
  }

  /** The letter's move alone decides: the receive owner carries it out, and only it writes updates. */
  async function replayUpdates(rows: readonly Row[]): Promise<Replayed> {
    const { modifiedCount } = await letters.updateMany(
      { _id: { $in: rows.map(({ _id }) => _id) }, state: 'waiting' },
      { $set: { state: 'replayed', requeue: true, endedAt: new Date(clock.wallNow()) }, $inc: { replays: 1 } },
    );
    return { replayed: modifiedCount, refused: [] };
  }

  return {
    async list(queue, { state, cursor, limit, ...filter }) {
      const before = cursor === undefined ? undefined : placeOfCursor(cursor);
      const rows = await letters
        .find(
          { ...filterOf(queue, state, filter, before && { before }) },
          { projection: { 'payload.text': 0, 'payload.parts': 0 } },
        )
        .sort({ at: -1, _id: -1 })
        .limit(limit + 1)
        .toArray();
      const shown = rows.slice(0, limit);
      const last = shown.at(-1);
      return {
        items: shown.map(view),
        ...(rows.length > limit && last !== undefined ? { next: cursorOf(last) } : {}),
      };
    },
    async find(queue, id) {
      const [row] = await rowsOf(queue, [id]);
      return row === undefined ? undefined : { ...view(row), ...content(row) };
    },
    look: async (queue, ids) => new Map((await rowsOf(queue, ids)).map((row) => [idOf(row), view(row)])),
    async replay(queue, which) {
      let replayed = 0;
      const refused: string[] = [];
      // Nothing puts letters into `jobs` yet.
      const move = queue === 'deliveries' ? replayDeliveries : replayUpdates;
      for await (const rows of waiting(queue, which)) {
        const moved = await move(rows);
        replayed += moved.replayed;
        refused.push(...moved.refused);
      }
      return { replayed, refused };
    },
    async drop(queue, which) {
      let dropped = 0;
      for await (const rows of waiting(queue, which)) {
        const { modifiedCount } = await letters.updateMany(
          { _id: { $in: rows.map(({ _id }) => _id) }, state: 'waiting', replaying: { $exists: false } },
          { $set: { state: 'dropped', endedAt: new Date(clock.wallNow()) } },
        );
        dropped += modifiedCount;
      }
      return dropped;
    },
  };
}

function replayOf({ source, payload }: Row): Replay {
  const { chatId, text, parseMode, lane, class: klass, parts, messageIds = [] } = payload as Payload;
  // Of a text in parts those that were sent are left out.
  const left = parts?.slice(messageIds.length) ?? [];
  const message = {
    chatId,
    text,
    lane,
    class: klass,
    ...(parseMode === undefined ? {} : { parseMode }),
    ...(left.length === 0 ? {} : { parts: left }),
  };
  return { message, key: `r:${source}:1` };
}

const isIds = (which: readonly string[] | DeadLetterFilter): which is readonly string[] => Array.isArray(which);

/** How many letters of these queues wait, over all bots, counted up to 1,001. Rejects with the driver's error while the store is away. */
export function countWaiting(store: Pick<Store, 'models'>, queues: readonly Queue[]): Promise<number> {
  const which = { queue: { $in: [...queues] }, state: 'waiting' };
  return store.models.DeadLetters.collection.countDocuments(which, { limit: COUNTED + 1 });
}

/** A place in the order of (at, _id). */
type Position = Pick<Row, 'at' | '_id'>;

function filterOf(
  queue: Queue,
  state: Row['state'],
  { bot, reason, since }: DeadLetterFilter,
  where?: { readonly before?: Position; readonly from?: Position },
  until?: Date,
): Filter<Row> {
  const { before, from } = where ?? {};
  const first = from?.at ?? since;
  const last = before?.at ?? until;
  const at = { ...(first === undefined ? {} : { $gte: first }), ...(last === undefined ? {} : { $lte: last }) };
  return {
    ...(bot === undefined ? {} : { bot }),
    queue,
    state,
    ...(Object.keys(at).length === 0 ? {} : { at }),
    ...(before === undefined ? {} : { $or: [{ at: { $lt: before.at } }, { _id: { $lt: before._id } }] }),
    ...(from === undefined ? {} : { $or: [{ at: { $gt: from.at } }, { _id: { $gt: from._id } }] }),
    ...(reason === undefined
      ? {}
      : { reason: { $regex: reason.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), $options: 'i' } }),
  };
}

const cursorOf = ({ at, _id }: Position): string => `${at.getTime().toString(36)}-${_id.toString()}`;

/** What a cursor looks like: the time in base 36 and the row's id. */
export const LETTER_CURSOR = /^[0-9a-z]{1,10}-[0-9a-f]{24}$/;

function placeOfCursor(cursor: string): Position {
  const [time = '', id = ''] = cursor.split('-');
  return { at: new Date(Number.parseInt(time, 36)), _id: new ObjectId(id) as Row['_id'] };
}

function view(row: Row): DeadLetterView {
  const { bot, queue, reason, attempts, at, state, replaying, requeue, replayedAs, endedAt } = row;
  const { chatId, lane, class: klass, state: outcome } = row.payload as Payload;
  return {
    id: idOf(row),
    botId: bot,
    reason,
    attempts,
    at: at.toISOString(),
    state,
    ...(queue === 'deliveries' ? { chatId, lane, class: klass, outcome } : {}),
    ...(queue === 'updates' ? { updateId: Number(row.source) } : {}),
    ...(replaying === true || requeue === true ? { replaying: true } : {}),
    ...(replayedAs === undefined ? {} : { replayedAs }),
    ...(endedAt === undefined ? {} : { endedAt: endedAt.toISOString() }),
  };
}

function content({ queue, payload }: Row): Pick<DeadLetterDetail, 'message' | 'update'> {
  if (queue !== 'deliveries') return { update: payload };
  const { text, parseMode } = payload as Payload;
  return { message: { text, ...(parseMode === undefined ? {} : { parseMode }) } };
}
