import { Binary, type Collection } from 'mongodb';
import type { Lane, MessageClass } from '../delivery/lanes.js';
import type { KnownResult, ResultWrite } from '../delivery/ledger.js';
import { HEAD_BYTES } from '../delivery/packed.js';
import type { TextPart } from '../delivery/text/cut-text.js';
import { type ChatMove, moveChat } from './chat-moves.js';
import type { BodyRow, BroadcastBody, PageRow, ResultRow } from './models.js';
import { duplicateKey, type Store, StoreError } from './store.js';

/** A page of the log without its bodies. */
export interface PageHead {
  readonly n: number;
  readonly kind: 'messages' | 'broadcast';
  readonly open: boolean;
  readonly heads: Buffer;
  readonly broadcast?: BroadcastBody;
}

/** What is needed to send the items of a page. */
export interface PageBodies {
  readonly n: number;
  readonly heads: Buffer;
  readonly bodies: readonly BodyRow[];
  readonly broadcast?: BroadcastBody;
}

/** The chat marks that matter before a call. */
export interface ChatMark {
  readonly chatId: number;
  readonly unreachable: boolean;
  /** Epoch ms until which a 429 froze the chat; 0 = not frozen. */
  readonly frozenUntil: number;
  /** The chat that this one became. */
  readonly movedTo?: number;
}

/** A recipient found unreachable by a call that began at `since` (epoch ms). */
export interface UnreachableMark {
  readonly chatId: number;
  readonly reach: 'blocked' | 'gone';
  readonly since: number;
}

/** A dead letter as a commit writes it. */
export interface NewDeadLetter {
  readonly source: string;
  readonly reason: string;
  readonly attempts: number;
  readonly payload: {
    readonly chatId: number;
    readonly text: string;
    readonly parseMode?: string;
    readonly lane: Lane;
    readonly class: MessageClass;
    readonly state: string;
    /** Of a text in parts of which some were sent: their message ids, and how the whole text is cut. */
    readonly messageIds?: readonly number[];
    readonly parts?: readonly TextPart[];
  };
}

/** What one commit makes durable, in this order: dead letters, marks and moves, then results, then closings. */
export interface Commit {
  readonly epoch: number;
  readonly deadLetters: readonly NewDeadLetter[];
  readonly unreachable: readonly UnreachableMark[];
  /** Chat and epoch ms. */
  readonly frozen: readonly { readonly chatId: number; readonly until: number }[];
  /** Groups that became supergroups. */
  readonly moved?: readonly ChatMove[];
  readonly results: readonly ResultWrite[];
  readonly closed: readonly { readonly n: number; readonly k: number | undefined }[];
}

/** What the send owner of one bot reads from and writes to the store. Every method rejects with the driver's error while the store is away. */
export interface SendStore {
  tail(): Promise<number>;
  /** Open pages with `after` < n ≤ `upTo`, ascending. */
  openPages(after: number, upTo: number, limit: number): Promise<PageHead[]>;
  /** All pages behind `after`, ascending, without gaps. */
  pagesAfter(after: number, limit: number): Promise<PageHead[]>;
  bodies(n: number): Promise<PageBodies | undefined>;
  /** Rows of results of page `n` from row `fromK` on. */
  results(n: number, fromK?: number): Promise<KnownResult[]>;
  /** Ids of deliveries of page `n` that have a dead letter, with its state. */
  deadLetters(n: number): Promise<Map<string, 'dead' | 'unknown'>>;
  /** Marks of these chats; only chats with a mark are in the answer. */
  marks(chatIds: readonly number[]): Promise<ChatMark[]>;
  frozenChats(now: number): Promise<ChatMark[]>;
  /** Throws PH_LEASE_FENCED when a row belongs to a later epoch. Idempotent: the same commit may be tried again. */
  commit(commit: Commit): Promise<void>;
}

const KEEP_READING = 1_000;

/** The send owner's view of the store for one bot. */
export function sendStore(store: Store, bot: string): SendStore {
  const { Pages, Results, Chats, DeadLetters } = store.models;
  const pages = Pages.collection;
  const projection = { n: 1, kind: 1, open: 1, heads: 1, broadcast: 1 };

  return {
    async tail() {
      const row = await pages
        .find({ bot }, { projection: { n: 1 } })
        .sort({ n: -1 })
        .limit(1)
        .next();
      return (row as unknown as PageRow | null)?.n ?? 0;
    },
    async openPages(after, upTo, limit) {
      const rows = await pages
        .find({ bot, open: true, n: { $gt: after, $lte: upTo } }, { projection })
        .sort({ n: 1 })
        .limit(limit)
        .toArray();
      return (rows as unknown as PageRow[]).map(headOf);
    },
    async pagesAfter(after, limit) {
      const rows = await pages
        .find({ bot, n: { $gt: after } }, { projection })
        .sort({ n: 1 })
        .limit(limit)
        .toArray();
      return (rows as unknown as PageRow[]).map(headOf);
    },
    async bodies(n) {
      const row = (await pages.findOne(
        { bot, n },
        { projection: { n: 1, heads: 1, bodies: 1, broadcast: 1 } },
      )) as unknown as PageRow | null;
      if (row === null) return undefined;
      return {
        n,
        heads: bytes(row.heads),
        bodies: row.bodies,
        ...(row.broadcast === undefined ? {} : { broadcast: row.broadcast }),
      };
    },
    async results(n, fromK = 0) {
      const rows = await Results.collection
        .find({ bot, n, k: { $gte: fromK } }, { projection: { k: 1, items: 1, rest: 1, parts: 1, tally: 1 } })
        .toArray();
      return (rows as unknown as ResultRow[]).map((row) => ({
        k: row.k,
        items: bytes(row.items),
        tally: row.tally,
        ...(row.rest === undefined ? {} : { rest: row.rest }),
        ...(row.parts === undefined ? {} : { parts: row.parts }),
      }));
    },
    async deadLetters(n) {
      const rows = await DeadLetters.collection
        .find(
          { bot, queue: 'deliveries', source: { $gte: `${bot}-${n}-`, $lt: `${bot}-${n}.` } },
          { projection: { source: 1, payload: 1 } },
        )
        .toArray();
      return new Map(
        rows.map(
          (row) =>
            [String(row.source), (row.payload as { state?: string }).state === 'unknown' ? 'unknown' : 'dead'] as const,
        ),
      );
    },
    async marks(chatIds) {
      const found: ChatMark[] = [];
      for (let at = 0; at < chatIds.length; at += KEEP_READING) {
        const rows = await Chats.collection
          .find(
            {
              bot,
              chatId: { $in: chatIds.slice(at, at + KEEP_READING) },
              $or: [{ reach: { $ne: 'ok' } }, { frozenUntil: { $exists: true } }, { movedTo: { $exists: true } }],
            },
            { projection: { chatId: 1, reach: 1, frozenUntil: 1, movedTo: 1 } },
          )
          .toArray();
        found.push(...rows.map(markOf));
      }
      return found;
    },
    async frozenChats(now) {
      const rows = await Chats.collection
        .find({ bot, frozenUntil: { $gt: new Date(now) } }, { projection: { chatId: 1, reach: 1, frozenUntil: 1 } })
        .toArray();
      return rows.map(markOf);
    },
    async commit({ epoch, deadLetters, unreachable, frozen, moved = [], results, closed }) {
      await Promise.all([
        deadLetters.length === 0
          ? undefined
          : DeadLetters.collection.bulkWrite(
              deadLetters.map(({ source, reason, attempts, payload }) => ({
                updateOne: {
                  filter: { bot, queue: 'deliveries', source },
                  update: { $setOnInsert: { reason, attempts, payload, state: 'waiting', at: new Date() } },
                  upsert: true,
                },
              })),
              { ordered: false },
            ),
        unreachable.length + frozen.length === 0
          ? undefined
          : Chats.collection
              .bulkWrite(
                [...unreachable.map((mark) => blockOp(bot, mark)), ...frozen.map((mark) => freezeOp(bot, mark))],
                { ordered: false },
              )
              .catch(onlyDuplicates), // an update came after the call's start: the row is there and is not marked
      ]);
      // Behind the marks, which name the old id: the row takes them along.
      for (const move of moved) await moveChat(Chats.collection as unknown as Collection, bot, move);
      await Promise.all([writeResults(epoch, results), closePages(closed)]);
    },
  };

  async function writeResults(epoch: number, results: readonly ResultWrite[]): Promise<void> {
    try {
      await store.update(
        'Results',
        results.map(({ n, k, items, left, tally, rest, parts, steps }) => ({
          // `left` only falls and `steps` only grows, so a late copy of an earlier write of this epoch changes nothing.
          filter: {
            bot,
            n,
            k,
            $or: [{ epoch: { $lt: epoch } }, { epoch, left: { $gte: left }, steps: { $lte: steps } }],
          },
          change: { $set: { epoch, items: new Binary(items), left, tally, rest, parts, steps } },
          upsert: true,
        })),
      );
    } catch (error) {
      if (duplicateKey(error) !== undefined) throw new StoreError('PH_LEASE_FENCED', 'results belong to a later epoch');
      throw error;
    }
  }

  async function closePages(closed: Commit['closed']): Promise<void> {
    const close = { $unset: { open: '' }, $set: { closedAt: new Date() } } as const;
    const of = (model: 'Pages' | 'BroadcastPages', some: Commit['closed']) =>
      store.update(
        model,
        some.map(({ n, k }) => ({ filter: { bot, n, ...(k === undefined ? {} : { k }), open: true }, change: close })),
      );
    await Promise.all([
      of(
        'Pages',
        closed.filter(({ k }) => k === undefined),
      ),
      of(
        'BroadcastPages',
        closed.filter(({ k }) => k !== undefined),
      ),
    ]);
  }
}

function blockOp(bot: string, { chatId, reach, since }: UnreachableMark) {
  return {
    updateOne: {
      filter: { bot, chatId, $or: [{ lastUpdateAt: { $exists: false } }, { lastUpdateAt: { $lt: new Date(since) } }] },
      update: {
        $set: { reach, blockedAt: new Date() },
        $setOnInsert: { type: typeOf(chatId), tags: [], createdAt: new Date() },
      },
      upsert: true,
    },
  };
}

function freezeOp(bot: string, { chatId, until }: { chatId: number; until: number }) {
  return {
    updateOne: {
      filter: { bot, chatId },
      update: {
        $set: { frozenUntil: new Date(until) },
        $setOnInsert: { type: typeOf(chatId), reach: 'ok', tags: [], createdAt: new Date() },
      },
      upsert: true,
    },
  };
}

/** What a chat id alone tells of its type; an update or an import knows better later. */
const typeOf = (chatId: number): string => (chatId > 0 ? 'private' : 'group');

function onlyDuplicates(error: unknown): void {
  const writeErrors = (error as { writeErrors?: { code?: number }[] | { code?: number } }).writeErrors;
  const all = Array.isArray(writeErrors) ? writeErrors : writeErrors === undefined ? [] : [writeErrors];
  if (all.length === 0 || all.some((one) => one.code !== 11000)) throw error;
}

function headOf(row: PageRow): PageHead {
  return {
    n: row.n,
    kind: row.kind,
    open: row.open === true,
    heads: bytes(row.heads),
    ...(row.broadcast === undefined ? {} : { broadcast: row.broadcast }),
  };
}

function markOf(row: Record<string, unknown>): ChatMark {
  const until = row.frozenUntil;
  return {
    chatId: Number(row.chatId),
    unreachable: row.reach !== 'ok',
    frozenUntil: until instanceof Date ? until.getTime() : 0,
    ...(typeof row.movedTo === 'number' ? { movedTo: row.movedTo } : {}),
  };
}

/** The bytes of a Binary or Buffer as the driver hands it out. */
export function bytes(value: Buffer | Binary): Buffer {
  return Buffer.isBuffer(value) ? value : Buffer.from(value.buffer.buffer, value.buffer.byteOffset, value.length());
}

/** How many items packed heads hold. */
export const headCount = (heads: Buffer): number => heads.length / HEAD_BYTES;
