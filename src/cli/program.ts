import { readFileSync } from 'node:fs';
import { Argument, Command, CommanderError, Option } from 'commander';
import type { ImportFormat } from '../api/import/person-rows.js';
import { type Config, parseConfig } from '../config.js';
import { QUEUES, type Queue } from '../queues.js';
import { ROLES, type Role } from '../roles.js';
import type { BotAddOptions } from './commands/bots.js';
import type { BroadcastOptions } from './commands/broadcast.js';
import type { DeliveryOptions } from './commands/deliveries.js';
import type { Chosen } from './commands/dlq.js';
import { CommandError, EXIT, ending } from './exit.js';
import type { Io } from './io.js';
import { nearest } from './nearest.js';
import { type Session, session } from './session.js';

/** What the program is given by main. */
export interface ProgramDeps {
  /** Runs a process with these roles until it is stopped; resolves with its exit code. */
  readonly start: (config: Config, roles: readonly Role[], io: Io) => Promise<number>;
  /** Names of the features that are built, for FEATURES. */
  readonly features: readonly string[];
}

// Each command is loaded when it is run: help and wrong usage need no database driver.
const broadcasting = () => import('./commands/broadcast.js');
const managingBots = () => import('./commands/bots.js');
const deadLettering = () => import('./commands/dlq.js');
const delivering = () => import('./commands/deliveries.js');

/** The version in package.json, beside dist/ and src/. */
function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** The roles named, all of them when none is. Throws CommandError 64 with the nearest role for a word that is none. */
function rolesOf(words: readonly string[]): Role[] {
  const named = words.map((word) => {
    const role = ROLES.find((known) => known === word);
    if (role !== undefined) return role;
    const near = nearest(word, ROLES);
    const hint = near === undefined ? `the roles are ${ROLES.join(', ')}` : `did you mean ${near}?`;
    throw new CommandError(EXIT.usage, `unknown role '${word}' (${hint})`);
  });
  return named.length === 0 ? [...ROLES] : [...new Set(named)];
}

const JSON_OPTION = ['--json', 'print one JSON document on standard output'] as const;

const queueArgument = () => new Argument('<queue>', 'which queue').choices(QUEUES);

/** The options of commands that choose dead letters. */
const choosing = (command: Command): Command =>
  command
    .addArgument(queueArgument())
    .argument('[ids...]', 'ids of dead letters')
    .option('--all', 'all that wait')
    .option('--filter <json>', 'those that fit: {"botId","reason","since"}')
    .option(...JSON_OPTION);

/** The options of commands that choose deliveries. */
const filtering = (command: Command): Command =>
  command
    .option('--since <time>', 'accepted then or later (ISO 8601, or a day)')
    .option('--state <state>', 'only in this state')
    .option('--broadcast <id>', 'only of this broadcast')
    .option('--chat <id>', 'only to this chat')
    .option('--bot <id>', 'of this bot (default: the first)');

/** A choice that wrong usage is told about by name. */
const choice = (flags: string, about: string, choices: readonly string[]): Option =>
  new Option(flags, about).choices(choices);

/**
 * Runs one command: `argv` are the words after the program's name. Prints results to `io.stdout`, all else to `io.stderr`.
 * Resolves with the exit code (exit.ts); never rejects.
 */
export async function runProgram(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  io: Io,
  deps: ProgramDeps,
): Promise<number> {
  let exitCode: number = EXIT.done;
  /** An action of commander: reads the configuration, then runs the command and keeps its exit code. */
  const run =
    <A extends unknown[]>(command: (session: Session, ...args: A) => Promise<number>) =>
    async (...args: A): Promise<void> => {
      exitCode = await command(session(parseConfig(env, deps.features), io, Boolean(env.LOG_LEVEL)), ...args);
    };

  const program = new Command('posthorn')
    .description('A server for Telegram bots that must reach many people.')
    .version(version(), '-V, --version', 'print the version')
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.stdout.write(text), writeErr: (text) => io.stderr.write(text) })
    .showHelpAfterError('(posthorn --help lists the commands)');

  program
    .command('start')
    .description(`run the server with these roles (${ROLES.join(', ')}; none named = all)`)
    .argument('[roles...]')
    .action((words: string[]) => {
      const roles = rolesOf(words);
      return run(({ config }) => deps.start(config, roles, io))();
    });
  program
    .command('status')
    .description('ask the running server how it is')
    .option(...JSON_OPTION)
    .action((options: { json?: true }) =>
      run(async (s) => (await import('./commands/status.js')).status(s, options.json === true))(),
    );
  program
    .command('doctor')
    .description('check configuration, data directory, store and Telegram')
    .option('--store', 'walk all documents and all indexes of the store, too')
    .option(...JSON_OPTION)
    .action((options: { store?: true; json?: true }) =>
      run(async (s) =>
        (await import('./commands/doctor.js')).doctor(s, options.json === true, options.store === true),
      )(),
    );
  program
    .command('backup')
    .description('copy the embedded store, also while it serves, so that a server can be started on the copy')
    .argument('<dir>', 'a directory to be made, or an empty one')
    .option(...JSON_OPTION)
    .action((directory: string, options: { json?: true }) =>
      run(async (s) => (await import('./commands/backup.js')).backup(s, directory, options.json === true))(),
    );
  program
    .command('migrate')
    .description('make missing collections and indexes')
    .option(...JSON_OPTION)
    .action((options: { json?: true }) =>
      run(async (s) => (await import('./commands/migrate.js')).migrate(s, options.json === true))(),
    );

  const users = program.command('users').description('people: import');
  users
    .command('import')
    .description('import people from FILE (NDJSON or CSV), - is standard input')
    .argument('<file>')
    .addOption(choice('--format <format>', 'the format; else by the ending of the name', ['ndjson', 'csv']))
    .option(...JSON_OPTION)
    .action((file: string, options: { format?: ImportFormat; json?: true }) =>
      run(async (s) => (await import('./commands/users-import.js')).usersImport(s, file, options))(),
    );

  program
    .command('broadcast')
    .description('send a text to everybody, or to an audience')
    .argument('[text]')
    .option('--file <file>', 'take the text from a file')
    .option('--audience <json>', 'whom: {"tags":[…],"types":[…]}')
    .addOption(choice('--parse-mode <mode>', 'how the text is marked up', ['HTML', 'MarkdownV2']))
    .addOption(choice('--class <class>', 'what may happen after a lost answer', ['at-least-once', 'at-most-once']))
    .addOption(choice('--lane <lane>', 'the lane (default bulk)', ['reply', 'notify', 'bulk']))
    .option('--bot <id>', 'which bot sends (default: the first)')
    .option('--idempotency-key <key>', 'the same key again is the same broadcast')
    .option('--name <name>', 'a name for lists')
    .option('--wait', 'follow it to its end')
    .option(...JSON_OPTION)
    .action((text: string | undefined, options: BroadcastOptions) =>
      run(async (s) => (await broadcasting()).broadcast(s, text, options))(),
    );

  const broadcasts = program.command('broadcasts').description('broadcasts: list, show, pause, resume, cancel');
  broadcasts
    .command('list')
    .description('list broadcasts, newest first')
    .option('--bot <id>', 'only of this bot')
    .option('--limit <n>', 'at most so many (1–1000)')
    .option('--cursor <cursor>', 'go on where a list ended')
    .option(...JSON_OPTION)
    .action(({ json, bot, ...rest }: { json?: true; bot?: string }) =>
      run(async (s) =>
        (await broadcasting()).showBroadcasts(
          s,
          { ...rest, ...(bot === undefined ? {} : { botId: bot }) },
          json === true,
        ),
      )(),
    );
  broadcasts
    .command('show')
    .description('show one broadcast')
    .argument('<id>')
    .option(...JSON_OPTION)
    .action((id: string, options: { json?: true }) =>
      run(async (s) => (await broadcasting()).showBroadcast(s, id, options.json === true))(),
    );
  const moves = { pause: 'hold it until it is resumed', resume: 'let a paused one go on', cancel: 'end it for good' };
  for (const move of ['pause', 'resume', 'cancel'] as const) {
    broadcasts
      .command(move)
      .description(moves[move])
      .argument('<id>')
      .option(...JSON_OPTION)
      .action((id: string, options: { json?: true }) =>
        run(async (s) => (await broadcasting()).moveBroadcastState(s, id, move, options.json === true))(),
      );
  }

  const bots = program.command('bots').description('bots: add, list, remove');
  bots
    .command('add')
    .description('add a bot, or give a known one another token or rates')
    .argument('[token]', 'its token; without it, or with -, it is read from standard input')
    .option('--rate <n>', 'messages a second (0 = unlimited; default = SEND_RATE)')
    .option('--chat-rate <n>', 'messages a second to a private chat (default = SEND_CHAT_RATE)')
    .option('--group-rate <n>', 'messages a minute to a group (default = SEND_GROUP_RATE)')
    .option(...JSON_OPTION)
    .action((token: string | undefined, options: BotAddOptions) =>
      run(async (s) => (await managingBots()).botsAdd(s, token, options))(),
    );
  bots
    .command('list')
    .description('list the bots')
    .option(...JSON_OPTION)
    .action((options: { json?: true }) =>
      run(async (s) => (await managingBots()).botsList(s, options.json === true))(),
    );
  bots
    .command('remove')
    .description('remove a bot once nothing of it waits')
    .argument('<id>')
    .option('--force', 'also while something waits: it stays, and goes on when the bot is added again')
    .option(...JSON_OPTION)
    .action((id: string, options: { force?: true; json?: true }) =>
      run(async (s) => (await managingBots()).botsRemove(s, id, options))(),
    );

  const dlq = program.command('dlq').description('dead letters: list, show, replay, drop');
  dlq
    .command('list')
    .description('list dead letters that wait, newest first')
    .addArgument(queueArgument())
    .addOption(choice('--state <state>', 'those in this state (default waiting)', ['waiting', 'replayed', 'dropped']))
    .option('--filter <json>', 'those that fit: {"botId","reason","since"}')
    .option('--limit <n>', 'at most so many (1–1000)')
    .option('--cursor <cursor>', 'go on where a list ended')
    .option(...JSON_OPTION)
    .action((queue: Queue, options: Chosen) => run(async (s) => (await deadLettering()).listDlq(s, queue, options))());
  dlq
    .command('show')
    .description('show dead letters with their messages or updates')
    .addArgument(queueArgument())
    .argument('<ids...>')
    .option(...JSON_OPTION)
    .action((queue: Queue, ids: string[], options: { json?: true }) =>
      run(async (s) => (await deadLettering()).showDlq(s, queue, ids, options.json === true))(),
    );
  choosing(dlq.command('replay'))
    .description('try again what has died, each once')
    .action((queue: Queue, ids: string[], options: Chosen) =>
      run(async (s) => (await deadLettering()).replayDlq(s, queue, ids, options))(),
    );
  choosing(dlq.command('drop'))
    .description('give up what has died for good')
    .action((queue: Queue, ids: string[], options: Chosen) =>
      run(async (s) => (await deadLettering()).dropDlq(s, queue, ids, options))(),
    );

  const deliveries = program.command('deliveries').description('deliveries: list, export');
  filtering(deliveries.command('list'))
    .description('list deliveries, newest first; by chat those of the last day unless --since is given')
    .option('--limit <n>', 'at most so many (1–1000)')
    .option('--cursor <cursor>', 'go on where a list ended')
    .option(...JSON_OPTION)
    .action((options: DeliveryOptions) => run(async (s) => (await delivering()).listAll(s, options))());
  filtering(deliveries.command('export'))
    .description('write all deliveries that are kept to standard output, newest first')
    .addOption(choice('--format <format>', 'the format (default csv)', ['csv', 'ndjson']))
    .action((options: DeliveryOptions & { format?: string }) =>
      run(async (s) => (await delivering()).exportAll(s, options))(),
    );

  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (error) {
    // Commander has printed what it throws; help and version that were asked for are no errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    const { text, exitCode: code } = ending(error);
    io.stderr.write(text);
    return code;
  }
}
