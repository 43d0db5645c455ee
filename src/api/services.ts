import type { DeliveryPlace } from '../delivery/ids.js';
import type { Acceptance } from '../store/acceptance.js';
import type { BotFields } from '../store/bots.js';
import type { BroadcastMoveName, BroadcastView } from '../store/broadcasts.js';
import type { DeadLetters } from '../store/dead-letters.js';
import type { DeliveryFilter, DeliveryStep, DeliveryView } from '../store/deliveries.js';
import type { ImportOptions, ImportResult, PeoplePage, PeopleQuery, PersonView } from '../store/people.js';
import type { Met } from '../telegram/get-me.js';
import type { BotObject } from './bots.js';

/** A page of a list; `next` is the cursor of the page after it, absent on the last. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next?: string;
}

/** A process that is alive, as GET /api/system/tree shows it; `root` is its supervision tree. */
export interface ProcessView {
  readonly host: string;
  readonly pid: number;
  readonly roles: readonly string[];
  readonly root: object;
}

/** The bots that take messages by id, and the first of them: the one that the environment names, else the oldest; undefined while there is none. */
export interface Bots {
  readonly first: string | undefined;
  readonly known: ReadonlySet<string>;
}

/** What the operations of the API stand on; bound to a store in store-services.ts, faked in tests. */
export interface Services {
  readonly acceptance: Pick<Acceptance, 'messages' | 'chatIds' | 'broadcast'>;
  bots(): Promise<Bots>;
  /** The bot that the environment names: that of BOT_TOKEN, or of the local Telegram. */
  configuredBot(): Promise<string | undefined>;
  /** All bots, those that were removed too, the oldest first. */
  listBots(): Promise<BotObject[]>;
  /** Asks Telegram for a token. */
  getMe(token: string): Promise<Met>;
  /** Keeps a bot whose token getMe took. Resolves with its id. */
  keepBot(token: string, fields: Pick<BotFields, 'username' | 'rates'>): Promise<string>;
  /** Removes a bot; with requests of it open only when forced. `open` says how many there are. */
  removeBot(id: string, force: boolean): Promise<{ readonly removed: boolean; readonly open: number }>;
  importPeople(options: Pick<ImportOptions, 'rows' | 'onProgress'>): Promise<ImportResult>;
  listPeople(query: PeopleQuery): Promise<PeoplePage>;
  findPerson(bot: string, chatId: number): Promise<PersonView | undefined>;
  /** The object of GET /api/deliveries/:id. */
  findDelivery(id: string): Promise<DeliveryView | undefined>;
  /** The deliveries of a bot, the newest first, in steps. */
  walkDeliveries(filter: DeliveryFilter, before?: DeliveryPlace): AsyncIterable<DeliveryStep>;
  readonly deadLetters: DeadLetters;
  /** The time now, for what is asked for by age. */
  now(): Date;
  findBroadcast(id: string): Promise<BroadcastView | undefined>;
  /** Undefined when there is no such broadcast; `moved` is false when its state does not allow the move. */
  moveBroadcast(
    id: string,
    move: BroadcastMoveName,
  ): Promise<{ readonly moved: boolean; readonly view: BroadcastView } | undefined>;
  listBroadcasts(query: { bot?: string; cursor?: string; limit: number }): Promise<Page<BroadcastView>>;
  processes(): Promise<readonly ProcessView[]>;
}
