import { type Connection, type Model, Schema, type SchemaDefinition, type Types } from 'mongoose';
import type { TallyCounts } from '../delivery/packed.js';
import type { TextPart } from '../delivery/text/cut-text.js';
import type { Queue } from '../queues.js';
import type { ProcessIdentity } from './process-identity.js';

/** Rates of one bot, each as its environment variable counts it (SEND_RATE, SEND_CHAT_RATE, SEND_GROUP_RATE); absent = that variable's. */
export interface BotRates {
  rate?: number;
  chatRate?: number;
  groupRate?: number;
}

/** A row of `bots`: one Telegram bot of this installation. `bot` is its numeric id as text. */
export interface BotRow {
  _id: Types.ObjectId;
  bot: string;
  /** The token, sealed with SECRET_KEY (see sealed-text.ts). */
  token: string;
  username?: string;
  /** `removing`: takes no messages, goes on with those it has. `removed`: kept for what waits and for the day it is added again; its token is erased. */
  state: 'active' | 'unauthorized' | 'removing' | 'removed';
  rates?: BotRates;
  /** A bot of the local Telegram: processes with BOT_TOKEN leave it alone, and the other way round. */
  local?: boolean;
  createdAt: Date;
}

/** A row of `owners`: the lease on one part of a bot. Written by its owner only, filter {bot, part, epoch}. */
export interface OwnerRow {
  _id: Types.ObjectId;
  bot: string;
  part: 'send' | 'receive';
  owner: ProcessIdentity | null;
  epoch: number;
  beat: number;
  /** Ids of at-most-once calls that were begun. */
  begun: string[];
  /** update_ids that are being handled. */
  handling: number[];
  /** The send rate that holds now, messages a second; absent = the configured one. */
  rate?: number;
  /** Epoch ms until which Telegram makes the whole bot wait (429); absent = it never did. */
  waitUntil?: number;
  /** Messages by chat id that are not settled. */
  waiting: number;
  /** True once the quiet time after a takeover is over. */
  ready?: boolean;
}

/** One body of a page: what is sent, shared by all items that name it. */
export interface BodyRow {
  text: string;
  parseMode?: 'HTML' | 'MarkdownV2';
  /** Of a text that is longer than a message: how it is cut, for ever. */
  parts?: readonly TextPart[];
}

/** A request that brought an Idempotency-Key: its hash, and what was answered (a run in this page, or ids elsewhere). */
export interface RequestRow {
  key: string;
  hash: string;
  ids: ({ first: number; count: number } | string)[];
}

/** What a broadcast's page carries beside its body. */
export interface BroadcastBody {
  name?: string;
  lane: 'reply' | 'notify' | 'bulk';
  class: 'at-least-once' | 'at-most-once';
  audience: { tags?: string[]; types: string[] };
}

/** A row of `pages`: one accepted request (or several small ones) in a bot's log. Bodies never change; outcomes live in `results`. */
export interface PageRow {
  _id: Types.ObjectId;
  bot: string;
  /** Position in the bot's log, from 1, without gaps. */
  n: number;
  kind: 'messages' | 'broadcast';
  at: Date;
  /** Packed items, see packed.ts; empty for a broadcast. */
  heads: Buffer;
  bodies: BodyRow[];
  broadcast?: BroadcastBody;
  /** `d:<chat>:<dedupKey>`, `b:<Idempotency-Key>`, `u:<update>`, `r:<dead letter>:<try>`; absent when there are none. */
  keys?: string[];
  /** For each key the index of its item; −1 for keys of a whole request. */
  keyItems?: number[];
  requests?: RequestRow[];
  open?: true;
  closedAt?: Date;
}

/** A row of `results`: outcomes of one page (n, k) or, for a page of messages, of its k-th chunk of items. */
export interface ResultRow {
  bot: string;
  n: number;
  k: number;
  epoch: number;
  items: Buffer;
  /** By item index: what does not fit the 24 bytes. */
  rest?: Record<string, { code: number; description: string }>;
  /** By item index: the message ids of its parts that were sent before the last one; and how many ids these are in all. */
  parts?: Record<string, readonly number[]>;
  steps?: number;
  left: number;
  tally: TallyCounts;
}

/** A row of `broadcasts`: the state of a broadcast and the sum of its pages below the first open one. */
export interface BroadcastRow {
  bot: string;
  n: number;
  state: 'running' | 'paused' | 'cancelled' | 'done';
  sum: TallyCounts;
  /** The first open page; figures are `sum` plus the tallies of the pages from here on. */
  k: number;
  /** How many people the audience is thought to have until it is read to its end; absent before its first page is made. */
  estimate?: number;
  /** People in all, once the audience is read to its end. */
  total?: number;
  ratePerSecond: number;
  /** Absent while it waits for its turn: a row made by a pause or a cancel. */
  startedAt?: Date;
  /** Everything is settled: of a cancelled broadcast later than its state. */
  finishedAt?: Date;
}

/** A row of `broadcast_pages`: up to 500 chats of an audience, by ascending uid. */
export interface BroadcastPageRow {
  _id: Types.ObjectId;
  bot: string;
  n: number;
  k: number;
  after: Types.ObjectId | null;
  /** The last uid that this page covers; null when the audience has ended. */
  upTo: Types.ObjectId | null;
  /** Packed chat ids, float64 little-endian. */
  chats: Buffer;
  open?: true;
  closedAt?: Date;
}

/** A row of `chats`: a person or chat that a bot knows. `_id` is the uid. A row without subscription was made by a mark alone and is no person. */
export interface ChatRow {
  _id: Types.ObjectId;
  bot: string;
  chatId: number;
  type: 'private' | 'group' | 'supergroup' | 'channel';
  subscription?: 'active' | 'stopped';
  reach: 'ok' | 'blocked' | 'gone';
  blockedAt?: Date;
  firstName?: string;
  lastName?: string;
  username?: string;
  languageCode?: string;
  tags: string[];
  lastUpdateAt?: Date;
  /** The last update that wrote this row, and the last that moved the subscription, with the time it was received: a handler that runs again changes nothing. */
  lastUpdateId?: number;
  subscriptionUpdateId?: number;
  subscriptionUpdateAt?: Date;
  /** Since when the subscription is as it is. */
  subscriptionAt?: Date;
  /** A 429's end, wall clock. */
  frozenUntil?: Date;
  movedTo?: number;
  createdAt: Date;
}

/** A row of `updates`: the inbox. */
export interface UpdateRow {
  _id: Types.ObjectId;
  bot: string;
  updateId: number;
  chat: number;
  body: Record<string, unknown>;
  state: 'queued' | 'settled' | 'dead';
  tries: number;
  crashes: number;
  /** How often it was queued again after its death; absent = never. */
  replays?: number;
  at: Date;
  settledAt?: Date;
}

/** A row of `processes`: a live process of this installation; void when its beat stands still for 15 s. */
export interface ProcessRow extends ProcessIdentity {
  _id: Types.ObjectId;
  roles: string[];
  tree: object;
  beat: number;
  at: Date;
}

/** A row of `dead_letters`: given up, kept with its reason. */
export interface DeadLetterRow {
  _id: Types.ObjectId;
  bot: string;
  queue: Queue;
  source: string;
  payload: object;
  reason: string;
  attempts: number;
  state: 'waiting' | 'replayed' | 'dropped';
  /** When it died. */
  at: Date;
  /** Replays that were asked for and, of a delivery, ended; absent = none. */
  replays?: number;
  /** Of a delivery that waits: a replay has begun, so that its message may be in the log already. It can only be replayed to the end, not be dropped. */
  replaying?: true;
  /** Of an update that is replayed: the receive owner has not seen it through yet. */
  requeue?: true;
  /** The delivery that a replayed one became. */
  replayedAs?: string;
  /** When it was replayed or dropped. */
  endedAt?: Date;
}

/** A document of `wakes`, capped: a hint that something new is in the store; never relied on. */
export interface WakeRow {
  bot: string;
  part: string;
  at: Date;
}

const text = { type: String, required: true } as const;
const whole = { type: Number, required: true } as const;
const mixed = Schema.Types.Mixed;

function define<Row>(
  connection: Connection,
  name: string,
  collection: string,
  fields: SchemaDefinition,
  indexes: IndexSpec[],
): Model<Row> {
  const schema = new Schema(fields, {
    collection,
    versionKey: false,
    minimize: false,
    strict: 'throw',
    autoIndex: false,
    autoCreate: false,
  });
  for (const [keys, options] of indexes) schema.index(keys, options ?? {});
  return connection.model(name, schema) as unknown as Model<Row>;
}

type IndexSpec = [keys: Record<string, 1 | -1>, options?: Record<string, unknown>];

/** The models of docs/protocol.md, registered on `connection`. Indexes are made by `createIndexes` of store.ts, never as a side effect. */
export function defineModels(connection: Connection) {
  const owner = { type: mixed, default: null };
  return {
    Bots: define<BotRow>(
      connection,
      'Bot',
      'bots',
      { bot: text, token: String, username: String, state: text, rates: mixed, local: Boolean, createdAt: Date },
      [[{ bot: 1 }, { unique: true }]],
    ),
    Owners: define<OwnerRow>(
      connection,
      'Owner',
      'owners',
      {
        bot: text,
        part: text,
        owner,
        epoch: whole,
        beat: whole,
        begun: [String],
        handling: [Number],
        rate: Number,
        waitUntil: Number,
        waiting: Number,
        ready: Boolean,
      },
      [[{ bot: 1, part: 1 }, { unique: true }]],
    ),
    Pages: define<PageRow>(
      connection,
      'Page',
      'pages',
      {
        bot: text,
        n: whole,
        kind: text,
        at: Date,
        heads: Buffer,
        bodies: [mixed],
        broadcast: mixed,
        keys: { type: [String], default: undefined },
        keyItems: { type: [Number], default: undefined },
        requests: { type: [mixed], default: undefined },
        open: Boolean,
        closedAt: Date,
      },
      [
        [{ bot: 1, n: 1 }, { unique: true }],
        [
          { bot: 1, keys: 1 },
          { unique: true, partialFilterExpression: { keys: { $exists: true } } },
        ],
        [{ bot: 1, open: 1, n: 1 }, { partialFilterExpression: { open: { $exists: true } } }],
        [{ bot: 1, kind: 1, n: 1 }],
        [{ bot: 1, closedAt: 1 }, { partialFilterExpression: { closedAt: { $exists: true } } }],
      ],
    ),
    Results: define<ResultRow>(
      connection,
      'Result',
      'results',
      {
        bot: text,
        n: whole,
        k: whole,
        epoch: whole,
        items: Buffer,
        rest: mixed,
        parts: mixed,
        steps: Number,
        left: whole,
        tally: mixed,
      },
      [[{ bot: 1, n: 1, k: 1 }, { unique: true }]],
    ),
    Broadcasts: define<BroadcastRow>(
      connection,
      'Broadcast',
      'broadcasts',
      {
        bot: text,
        n: whole,
        state: text,
        sum: mixed,
        k: whole,
        estimate: Number,
        total: Number,
        ratePerSecond: Number,
        startedAt: Date,
        finishedAt: Date,
      },
      [[{ bot: 1, n: 1 }, { unique: true }]],
    ),
    BroadcastPages: define<BroadcastPageRow>(
      connection,
      'BroadcastPage',
      'broadcast_pages',
      { bot: text, n: whole, k: whole, after: mixed, upTo: mixed, chats: Buffer, open: Boolean, closedAt: Date },
      [[{ bot: 1, n: 1, k: 1 }, { unique: true }]],
    ),
    Chats: define<ChatRow>(
      connection,
      'Chat',
      'chats',
      {
        bot: text,
        chatId: whole,
        type: text,
        subscription: String,
        reach: text,
        blockedAt: Date,
        firstName: String,
        lastName: String,
        username: String,
        languageCode: String,
        tags: [String],
        lastUpdateAt: Date,
        lastUpdateId: Number,
        subscriptionUpdateId: Number,
        subscriptionUpdateAt: Date,
        subscriptionAt: Date,
        frozenUntil: Date,
        movedTo: Number,
        createdAt: Date,
      },
      [
        [{ bot: 1, chatId: 1 }, { unique: true }],
        [{ bot: 1, _id: 1 }],
        [{ bot: 1, frozenUntil: 1 }, { partialFilterExpression: { frozenUntil: { $exists: true } } }],
      ],
    ),
    Updates: define<UpdateRow>(
      connection,
      'Update',
      'updates',
      {
        bot: text,
        updateId: whole,
        chat: whole,
        body: mixed,
        state: text,
        tries: whole,
        crashes: whole,
        replays: Number,
        at: Date,
        settledAt: Date,
      },
      [
        [{ bot: 1, updateId: 1 }, { unique: true }],
        [{ bot: 1, state: 1, updateId: 1 }],
        [{ settledAt: 1 }, { expireAfterSeconds: UPDATES_KEPT_S }],
      ],
    ),
    Processes: define<ProcessRow>(
      connection,
      'Process',
      'processes',
      {
        host: text,
        bootId: String,
        pidNamespace: String,
        pid: whole,
        started: String,
        roles: [String],
        tree: mixed,
        beat: whole,
        at: Date,
      },
      [[{ host: 1, pid: 1, started: 1 }, { unique: true }], [{ at: 1 }]],
    ),
    DeadLetters: define<DeadLetterRow>(
      connection,
      'DeadLetter',
      'dead_letters',
      {
        bot: text,
        queue: text,
        source: text,
        payload: mixed,
        reason: text,
        attempts: whole,
        state: text,
        at: Date,
        replays: Number,
        replaying: Boolean,
        requeue: Boolean,
        replayedAs: String,
        endedAt: Date,
      },
      [
        [{ bot: 1, queue: 1, source: 1 }, { unique: true }],
        [{ queue: 1, state: 1, at: 1, _id: 1 }],
        [{ bot: 1, queue: 1, state: 1, at: 1, _id: 1 }],
        [{ bot: 1, requeue: 1, at: 1 }, { partialFilterExpression: { requeue: { $exists: true } } }],
      ],
    ),
    Wakes: define<WakeRow>(connection, 'Wake', 'wakes', { bot: text, part: text, at: Date }, []),
  };
}

/** How long settled updates are kept for deduplication, seconds: 48 h, since Telegram repeats an update for at most 24 h. */
export const UPDATES_KEPT_S = 48 * 3600;

/** The models by name, as `defineModels` returns them. */
export type Models = ReturnType<typeof defineModels>;
