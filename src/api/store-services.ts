import { setTimeout as sleep } from 'node:timers/promises';
import type { Acceptance } from '../store/acceptance.js';
import {
  abandonRemoval,
  acceptingBots,
  type BotView,
  beginRemoval,
  endRemoval,
  ensureBot,
  listBots,
  openRequests,
} from '../store/bots.js';
import { findBroadcast, listBroadcasts, moveBroadcast } from '../store/broadcasts.js';
import { deadLetters } from '../store/dead-letters.js';
import { findDelivery, walkDeliveries } from '../store/deliveries.js';
import type { BotRates } from '../store/models.js';
import { findPerson, importPeople, listPeople } from '../store/people.js';
import { listProcesses } from '../store/processes.js';
import type { Store } from '../store/store.js';
import type { Met } from '../telegram/get-me.js';
import type { BotObject } from './bots.js';
import type { Bots, Services } from './services.js';

/** How long the list of bots is believed, ms: it changes by hand only, and is asked for by each request. */
const BOTS_MS = 1_000;

/** How long after a bot stops taking messages no process hands it more: each believes its list so long, and an append ends soon. */
const LAST_WORD_MS = BOTS_MS + 500;

/** What of the process the bots depend on. */
export interface BotSetup {
  /** The bot that the environment names. */
  readonly first: string | undefined;
  /** Whether this process works with the local Telegram. */
  readonly local: boolean;
  /** The rates of a bot that has none of its own. */
  readonly rates: Required<BotRates>;
  /** SECRET_KEY, or the made one. */
  secretKey(): Promise<string>;
  getMe(token: string): Promise<Met>;
}

/** The operations' services on a real store; `now` gives the time of creation of people. Never throws. */
export function storeServices(store: Store, acceptance: Acceptance, now: () => Date, setup: BotSetup): Services {
  let look: { readonly at: number; readonly bots: Bots } | undefined;
  const services: Services = {
    acceptance,
    bots: async () => {
      const at = now().getTime();
      if (look !== undefined && Math.abs(at - look.at) < BOTS_MS) return look.bots;
      const ids = (await acceptingBots(store))
        .filter(({ local }) => local === undefined || local === setup.local)
        .map(({ bot }) => bot);
      const first = ids.find((id) => id === setup.first) ?? ids[0];
      const bots = { first, known: new Set(ids) };
      look = ids.length === 0 ? undefined : { at, bots };
      return bots;
    },
    // A command does not ask the local Telegram: its first bot is the oldest that a start has kept.
    configuredBot: async () =>
      setup.first ?? (setup.local ? (await listBots(store)).find(({ local }) => local === true)?.bot : undefined),
    listBots: async () => {
      const [views, { first }] = [await listBots(store), await services.bots()];
      return Promise.all(
        views.map(async (view) => botObject(view, view.bot === first, await openRequests(store, view.bot), setup)),
      );
    },
    getMe: setup.getMe,
    async keepBot(token, fields) {
      const id = await ensureBot(store, token, await setup.secretKey(), {
        ...fields,
        local: setup.local,
        state: 'active',
      });
      look = undefined;
      return id;
    },
    async removeBot(id, force) {
      if (!(await beginRemoval(store, id))) return { removed: true, open: 0 };
      look = undefined;
      await sleep(LAST_WORD_MS);
      const open = await openRequests(store, id);
      if (open > 0 && !force) await abandonRemoval(store, id);
      else await endRemoval(store, id);
      look = undefined;
      return { removed: open === 0 || force, open };
    },
    importPeople: (options) => importPeople({ ...options, store, now }),
    listPeople: (query) => listPeople(store, query),
    findPerson: (bot, chatId) => findPerson(store, bot, chatId),
    findDelivery: (id) => findDelivery(store, id),
    walkDeliveries: (filter, before) => walkDeliveries(store, filter, before),
    deadLetters: deadLetters(store, acceptance, { wallNow: () => now().getTime() }),
    now,
    findBroadcast: (id) => findBroadcast(store, id),
    moveBroadcast: (id, move) => moveBroadcast(store, id, move),
    listBroadcasts: (query) => listBroadcasts(store, query),
    processes: () => listProcesses(store),
  };
  return services;
}

function botObject(view: BotView, first: boolean, open: number, { rates }: BotSetup): BotObject {
  const { bot: id, state, username, sender, receiver, waiting, createdAt } = view;
  return {
    id,
    ...(username === undefined ? {} : { username }),
    state,
    first,
    ...rates,
    ...view.rates,
    waiting,
    open,
    ...(sender === undefined ? {} : { sender }),
    ...(receiver === undefined ? {} : { receiver }),
    createdAt: createdAt.toISOString(),
  };
}
