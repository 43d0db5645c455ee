import type { Acceptance } from '../store/acceptance.js';
import type { ImportOptions, ImportResult, PeoplePage, PeopleQuery, PersonView } from '../store/people.js';

/** The counts of a broadcast by state; `remaining` is `total` less the six ends. */
export interface BroadcastView {
  readonly id: string;
  readonly name?: string;
  readonly state: 'running' | 'paused' | 'cancelled' | 'done';
  readonly total: number;
  readonly sent: number;
  readonly blocked: number;
  readonly dead: number;
  readonly unknown: number;
  readonly cancelled: number;
  readonly skipped: number;
  readonly remaining: number;
  readonly ratePerSecond: number;
  readonly etaMs: number | null;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly finishedAt?: string;
}

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

/** The bots of this installation by id, and the first of them; undefined while there is none. */
export interface Bots {
  readonly first: string | undefined;
  readonly known: ReadonlySet<string>;
}

/** What the operations of the API stand on; bound to a store in store-services.ts, faked in tests. */
export interface Services {
  readonly acceptance: Pick<Acceptance, 'messages' | 'chatIds' | 'broadcast'>;
  bots(): Promise<Bots>;
  importPeople(options: Pick<ImportOptions, 'rows' | 'onProgress'>): Promise<ImportResult>;
  listPeople(query: PeopleQuery): Promise<PeoplePage>;
  findPerson(bot: string, chatId: number): Promise<PersonView | undefined>;
  /** The object of GET /api/deliveries/:id. */
  findDelivery(id: string): Promise<object | undefined>;
  findBroadcast(id: string): Promise<BroadcastView | undefined>;
  listBroadcasts(query: { bot?: string; cursor?: string; limit: number }): Promise<Page<BroadcastView>>;
  processes(): Promise<readonly ProcessView[]>;
}
