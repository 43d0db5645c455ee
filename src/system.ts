import { botListActor } from './actors/bot-list.js';
import { deadLetterWatchActor } from './actors/dead-letter-watch.js';
import { httpActor } from './actors/http.js';
import { type ActorSystem, type Clock, createActorSystem, systemClock } from './actors/runtime.js';
import { storeProbeActor } from './actors/store-probe.js';
import { supervisor, worker } from './actors/supervision.js';
import type { Services } from './api/services.js';
import { storeServices } from './api/store-services.js';
import { type BotFleet, botFleet } from './bot-fleet.js';
import type { Config } from './config.js';
import { createEvents } from './events.js';
import type { Feature } from './feature.js';
import type { Log } from './log.js';
import { type Health, health, readiness } from './readiness.js';
import type { Role } from './roles.js';
import { acceptance } from './store/acceptance.js';
import { botOf, ensureBot, keptBots } from './store/bots.js';
import { countWaiting } from './store/dead-letters.js';
import { leaseKeeper } from './store/lease-keeper.js';
import { pageLog } from './store/page-log.js';
import { ownIdentity } from './store/process-identity.js';
import type { Store } from './store/store.js';
import { wakes } from './store/wakes.js';
import { getMe, type Met } from './telegram/get-me.js';
import { type RoomWait, untilRoom } from './until-room.js';

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
  const used = features.filter(({ name }) => config.features?.includes(name) ?? true);
  const events = createEvents(log);
  for (const feature of used) feature.listen?.(events);
  let services: Services | undefined;
  let draining = false;
  let store: Store | undefined;
  let fleet: BotFleet | undefined;
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

  /** Keeps the bot of BOT_TOKEN. A token that is not the kept one is asked for first: others work with the kept one. */
  async function firstBot({ store: reached, apiRoot, token, secretKey }: Surroundings): Promise<string> {
    const known = (await keptBots(reached, secretKey)).find(({ bot }) => bot === botOf(token));
    if (known?.token !== undefined && known.token !== token) refuse(await getMe(apiRoot, token));
    return ensureBot(reached, token, secretKey, { local: config.bot === undefined });
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
      const { store: reached, secretKey } = surroundings;
      const bot = await untilRoom(() => firstBot(surroundings), room(stopping));
      const self = ownIdentity();
      const keeper = leaseKeeper(reached, self, clock, log);
      const pages = pageLog(reached, clock, log);
      const accepting = acceptance(reached, pages, clock);
      const waking = wakes(reached, clock, log);
      pages.onAppended((page) => waking.wake(page.bot));
      closers.push(
        async () => keeper.stop(),
        async () => waking.stop(),
      );
      const bots = botFleet({
        ...{ actors, clock, log, config, roles, features: used, events, health: of, store: reached },
        ...{ keeper, pages, acceptance: accepting, wakes: waking, apiRoot: surroundings.apiRoot, secretKey },
      });
      fleet = bots;
      const setup = {
        first: bot,
        local: config.bot === undefined,
        rates: { rate: config.send.rate, chatRate: config.send.chatRate, groupRate: config.send.groupRate },
        secretKey: async () => secretKey,
        getMe: (given: string) => getMe(surroundings.apiRoot, given),
      };
      services = storeServices(reached, accepting, () => new Date(clock.wallNow()), setup);
      await actors.addChild(
        '',
        supervisor({
          name: 'core',
          strategy: 'rest-for-one',
          children: [
            worker(
              storeProbeActor({
                store: reached,
                self,
                roles,
                tree: () => actors.tree(),
                report: (state) => {
                  of.store = () => (state === 'ok' && !reached.reachable() ? 'lost' : state);
                },
                prunes: () => (plays('sender') ? bots.running : []),
              }),
            ),
            supervisor({
              name: 'app',
              strategy: 'one-for-one',
              children: [
                supervisor({ name: 'bots', strategy: 'one-for-one', children: [] }),
                worker(
                  deadLetterWatchActor({
                    count: (queues) => countWaiting(reached, queues),
                    events,
                    report: (piledUp) => {
                      of.deadLetters = piledUp;
                    },
                  }),
                ),
              ],
            }),
          ],
        }),
      );
      await (await bots.look()).settled;
      const runs = plays('sender') || plays('bot');
      if (runs || plays('web'))
        await actors.addChild(
          'core/app',
          worker(botListActor(runs ? 'runs' : 'tells', async () => void (await bots.look()))),
        );
      if (bots.running.includes(bot)) refuse(await bots.met(bot));
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
      await fleet?.drain(withinMs);
      await actors.stop();
      await fleet?.close();
      for (const close of closers.toReversed()) await close();
      await store?.close();
    },
  };
}

/** Throws TokenRefused when this is what getMe says of BOT_TOKEN. */
function refuse(met: Met): void {
  if (met.kind !== 'refused') return;
  throw new TokenRefused(`Telegram refuses BOT_TOKEN (getMe: ${met.description}); set the token that BotFather gave`);
}
