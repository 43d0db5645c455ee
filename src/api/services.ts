import type { Acceptance } from '../store/acceptance.js';
import type { BroadcastView } from '../store/broadcasts.js';
import type { ImportOptions, ImportResult, PeoplePage, PeopleQuery, PersonView } from '../store/people.js';

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
