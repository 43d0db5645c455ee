import { Types } from 'mongoose';
import { isFull } from './failure.js';
import type { ChatRow } from './models.js';
import { isConnectionError, type Store, StoreError } from './store.js';

/** Rows of one write of an import. */
const BATCH = 1_000;
/** Failed lines that an import lists; the rest is only counted. */
const MAX_LISTED = 1_000;

/** A person as an import gives it; fields that are absent keep what is stored. */
export interface NewPerson {
  readonly bot: string;
  readonly chatId: number;
  readonly type?: ChatRow['type'] | undefined;
  readonly firstName?: string | undefined;
  readonly lastName?: string | undefined;
  readonly username?: string | undefined;
  readonly languageCode?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  /** false ends the subscription; true (the default) begins one only for who has none yet. */
  readonly active?: boolean | undefined;
}

/** A line of an import: a person, or why it is none. */
export type PersonRow =
  | { readonly line: number; readonly person: NewPerson; readonly error?: never }
  | { readonly line: number; readonly person?: never; readonly error: string };

/** How far an import is: lines with content that are done, and how they ended. */
export interface ImportProgress {
  readonly lines: number;
  readonly imported: number;
  readonly updated: number;
  readonly failed: number;
}

/** What became of an import: people new and known, the first 1,000 failed lines in order of their end, and how many failed in all. */
export interface ImportResult {
  readonly imported: number;
  readonly updated: number;
  readonly failed: readonly { readonly line: number; readonly error: string }[];
  readonly failedTotal: number;
}

/** What an import works on; `now` gives the time of creation. */
export interface ImportOptions {
  readonly store: Pick<Store, 'models'>;
  readonly rows: AsyncIterable<readonly PersonRow[]>;
  readonly now: () => Date;
  readonly onProgress?: ((progress: ImportProgress) => void) | undefined;
}

/** A person to write with its line and how often it stands in the batch. */
interface Entry {
  readonly line: number;
  person: NewPerson;
  times: number;
}

/** The upsert of one person: given fields are set; a subscription begins only on insert, and ends whenever the import says so. */
function upsert({ person }: Entry, createdAt: Date) {
  const { bot, chatId, active, ...given } = person;
  const set: Record<string, unknown> = Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  );
  const born: Record<string, unknown> = { reach: 'ok', createdAt };
  if (active === false) set.subscription = 'stopped';
  else born.subscription = 'active';
  if (given.type === undefined) born.type = 'private';
  if (given.tags === undefined) born.tags = [];
  const update = { ...(Object.keys(set).length === 0 ? {} : { $set: set }), $setOnInsert: born };
  return { updateOne: { filter: { bot, chatId }, update, upsert: true } };
}

/** What the driver tells of a bulk write, whether it resolved or threw. */
interface Written {
  readonly upsertedIds: Readonly<Record<number, unknown>>;
  readonly errors: readonly { readonly index: number; readonly code: number; readonly text: string }[];
}

async function bulk(store: Pick<Store, 'models'>, entries: readonly Entry[], createdAt: Date): Promise<Written> {
  try {
    const operations = entries.map((entry) => upsert(entry, createdAt));
    const result = await store.models.Chats.collection.bulkWrite(operations, { ordered: false });
    return { upsertedIds: result.upsertedIds, errors: [] };
  } catch (error) {
    if (isFull(error)) throw new StoreError('PH_STORE_FULL', 'the store is full');
    if (isConnectionError(error)) throw new StoreError('PH_STORE_AWAY', 'the store went away during an import');
    const { writeErrors, result } = error as {
      writeErrors?: { index: number; code: number; errmsg?: string }[];
      result?: { upsertedIds: Record<number, unknown> };
    };
    if (!Array.isArray(writeErrors) || writeErrors.length === 0 || result === undefined) throw error;
    if (writeErrors.some(isFull)) throw new StoreError('PH_STORE_FULL', 'the store is full');
    const errors = writeErrors.map(({ index, code, errmsg }) => ({ index, code, text: errmsg ?? 'refused' }));
    return { upsertedIds: result.upsertedIds, errors };
  }
}

/** Rows made by a mark alone become people: who blocked before the import knew them stays blocked. Answers how many became people. */
async function begin(store: Pick<Store, 'models'>, entries: readonly Entry[]): Promise<number> {
  let begun = 0;
  for (const bot of new Set(entries.map(({ person }) => person.bot))) {
    const chatIds = entries.filter(({ person }) => person.bot === bot).map(({ person }) => person.chatId);
    const { modifiedCount } = await store.models.Chats.collection
      .updateMany(
        { bot, chatId: { $in: chatIds }, subscription: { $exists: false }, movedTo: { $exists: false } },
        { $set: { subscription: 'active' } },
      )
      .catch((error: unknown) => {
        if (isConnectionError(error)) throw new StoreError('PH_STORE_AWAY', 'the store went away during an import');
        throw error;
      });
    begun += modifiedCount;
  }
  return begun;
}

/**
 * Imports people in unordered bulk upserts of 1,000, one write under way, in memory that does not grow with the file. Nobody is imported twice;
 * the same person again is an update, later fields win. Who has stopped or blocked stays so; `active: false` stops who is active.
 * Throws StoreError PH_STORE_AWAY or PH_STORE_FULL (what was written stays; the same rows may come again), and what `rows` throws.
 */
export async function importPeople({ store, rows, now, onProgress }: ImportOptions): Promise<ImportResult> {
  const failed: { line: number; error: string }[] = [];
  let [lines, imported, updated, failedTotal] = [0, 0, 0, 0];
  let batch = new Map<string, Entry>();

  const fail = (line: number, error: string): void => {
    failedTotal += 1;
    if (failed.length < MAX_LISTED) failed.push({ line, error });
  };

  const write = async (entries: readonly Entry[], again: boolean): Promise<void> => {
    const { upsertedIds, errors } = await bulk(store, entries, now());
    const refused = new Map(errors.map((error) => [error.index, error]));
    const retried: Entry[] = [];
    const known: Entry[] = [];
    for (const [index, entry] of entries.entries()) {
      const error = refused.get(index);
      // Two upserts of one new person at once (an update came in meanwhile): one is refused as a duplicate, and again it is an update.
      if (error?.code === 11000 && again) retried.push(entry);
      else if (error !== undefined) fail(entry.line, `the store refused it: ${error.text}`);
      else if (index in upsertedIds) {
        imported += 1;
        updated += entry.times - 1;
      } else {
        known.push(entry);
        updated += entry.times;
      }
    }
    const candidates = known.filter(({ person }) => person.active !== false);
    if (candidates.length > 0) {
      const begun = await begin(store, candidates);
      imported += begun;
      updated -= begun;
    }
    if (retried.length > 0) await write(retried, false);
  };

  const flush = async (): Promise<void> => {
    const entries = [...batch.values()];
    batch = new Map();
    if (entries.length > 0) await write(entries, true);
    onProgress?.({ lines, imported, updated, failed: failedTotal });
  };

  for await (const group of rows) {
    for (const { line, person, error } of group) {
      lines += 1;
      if (error !== undefined) {
        fail(line, error);
        continue;
      }
      const key = `${person.bot}:${person.chatId}`;
      const earlier = batch.get(key);
      if (earlier === undefined) batch.set(key, { line, person, times: 1 });
      else {
        const given = Object.fromEntries(Object.entries(person).filter(([, value]) => value !== undefined));
        const active = earlier.person.active !== false && person.active !== false;
        earlier.person = { ...earlier.person, ...given, active };
        earlier.times += 1;
      }
      if (batch.size >= BATCH) await flush();
    }
  }
  await flush();
  return { imported, updated, failed, failedTotal };
}

/** A person as the API shows it; times ISO 8601 UTC. */
export interface PersonView {
  readonly botId: string;
  readonly chatId: number;
  readonly type: ChatRow['type'];
  readonly subscription: 'active' | 'stopped';
  readonly reachability: ChatRow['reach'];
  readonly firstName?: string;
  readonly lastName?: string;
  readonly username?: string;
  readonly languageCode?: string;
  readonly tags: readonly string[];
  readonly createdAt: string;
  readonly lastUpdateAt?: string;
  readonly blockedAt?: string;
}

/** Which people a list shows: all marks given must hold. `cursor` is `next` of the page before, `limit` the most rows. */
export interface PeopleQuery {
  readonly bot?: string;
  readonly subscription?: 'active' | 'stopped';
  readonly reachability?: ChatRow['reach'];
  readonly type?: ChatRow['type'];
  readonly tag?: string;
  readonly cursor?: string;
  readonly limit: number;
}

/** A page of people by ascending uid; `next` is absent on the last. */
export interface PeoplePage {
  readonly items: readonly PersonView[];
  readonly next?: string;
}

function view(row: ChatRow): PersonView {
  const { firstName, lastName, username, languageCode } = row;
  const names = Object.entries({ firstName, lastName, username, languageCode }).filter(([, value]) => value != null);
  return {
    botId: row.bot,
    chatId: row.chatId,
    type: row.type,
    subscription: row.subscription ?? 'active',
    reachability: row.reach,
    ...Object.fromEntries(names),
    tags: Array.isArray(row.tags) ? row.tags : [],
    createdAt: row.createdAt.toISOString(),
    ...(row.lastUpdateAt == null ? {} : { lastUpdateAt: row.lastUpdateAt.toISOString() }),
    ...(row.blockedAt == null ? {} : { blockedAt: row.blockedAt.toISOString() }),
  };
}

/** The cursor after the person with this uid: 16 characters of base64url. Never throws. */
const cursorOf = (uid: Types.ObjectId): string => Buffer.from(uid.id).toString('base64url');

/** People by ascending uid; rows that a mark alone made are none. `cursor` must be 16 characters of base64url. Throws the driver's errors. */
export async function listPeople(store: Pick<Store, 'models'>, query: PeopleQuery): Promise<PeoplePage> {
  const { bot, subscription, reachability, type, tag, cursor, limit } = query;
  const rows = await store.models.Chats.collection
    .find<ChatRow>({
      ...(bot === undefined ? {} : { bot }),
      ...(cursor === undefined ? {} : { _id: { $gt: new Types.ObjectId(Buffer.from(cursor, 'base64url')) } }),
      subscription: subscription ?? { $exists: true },
      ...(reachability === undefined ? {} : { reach: reachability }),
      ...(type === undefined ? {} : { type }),
      ...(tag === undefined ? {} : { tags: tag }),
    })
    .sort({ _id: 1 })
    .limit(limit + 1)
    .toArray();
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  return { items: items.map(view), ...(rows.length > limit && last !== undefined ? { next: cursorOf(last._id) } : {}) };
}

/** One person of a bot, or undefined when there is none. Throws the driver's errors. */
export async function findPerson(
  store: Pick<Store, 'models'>,
  bot: string,
  chatId: number,
): Promise<PersonView | undefined> {
  const row = await store.models.Chats.collection.findOne<ChatRow>({ bot, chatId, subscription: { $exists: true } });
  return row === null ? undefined : view(row);
}
