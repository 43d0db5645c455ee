import type { Clock } from '../../src/actors/clock.js';
import type { SendLine } from '../../src/actors/send-line.js';
import type { KnownResult } from '../../src/delivery/ledger.js';
import { silentLog } from '../../src/log.js';
import type { Acceptance } from '../../src/store/acceptance.js';
import type { BroadcastStore } from '../../src/store/broadcast-store.js';
import { type AppendedPage, type PageLog, pageLog } from '../../src/store/page-log.js';
import type { SendStore } from '../../src/store/send-store.js';
import type { Store } from '../../src/store/store.js';
import type { TelegramClient } from '../../src/telegram/client.js';
import type { Host, Kernel } from './kernel.js';
import type { Rewrite } from './model-store.js';
import type { Wanted } from './plan.js';

/** A mistake that the protocol rules out, put into the engine through the dependencies that it is given anyway. */
export interface PlantedBug {
  readonly rewrite?: Rewrite;
  readonly pageLog?: (store: Store, clock: Clock) => PageLog;
  readonly acceptance?: (real: Acceptance) => Acceptance;
  readonly client?: (real: TelegramClient, kernel: Kernel, host: Host) => TelegramClient;
  readonly sendStore?: (real: SendStore, kernel: Kernel, host: Host) => SendStore;
  readonly broadcasts?: (real: BroadcastStore) => BroadcastStore;
  readonly line?: (real: SendLine) => SendLine;
  /** A wake that came while the cursor was being opened again is lost. */
  readonly cursorForgets?: boolean;
}

/** The bugs by name (the last section of PROTOCOL.md's list), the rules that catch them, and what of the plan is not left to the seed. */
export const PLANTED: readonly {
  readonly name: string;
  readonly caughtBy: readonly string[];
  readonly wanted?: Wanted;
  /** Made anew for each run. */
  make(): PlantedBug;
}[] = [
  {
    name: 'a read frontier over pre-taken numbers',
    caughtBy: ['liveness', 'order'],
    make: () => {
      let taken = 0;
      return {
        pageLog: (store, clock) => {
          const listeners = new Set<(page: AppendedPage) => void>();
          const counting = withTail(store, async () => {
            taken += 1;
            return taken - 1;
          });
          return {
            // A fresh log each time: the number is taken before the insert, several at once.
            append(bot, request) {
              const one = pageLog(counting, clock, silentLog);
              one.onAppended((page) => {
                for (const listener of listeners) listener(page);
              });
              return one.append(bot, request);
            },
            onAppended(listener) {
              listeners.add(listener);
              return () => listeners.delete(listener);
            },
          };
        },
      };
    },
  },
  {
    name: 'slot freed at the answer',
    caughtBy: ['at-least-once'],
    make: () => ({
      line: (line) => {
        const { registry, pacing } = line;
        const release = pacing.release.bind(pacing);
        const start = registry.start.bind(registry);
        pacing.release = () => undefined;
        registry.start = (entry, call) => {
          const started = start(entry, call);
          started.answer.then(release, release);
          return started;
        };
        return line;
      },
    }),
  },
  {
    name: 'pages read before fencing',
    caughtBy: ['at-least-once', 'an outcome is final', 'at-most-once'],
    make: () => ({
      sendStore: (real, kernel, host) => {
        const early = new Map<number, KnownResult[]>();
        let reading = true;
        const read = async (): Promise<void> => {
          for (const page of await real.openPages(0, 1_000, 100)) early.set(page.n, await real.results(page.n));
        };
        const again = (): void => {
          if (!reading) return;
          read().catch(() => undefined);
          kernel.after(1_000, again, host);
        };
        again();
        return {
          ...real,
          results(n, fromK) {
            reading = false;
            const known = early.get(n);
            early.delete(n);
            return known === undefined ? real.results(n, fromK) : Promise.resolve(known);
          },
        };
      },
    }),
  },
  {
    name: 'update settled before its outputs',
    caughtBy: ['nothing is lost'],
    make: () => ({
      acceptance: (real) => ({
        ...real,
        outputs(bot, updateId, messages) {
          real.outputs(bot, updateId, messages).catch(() => undefined);
          return Promise.resolve();
        },
      }),
    }),
  },
  {
    name: 'no quiet second',
    caughtBy: ['rates'],
    make: () => ({
      line: (line) => {
        line.pacing.quietUntil = () => undefined;
        return line;
      },
    }),
  },
  {
    name: 'epochs on rows only',
    caughtBy: ['one owner'],
    make: () => ({
      rewrite: (table, method, filter) => {
        if (table !== 'Owners' || (method !== 'updateOne' && method !== 'bulkWrite')) return filter;
        const { epoch: _, ...rest } = filter;
        return rest;
      },
    }),
  },
  {
    name: 'an ambiguous at-most-once retried',
    caughtBy: ['at-most-once'],
    make: () => ({
      client: (real) => ({
        ...real,
        async call(method, payload, options) {
          const answer = await real.call(method, payload, options);
          return answer.kind === 'failure' ? { ...answer, beforeFirstByte: true } : answer;
        },
      }),
    }),
  },
  {
    name: 'scan before the wake cursor',
    caughtBy: ['prompt'],
    wanted: { calm: true, focus: ['cursors'] },
    make: () => ({ cursorForgets: true }),
  },
  {
    name: 'outcome written before the call',
    caughtBy: ['nothing is lost'],
    make: () => ({
      client: (real, kernel, host) => ({
        ...real,
        call(method, payload, options) {
          if (method !== 'sendMessage') return real.call(method, payload, options);
          kernel.after(50, () => void real.call(method, payload, options), host);
          return Promise.resolve({
            kind: 'answer',
            status: 200,
            body: { ok: true, result: { message_id: 1 } },
          } as const);
        },
      }),
    }),
  },
  {
    name: 'epoch check dropped',
    caughtBy: ['an outcome is final'],
    make: () => ({
      rewrite: (table, method, filter) => {
        if (table !== 'Results' || method !== 'bulkWrite') return filter;
        const { bot, n, k } = filter;
        return { bot, n, k };
      },
    }),
  },
  {
    name: 'a part sent again after a crash',
    caughtBy: ['parts', 'at-most-once'],
    wanted: { focus: ['kill', 'write'] },
    make: () => ({
      sendStore: (real) => ({
        ...real,
        results: async (n, fromK) => (await real.results(n, fromK)).map(({ parts: _, ...row }) => row),
      }),
    }),
  },
  {
    name: 'a moved chat whose waiting messages go in another order',
    caughtBy: ['order'],
    wanted: { focus: ['migrate'] },
    make: () => ({
      line: (line) => {
        // Nothing holds the new id up until what waits under the old one has arrived there.
        Object.defineProperty(line, 'moving', {
          value: new (class extends Map<number, number> {
            override has() {
              return false;
            }
          })(),
        });
        return line;
      },
    }),
  },
  {
    name: 'a move of a group that is not durable',
    caughtBy: ['migrated'],
    wanted: { focus: ['migrate'] },
    make: () => ({
      sendStore: (real) => ({ ...real, commit: (commit) => real.commit({ ...commit, moved: [] }) }),
    }),
  },
  {
    name: 'a cancelled broadcast that goes on',
    caughtBy: ['broadcasts', 'liveness'],
    wanted: { focus: ['cancel', 'pause'] },
    make: () => ({
      broadcasts: (real) => ({
        ...real,
        wishes: async (ns) => (await real.wishes(ns)).filter(({ state }) => state !== 'cancelled'),
      }),
    }),
  },
  {
    name: 'a pause that a takeover forgets',
    caughtBy: ['broadcasts'],
    wanted: { focus: ['pause', 'pause', 'kill'] },
    make: () => ({
      broadcasts: (real) => ({
        ...real,
        async row(n) {
          const row = await real.row(n);
          return row?.state === 'paused' ? { ...row, state: 'running' } : row;
        },
      }),
    }),
  },
  {
    name: 'a replay without its key',
    caughtBy: ['replay'],
    wanted: { focus: ['replay', 'store away'] },
    make: (replayed = 0) => ({
      acceptance: (real) => ({
        ...real,
        replays: (bot, replays) => {
          replayed += 1;
          return real.replays(
            bot,
            replays.map((one) => ({ ...one, key: `${one.key.slice(0, -1)}${replayed}` })),
          );
        },
      }),
    }),
  },
];

/** The same store, but the read of the log's tail answers what `tail` says. */
function withTail(store: Store, tail: () => Promise<number>): Store {
  const { collection } = store.models.Pages;
  const find = (filter: object, options: object) => {
    if (Object.keys(filter).length > 1) return collection.find(filter as never, options);
    const cursor = {
      sort: () => cursor,
      limit: () => cursor,
      next: async () => ({ n: await tail() }),
    };
    return cursor;
  };
  return {
    ...store,
    models: { ...store.models, Pages: { collection: { ...collection, find } } } as unknown as Store['models'],
  };
}
