import type { Acceptance } from '../store/acceptance.js';
import { listBots } from '../store/bots.js';
import { findBroadcast, listBroadcasts } from '../store/broadcasts.js';
import { findDelivery } from '../store/deliveries.js';
import { findPerson, importPeople, listPeople } from '../store/people.js';
import { listProcesses } from '../store/processes.js';
import type { Store } from '../store/store.js';
import type { Bots, Services } from './services.js';

/** How long the list of bots is believed, ms: it changes by hand only, and is asked for by each request. */
const BOTS_MS = 1_000;

/** The operations' services on a real store; `now` gives the time of creation of people. Never throws. */
export function storeServices(store: Store, acceptance: Acceptance, now: () => Date): Services {
  let look: { readonly at: number; readonly bots: Bots } | undefined;
  return {
    acceptance,
    bots: async () => {
      const at = now().getTime();
      if (look !== undefined && Math.abs(at - look.at) < BOTS_MS) return look.bots;
      const ids = (await listBots(store)).map(({ bot }) => bot);
      const bots = { first: ids[0], known: new Set(ids) };
      look = ids.length === 0 ? undefined : { at, bots };
      return bots;
    },
    importPeople: (options) => importPeople({ ...options, store, now }),
    listPeople: (query) => listPeople(store, query),
    findPerson: (bot, chatId) => findPerson(store, bot, chatId),
    findDelivery: (id) => findDelivery(store, id),
    findBroadcast: (id) => findBroadcast(store, id),
    listBroadcasts: (query) => listBroadcasts(store, query),
    processes: () => listProcesses(store),
  };
}
