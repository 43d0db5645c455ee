import { ObjectId } from 'mongodb';
import { botActor } from './actors/bot.js';
import { httpActor } from './actors/http.js';
import { ingressActor } from './actors/ingress.js';
import type { PoolMessage } from './actors/pool/state.js';
import { type ActorSystem, type Clock, createActorSystem, systemClock } from './actors/runtime.js';
import { sendLine } from './actors/send-line.js';
import { senderActor } from './actors/sender.js';
import { senderPoolActor } from './actors/sender-pool.js';
import { storeProbeActor } from './actors/store-probe.js';
import { type ChildSpec, supervisor, worker } from './actors/supervision.js';
import type { Services } from './api/services.js';
import { storeServices } from './api/store-services.js';
import type { Config } from './config.js';
import { isAlive } from './delivery/outcome.js';
import type { Feature } from './feature.js';
import type { Log } from './log.js';
import { type Health, health, readiness } from './readiness.js';
import type { Role } from './roles.js';
import { acceptance } from './store/acceptance.js';
import { ensureBot, noteBot } from './store/bots.js';
import { broadcastStore } from './store/broadcast-store.js';
import { isFull } from './store/failure.js';
import { inbox } from './store/inbox.js';
import { leaseKeeper } from './store/lease-keeper.js';
import { pageLog } from './store/page-log.js';
import { ownIdentity } from './store/process-identity.js';
import { sendStore } from './store/send-store.js';
import { isConnectionError, type Store } from './store/store.js';
import { subscribers } from './store/subscribers.js';
import { wakes } from './store/wakes.js';
import { telegramClient } from './telegram/client.js';
import { type RoomWait, untilRoom } from './until-room.js';

/** Shards of one bot's sending: faults of one leave the chats of the others alone. */
const SHARDS = 4;
/** Connections of the receiving side: one long poll, and calls beside it. */
const INGRESS_CONNECTIONS = 4;
/** getMe is tried again this often until it answers, ms. */
const MEET_MS = 5_000;
/** What of SHUTDOWN_MS is kept for what comes after the drain. */
const AFTER_DRAIN_MS = 4_000;

/** What the tree is built from. */
export interface SystemOptions {
  readonly config: Config;
  readonly roles: readonly Role[];
  readonly features: readonly Feature[];
  readonly apiKey: string;
  readonly log: Log;
  readonly clock?: Clock;
  readonly random?: () => number;
}

/** The reached store and Telegram of a process. */
export interface Surroundings {
  readonly store: Store;
  readonly apiRoot: string;
  readonly token: string;
  readonly secretKey: string;
}

/** The running program of one process: the tree, and what main and tests do with it. */
export interface PosthornSystem {
  readonly actors: ActorSystem;
  readonly health: Health;
  /** Starts HTTP, when the role is played; resolves with its port. Throws ListenError. */
  listen(): Promise<number | undefined>;
  /** How a write of the start waits for room in a full store, which /health/ready then names; the wait ends when `stopping` is aborted. */
  room(stopping: AbortSignal): RoomWait;
  /** Starts everything that stands on the store, as soon as that has room for what a start must write. Throws TokenRefused when getMe says 401 or 404, and as untilRoom does. */
  run(surroundings: Surroundings, stopping?: AbortSignal): Promise<void>;
  /** Resolves once /health/ready would answer 200. */
  ready(): Promise<void>;
  /** Takes no new work, lets the calls end, writes outcomes, releases leases, stops the tree in reverse order. */
  stop(): Promise<void>;
}

/** The token of BOT_TOKEN is refused by Telegram: nothing of this configuration can work. */
export class TokenRefused extends Error {
  readonly code = 'PH_BOT_TOKEN_REFUSED';
}

/** Builds the supervision tree of a process from its roles (docs/architecture.md). Nothing runs before `listen` and `run`. */
export function posthornSystem(options: SystemOptions): PosthornSystem {
  const { config, roles, features, apiKey, log } = options;
  const clock = options.clock ?? systemClock;
  const plays = (role: Role) => roles.includes(role);
  const actors = createActorSystem({ clock, log, ...(options.random === undefined ? {} : { random: options.random }) });
  const of = health({ sender: plays('sender'), bot: plays('bot') });
  const startedAt = clock.now();
  let services: Services | undefined;
  let draining = false;
  let store: Store | undefined;
  const drains: string[] = [];
  const closers: (() => Promise<void>)[] = [];
  let started = false;

  async function begin(): Promise<void> {
    if (started) return;
    started = true;
    await actors.start(supervisor({ name: 'root', strategy: 'one-for-one', children: [] }));
  }

  function room(stopping: AbortSignal): RoomWait {
    return {
      clock,
      random: options.random ?? Math.random,
      stopping,
      onFailed(state) {
        if (of.store() !== state)
          log.error({ store: state }, 'the start waits until the store takes what it must write');
        of.store = () => state;
      },
    };
  }

  return {
    actors,
    health: of,
    room,
    async listen() {
      await begin();
      if (!plays('web')) return undefined;
      let port = 0;
      const deps = {
        ...config.http,
        apiKey,
        services: () => services,
        readiness: () => readiness(of),
        draining: () => draining,
        now: () => clock.now(),
        startedAt,
        log,
      };
      await actors.addChild(
        '',
        worker(
          httpActor(deps, (actual) => {
            port = actual;
          }),
        ),
      );
      return port;
    },
    async run(surroundings, stopping = new AbortController().signal) {
      await begin();
      ({ store } = surroundings);
      const built = core(surroundings);
      const { token, secretKey } = surroundings;
      const bot = await untilRoom(() => ensureBot(surroundings.store, token, secretKey), room(stopping));
      const bots = plays('sender') || plays('bot') ? [built.botTree(bot)] : [];
      services = built.services;
      await actors.addChild(
        '',
        supervisor({
          name: 'core',
          strategy: 'rest-for-one',
          children: [
            worker(
              storeProbeActor({
                store: surroundings.store,
                self: built.self,
                roles,
                tree: () => actors.tree(),
                report: (state) => {
                  of.store = () => (state === 'ok' && !surroundings.store.reachable() ? 'lost' : state);
                },
                prunes: () => (plays('sender') ? [bot] : []),
              }),
            ),
            supervisor({
              name: 'app',
              strategy: 'one-for-one',
              children: [supervisor({ name: 'bots', strategy: 'one-for-one', children: bots })],
            }),
          ],
        }),
      );
      if (bots.length > 0) await built.meet(bot);
    },
    async ready() {
      while (readiness(of).status === 'down') {
        await new Promise<void>((resolve) => {
          clock.setTimer(50, resolve);
        });
      }
    },
    async stop() {
      draining = true;
      const withinMs = Math.max(0, config.shutdownMs - AFTER_DRAIN_MS);
      await Promise.allSettled(
        drains.map((path) =>
          actors.ask<PoolMessage, void>(
            actors.address(path),
            (replyTo) => ({ type: 'drain', withinMs, replyTo }),
            withinMs + 1_000,
          ),
        ),
      );
      await actors.stop();
      for (const close of closers.toReversed()) await close();
      await store?.close();
    },
  };

  /** What stands on the store: the services of the API, and the tree of a bot. */
  function core({ store: reached, apiRoot, token }: Surroundings) {
    const self = ownIdentity();
    const keeper = leaseKeeper(reached, self, clock, log);
    const log_ = pageLog(reached, clock, log);
    const accepting = acceptance(reached, log_, clock);
    const waking = wakes(reached, clock, log);
    const receiver = telegramClient(apiRoot, token, INGRESS_CONNECTIONS);
    log_.onAppended((page) => waking.wake(page.bot));
    closers.push(
      async () => keeper.stop(),
      async () => waking.stop(),
      () => receiver.destroy(),
    );
    const refused = (description: string) => {
      of.met = 'refused';
      log.error({ description }, 'Telegram refuses the token of the bot');
    };

    function sending(bot: string): ChildSpec {
      const path = `core/app/bots/bot:${bot}/sender-pool`;
      const { rate, chatRate, groupRate, concurrency } = config.send;
      const client = telegramClient(apiRoot, token, concurrency);
      const sends = sendStore(reached, bot);
      const line = sendLine({
        bot,
        rates: { perSecond: rate, perChatSecond: chatRate, perGroupMinute: groupRate },
        concurrency,
        client,
        store: sends,
      });
      drains.push(path);
      actors.onParked((parked) => {
        // Nobody sends here for a minute at least: another process may, at once.
        if (!path.startsWith(`${parked}/`)) return;
        const { holding } = line;
        line.holding = undefined;
        void holding?.release();
        of.sending = { sending: 'standby', outage: 'parked after repeated faults, tried again each minute' };
      });
      closers.push(() => client.destroy());
      const pool = actors.address<PoolMessage>(path);
      return worker(
        senderPoolActor({
          line,
          shards: SHARDS,
          store: sends,
          broadcasts: broadcastStore(reached, bot),
          keeper,
          appended: (listener) => log_.onAppended(listener),
          wakes: (listener) =>
            waking.onWake((woken) => {
              if (woken === bot) listener();
            }),
          report: (report) => {
            of.sending = report;
          },
          newId: () => new ObjectId(),
        }),
        {
          strategy: 'one-for-one',
          children: Array.from({ length: SHARDS }, (_, shard) => worker(senderActor({ shard, line, pool }))),
        },
      );
    }

    function receiving(bot: string): ChildSpec[] {
      const status = {
        report: (report: NonNullable<Health['receiving']>) => {
          of.receiving = report;
        },
      };
      const updates = inbox(reached, bot, clock);
      return [
        worker(ingressActor({ bot, client: receiver, keeper, inbox: updates, status, onUnauthorized: refused })),
        worker(
          botActor({
            bot,
            client: receiver,
            inbox: updates,
            subscribers: subscribers(reached, bot),
            acceptance: accepting,
            features: features.filter(({ name }) => config.features?.includes(name) ?? true),
            adminIds: config.adminIds,
            status,
            onUnauthorized: refused,
          }),
        ),
      ];
    }

    return {
      self,
      services: storeServices(reached, accepting, () => new Date(clock.wallNow())),
      botTree: (bot: string): ChildSpec =>
        supervisor({
          name: `bot:${bot}`,
          strategy: 'rest-for-one',
          exhausted: 'park',
          children: [...(plays('sender') ? [sending(bot)] : []), ...(plays('bot') ? receiving(bot) : [])],
        }),
      /** Asks getMe until it answers and that is noted; the first end decides whether the process may start. */
      async meet(bot: string): Promise<void> {
        const again = () => {
          clock.setTimer(MEET_MS, () => {
            if (!draining) this.meet(bot).catch((error: unknown) => refused(String(error)));
          });
        };
        const answer = await receiver.call('getMe', {}, { timeoutMs: 10_000 });
        if (answer.kind === 'answer' && (answer.status === 401 || answer.status === 404)) {
          throw new TokenRefused(
            `Telegram refuses BOT_TOKEN (getMe: ${answer.status}); set the token that BotFather gave`,
          );
        }
        if (isAlive(answer)) {
          of.met = 'ok';
          const username = (answer as { body?: { result?: { username?: string } } }).body?.result?.username;
          try {
            await noteBot(reached, bot, { state: 'active', ...(username === undefined ? {} : { username }) });
          } catch (error) {
            if (!isFull(error) && !isConnectionError(error)) throw error;
            log.warn({ bot, error: String(error) }, 'what getMe answered could not be noted; trying again');
            again();
          }
          return;
        }
        of.met = 'failed';
        log.warn({ bot }, 'Telegram cannot be reached; trying again');
        again();
      },
    };
  }
}
