import { resolve } from 'node:path';

/** How loud the log is. */
export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';

/** The configuration of a process, from its environment: parsed once, checked whole, frozen. Undefined means "not set" where nothing else is said. */
export interface Config {
  readonly production: boolean;
  /** Where HTTP listens; port 0 takes any free one. */
  readonly http: { readonly host: string; readonly port: number };
  /** Undefined: the embedded store. */
  readonly mongoUri: string | undefined;
  /** The embedded store: may it serve in production, its size in MB, its port (undefined: any free one). */
  readonly localStore: { readonly allowed: boolean; readonly maxMb: number; readonly port: number | undefined };
  readonly redisUrl: string | undefined;
  /** The first bot; undefined: the local Telegram with a made-up one. */
  readonly bot: { readonly id: string; readonly token: string } | undefined;
  /** The Bot API server, without a slash at its end; the port of the local one (undefined: 8081 or any free one). */
  readonly telegram: { readonly apiRoot: string; readonly localPort: number | undefined };
  /** Address of this service without a slash at its end; undefined: updates are polled. */
  readonly publicUrl: string | undefined;
  readonly webhookSecret: string | undefined;
  /** Telegram user ids. */
  readonly adminIds: readonly number[];
  readonly apiKey: string | undefined;
  readonly secretKey: string | undefined;
  readonly vapid:
    | { readonly publicKey: string; readonly privateKey: string; readonly subject: string | undefined }
    | undefined;
  readonly corsOrigins: readonly string[];
  /** Undefined: all that are built. */
  readonly features: readonly string[] | undefined;
  /** Absolute path. */
  readonly dataDir: string;
  /** `format` undefined: pretty on a terminal, else json. */
  readonly log: { readonly level: LogLevel; readonly format: 'pretty' | 'json' | undefined };
  /** Messages a second per bot, a second per private chat, a minute per group (0 = unlimited), and calls in flight per bot. */
  readonly send: {
    readonly rate: number;
    readonly chatRate: number;
    readonly groupRate: number;
    readonly concurrency: number;
  };
  /** Drain time after SIGTERM, ms. */
  readonly shutdownMs: number;
}

/** One wrong variable: its name, its value with secrets hidden, and what was expected. */
export interface ConfigProblem {
  readonly name: string;
  readonly value: string;
  readonly expected: string;
}

/** All that is wrong with the environment; the program prints it as one table and ends with 78. */
export class ConfigError extends Error {
  readonly code = 'PH_CONFIG_INVALID';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(
      `${problems.length} wrong setting${problems.length === 1 ? '' : 's'}: ${problems.map((p) => p.name).join(', ')}`,
    );
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

const SECRETS = new Set(['BOT_TOKEN', 'WEBHOOK_SECRET', 'API_KEY', 'SECRET_KEY', 'VAPID_PRIVATE_KEY']);
const LEVELS: readonly LogLevel[] = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'];

/** A value as it may be shown: secrets hidden, the password of an address too, at most 60 characters. */
function shown(name: string, value: string | undefined): string {
  if (value === undefined) return '(not set)';
  if (SECRETS.has(name)) return '(hidden)';
  const plain = /^[a-z+]+:\/\//i.test(value) ? value.replace(/\/\/.*@/, '//***@') : value;
  return plain.length > 60 ? `${plain.slice(0, 59)}…` : plain;
}

/** A value's reading, or what was expected instead. */
type Reading<T> = { readonly ok: T } | { readonly expected: string };

const list = (value: string): string[] =>
  value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');

function wholeNumber(value: string, min: number, max: number, expected: string): Reading<number> {
  const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  return number >= min && number <= max ? { ok: number } : { expected };
}

function parsedUrl(value: string): URL | undefined {
  try {
    return new URL(value);
  } catch {
    return undefined;
  }
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** A web address without query, fragment and password; the slash at its end is left out. */
function webAddress(value: string, allowed: (url: URL) => boolean, expected: string): Reading<string> {
  const url = parsedUrl(value);
  const plain = url !== undefined && url.search === '' && url.hash === '' && url.username === '' && url.password === '';
  return plain && allowed(url) ? { ok: value.replace(/\/+$/, '') } : { expected };
}

const HOSTS = String.raw`[^/?#@,\s]+(?:,[^/?#@,\s]+)*`;
const MONGO = new RegExp(`^mongodb(?:\\+srv)?://(?:[^/?#@\\s]+@)?${HOSTS}(?:/[^?#\\s]*)?(?:\\?[^#\\s]*)?$`, 'i');

/** A MongoDB URI; one that asks for a weaker write concern than majority is refused, since acceptance would promise too much. */
function mongoUri(value: string): Reading<string> {
  if (!MONGO.test(value)) return { expected: 'mongodb://host[:port][,…]/[database][?options] or mongodb+srv://…' };
  for (const [name, option] of new URLSearchParams(value.split('?')[1] ?? '')) {
    const weak =
      (name.toLowerCase() === 'w' && /^[+-]?[01]?$/.test(option.trim())) ||
      (/^(journal|j)$/i.test(name) && !/^true$/i.test(option.trim()));
    if (weak) return { expected: `no ${name}=${option} (a write counts only when the majority has it in its journal)` };
  }
  return { ok: value };
}

function botToken(value: string): Reading<{ id: string; token: string }> {
  const id = /^(\d+):[A-Za-z0-9_-]+$/.exec(value)?.[1];
  return id === undefined
    ? { expected: '<digits>:<letters, digits, _ and ->, as BotFather gives it' }
    : { ok: { id, token: value } };
}

function userIds(value: string): Reading<number[]> {
  const ids = list(value);
  const good = ids.every((id) => /^[1-9]\d{0,15}$/.test(id) && Number.isSafeInteger(Number(id)));
  return good ? { ok: ids.map(Number) } : { expected: 'Telegram user ids (positive integers), parted by commas' };
}

function origins(value: string): Reading<string[]> {
  const wrong = list(value).find((origin) => parsedUrl(origin)?.origin !== origin || !/^https?:/.test(origin));
  return wrong === undefined
    ? { ok: list(value) }
    : { expected: 'origins such as https://example.org, parted by commas' };
}

/** Bytes of base64url text, or −1 when it is none. */
const keyBytes = (value: string): number =>
  /^[\w-]+={0,2}$/.test(value) ? Buffer.from(value, 'base64url').length : -1;

const PORT = 'a port: an integer from 0 (any free one) to 65535';
const rate = (max: number) => `an integer from 0 (unlimited) to ${max}`;

/** Freezes a plain value with all that is in it. */
function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) for (const part of Object.values(value)) frozen(part);
  return Object.freeze(value);
}

/**
 * Reads the environment (the table of docs/operations.md). An empty text counts as not set; names that are not known are left alone.
 * `features` are the names that are built: others in FEATURES are a problem; without it any name passes.
 * Throws ConfigError PH_CONFIG_INVALID with every problem at once.
 */
export function parseConfig(env: Readonly<Record<string, string | undefined>>, features?: readonly string[]): Config {
  const problems: ConfigProblem[] = [];
  const raw = (name: string): string | undefined => {
    const value = env[name]?.trim();
    return value === '' ? undefined : value;
  };
  const refuse = (name: string, expected: string): void => {
    problems.push({ name, value: shown(name, raw(name)), expected });
  };
  /** The variable read by `read`; undefined when it is not set or wrong, which is noted. */
  const take = <T>(name: string, read: (value: string) => Reading<T>): T | undefined => {
    const value = raw(name);
    if (value === undefined) return undefined;
    const reading = read(value);
    if ('ok' in reading) return reading.ok;
    refuse(name, reading.expected);
    return undefined;
  };
  const integer = (name: string, min: number, max: number, expected: string): number | undefined =>
    take(name, (value) => wholeNumber(value, min, max, expected));
  const matching = (name: string, pattern: RegExp, expected: string): string | undefined =>
    take(name, (value) => (pattern.test(value) ? { ok: value } : { expected }));
  const oneOf = <T extends string>(name: string, choices: readonly T[]): T | undefined =>
    take(name, (value) => {
      const choice = choices.find((known) => known === value);
      return choice === undefined ? { expected: `one of ${choices.join(', ')}` } : { ok: choice };
    });

  const production = env.NODE_ENV === 'production';
  const apiRoot = take('TELEGRAM_API_ROOT', (value) =>
    webAddress(value, ({ protocol }) => /^https?:$/.test(protocol), 'an http or https address without query'),
  );
  const publicUrl = take('PUBLIC_URL', (value) =>
    webAddress(
      value,
      ({ protocol, hostname }) => protocol === 'https:' || (protocol === 'http:' && LOOPBACK.test(hostname)),
      'an https address without query (http only on loopback)',
    ),
  );
  const wanted = take('FEATURES', (value): Reading<string[]> => {
    const unknown = list(value).filter((name) => !(features ?? [name]).includes(name));
    const known = features !== undefined && features.length > 0 ? features.join(', ') : 'none are built yet';
    return unknown.length === 0 ? { ok: [...new Set(list(value))] } : { expected: `known features (${known})` };
  });
  const vapidPublic = take('VAPID_PUBLIC_KEY', (value) =>
    keyBytes(value) === 65 ? { ok: value } : { expected: '65 bytes in base64url' },
  );
  const vapidPrivate = take('VAPID_PRIVATE_KEY', (value) =>
    keyBytes(value) === 32 ? { ok: value } : { expected: '32 bytes in base64url' },
  );
  const vapidSubject = matching('VAPID_SUBJECT', /^(mailto:[^\s@]+@[^\s@]+|https:\/\/\S+)$/, 'mailto:… or https://…');

  const config: Config = {
    production,
    http: {
      host: matching('HOST', /^[^\s/]+$/, 'a host name or an address') ?? (production ? '0.0.0.0' : '127.0.0.1'),
      port: integer('PORT', 0, 65_535, PORT) ?? 3_000,
    },
    mongoUri: take('MONGODB_URI', mongoUri),
    localStore: {
      allowed: oneOf('LOCAL_STORE', ['allow']) !== undefined,
      maxMb: integer('LOCAL_STORE_MAX_MB', 1, 16_777_216, 'megabytes: an integer from 1 to 16777216') ?? 8_192,
      port: integer('LOCAL_MONGO_PORT', 0, 65_535, PORT) || undefined,
    },
    redisUrl: take('REDIS_URL', (value) =>
      /^rediss?:\/\/\S+$/i.test(value) && parsedUrl(value) !== undefined
        ? { ok: value }
        : { expected: 'redis://… or rediss://…' },
    ),
    bot: take('BOT_TOKEN', botToken),
    telegram: {
      apiRoot: apiRoot ?? 'https://api.telegram.org',
      localPort: integer('LOCAL_TELEGRAM_PORT', 0, 65_535, PORT) || undefined,
    },
    publicUrl,
    webhookSecret: matching('WEBHOOK_SECRET', /^[\w-]{1,256}$/, '1–256 of A-Z a-z 0-9 _ -'),
    adminIds: take('ADMIN_IDS', userIds) ?? [],
    apiKey: matching('API_KEY', /^[\x21-\x7e]+$/, 'printable ASCII without spaces'),
    secretKey: take('SECRET_KEY', (value) =>
      value.length >= 32 ? { ok: value } : { expected: 'a text of 32 characters or more' },
    ),
    vapid:
      vapidPublic === undefined || vapidPrivate === undefined
        ? undefined
        : { publicKey: vapidPublic, privateKey: vapidPrivate, subject: vapidSubject },
    corsOrigins: take('CORS_ORIGINS', origins) ?? [],
    features: wanted,
    dataDir: resolve(raw('DATA_DIR') ?? '.posthorn'),
    log: { level: oneOf('LOG_LEVEL', LEVELS) ?? 'info', format: oneOf('LOG_FORMAT', ['pretty', 'json']) },
    send: {
      rate: integer('SEND_RATE', 0, 100_000, rate(100_000)) ?? 30,
      chatRate: integer('SEND_CHAT_RATE', 0, 1_000, rate(1_000)) ?? 1,
      groupRate: integer('SEND_GROUP_RATE', 0, 60_000, rate(60_000)) ?? 20,
      concurrency: integer('SEND_CONCURRENCY', 1, 10_000, 'an integer from 1 to 10000') ?? 64,
    },
    shutdownMs: integer('SHUTDOWN_MS', 0, 3_600_000, 'milliseconds: an integer from 0 to 3600000') ?? 25_000,
  };

  if (raw('TELEGRAM_API_ROOT') !== undefined && raw('BOT_TOKEN') === undefined) {
    refuse('BOT_TOKEN', 'a token, since TELEGRAM_API_ROOT is set');
  }
  if ((raw('VAPID_PUBLIC_KEY') === undefined) !== (raw('VAPID_PRIVATE_KEY') === undefined)) {
    const missing = raw('VAPID_PUBLIC_KEY') === undefined ? 'VAPID_PUBLIC_KEY' : 'VAPID_PRIVATE_KEY';
    refuse(missing, 'both keys of the pair, or none');
  }
  if (production) {
    for (const name of ['BOT_TOKEN', 'API_KEY', 'SECRET_KEY']) {
      if (raw(name) === undefined && !problems.some((problem) => problem.name === name)) {
        refuse(name, 'a value: it is required in production');
      }
    }
    if (raw('MONGODB_URI') === undefined && raw('LOCAL_STORE') === undefined) {
      refuse('MONGODB_URI', 'a MongoDB in production (or LOCAL_STORE=allow for the embedded store)');
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return frozen(config);
}

/** All secrets of a configuration, so that a log can leave them out; passwords inside addresses too. Never throws. */
export function secretsOf(config: Config): string[] {
  const passwords = [config.mongoUri, config.redisUrl].map((uri) => /\/\/[^/@]*?:([^/]+)@/.exec(uri ?? '')?.[1]);
  const { webhookSecret, apiKey, secretKey, vapid, bot } = config;
  const all = [bot?.token, webhookSecret, apiKey, secretKey, vapid?.privateKey, ...passwords];
  return all.filter((secret) => secret !== undefined);
}

/** The problems as one table of text, a line each, columns aligned. Never throws. */
export function problemTable(problems: readonly ConfigProblem[]): string {
  const rows = [{ name: 'setting', value: 'value', expected: 'expected' }, ...problems];
  const [names, values] = (['name', 'value'] as const).map((key) => Math.max(...rows.map((row) => row[key].length)));
  return rows
    .map((row) => `  ${row.name.padEnd(names ?? 0)}  ${row.value.padEnd(values ?? 0)}  ${row.expected}\n`)
    .join('');
}
