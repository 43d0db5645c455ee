import { ObjectId } from 'mongodb';
import { botActor } from '../../src/actors/bot.js';
import { ingressActor } from '../../src/actors/ingress.js';
import type { PoolMessage } from '../../src/actors/pool/state.js';
import { type ActorSystem, createActorSystem } from '../../src/actors/runtime.js';
import { type SendLine, sendLine } from '../../src/actors/send-line.js';
import { senderActor } from '../../src/actors/sender.js';
import { senderPoolActor } from '../../src/actors/sender-pool.js';
import { supervisor, worker } from '../../src/actors/supervision.js';
import type { Rates } from '../../src/delivery/pacing.js';
import type { Feature } from '../../src/feature.js';
import { silentLog } from '../../src/log.js';
import { type Acceptance, acceptance } from '../../src/store/acceptance.js';
import { broadcastStore } from '../../src/store/broadcast-store.js';
import { inbox } from '../../src/store/inbox.js';
import { type LeaseKeeper, leaseKeeper } from '../../src/store/lease-keeper.js';
import { type PageLog, pageLog } from '../../src/store/page-log.js';
import { type SendStore, sendStore } from '../../src/store/send-store.js';
import type { Store } from '../../src/store/store.js';
import { subscribers } from '../../src/store/subscribers.js';
import type { TelegramClient } from '../../src/telegram/client.js';
import { type Host, type Kernel, onGrid } from './kernel.js';
import type { ModelStore } from './model-store.js';
import type { ModelTelegram } from './model-telegram.js';
import type { PlantedBug } from './planted-bugs.js';

/** The bot of every run. */
export const BOT = '7';
/** As src/system.ts builds them, with fewer shards: chats are few. */
const SHARDS = 2;
const ANSWER: Feature = {
  name: 'answer',
  fallback: () => async (context) => {
    if ('message' in context.update) await context.reply(`re ${context.update.update_id}`);
  },
};

/** A request of a client that a process has not answered yet. */
interface Asked {
  lost(): void;
}

/** One process of the model: the real parts as src/system.ts puts them together, on the model's clock, store and Telegram. */
export interface SimProcess extends Host {
  readonly name: string;
  readonly concurrency: number;
  readonly actors: ActorSystem;
  readonly line: SendLine;
  readonly acceptance: Acceptance;
  /** False from a SIGTERM on: the API answers 503. */
  readonly accepting: boolean;
  /** Told of once the process has ended by itself. */
  onExit: () => void;
  /** Registers a request, so that its client hears when the process dies. */
  asked(request: Asked): () => void;
  start(): Promise<void>;
  /** SIGKILL: nothing of it goes on, but what is on the wire arrives. */
  kill(): void;
  /** Everything stands still; with `frozen` the monotonic clock too, as in a suspended machine. */
  suspend(ms: number, frozen: boolean): void;
  /** SIGTERM. */
  drain(withinMs: number): Promise<void>;
}

/** The wakes between processes. */
export interface WakeBus {
  /** Shares of the wakes that are lost or come twice. */
  weather: { lost: number; doubled: number };
  wake(): void;
  follow(host: Host, listener: () => void): () => void;
  /** All cursors end, as with a new primary; each is opened again after a second, from where it was: src/store/wakes.ts. */
  breakCursors(): void;
  /** When the cursors were last broken before `at`; -Infinity if never. */
  brokenBefore(at: number): number;
}

const REOPEN_MS = 1_000;

/** Makes the bus; with `forgets` a cursor that is opened again goes on from then: the planted bug. */
export function wakeBus(kernel: Kernel, forgets: boolean): WakeBus {
  interface Follower {
    readonly host: Host;
    readonly listener: () => void;
    openAt: number;
  }
  const followers = new Set<Follower>();
  const brokenAt: number[] = [];

  function deliver(follower: Follower): void {
    const wait = follower.openAt - kernel.now;
    if (wait > 0 && forgets) return;
    const ms = Math.max(0, wait) + 1 + kernel.random.next() * 20;
    kernel.after(ms, () => followers.has(follower) && follower.listener(), follower.host);
  }

  const bus: WakeBus = {
    weather: { lost: 0, doubled: 0 },
    wake() {
      for (const follower of followers) {
        if (follower.host.dead) {
          followers.delete(follower);
          continue;
        }
        const lost = kernel.random.chance(bus.weather.lost);
        if (lost) kernel.fault('wake: lost');
        const doubled = !lost && kernel.random.chance(bus.weather.doubled);
        if (doubled) kernel.fault('wake: doubled');
        for (let times = lost ? 0 : doubled ? 2 : 1; times > 0; times -= 1) deliver(follower);
      }
    },
    follow(host, listener) {
      const follower = { host, listener, openAt: 0 };
      followers.add(follower);
      return () => followers.delete(follower);
    },
    breakCursors() {
      brokenAt.push(kernel.now);
      for (const follower of followers) follower.openAt = kernel.now + REOPEN_MS;
    },
    brokenBefore: (at) => brokenAt.findLast((one) => one < at) ?? Number.NEGATIVE_INFINITY,
  };
  return bus;
}

/** What a process is made in. */
export interface ProcessWorld {
  readonly kernel: Kernel;
  readonly store: ModelStore;
  readonly telegram: ModelTelegram;
  readonly wakes: WakeBus;
  readonly rates: Rates;
  readonly concurrency: number;
  readonly broadcastPage: number;
  readonly bug: PlantedBug | undefined;
}

/** Makes a process that is not started. `machine` and `life` tell a restart on the same machine from another machine. */
export function simProcess(world: ProcessWorld, machine: number, life: number): SimProcess {
  const { kernel, bug } = world;
  const host: Host = { dead: false, suspendedUntil: 0, behindMs: 0 };
  const clock = kernel.clockOf(host);
  const self = {
    host: `machine-${machine}`,
    bootId: `boot-${machine}`,
    pidNamespace: `namespace-${machine}`,
    pid: 1,
    started: String(life),
  };
  const store: Store = world.store.open(host, bug?.rewrite);
  const keeper: LeaseKeeper = leaseKeeper(store, self, clock, silentLog);
  const log: PageLog = bug?.pageLog?.(store, clock) ?? pageLog(store, clock, silentLog);
  const realAccepting = acceptance(store, log, clock);
  const accepting = bug?.acceptance?.(realAccepting) ?? realAccepting;
  const realClient = world.telegram.client(host);
  const client: TelegramClient = bug?.client?.(realClient, kernel, host) ?? realClient;
  const realSends: SendStore = sendStore(store, BOT);
  const sends: SendStore = bug?.sendStore?.(realSends, kernel, host) ?? realSends;
  const plainLine = sendLine({
    bot: BOT,
    rates: world.rates,
    concurrency: world.concurrency,
    client,
    store: sends,
    clock,
  });
  const line = bug?.line?.(plainLine) ?? plainLine;
  const actors = createActorSystem({ clock, random: () => kernel.random.next(), log: silentLog });
  const requests = new Set<Asked>();
  const pool = actors.address<PoolMessage>('bot:7/sender-pool');
  const updates = inbox(store, BOT, clock);
  const status = { report: () => undefined };
  const refused = () => undefined;
  let taking = true;

  log.onAppended(() => world.wakes.wake());

  function cut(): void {
    for (const request of [...requests]) request.lost();
    requests.clear();
  }

  const made: SimProcess = Object.assign(host, {
    name: `p${machine}.${life}`,
    concurrency: world.concurrency,
    actors,
    line,
    acceptance: accepting,
    accepting: true,
    onExit: () => undefined,
    asked(request: Asked) {
      requests.add(request);
      return () => requests.delete(request);
    },
    async start() {
      actors.onFailure(() => {
        kernel.trace(() => `${made.name} gives up`);
        made.kill();
        made.onExit();
      });
      await actors.start(
        supervisor({
          name: 'root',
          strategy: 'one-for-one',
          children: [
            supervisor({
              name: `bot:${BOT}`,
              strategy: 'rest-for-one',
              exhausted: 'park',
              children: [
                worker(
                  senderPoolActor({
                    line,
                    shards: SHARDS,
                    store: sends,
                    broadcasts: broadcastStore(store, BOT, world.broadcastPage),
                    keeper,
                    appended: (listener) => log.onAppended(listener),
                    wakes: (listener) => world.wakes.follow(host, listener),
                    report: () => undefined,
                    newId: () => new ObjectId(),
                  }),
                  {
                    strategy: 'one-for-one',
                    children: Array.from({ length: SHARDS }, (_, shard) => worker(senderActor({ shard, line, pool }))),
                  },
                ),
                worker(ingressActor({ bot: BOT, client, keeper, inbox: updates, status, onUnauthorized: refused })),
                worker(
                  botActor({
                    bot: BOT,
                    client,
                    inbox: updates,
                    subscribers: subscribers(store, BOT),
                    acceptance: accepting,
                    features: [ANSWER],
                    status,
                    onUnauthorized: refused,
                  }),
                ),
              ],
            }),
          ],
        }),
      );
    },
    kill() {
      host.dead = true;
      cut();
    },
    suspend(given: number, frozen: boolean) {
      const ms = onGrid(given);
      host.suspendedUntil = kernel.now + ms;
      if (frozen) host.behindMs += ms;
    },
    async drain(withinMs: number) {
      taking = false;
      await actors
        .ask<PoolMessage, void>(pool, (replyTo) => ({ type: 'drain', withinMs, replyTo }), withinMs + 1_000)
        .catch(() => undefined);
      await actors.stop();
      keeper.stop();
      host.dead = true;
      cut();
      made.onExit();
    },
  });
  Object.defineProperty(made, 'accepting', { get: () => taking && !host.dead });
  return made;
}
