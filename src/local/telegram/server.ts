import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createBotApi } from './bot-api/bot-api.js';
import { CallbackAnswers } from './bot-api/callback-answers.js';
import { REFUSALS } from './bot-api/refusal.js';
import { Sending } from './bot-api/sending.js';
import { UpdatePolls } from './bot-api/update-polls.js';
import { type LocalClock, systemClock } from './clock.js';
import { makeBot } from './control/bots.js';
import { LiveFeed } from './control/live-feed.js';
import { createLocalControl, type LocalControl } from './control/local-control.js';
import { createLocalRoutes } from './control/routes.js';
import { type Exchange, type HttpListener, listenHttp } from './http/listener.js';
import { LocalTelegramError } from './local-telegram-error.js';
import { VirtualClock } from './virtual-clock.js';
import { Webhooks } from './webhooks/webhooks.js';
import { lockDirectory } from './world/data-lock.js';
import { Journal } from './world/journal.js';
import { World } from './world/world.js';

const USUAL_PORT = 8081;
const CLIENT_QUIET_MS = 15_000;
const DISK_RETRY_MS = 1000;
const LOOPBACK = /^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/i;
const LOOPBACK_ORIGIN = /^https?:\/\/(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/i;

/** How a local Telegram is started; the world lives in `<dataDir>/telegram`. */
export interface LocalTelegramOptions {
  readonly dataDir: string;
  /** 0 is any free port. Absent: the one kept in `dataDir`, else 8081, else any free one; it is then kept. */
  readonly port?: number | undefined;
  /** Takes one line of text for each event worth telling. */
  readonly log?: (line: string) => void;
  /** Whether a made-up bot exists from the start, the same after restarts. Default true. */
  readonly firstBot?: boolean;
  /** About what the kept messages may take on disk, in bytes; older ones are given up first. Default 512 MB. */
  readonly historyBytes?: number;
  /** What its time is built on; the control API can put that forward (`PUT /local/clock`). Default: the system's clock. */
  readonly clock?: LocalClock;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

/** A running local Telegram. */
export interface LocalTelegram {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  readonly port: number;
  /** The control API as functions. */
  readonly control: LocalControl;
  /** Open connections with a Bot API request unanswered or less than 15 s old. */
  clients(): number;
  /** Keeps the world, closes all connections, frees port and directory. May be called again. */
  stop(): Promise<void>;
}

/**
 * Starts a Telegram for this machine alone: the Bot API and the control API of docs/contract.md on 127.0.0.1. All that was answered as done survives the process's death.
 * Rejects with a LocalTelegramError: PH_LOCAL_TELEGRAM_PORT_TAKEN (a port that was asked for), PH_LOCAL_TELEGRAM_LOCKED, PH_LOCAL_TELEGRAM_DATA.
 */
export async function startLocalTelegram(options: LocalTelegramOptions): Promise<LocalTelegram> {
  const { log = () => undefined, random = Math.random } = options;
  const dir = join(options.dataDir, 'telegram');
  const release = lockDirectory(dir);
  const hostClock = options.clock ?? systemClock;
  const clock = new VirtualClock(hostClock);
  let listener: HttpListener | undefined;
  let journal: Journal | undefined;
  try {
    const opened = Journal.open(dir, () => listener?.schedule(), options.historyBytes);
    journal = opened;
    const world = World.open(dir, opened, log);
    clock.adopt(world.state.time);
    if (options.firstBot !== false && !world.bots().some(({ making }) => making.first)) {
      makeBot(world, random, { first: true });
    }
    if (!world.flush())
      throw new LocalTelegramError('PH_LOCAL_TELEGRAM_DATA', `cannot write to ${dir}`, opened.failure);
    const polls = new UpdatePolls(world, clock);
    const sending = new Sending(world, clock, random);
    const feed = new LiveFeed(world, { now: () => clock.now(), after: (ms, run) => hostClock.after(ms, run) });
    const onDefect = (error: unknown): void =>
      log(`local telegram: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    const webhooks = new Webhooks({
      world,
      clock,
      random,
      carryOut: (bot, answer) => botApi.carryOut(bot, answer),
      onFailed: (bot, message) => {
        feed.webhookFailed(bot, message);
        listener?.schedule();
      },
      onDefect,
    });
    const callbacks = new CallbackAnswers(clock);
    const botApi = createBotApi({ world, clock, polls, sending, webhooks, callbacks, feed });
    const controlDeps = { world, clock, polls, webhooks, callbacks, random, feed, onDefect };
    const localRoutes = createLocalRoutes(controlDeps);
    const control = createLocalControl(controlDeps, () => {
      if (opened.failure === undefined) return;
      throw new LocalTelegramError('PH_LOCAL_TELEGRAM_DATA', `cannot write to ${dir}`, opened.failure);
    });

    let cancelRetry: (() => void) | undefined;
    const beforeAnswers = (): boolean => {
      const durable = world.flush();
      if (durable) {
        const fresh = world.takeFresh();
        polls.wake(fresh);
        webhooks.wake(fresh);
      } else if (cancelRetry === undefined) {
        log(`local telegram: the disk refuses: ${String(opened.failure)}; nothing is taken until it does not`);
        cancelRetry = hostClock.after(DISK_RETRY_MS, () => {
          cancelRetry = undefined;
          listener?.schedule();
        });
      }
      sending.settle();
      if (durable) feed.publish();
      return durable;
    };
    const onExchange = (exchange: Exchange): void => {
      try {
        dispatch(exchange);
      } catch (error) {
        // A defect of ours must not take the other calls along.
        onDefect(error);
        exchange.answer(REFUSALS.internal.code, REFUSALS.internal.body());
      }
    };
    const dispatch = (exchange: Exchange): void => {
      const { request } = exchange;
      const isLocal = request.path.startsWith('/local');
      const fault =
        opened.failure !== undefined ? REFUSALS.internal : foreignCaller(exchange) ? REFUSALS.foreignHost : undefined;
      if (fault !== undefined) {
        exchange.answer(fault.code, isLocal ? JSON.stringify({ error: fault.description }) : fault.body());
      } else if (isLocal && /^\/local(\/|$)/.test(request.path)) localRoutes(exchange);
      else if (request.path.startsWith('/bot') || request.path.startsWith('/file/bot')) botApi.take(exchange);
      else exchange.answer(404, REFUSALS.notFound.body());
    };
    const owner = {
      onExchange,
      beforeAnswers,
      faultBody: (status: number, reason: string) =>
        `{"ok":false,"error_code":${status},"description":${JSON.stringify(reason)}}`,
    };
    const bound = await listen(dir, options.port, (port) => listenHttp(port, owner));
    listener = bound;
    // What waited for a webhook when the world was left is delivered now.
    webhooks.wake([]);
    let stopped: Promise<void> | undefined;
    const stop = async (): Promise<void> => {
      webhooks.stop();
      await bound.close();
      clock.dropAll();
      cancelRetry?.();
      if (world.flush()) world.checkpoint();
      opened.close();
      release();
    };
    return {
      url: `http://127.0.0.1:${bound.port}`,
      port: bound.port,
      control,
      clients: () => bound.botApiConnections(clock.now() - CLIENT_QUIET_MS),
      stop: () => {
        stopped ??= stop();
        return stopped;
      },
    };
  } catch (error) {
    journal?.close();
    release();
    throw error;
  }
}

/** Whether a request comes by way of a page of another site, or under a name that is not this machine's (DNS rebinding). */
function foreignCaller({ request: { host, origin, path } }: Exchange): boolean {
  if (host !== '' && !LOOPBACK.test(host)) return true;
  return path.startsWith('/local') && origin !== '' && !LOOPBACK_ORIGIN.test(origin);
}

async function listen(
  dir: string,
  wish: number | undefined,
  bind: (port: number) => Promise<HttpListener>,
): Promise<HttpListener> {
  const file = join(dir, 'port');
  const choices = wish === undefined ? [keptPort(file), USUAL_PORT, 0] : [wish];
  for (const port of choices) {
    if (port === undefined) continue;
    try {
      const listener = await bind(port);
      // What is kept already is not written again: the disk may be full.
      if (wish === undefined && keptPort(file) !== listener.port) writeFileSync(file, `${listener.port}\n`);
      return listener;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EADDRINUSE' && code !== 'EACCES') throw error;
      if (wish !== undefined) {
        throw new LocalTelegramError(
          'PH_LOCAL_TELEGRAM_PORT_TAKEN',
          `port ${port} of 127.0.0.1 is taken (${code})`,
          error,
        );
      }
    }
  }
  throw new LocalTelegramError('PH_LOCAL_TELEGRAM_PORT_TAKEN', 'no port of 127.0.0.1 is free');
}

function keptPort(file: string): number | undefined {
  try {
    const port = Number(readFileSync(file, 'utf8').trim());
    return Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined;
  } catch {
    return undefined;
  }
}
