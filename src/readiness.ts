import type { PoolReport } from './actors/pool/state.js';
import type { IngressStatus } from './actors/receive-lease.js';
import type { StoreState } from './actors/store-probe.js';
import type { Check, Readiness } from './http/application.js';
import type { Queue } from './queues.js';
import { COUNTED } from './store/dead-letters.js';
import type { LongWaits } from './store/long-waits.js';

/** Share of the memory limit at which memory counts as degraded. */
const MEMORY_SHARE = 0.8;

/** What a process knows of a bot that it runs. */
export interface BotHealth {
  /** By part: what its actor said last. Absent parts are not this process's. */
  sending: PoolReport | undefined;
  receiving: IngressStatus | undefined;
  /** getMe of the bot: answered, failed, or not known yet. */
  met: 'unknown' | 'ok' | 'failed' | 'refused';
  /** Added while the process ran: it is no reason to take the process out of service. */
  readonly late: boolean;
}

/** What a process knows of its own health; actors report into it, /health/ready reads it. */
export interface Health {
  /** undefined until the store was reached once. */
  store: () => StoreState | undefined;
  /** The bots that this process runs, by id; undefined until the list was read. */
  bots: Map<string, BotHealth> | undefined;
  /** Bots whose token Telegram refuses, as the store says: any process may have found it out. */
  unauthorized: readonly string[];
  /** Long waits of bots that other processes send for, as the store says. */
  waits: ReadonlyMap<string, LongWaits>;
  /** Queues of which too many dead letters wait, and how many. */
  deadLetters: ReadonlyMap<Queue, number>;
  /** Which parts this process plays. */
  readonly plays: { readonly sender: boolean; readonly bot: boolean };
  /** Bytes: in use and allowed; undefined where there is no limit. */
  memory: () => { readonly used: number; readonly limit: number | undefined };
}

/** The health of a process before anything has reported. */
export function health(plays: Health['plays']): Health {
  return {
    store: () => undefined,
    bots: undefined,
    unauthorized: [],
    waits: new Map(),
    deadLetters: new Map(),
    plays,
    memory: () => ({ used: process.memoryUsage.rss(), limit: memoryLimit() }),
  };
}

/** The health of a bot that is about to start. */
export const botHealth = (late: boolean): BotHealth => ({
  sending: undefined,
  receiving: undefined,
  met: 'unknown',
  late,
});

/** The container's memory limit where Node knows one. */
function memoryLimit(): number | undefined {
  const limit = process.constrainedMemory?.() ?? 0;
  return limit > 0 && limit < 2 ** 50 ? limit : undefined;
}

/** The answer of /health/ready: `down` while anything needed is not there, `degraded` when something was tried and failed. */
export function readiness(of: Health): Readiness {
  const checks: Readonly<Record<string, Check>> = {
    store: storeCheck(of),
    cache: { status: 'ok', detail: 'MongoDB' },
    bots: botsCheck(of),
    queues: queuesCheck(of),
    memory: memoryCheck(of),
  };
  const states = Object.values(checks).map((check) => check.status);
  const status = states.includes('down') ? 'down' : states.includes('degraded') ? 'degraded' : 'ready';
  return { status, checks };
}

function storeCheck(of: Health): Check {
  const store = of.store();
  if (store === 'ok') return { status: 'ok' };
  if (store === 'full')
    return {
      status: 'down',
      detail: 'full, or its disk failed: it takes no writes until there is room (the log says why)',
    };
  return { status: 'down', detail: store === undefined ? 'not reached yet' : 'lost; trying again' };
}

const REFUSED = 'Telegram refuses the token';
const WEIGHT = { ok: 0, degraded: 1, down: 2 } as const;

/** The worst of the bots counts; with several of them each is named. */
function botsCheck(of: Health): Check {
  const runs = of.plays.sender || of.plays.bot;
  if (runs && of.bots === undefined) return { status: 'down', detail: 'getMe has not answered yet' };
  const own = [...(of.bots ?? [])].map(([bot, state]) => ({ bot, ...botCheck(state, of.plays) }));
  const refused = of.unauthorized
    .filter((bot) => own.every((one) => one.bot !== bot || one.status === 'ok'))
    .map((bot) => ({ bot, status: 'degraded' as const, detail: REFUSED }));
  const told = [...own.filter(({ bot }) => refused.every((one) => one.bot !== bot)), ...refused];
  const named = told.length > 1 || !runs;
  const details = told
    .filter(({ detail }) => detail !== undefined)
    .map(({ bot, detail }) => (named ? `bot ${bot}: ${detail}` : detail));
  const status = told.reduce<Check['status']>(
    (worst, one) => (WEIGHT[one.status] > WEIGHT[worst] ? one.status : worst),
    'ok',
  );
  return { status, ...(details.length === 0 ? {} : { detail: details.join('; ') }) };
}

function botCheck(state: BotHealth, plays: Health['plays']): Check {
  const { sending, receiving, met } = state;
  const starting = (detail: string): Check => ({ status: state.late ? 'ok' : 'down', detail });
  if (met === 'unknown') return starting('getMe has not answered yet');
  if (met === 'refused') return { status: 'degraded', detail: REFUSED };
  if (plays.sender && (sending === undefined || sending.sending === 'starting'))
    return starting('the send lease is not held yet');
  if (plays.bot && receiving === undefined) return starting('the receive lease is not held yet');
  if (met !== 'ok') return { status: 'degraded', detail: 'Telegram does not answer' };
  if (sending?.outage !== undefined) return { status: 'degraded', detail: `sending is paused: ${sending.outage}` };
  if (receiving?.state === 'degraded' || receiving?.state === 'unauthorized') {
    return { status: 'degraded', detail: receiving.detail ?? receiving.state };
  }
  return { status: 'ok' };
}

/** Messages that Telegram makes wait for more than 10 s are no fault of this process, and nothing that it could mend: degraded, with the time. */
function queuesCheck({ bots, waits, deadLetters }: Health): Check {
  const ids = new Set([...(bots?.keys() ?? []), ...waits.keys()]);
  const told = [...ids].flatMap((bot) => {
    const its = bots?.get(bot)?.sending?.waits ?? waits.get(bot);
    // A process that runs its one bot need not name it.
    return its === undefined ? [] : [wordsOf(ids.size > 1 || bots?.has(bot) !== true ? `bot ${bot}` : 'the bot', its)];
  });
  const letters = [...deadLetters].map(
    ([queue, count]) => `${queue}: ${count > COUNTED ? `more than ${COUNTED}` : count} dead letters wait`,
  );
  if (letters.length > 0) told.push(`${letters.join('; ')} (posthorn dlq list)`);
  return told.length === 0 ? { status: 'ok' } : { status: 'degraded', detail: told.join('; ') };
}

function wordsOf(name: string, { bot, chats, until }: LongWaits): string {
  const time = (epochMs: number) => new Date(epochMs).toISOString();
  if (bot !== undefined) return `Telegram makes ${name} wait until ${time(bot)} (429)`;
  return `Telegram makes ${chats} ${chats === 1 ? 'chat' : 'chats'} of ${name} wait, the last until ${time(until)} (429)`;
}

function memoryCheck(of: Health): Check {
  const { used, limit } = of.memory();
  if (limit === undefined || used <= limit * MEMORY_SHARE) return { status: 'ok' };
  return {
    status: 'degraded',
    detail: `${Math.round(used / 1_048_576)} of ${Math.round(limit / 1_048_576)} MB in use`,
  };
}
