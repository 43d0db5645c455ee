import type { ObjectId } from 'mongodb';
import type { Gathering } from '../../delivery/gathering.js';
import type { Lane, LaneShares, MessageClass } from '../../delivery/lanes.js';
import type { ItemEnd, KnownResult, Ledger, LedgerBatch } from '../../delivery/ledger.js';
import type { Item } from '../../delivery/mailbox.js';
import type { TallyCounts } from '../../delivery/packed.js';
import type { RateThrottle } from '../../delivery/rate-throttle.js';
import type { AudienceFlags, BroadcastStore, BroadcastWish, StoredBroadcastPage } from '../../store/broadcast-store.js';
import type { ChatMove } from '../../store/chat-moves.js';
import type { LeaseGrant, LeaseKeeper } from '../../store/lease-keeper.js';
import type { LongWaits } from '../../store/long-waits.js';
import type { BodyRow, BroadcastBody, BroadcastRow } from '../../store/models.js';
import type { AppendedPage } from '../../store/page-log.js';
import type {
  ChatMark,
  Commit,
  NewDeadLetter,
  PageBodies,
  PageHead,
  SendStore,
  UnreachableMark,
} from '../../store/send-store.js';
import type { ActorContext, Address, Reply } from '../runtime.js';
import type { SendLine } from '../send-line.js';
import type { SenderMessage } from '../sender/state.js';

/** What the pool is told by its shards, by the process and by the operator's side. */
export type PoolMessage =
  | { readonly type: 'shard-up'; readonly shard: number }
  | { readonly type: 'fed'; readonly shard: number; readonly source: number }
  | { readonly type: 'wants'; readonly shard: number; readonly lanes: number }
  | {
      readonly type: 'turned';
      readonly shard: number;
      readonly lanes: number;
      readonly lane: Lane;
      readonly calls: number;
    }
  | Ended
  | PartSent
  | { readonly type: 'migrated'; readonly chatId: number; readonly to: number }
  | Handed
  | {
      readonly type: 'unreachable';
      readonly items: readonly { readonly source: number; readonly index: number; readonly chatId: number }[];
    }
  | HandedBack
  | { readonly type: 'withdrawn'; readonly shard: number; readonly n: number; readonly withdrawal: number }
  | { readonly type: 'limited'; readonly chatId: number; readonly retryAfterMs: number }
  | { readonly type: 'begin' }
  | { readonly type: 'slots' }
  | { readonly type: 'outage-changed' }
  | { readonly type: 'probe-wanted' }
  | { readonly type: 'appended'; readonly page: AppendedPage }
  | { readonly type: 'wake' }
  | { readonly type: 'drain'; readonly withinMs: number; readonly replyTo: Reply<void> };

/** An item of a shard has ended; `unreachable` when its end says so of the chat. */
export interface Ended {
  readonly type: 'ended';
  readonly shard: number;
  readonly source: number;
  readonly index: number;
  readonly chatId: number;
  readonly key: string;
  readonly lane: Lane;
  readonly class: MessageClass;
  readonly body: BodyRow;
  readonly end: ItemEnd;
  readonly unreachable?: Omit<UnreachableMark, 'chatId'>;
}

/** A part (from 0) of an item is sent, and not the last. */
export interface PartSent {
  readonly type: 'part-sent';
  readonly shard: number;
  readonly source: number;
  readonly index: number;
  readonly part: number;
  readonly chatId: number;
  readonly key: string;
  readonly messageId: number;
}

/** What waited in a chat that became another one; the tenure is the pool's. */
export interface Handed {
  readonly type: 'handed';
  readonly tenure: number;
  readonly from: number;
  readonly to: number;
  readonly notBefore: number;
  readonly items: readonly Item[];
  /** Of these broadcasts the new chat has an item of its own; absent: not known yet. */
  readonly twice?: ReadonlySet<number>;
}

/** A call of a broadcast that is withdrawn has ended and would have to be made again. `attempts` counts it, when it was more than a refusal to wait. */
export interface HandedBack {
  readonly type: 'handed-back';
  readonly source: number;
  readonly index: number;
  readonly chatId: number;
  readonly attempts: number;
  /** Of its call, which leaves the registry now; undefined when it had none. */
  readonly key: string | undefined;
}

/** The open pages of a broadcast that goes on after a pause, and whom of them not to call, as known at `askedAt` (monotonic ms). */
export interface HeldItems extends AudienceFlags {
  readonly pages: readonly StoredBroadcastPage[];
  readonly askedAt: number;
  readonly marks: readonly ChatMark[];
  /** As of KnownReach. */
  readonly twice: ReadonlySet<number>;
}

/** A page of messages as loading hands it over. */
export interface LoadedPage {
  readonly page: PageHead;
  readonly results: readonly KnownResult[];
  readonly deadLetters: ReadonlyMap<string, 'dead' | 'unknown'>;
  readonly marks: readonly ChatMark[];
  /** When the marks were asked for (monotonic ms). */
  readonly askedAt: number;
  /** Only of pages that an owner before had begun at-most-once calls of. */
  readonly bodies?: PageBodies;
}

/** A broadcast as loading hands it over: its row, its open pages, and how far its audience was read. */
export interface LoadedBroadcast {
  readonly row: BroadcastRow;
  readonly openPages: readonly StoredBroadcastPage[];
  readonly lastPage: StoredBroadcastPage | undefined;
  readonly results: readonly KnownResult[];
  readonly deadLetters: ReadonlyMap<string, 'dead' | 'unknown'>;
  readonly bodies: PageBodies | undefined;
  readonly reach: KnownReach;
}

/** Which people of broadcast pages could not be reached when that was asked for (monotonic ms). */
export interface KnownReach {
  readonly unreachable: ReadonlySet<number>;
  readonly askedAt: number;
  /** The marks of them, where they were read. */
  readonly marks: readonly ChatMark[];
  /** Who, by the ids in the pages, is in the broadcast under a new id, too. */
  readonly twice: ReadonlySet<number>;
}

/** All that the pool receives. Reads and writes of an earlier tenure carry its number and are ignored. */
export type OwnMessage =
  | PoolMessage
  | { readonly type: 'granted'; readonly grant: LeaseGrant }
  | { readonly type: 'lost' }
  | { readonly type: 'tick' }
  | { readonly type: 'quiet-over' }
  | { readonly type: 'scan' }
  | { readonly type: 'gate'; readonly generation: number }
  | { readonly type: 'gathered' }
  | { readonly type: 'located'; readonly tenure: number; readonly tail: number; readonly frozen: readonly ChatMark[] }
  | {
      readonly type: 'read';
      readonly tenure: number;
      readonly pages: readonly LoadedPage[];
      readonly more: boolean;
      readonly stage: 'open' | 'tail';
    }
  | { readonly type: 'read-failed'; readonly tenure: number; readonly error: unknown }
  | { readonly type: 'read-again'; readonly tenure: number }
  | {
      readonly type: 'committed';
      readonly tenure: number;
      readonly taken: TakenCommit;
      readonly unreachable: readonly number[];
    }
  | { readonly type: 'commit-failed'; readonly tenure: number; readonly taken: TakenCommit; readonly error: unknown }
  | { readonly type: 'commit-again'; readonly tenure: number; readonly taken: TakenCommit }
  | { readonly type: 'published'; readonly tenure: number; readonly begun: readonly string[] }
  | { readonly type: 'publish-failed'; readonly tenure: number }
  | { readonly type: 'probed'; readonly ok: boolean; readonly unauthorized: boolean }
  | { readonly type: 'broadcast-loaded'; readonly tenure: number; readonly n: number; readonly loaded: LoadedBroadcast }
  | {
      readonly type: 'broadcast-page';
      readonly tenure: number;
      readonly n: number;
      readonly page: StoredBroadcastPage;
      readonly reach: KnownReach;
    }
  | {
      readonly type: 'broadcast-moved';
      readonly tenure: number;
      readonly n: number;
      readonly k: number;
      readonly done: boolean;
      readonly cancelled: boolean;
    }
  | { readonly type: 'broadcast-look'; readonly tenure: number }
  | { readonly type: 'broadcast-wishes'; readonly tenure: number; readonly wishes: readonly BroadcastWish[] }
  | { readonly type: 'broadcast-not-made'; readonly tenure: number; readonly wish: BroadcastWish }
  | { readonly type: 'handed-again'; readonly tenure: number; readonly handed: Handed }
  | { readonly type: 'broadcast-held'; readonly tenure: number; readonly n: number; readonly held: HeldItems }
  | { readonly type: 'broadcast-rest'; readonly tenure: number; readonly n: number; readonly skipped: number }
  | {
      readonly type: 'broadcast-failed';
      readonly tenure: number;
      readonly n: number;
      readonly step: BroadcastStep;
      readonly error: unknown;
    }
  | { readonly type: 'broadcast-reload'; readonly tenure: number; readonly n: number }
  | { readonly type: 'broadcast-again'; readonly tenure: number; readonly n: number; readonly step: BroadcastStep }
  | { readonly type: 'drain-late' };

/** What a run asks of the store: all that is known of it, the next page of its audience, a move of its row, its held items, how many were never reached. */
export type BroadcastStep = 'load' | 'page' | 'move' | 'held' | 'rest';

/** A commit under way with what it settles. */
export interface TakenCommit {
  readonly commit: Commit;
  readonly batch: LedgerBatch;
}

/** A broadcast that is not done, as the pool runs it. */
export interface BroadcastRun {
  readonly n: number;
  readonly broadcast: BroadcastBody;
  phase: 'waiting' | 'loading' | 'running' | 'done';
  /** What the operator wants, as the row was last seen. */
  state: 'running' | 'paused' | 'cancelled';
  /** Where the open items of its pages are: with the shards, on the way back from those `awaited`, in nobody's hands, or being read to be fed again. */
  items: 'fed' | 'withdrawing' | 'held' | 'reading';
  withdrawal: number;
  awaited: Set<number>;
  /** It has left nothing that could go, once: those accepted later may go beside what is left of it. */
  passed: boolean;
  /** Of a cancelled run: what waited is settled; how many were never reached, once that is counted. */
  swept: boolean;
  skipped: number | undefined;
  counting: boolean;
  /** Read, but an earlier broadcast is not yet: chains of a chat are fed in the order of acceptance. */
  loaded: LoadedBroadcast | undefined;
  /** The first open page as the row in the store has it, and as memory has it. */
  rowK: number;
  firstOpenK: number;
  sum: TallyCounts;
  /** Tallies of closed pages above the first open one. */
  readonly closed: Map<number, TallyCounts>;
  nextK: number;
  after: ObjectId | null;
  /** The audience is read to its end. */
  ended: boolean;
  people: number;
  /** A page is being made, a move of the row is being written. */
  making: boolean;
  moving: boolean;
  /** Settled items over the last seconds, for the rate: time (ms) and count. */
  readonly samples: { at: number; settled: number }[];
  publishedAt: number;
}

/** What the pool holds of its tenure; all of it can be read again from the store. */
export interface State {
  tenure: number;
  /** Of the lease that the tenure stands on. */
  epoch: number;
  phase: 'standby' | 'loading' | 'running';
  /** Calls of an earlier life are in the air: their chats are not known to be busy before everything is read, so no turns until then. */
  inherits: boolean;
  readonly up: Set<number>;
  ledger: Ledger;
  /** Chats whose mark as unreachable became durable, and when (monotonic ms): a read asked before that may not show it. */
  readonly marked: Map<number, number>;
  /** All there was before the takeover is read. */
  caughtUp: boolean;
  throttle: RateThrottle | undefined;
  /** Lanes that each shard wants a turn in. */
  lanes: number[];
  readonly turning: Set<number>;
  turnStart: number;
  shares: LaneShares;
  gateGeneration: number;
  gateAt: number;
  /** Feeds that shards have not taken yet, as `source/shard`. */
  readonly feeding: Set<string>;
  /** Position up to which the log is read, and the tail at the takeover up to which only open pages are. */
  readTo: number;
  tail: number;
  reading: boolean;
  scanWanted: boolean;
  handed: AppendedPage[];
  /** At-most-once calls that the owner before had begun, and, by delivery, those of them whose end as `unknown` is not durable yet. */
  begunBefore: ReadonlySet<string>;
  readonly begunPending: Map<string, string>;
  /** Chats of such calls rest until then (monotonic ms). */
  begunRestUntil: number;
  readyAt: number;
  /** By `source/index`: where the end of an item or of a part of it was reported from. */
  readonly reported: Map<string, { readonly shard: number; readonly chatId: number; readonly key: string }>;
  deadLetters: NewDeadLetter[];
  unreachable: UnreachableMark[];
  frozen: { chatId: number; until: number }[];
  moves: ChatMove[];
  /** Chats that a 429 makes wait for more than 10 s, until when (epoch ms). */
  longWaits: Map<number, number>;
  closed: { n: number; k: number | undefined }[];
  readonly gathering: Gathering;
  /** A timer for the end of its wait is set. */
  gatherTimer: boolean;
  publishing: boolean;
  publishWanted: boolean;
  probing: boolean;
  runs: BroadcastRun[];
  /** A read of what operators want is under way, and another is wanted after it. */
  looking: boolean;
  lookWanted: boolean;
  lookedAt: number;
  drain: Reply<void> | undefined;
}

/** What the pool needs. `appended` and `wakes` tell of new pages, a wake perhaps of a moved broadcast; each answers how to stop. */
export interface PoolDeps {
  readonly line: SendLine;
  readonly shards: number;
  readonly store: SendStore;
  readonly broadcasts: BroadcastStore;
  readonly keeper: LeaseKeeper;
  readonly appended: (listener: (page: AppendedPage) => void) => () => void;
  readonly wakes: (listener: () => void) => () => void;
  /** Told when the lease is held with its quiet time over, is in other hands, or the bot is paused by an outage. */
  readonly report: (state: PoolReport) => void;
  /** Makes the ids of rows. */
  readonly newId: () => ObjectId;
}

/** What /health/ready says of a bot's sending. */
export interface PoolReport {
  readonly sending: 'starting' | 'standby' | 'held';
  readonly outage?: string;
  /** Those of more than 10 s. */
  readonly waits?: LongWaits;
}

/** The context of the pool. */
export type Ctx = ActorContext<OwnMessage>;

/** The address of a shard, as the pool's child. */
export const shardAddress = (ctx: Ctx, shard: number): Address<SenderMessage> =>
  ctx.child<SenderMessage>(`sender:${shard}`);

/** Tells every shard. */
export function tellShards(ctx: Ctx, deps: PoolDeps, message: SenderMessage): void {
  for (let shard = 0; shard < deps.shards; shard += 1) ctx.tell(shardAddress(ctx, shard), message);
}

/** Names an item of a page, or a page's share of a shard, in the maps of the state. */
export const placeKey = (source: number, index: number): string => `${source}/${index}`;
