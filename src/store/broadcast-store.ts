import { Binary, ObjectId } from 'mongodb';
import { emptyTally, packChats, type TallyCounts, unpackChats } from '../delivery/packed.js';
import type { BroadcastBody, BroadcastPageRow, BroadcastRow, ChatRow } from './models.js';
import { bytes } from './send-store.js';
import { duplicateKey, type Store } from './store.js';

/** People of an audience in one page of a broadcast. */
export const BROADCAST_PAGE = 500;

/** A page of a broadcast's audience: chat ids in order of uid, and which of them could not be reached when it was made. */
export interface AudiencePage {
  readonly chats: number[];
  readonly unreachable: boolean[];
  /** The last uid, null when the audience ended here. */
  readonly upTo: ObjectId | null;
}

/** A broadcast page as it is stored. `mine` is false when another process had made it. */
export interface StoredBroadcastPage {
  readonly k: number;
  readonly chats: number[];
  readonly upTo: ObjectId | null;
  readonly open: boolean;
  readonly mine: boolean;
}

/** What the operator has made of a broadcast, as its row says. */
export interface BroadcastWish {
  readonly n: number;
  readonly state: BroadcastRow['state'];
}

/** Which of some chats a broadcast that goes on must not call: found unreachable, or no subscriber any more. The old id of a group that became a supergroup is neither: the new one tells. */
export interface AudienceFlags {
  readonly unreachable: ReadonlySet<number>;
  readonly stopped: ReadonlySet<number>;
}

/** What the send owner reads and writes of the broadcasts of one bot. */
export interface BroadcastStore {
  row(n: number): Promise<BroadcastRow | undefined>;
  /** The states of these broadcasts; one without a row is not in the answer. */
  wishes(ns: readonly number[]): Promise<BroadcastWish[]>;
  /** The first move: no row means running. A row that a pause had made gets its start. */
  begin(n: number, at: Date): Promise<BroadcastRow>;
  /** People of an audience behind the uid `after` (default: all). */
  count(audience: BroadcastBody['audience'], after?: ObjectId | null): Promise<number>;
  flags(chats: readonly number[]): Promise<AudienceFlags>;
  audience(audience: BroadcastBody['audience'], after: ObjectId | null): Promise<AudiencePage>;
  openPages(n: number, fromK: number): Promise<StoredBroadcastPage[]>;
  lastPage(n: number): Promise<StoredBroadcastPage | undefined>;
  /** Which of these chats are in pages of the broadcast. It reads them all (4 KB for 500 people): for a group that has moved, not for everybody. */
  among(n: number, chats: ReadonlySet<number>): Promise<Set<number>>;
  addPage(n: number, k: number, id: ObjectId, after: ObjectId | null, page: AudiencePage): Promise<StoredBroadcastPage>;
  /** Compare-and-set on k, on whether it is cancelled, and on not being finished: false when another had moved it. */
  move(n: number, from: { readonly k: number; readonly cancelled?: boolean }, to: BroadcastMove): Promise<boolean>;
  /** The page of the log is done with. */
  close(n: number): Promise<void>;
}

/** What changes of a broadcast's row. */
export interface BroadcastMove {
  readonly k: number;
  readonly sum: TallyCounts;
  readonly ratePerSecond: number;
  readonly total?: number;
  readonly state?: 'done';
  readonly finishedAt?: Date;
}

/** A page of an audience as it is read. */
interface AudienceLists {
  readonly chats: readonly unknown[];
  readonly unreachable: boolean[];
  readonly last: ObjectId;
}

/** The filter of an audience: active people of the given types, with any of the tags; the stub of a group that became a supergroup is nobody. */
export function audienceFilter(bot: string, audience: BroadcastBody['audience']): Record<string, unknown> {
  return {
    bot,
    subscription: 'active',
    type: { $in: audience.types },
    movedTo: { $exists: false },
    ...(audience.tags === undefined ? {} : { tags: { $in: audience.tags } }),
  };
}

/** The send owner's view of broadcasts; `pageSize`: people of one page. */
export function broadcastStore(store: Store, bot: string, pageSize = BROADCAST_PAGE): BroadcastStore {
  const { Broadcasts, BroadcastPages, Chats, Pages } = store.models;
  const rows = Broadcasts.collection;
  const parts = BroadcastPages.collection;
  const behind = (audience: BroadcastBody['audience'], after: ObjectId | null) => ({
    ...audienceFilter(bot, audience),
    ...(after === null ? {} : { _id: { $gt: after } }),
  });

  return {
    async row(n) {
      return ((await rows.findOne({ bot, n })) as unknown as BroadcastRow | null) ?? undefined;
    },
    async begin(n, at) {
      await rows
        .updateOne(
          { bot, n, startedAt: { $exists: false } },
          {
            $set: { startedAt: at },
            $setOnInsert: { state: 'running', sum: emptyTally(), k: 0, ratePerSecond: 0 },
          },
          { upsert: true },
        )
        .catch((error: unknown) => {
          if (duplicateKey(error) === undefined) throw error;
        });
      return (await rows.findOne({ bot, n })) as unknown as BroadcastRow;
    },
    async wishes(ns) {
      const found = await rows.find({ bot, n: { $in: [...ns] } }, { projection: { n: 1, state: 1 } }).toArray();
      return (found as unknown as BroadcastRow[]).map(({ n, state }) => ({ n, state }));
    },
    count: (audience, after = null) => Chats.collection.countDocuments(behind(audience, after)),
    async flags(chats) {
      const found = (await Chats.collection
        .find(
          {
            bot,
            chatId: { $in: [...chats] },
            movedTo: { $exists: false },
            $or: [{ reach: { $ne: 'ok' } }, { subscription: { $ne: 'active' } }],
          },
          { projection: { chatId: 1, reach: 1, subscription: 1 } },
        )
        .toArray()) as unknown as ChatRow[];
      return {
        unreachable: new Set(found.filter((row) => row.reach !== 'ok').map((row) => Number(row.chatId))),
        stopped: new Set(found.filter((row) => row.subscription !== 'active').map((row) => Number(row.chatId))),
      };
    },
    async audience(audience, after) {
      // One document of lists: 500 documents cost the driver three times as much.
      const [page] = await Chats.collection
        .aggregate<AudienceLists>([
          { $match: behind(audience, after) },
          { $sort: { _id: 1 } },
          { $limit: pageSize },
          {
            $group: {
              _id: null,
              chats: { $push: '$chatId' },
              unreachable: { $push: { $ne: ['$reach', 'ok'] } },
              last: { $last: '$_id' },
            },
          },
        ])
        .toArray();
      if (page === undefined) return { chats: [], unreachable: [], upTo: null };
      const chats = page.chats.map(Number);
      return { chats, unreachable: page.unreachable, upTo: chats.length < pageSize ? null : page.last };
    },
    async openPages(n, fromK) {
      const found = await parts
        .find({ bot, n, k: { $gte: fromK } })
        .sort({ k: 1 })
        .toArray();
      return (found as unknown as BroadcastPageRow[])
        .filter((row) => row.open === true)
        .map((row) => stored(row, true));
    },
    async lastPage(n) {
      const row = (await parts.find({ bot, n }).sort({ k: -1 }).limit(1).next()) as unknown as BroadcastPageRow | null;
      return row === null ? undefined : stored(row, true);
    },
    async among(n, chats) {
      const found = new Set<number>();
      if (chats.size === 0) return found;
      for await (const row of parts.find({ bot, n }, { projection: { chats: 1 } })) {
        for (const chatId of unpackChats(bytes((row as unknown as BroadcastPageRow).chats)))
          if (chats.has(chatId)) found.add(chatId);
      }
      return found;
    },
    async addPage(n, k, id, after, page) {
      try {
        await parts.insertOne({
          _id: id,
          bot,
          n,
          k,
          after,
          upTo: page.upTo,
          chats: new Binary(packChats(page.chats)),
          open: true,
        } as never);
      } catch (error) {
        if (duplicateKey(error) === undefined) throw error;
        const row = (await parts.findOne({ bot, n, k })) as unknown as BroadcastPageRow | null;
        if (row === null) throw error;
        return stored(row, row._id.equals(id));
      }
      return { k, chats: page.chats, upTo: page.upTo, open: true, mine: true };
    },
    async move(n, from, to) {
      const { state, ...fields } = to;
      const answer = await rows.updateOne(
        {
          bot,
          n,
          k: from.k,
          state: { $in: from.cancelled === true ? ['cancelled'] : ['running', 'paused'] },
          finishedAt: { $exists: false },
        },
        { $set: { ...fields, ...(state === undefined ? {} : { state }) } },
      );
      return answer.matchedCount > 0;
    },
    async close(n) {
      await Pages.collection.updateOne({ bot, n, open: true }, {
        $unset: { open: '' },
        $set: { closedAt: new Date() },
      } as never);
    },
  };
}

function stored(row: BroadcastPageRow, mine: boolean): StoredBroadcastPage {
  return {
    k: row.k,
    chats: unpackChats(bytes(row.chats)),
    upTo: row.upTo === null ? null : new ObjectId(row.upTo.toString()),
    open: row.open === true,
    mine,
  };
}
