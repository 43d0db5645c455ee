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
import { type DeadLetters, deadLetters } from '../../src/store/dead-letters.js';
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

/** As src/system.ts builds them, with fewer shards: chats are few. */
const SHARDS = 2;
const ANSWER: Feature = {
  name: 'answer',
  fallback: () => async (context) => {
    if ('message' in context.update && 'text' in context.update.message)
      await context.reply(`re ${context.update.update_id}`);
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
  /** The line of a bot. */
  lineOf(bot: string): SendLine;
  /** The store as operators' commands on this process use it. */
  readonly store: Store;
  readonly deadLetters: DeadLetters;
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
  /** The wall clock is set. One whose monotonic clock has stood still is spared, and one whose wall clock was set is never frozen: with both nobody could know how long a lease holds. */
  setWall(aheadMs: number): void;
  /** SIGTERM. */
  drain(withinMs: number): Promise<void>;
}

/** The wakes between processes. */
export interface WakeBus {
  /** Shares of the wakes that are lost or come twice. */
  weather: { lost: number; doubled: number };
  wake(bot: string): void;
  follow(host: Host, bot: string, listener: () => void): () => void;
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
    readonly bot: string;
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
    wake(bot) {
      for (const follower of followers) {
        if (follower.bot !== bot) continue;
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
    follow(host, bot, listener) {
      const follower = { host, bot, listener, openAt: 0 };
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
  /** By bot. */
  readonly telegrams: ReadonlyMap<string, ModelTelegram>;
  readonly wakes: WakeBus;
  readonly rates: Rates;
  readonly concurrency: number;
  readonly broadcastPage: number;
  readonly bug: PlantedBug | undefined;
}

/** Makes a process that is not started. `machine` and `life` tell a restart on the same machine from another machine. */
export function simProcess(world: ProcessWorld, machine: number, life: number, wallAheadMs: number): SimProcess {
  const { kernel, bug } = world;
  const host: Host = { dead: false, suspendedUntil: 0, behindMs: 0, wallAheadMs };
  let clockFault: 'frozen' | 'set' | undefined;
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
  const lines = new Map<string, SendLine>();
  const actors = createActorSystem({ clock, random: () => kernel.random.next(), log: silentLog });
  const requests = new Set<Asked>();
  const status = { report: () => undefined };
  const refused = () => undefined;
  let taking = true;

  log.onAppended((page) => world.wakes.wake(page.bot));

  const poolOf = (bot: string) => actors.address<PoolMessage>(`bot:${bot}/sender-pool`);

  /** The subtree of a bot, as src/bot-fleet.ts builds it. */
  function subtree(bot: string, telegram: ModelTelegram) {
    const realClient = telegram.client(host);
    const client: TelegramClient = bug?.client?.(realClient, kernel, host) ?? realClient;
    const realSends: SendStore = sendStore(store, bot);
    const sends: SendStore = bug?.sendStore?.(realSends, kernel, host) ?? realSends;
    const realBroadcasts = broadcastStore(store, bot, world.broadcastPage);
    const broadcasts = bug?.broadcasts?.(realBroadcasts) ?? realBroadcasts;
    const { rates, concurrency } = world;
    const plainLine = sendLine({ bot, rates, concurrency, client, store: sends, clock });
    const line = bug?.line?.(plainLine) ?? plainLine;
    lines.set(bot, line);
    const pool = poolOf(bot);
    const updates = inbox(store, bot, clock);
    return supervisor({
      name: `bot:${bot}`,
      strategy: 'rest-for-one',
      exhausted: 'park',
      children: [
        worker(
          senderPoolActor({
            line,
            shards: SHARDS,
            store: sends,
            broadcasts,
            keeper,
            appended: (listener) => log.onAppended(listener),
            wakes: (listener) => world.wakes.follow(host, bot, listener),
            report: () => undefined,
            newId: () => new ObjectId(),
          }),
          {
            strategy: 'one-for-one',
            children: Array.from({ length: SHARDS }, (_, shard) => worker(senderActor({ shard, line, pool }))),
          },
        ),
        worker(ingressActor({ bot, client, keeper, inbox: updates, status, onUnauthorized: refused })),
        worker(
          botActor({
            bot,
            client,
            inbox: updates,
            subscribers: subscribers(store, bot),
            acceptance: accepting,
            features: [ANSWER],
            status,
            onUnauthorized: refused,
          }),
        ),
      ],
    });
  }

  function cut(): void {
    for (const request of [...requests]) request.lost();
    requests.clear();
  }

  const made: SimProcess = Object.assign(host, {
    name: `p${machine}.${life}`,
    concurrency: world.concurrency,
    actors,
    lineOf: (bot: string) => lines.get(bot) as SendLine,
    store,
    deadLetters: deadLetters(store, accepting, clock),
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
          children: [...world.telegrams].map(([bot, telegram]) => subtree(bot, telegram)),
        }),
      );
    },
    kill() {
      host.dead = true;
      cut();
    },
    suspend(given: number, frozen: boolean) {
      // One that stands still already does so for longer, not twice at once.
      const from = Math.max(host.suspendedUntil, kernel.now);
      host.suspendedUntil = Math.max(from, kernel.now + onGrid(given));
      if (!frozen || clockFault === 'set') return;
      clockFault = 'frozen';
      host.behindMs += host.suspendedUntil - from;
    },
    setWall(aheadMs: number) {
      if (clockFault === 'frozen') return;
      clockFault = 'set';
      host.wallAheadMs = aheadMs;
    },
    async drain(withinMs: number) {
      taking = false;
      const drained = [...lines.keys()].map((bot) =>
        actors
          .ask<PoolMessage, void>(poolOf(bot), (replyTo) => ({ type: 'drain', withinMs, replyTo }), withinMs + 1_000)
          .catch(() => undefined),
      );
      await Promise.all(drained);
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
