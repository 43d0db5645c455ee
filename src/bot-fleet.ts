import { ObjectId } from 'mongodb';
import { botActor } from './actors/bot.js';
import { type IdentityMessage, identityActor } from './actors/identity.js';
import { ingressActor } from './actors/ingress.js';
import type { PoolMessage } from './actors/pool/state.js';
import type { ActorSystem, Clock } from './actors/runtime.js';
import { type SendLine, sendLine } from './actors/send-line.js';
import { senderActor } from './actors/sender.js';
import { senderPoolActor } from './actors/sender-pool.js';
import { type ChildSpec, supervisor, worker } from './actors/supervision.js';
import type { Config } from './config.js';
import type { Events } from './events.js';
import type { Feature } from './feature.js';
import type { Log } from './log.js';
import { type BotHealth, botHealth, type Health } from './readiness.js';
import type { Role } from './roles.js';
import type { Acceptance } from './store/acceptance.js';
import { type KeptBot, keptBots, noteBot } from './store/bots.js';
import { broadcastStore } from './store/broadcast-store.js';
import { telling, tellingInbox } from './store/dead-letter-events.js';
import { inbox } from './store/inbox.js';
import type { LeaseKeeper } from './store/lease-keeper.js';
import { longWaits } from './store/long-waits.js';
import type { PageLog } from './store/page-log.js';
import { sendStore } from './store/send-store.js';
import type { Store } from './store/store.js';
import { subscribers } from './store/subscribers.js';
import type { Wakes } from './store/wakes.js';
import { telegramClient } from './telegram/client.js';
import type { Met } from './telegram/get-me.js';

/** Shards of one bot's sending: faults of one leave the chats of the others alone. */
const SHARDS = 4;
/** Connections of the receiving side: one long poll, and calls beside it. */
const INGRESS_CONNECTIONS = 4;
/** A drain that is not answered is given up this long after its time, ms. */
const DRAIN_SLACK_MS = 1_000;
const BOTS = 'core/app/bots';
/** Long waits of bots that others send for are read this often, ms. */
const WAITS_MS = 10_000;

/** What the bots of a process stand on. */
export interface FleetDeps {
  readonly actors: ActorSystem;
  readonly clock: Clock;
  readonly log: Log;
  readonly config: Config;
  readonly roles: readonly Role[];
  /** Those that are used. */
  readonly features: readonly Feature[];
  readonly events: Events;
  readonly health: Health;
  readonly store: Store;
  readonly keeper: LeaseKeeper;
  readonly pages: PageLog;
  readonly acceptance: Acceptance;
  readonly wakes: Wakes;
  readonly apiRoot: string;
  readonly secretKey: string;
}

/** The bots that this process runs: the subtrees under `core/app/bots`. */
export interface BotFleet {
  /**
   * Reads the bots of the store and makes the running ones agree with them. Resolves when that is begun; `settled` when it is done.
   * Rejects when the list cannot be read; a bot that cannot be started or stopped is logged and tried again with the next look.
   */
  look(): Promise<{ readonly settled: Promise<void> }>;
  /** The bots that run here. */
  readonly running: readonly string[];
  /** Resolves with the first answer of getMe for this bot. */
  met(bot: string): Promise<Met>;
  /** Lets the calls of all bots end within `withinMs`, and follows the list no more. */
  drain(withinMs: number): Promise<void>;
  /** Closes what outlives the actors. */
  close(): Promise<void>;
}

/** A bot that runs. */
interface Run {
  /** What it was started with: another word is another start. */
  readonly mark: string;
  readonly closers: (() => Promise<void>)[];
  readonly line: SendLine | undefined;
}

/** Makes the fleet of a process, with nothing running. */
export function botFleet(deps: FleetDeps): BotFleet {
  const { actors, clock, log, config, health } = deps;
  const plays = (role: Role) => deps.roles.includes(role);
  const runs = new Map<string, Run>();
  /** By bot: the start or stop that is under way. */
  const moving = new Map<string, Promise<void>>();
  const meetings = new Map<string, { readonly met: Promise<Met>; readonly resolve: (met: Met) => void }>();
  const unreadable = new Set<string>();
  const local = config.bot === undefined;
  let first = true;
  let over = false;
  let waitsAt = Number.NEGATIVE_INFINITY;

  actors.onParked((parked) => {
    // Nobody sends here for a minute at least: another process may, at once.
    for (const [bot, { line }] of runs) {
      if (line === undefined || !`${poolPath(bot)}/`.startsWith(`${parked}/`)) continue;
      const { holding } = line;
      line.holding = undefined;
      void holding?.release();
      report(bot, { sending: { sending: 'standby', outage: 'parked after repeated faults, tried again each minute' } });
    }
  });

  function report(bot: string, fields: Partial<BotHealth>): void {
    const known = health.bots?.get(bot);
    if (known !== undefined) Object.assign(known, fields);
  }

  function meeting(bot: string) {
    let found = meetings.get(bot);
    if (found === undefined) {
      let resolve: (met: Met) => void = () => undefined;
      const met = new Promise<Met>((done) => {
        resolve = done;
      });
      found = { met, resolve };
      meetings.set(bot, found);
    }
    return found;
  }

  /** A bot whose token is damaged, or that is of another Telegram than this process works with, does not run here. */
  function wanted(kept: readonly KeptBot[]): Map<string, KeptBot & { token: string }> {
    const found = new Map<string, KeptBot & { token: string }>();
    for (const bot of kept) {
      const { token } = bot;
      if (bot.local !== undefined && bot.local !== local) continue;
      if (token !== undefined) found.set(bot.bot, { ...bot, token });
      else if (!unreadable.has(bot.sealed)) {
        unreadable.add(bot.sealed);
        log.error(
          { bot: bot.bot, code: 'PH_BOT_TOKEN_UNREADABLE' },
          'the kept token of a bot is damaged: it is parked; give it its token again with: posthorn bots add',
        );
      }
    }
    return found;
  }

  async function look(): Promise<{ settled: Promise<void> }> {
    const kept = await keptBots(deps.store, deps.secretKey);
    const bots = wanted(kept);
    health.unauthorized = kept
      .filter((one) => (one.local ?? local) === local && (one.state === 'unauthorized' || one.token === undefined))
      .map(({ bot }) => bot);
    health.bots ??= new Map();
    await lookAtWaits([...bots.keys()]);
    if (!plays('sender') && !plays('bot')) return { settled: Promise.resolve() };
    const ids = new Set([...runs.keys(), ...bots.keys()]);
    for (const id of ids) {
      const bot = bots.get(id);
      if (over || moving.has(id) || runs.get(id)?.mark === (bot === undefined ? undefined : markOf(bot))) continue;
      const late = !first;
      if (bot !== undefined && !runs.has(id)) health.bots.set(id, botHealth(late));
      const move = follow(id, bot, late)
        .catch((error: unknown) => {
          log.error({ bot: id, err: error }, 'a bot could not be started or stopped; tried again');
        })
        .finally(() => moving.delete(id));
      moving.set(id, move);
    }
    first = false;
    return { settled: Promise.all([...moving.values()]).then(() => undefined) };
  }

  /** Who asks a process that does not send for a bot is told what makes it wait, too. */
  async function lookAtWaits(bots: readonly string[]): Promise<void> {
    if (!plays('web') || clock.now() - waitsAt < WAITS_MS) return;
    waitsAt = clock.now();
    const others = bots.filter((bot) => health.bots?.get(bot)?.sending?.sending !== 'held');
    health.waits = await longWaits(deps.store, others, clock.wallNow());
  }

  /** Ends what runs of this bot, and starts what should. */
  async function follow(id: string, bot: (KeptBot & { token: string }) | undefined, late: boolean): Promise<void> {
    const run = runs.get(id);
    if (run !== undefined) {
      log.info(
        { bot: id },
        bot === undefined ? 'a bot was removed: letting go of it' : 'a bot has changed: starting it again',
      );
      await drainBot(id, run, withinMs());
      await actors.removeChild(`${BOTS}/bot:${id}`).catch(ignoreUnknown);
      runs.delete(id);
      meetings.delete(id);
      health.bots?.delete(id);
      for (const close of run.closers) await close();
    }
    if (bot === undefined || over) return;
    if (late) log.info({ bot: id }, 'a bot was added: taking it up');
    health.bots?.set(id, botHealth(late));
    const begun: Run & { spec: ChildSpec } = build(bot);
    runs.set(id, begun);
    try {
      await actors.addChild(BOTS, begun.spec);
    } catch (error) {
      runs.delete(id);
      for (const close of begun.closers) await close();
      throw error;
    }
  }

  const withinMs = () => Math.max(0, config.shutdownMs - 4_000);

  async function drainBot(id: string, { line }: Run, ms: number): Promise<void> {
    if (line === undefined) return;
    await actors
      .ask<PoolMessage, void>(
        actors.address(poolPath(id)),
        (replyTo) => ({ type: 'drain', withinMs: ms, replyTo }),
        ms + DRAIN_SLACK_MS,
      )
      .catch(() => undefined); // a parked pool does not answer: it has nothing in the air
  }

  function build(bot: KeptBot & { token: string }): Run & { spec: ChildSpec } {
    const { bot: id, token } = bot;
    const closers: (() => Promise<void>)[] = [];
    const receiver = telegramClient(deps.apiRoot, token, INGRESS_CONNECTIONS);
    closers.push(() => receiver.destroy());
    const identity = actors.address<IdentityMessage>(`${BOTS}/bot:${id}/identity`);
    const doubt = () => {
      actors.tell(identity, { type: 'doubt' });
    };
    const sender = plays('sender') ? sending(bot, doubt, closers) : undefined;
    const children = [
      ...(sender === undefined ? [] : [sender.spec]),
      ...(plays('bot') ? receiving(id, receiver, doubt) : []),
      worker(
        identityActor({
          bot: id,
          client: receiver,
          note: (fields) => noteBot(deps.store, id, fields, bot.sealed),
          report: (met) => {
            report(id, { met: met.kind });
            meeting(id).resolve(met);
          },
        }),
      ),
    ];
    const spec = supervisor({ name: `bot:${id}`, strategy: 'rest-for-one', exhausted: 'park', children });
    return { mark: markOf(bot), closers, line: sender?.line, spec };
  }

  function sending(
    { bot, token, rates }: KeptBot & { token: string },
    doubt: () => void,
    closers: (() => Promise<void>)[],
  ): { line: SendLine; spec: ChildSpec } {
    const { concurrency, ...defaults } = config.send;
    const { rate, chatRate, groupRate } = { ...defaults, ...rates };
    const client = telegramClient(deps.apiRoot, token, concurrency);
    closers.push(() => client.destroy());
    const sends = telling(sendStore(deps.store, bot), bot, deps.events);
    const line = sendLine({
      bot,
      rates: { perSecond: rate, perChatSecond: chatRate, perGroupMinute: groupRate },
      concurrency,
      client,
      store: sends,
      clock,
    });
    const pool = actors.address<PoolMessage>(poolPath(bot));
    const spec = worker(
      senderPoolActor({
        line,
        shards: SHARDS,
        store: sends,
        broadcasts: broadcastStore(deps.store, bot),
        keeper: deps.keeper,
        appended: (listener) => deps.pages.onAppended(listener),
        wakes: (listener) => deps.wakes.onWake(bot, listener),
        report: (state) => {
          report(bot, { sending: state });
          if (line.outage.alert) doubt();
        },
        newId: () => new ObjectId(),
      }),
      {
        strategy: 'one-for-one',
        children: Array.from({ length: SHARDS }, (_, shard) => worker(senderActor({ shard, line, pool }))),
      },
    );
    return { line, spec };
  }

  function receiving(bot: string, client: ReturnType<typeof telegramClient>, onUnauthorized: () => void): ChildSpec[] {
    const status = { report: (state: NonNullable<BotHealth['receiving']>) => report(bot, { receiving: state }) };
    const updates = tellingInbox(inbox(deps.store, bot, clock), bot, deps.events);
    const { keeper, acceptance } = deps;
    return [
      worker(ingressActor({ bot, client, keeper, inbox: updates, status, onUnauthorized })),
      worker(
        botActor({
          bot,
          client,
          inbox: updates,
          subscribers: subscribers(deps.store, bot),
          acceptance,
          features: deps.features,
          adminIds: config.adminIds,
          status,
          onUnauthorized,
        }),
      ),
    ];
  }

  return {
    look,
    get running() {
      return [...runs.keys()];
    },
    met: (bot) => meeting(bot).met,
    async drain(ms) {
      over = true;
      await Promise.all([...runs].map(([id, run]) => drainBot(id, run, ms)));
    },
    async close() {
      for (const { closers } of runs.values()) for (const close of closers) await close();
    },
  };
}

const poolPath = (bot: string): string => `${BOTS}/bot:${bot}/sender-pool`;

/** What a bot must be started again for. */
const markOf = ({ token, rates }: KeptBot & { token: string }): string =>
  JSON.stringify([token, rates.rate, rates.chatRate, rates.groupRate]);

function ignoreUnknown(error: unknown): void {
  if ((error as { code?: unknown }).code !== 'PH_ACTOR_UNKNOWN') throw error;
}
