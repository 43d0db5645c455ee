/** What a row of `npm run bench` runs on: a local Telegram in a process of its own, and Posthorn in one process or in several. */
import { join } from 'node:path';
import { type LocalTelegramControl, localTelegramControl } from '../test/support/local-telegram.js';
import { childrenOf, commandOnOtherHost } from '../test/support/other-host.js';
import { type PosthornApi, posthornApi } from '../test/support/posthorn-api.js';
import { type Program, startProgram, withPrograms } from './support.js';

/** The key that the API of a world takes. */
export const API_KEY = 'bench-key';

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
  /** Of the processes that the world was made with; the local Telegram is none of them. */
  readonly pids: readonly number[];
  readonly telegramPid: number;
  /** A directory that goes with the world. */
  readonly dir: string;
  /** Starts one more process of ours and waits until it is ready; the world ends it. `host` has it run on another host of that name (see commandOnOtherHost). */
  start(roles: readonly string[], host?: string): Promise<Running>;
}

/** A process of ours that runs. */
export interface Running {
  readonly program: Program;
  /** '' without the role web. */
  readonly url: string;
}

/** Starts a world, does `work` in it, and ends it whatever comes of that. Each start waits for `posthorn ready`. */
export function inWorld<T>(options: WorldOptions, work: (world: World) => Promise<T>): Promise<T> {
  const { processes = [[]], env = {} } = options;
  return withPrograms(async (dir, programs) => {
    const start = (roles: readonly string[], more: Readonly<Record<string, string>>, host?: string): Program => {
      // In `dir` there is no .env that could interfere.
      const common = { LOG_LEVEL: 'warn', API_KEY, HOST: '127.0.0.1', PORT: '0' };
      const command = host === undefined ? undefined : commandOnOtherHost(host, dir);
      const program = startProgram(['start', ...roles], { ...common, ...more }, dir, command);
      // The last started is the first to go: the stand-ins wait for their clients.
      programs.unshift(host === undefined ? program : { ...program, stop: () => stopWithin(program) });
      return program;
    };
    const far = start(['local'], {
      DATA_DIR: join(dir, 'telegram'),
      MONGODB_URI: 'mongodb://127.0.0.1:9/not-used',
    });
    const telegram = localTelegramControl(await far.line('local telegram '));
    await far.line('posthorn ready');
    const [bot] = await telegram.bots();
    if (bot === undefined) throw new Error('the local Telegram has no bot');
    const own = { DATA_DIR: join(dir, 'posthorn'), BOT_TOKEN: bot.token, TELEGRAM_API_ROOT: telegram.url, ...env };
    const running = async (roles: readonly string[], host?: string): Promise<Running> => {
      const program = start(roles, own, host);
      return { program, url: (await program.line('posthorn ready')).trim() };
    };
    const pids: number[] = [];
    let url = '';
    for (const roles of processes) {
      const one = await running(roles);
      pids.push(one.program.pid);
      if (one.url !== '') url = one.url;
    }
    return await work({
      telegram,
      bot,
      api: posthornApi(url, API_KEY),
      url,
      pids,
      telegramPid: far.pid,
      dir,
      start: running,
    });
  });
}

/** Stops the program that such a command runs. */
function stopWithin(command: Program): Promise<number> {
  for (const pid of childrenOf(command.pid)) process.kill(pid, 'SIGTERM');
  return command.stop();
}
