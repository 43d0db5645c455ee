/** What a row of `npm run bench` runs on: a local Telegram in a process of its own, and Posthorn in one process or in several. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LocalTelegramControl, localTelegramControl } from '../test/support/local-telegram.js';
import { type PosthornApi, posthornApi } from '../test/support/posthorn-api.js';
import { type Program, startProgram } from './support.js';

const API_KEY = 'bench-key';

/** How a world is made. */
export interface WorldOptions {
  /** Roles by process, in the order of their start; default: one process with all of them. */
  readonly processes?: readonly (readonly string[])[];
  /** Beside the addresses of store and Telegram. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A running installation. */
export interface World {
  readonly telegram: LocalTelegramControl;
  readonly bot: { readonly id: number; readonly token: string };
  readonly api: PosthornApi;
  readonly url: string;
  /** Of our processes; the local Telegram is none of them. */
  readonly pids: readonly number[];
}

/** Starts a world, does `work` in it, and ends it whatever comes of that. Each start waits for `posthorn ready`. */
export async function inWorld<T>(options: WorldOptions, work: (world: World) => Promise<T>): Promise<T> {
  const { processes = [[]], env = {} } = options;
  const dir = await mkdtemp(join(tmpdir(), 'posthorn-bench-'));
  const programs: Program[] = [];
  const start = (roles: readonly string[], more: Readonly<Record<string, string>>): Program => {
    // In `dir` there is no .env that could interfere.
    const common = { LOG_LEVEL: 'warn', API_KEY, HOST: '127.0.0.1', PORT: '0' };
    const program = startProgram(['start', ...roles], { ...common, ...more }, dir);
    programs.unshift(program);
    return program;
  };
  try {
    const far = start(['local'], {
      DATA_DIR: join(dir, 'telegram'),
      MONGODB_URI: 'mongodb://127.0.0.1:9/not-used',
    });
    const telegram = localTelegramControl(await far.line('local telegram '));
    await far.line('posthorn ready');
    const [bot] = await telegram.bots();
    if (bot === undefined) throw new Error('the local Telegram has no bot');
    const own = { DATA_DIR: join(dir, 'posthorn'), BOT_TOKEN: bot.token, TELEGRAM_API_ROOT: telegram.url, ...env };
    const pids: number[] = [];
    let url = '';
    for (const roles of processes) {
      const program = start(roles, own);
      pids.push(program.pid);
      const ready = (await program.line('posthorn ready')).trim();
      if (ready !== '') url = ready;
    }
    return await work({ telegram, bot, api: posthornApi(url, API_KEY), url, pids });
  } finally {
    // The last started is the first to go: the stand-ins wait for their clients.
    for (const program of programs) await program.stop();
    await rm(dir, { recursive: true, force: true });
  }
}
