import type { BotObject } from '../../src/api/bots.js';
import type { Services } from '../../src/api/services.js';
import type { BroadcastView } from '../../src/store/broadcasts.js';
import type { DeadLetterView } from '../../src/store/dead-letters.js';
import type { DeliveryView } from '../../src/store/deliveries.js';
import type { PersonRow } from '../../src/store/people.js';

/** One call that reached a fake: its name and arguments. */
export interface Call {
  readonly name: string;
  readonly args: readonly unknown[];
}

/** Services that keep what they were asked in `calls`; any of them can be replaced. */
export function fakeServices(replaced: Partial<Services> = {}): {
  services: Services;
  calls: Call[];
  rows: PersonRow[];
} {
  const calls: Call[] = [];
  const rows: PersonRow[] = [];
  const note = (name: string, ...args: unknown[]): void => void calls.push({ name, args });
  const services: Services = {
    acceptance: {
      messages: async (...args) => {
        note('messages', ...args);
        return { ids: args[1].map((_, index) => `1-1-${index}`) };
      },
      chatIds: async (...args) => {
        note('chatIds', ...args);
        return { ids: args[2].map((_, index) => `1-2-${index}`) };
      },
      broadcast: async (...args) => {
        note('broadcast', ...args);
        return { id: '1-3' };
      },
    },
    bots: async () => ({ first: '1', known: new Set(['1', '2']) }),
    listBots: async () => [
      botObject({ first: true }),
      botObject({ id: '2' }),
      botObject({ id: '3', state: 'removed' }),
    ],
    configuredBot: async () => undefined,
    getMe: async (token) => {
      note('getMe', token);
      return { kind: 'ok', username: 'a_bot' };
    },
    keepBot: async (token, fields) => {
      note('keepBot', token, fields);
      return token.split(':')[0] ?? '';
    },
    removeBot: async (id, force) => {
      note('removeBot', id, force);
      return { removed: true, open: 0 };
    },
    importPeople: async (options) => {
      for await (const group of options.rows) rows.push(...group);
      const failed = rows.flatMap(({ line, error }) => (error === undefined ? [] : [{ line, error }]));
      return { imported: rows.length - failed.length, updated: 0, failed, failedTotal: failed.length };
    },
    listPeople: async (query) => {
      note('listPeople', query);
      return { items: [] };
    },
    findPerson: async (bot, chatId) => {
      note('findPerson', bot, chatId);
      return undefined;
    },
    findDelivery: async (id) => (id === '1-1-0' ? deliveryView({ id }) : undefined),
    async *walkDeliveries(filter, before) {
      note('walkDeliveries', filter, before);
      yield { found: [deliveryView({})], looked: 1, last: { bot: '1', n: 1, index: 0 } };
    },
    deadLetters: {
      list: async (...args) => {
        note('list', ...args);
        return { items: [deadLetterView({})] };
      },
      find: async (_queue, id) => (id === '1-1-0' ? { ...deadLetterView({}), message: { text: 'a' } } : undefined),
      look: async (_queue, ids) => new Map(ids.includes('1-1-0') ? [['1-1-0', deadLetterView({})]] : []),
      replay: async (...args) => {
        note('replay', ...args);
        return { replayed: 1, refused: [] };
      },
      drop: async (...args) => {
        note('drop', ...args);
        return 1;
      },
    },
    now: () => new Date(Date.UTC(2026, 0, 2)),
    findBroadcast: async (id) => (id === '1-3' ? broadcastView({}) : undefined),
    moveBroadcast: async (id, move) => {
      note('moveBroadcast', id, move);
      const state = { pause: 'paused', resume: 'running', cancel: 'cancelled' } as const;
      return id === '1-3' ? { moved: true, view: broadcastView({ state: state[move] }) } : undefined;
    },
    listBroadcasts: async (query) => {
      note('listBroadcasts', query);
      return { items: [broadcastView({})] };
    },
    processes: async () => [{ host: 'h', pid: 1, roles: ['web', 'sender'], root: { name: 'root' } }],
    ...replaced,
  };
  return { services, calls, rows };
}

/** A bot with some fields replaced. */
export function botObject(fields: Partial<BotObject>): BotObject {
  return {
    id: '1',
    state: 'active',
    first: false,
    rate: 30,
    chatRate: 1,
    groupRate: 20,
    waiting: 0,
    open: 0,
    createdAt: '2026-01-01T00:00:00.000Z',
    ...fields,
  };
}

/** A delivery that was sent, with some fields replaced. */
export function deliveryView(fields: Partial<DeliveryView>): DeliveryView {
  return {
    id: '1-1-0',
    botId: '1',
    chatId: 5,
    lane: 'notify',
    class: 'at-least-once',
    state: 'sent',
    attempts: 1,
    messageIds: [7],
    createdAt: '2026-01-01T00:00:00.000Z',
    sentAt: '2026-01-01T00:00:01.000Z',
    ...fields,
  };
}

/** The waiting dead letter of a delivery, with some fields replaced. */
export function deadLetterView(fields: Partial<DeadLetterView>): DeadLetterView {
  return {
    id: '1-1-0',
    botId: '1',
    reason: 'Bad Request: no',
    attempts: 1,
    at: '2026-01-01T00:00:00.000Z',
    state: 'waiting',
    chatId: 5,
    lane: 'notify',
    class: 'at-least-once',
    outcome: 'dead',
    ...fields,
  };
}

/** A broadcast of ten with some fields replaced. */
export function broadcastView(fields: Partial<BroadcastView>): BroadcastView {
  return {
    id: '1-3',
    state: 'running',
    total: 10,
    sent: 0,
    blocked: 0,
    dead: 0,
    unknown: 0,
    cancelled: 0,
    skipped: 0,
    remaining: 10,
    ratePerSecond: 0,
    etaMs: null,
    createdAt: '2026-01-01T00:00:00.000Z',
    startedAt: null,
    ...fields,
  };
}
