import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { type Config, ConfigError, parseConfig, problemTable, secretsOf } from '../src/config.js';
import {
  DataDirError,
  knownApiKey,
  loadSecrets,
  madeOnce,
  openDataDir,
  readStandIns,
  writeStandIns,
} from '../src/data-dir.js';
import { createLogger, redactor } from '../src/logger.js';

const problemsOf = (env: Record<string, string>, features?: string[]) => {
  try {
    parseConfig(env, features);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

t.test('an empty environment gives the defaults of the contract', async (t) => {
  const config = parseConfig({});
  t.match(config, {
    production: false,
    http: { host: '127.0.0.1', port: 3000 },
    mongoUri: undefined,
    localStore: { allowed: false, maxMb: 8192, port: undefined },
    bot: undefined,
    telegram: { apiRoot: 'https://api.telegram.org', localPort: undefined },
    adminIds: [],
    features: undefined,
    log: { level: 'info', format: undefined },
    send: { rate: 30, chatRate: 1, groupRate: 20, concurrency: 64 },
    shutdownMs: 25_000,
  });
  t.match(config.dataDir, /\/\.posthorn$/);
  t.throws(() => Object.assign(config.send, { rate: 1 }), 'it is frozen to its depth');
});

t.test('what is set is read; an empty text counts as not set', async (t) => {
  const token = '12345:AbC_-';
  const config = parseConfig(
    {
      PORT: '0',
      HOST: '::1',
      MONGODB_URI: 'mongodb://u:p%40w@a:1,b:2/db?replicaSet=rs&w=majority&journal=true',
      BOT_TOKEN: token,
      TELEGRAM_API_ROOT: 'http://localhost:8081/',
      PUBLIC_URL: 'https://bot.example.org/',
      ADMIN_IDS: '1, 22',
      CORS_ORIGINS: 'https://a.example,http://localhost:5173',
      FEATURES: 'subscribers',
      SEND_RATE: '0',
      LOCAL_STORE_MAX_MB: '64',
      LOCAL_MONGO_PORT: '0',
      API_KEY: '',
      LOG_LEVEL: ' debug ',
    },
    ['subscribers'],
  );
  t.match(config, {
    http: { host: '::1', port: 0 },
    bot: { id: '12345', token },
    telegram: { apiRoot: 'http://localhost:8081' },
    publicUrl: 'https://bot.example.org',
    adminIds: [1, 22],
    corsOrigins: ['https://a.example', 'http://localhost:5173'],
    features: ['subscribers'],
    send: { rate: 0 },
    localStore: { maxMb: 64, port: undefined },
    apiKey: undefined,
    log: { level: 'debug' },
  });
  t.same(secretsOf(config), [token, 'p%40w']);
});

t.test('each wrong value is a problem that names it', async (t) => {
  const wrong: [string, string][] = [
    ['PORT', '65536'],
    ['PORT', '-1'],
    ['PORT', '3.5'],
    ['PORT', 'http'],
    ['HOST', 'a b'],
    ['MONGODB_URI', 'http://x'],
    ['MONGODB_URI', 'mongodb://'],
    ['MONGODB_URI', 'mongodb://h/?w=1'],
    ['MONGODB_URI', 'mongodb://h/?W=0'],
    ['MONGODB_URI', 'mongodb://h/?journal=false'],
    ['MONGODB_URI', 'mongodb://h/db?retryWrites=true&j=false'],
    ['LOCAL_STORE', 'yes'],
    ['LOCAL_STORE_MAX_MB', '0'],
    ['REDIS_URL', 'http://x'],
    ['BOT_TOKEN', 'abc'],
    ['BOT_TOKEN', '1:'],
    ['BOT_TOKEN', '1:a b'],
    ['PUBLIC_URL', 'http://example.org'],
    ['PUBLIC_URL', 'nonsense'],
    ['WEBHOOK_SECRET', 'a b'],
    ['ADMIN_IDS', '1,x'],
    ['ADMIN_IDS', '0'],
    ['API_KEY', 'a b'],
    ['SECRET_KEY', 'short'],
    ['VAPID_SUBJECT', 'me'],
    ['CORS_ORIGINS', 'https://a.example/path'],
    ['LOG_LEVEL', 'loud'],
    ['LOG_FORMAT', 'xml'],
    ['SEND_RATE', '-1'],
    ['SEND_RATE', '1e3'],
    ['SEND_CHAT_RATE', '0.5'],
    ['SEND_GROUP_RATE', 'x'],
    ['SEND_CONCURRENCY', '0'],
    ['SHUTDOWN_MS', '1s'],
    ['LOCAL_MONGO_PORT', '70000'],
    ['LOCAL_TELEGRAM_PORT', 'x'],
    ['FEATURES', 'nothing'],
  ];
  for (const [name, value] of wrong) {
    t.same(
      problemsOf({ [name]: value }, ['subscribers']).map((p) => p.name),
      [name],
      `${name}=${value}`,
    );
  }
  t.equal(problemsOf({ PUBLIC_URL: 'http://127.0.0.1:3000' }).length, 0, 'http is fine on loopback');
  t.equal(problemsOf({ MONGODB_URI: 'mongodb+srv://u:p@h.example/db' }).length, 0);
});

t.test('all problems are reported at once, without secrets', async (t) => {
  const problems = problemsOf({
    PORT: 'x',
    BOT_TOKEN: 'super secret',
    MONGODB_URI: 'mongodb://user:hunter2@h/?w=1',
    SEND_RATE: 'y',
  });
  t.same(problems.map((p) => p.name).sort(), ['BOT_TOKEN', 'MONGODB_URI', 'PORT', 'SEND_RATE']);
  const table = problemTable(problems);
  t.equal(table.trim().split('\n').length, 5, 'a header and a line each');
  t.notMatch(table, /super secret|hunter2/);
  t.match(table, /PORT\s+x\s+a port/);
});

t.test('rules over several settings', async (t) => {
  t.match(
    problemsOf({ TELEGRAM_API_ROOT: 'http://localhost:1' }),
    [{ name: 'BOT_TOKEN' }],
    'an API root needs a token',
  );
  t.match(problemsOf({ VAPID_PUBLIC_KEY: Buffer.alloc(65).toString('base64url') }), [{ name: 'VAPID_PRIVATE_KEY' }]);
  t.same(
    problemsOf({ NODE_ENV: 'production' }).map((p) => p.name),
    ['BOT_TOKEN', 'API_KEY', 'SECRET_KEY', 'MONGODB_URI'],
  );
  const production = { NODE_ENV: 'production', BOT_TOKEN: '1:a', API_KEY: 'k', SECRET_KEY: 's'.repeat(32) };
  t.match(problemsOf(production), [{ name: 'MONGODB_URI' }]);
  t.match(parseConfig({ ...production, LOCAL_STORE: 'allow' }), { production: true, http: { host: '0.0.0.0' } });
  t.match(parseConfig({ ...production, MONGODB_URI: 'mongodb://h' }), { mongoUri: 'mongodb://h' });
});

t.test('data directory', async (t) => {
  const dir = join(t.testdir(), 'data');

  t.test('processes that start at once get one secret, kept with mode 0600', async (t) => {
    await openDataDir(dir);
    let made = 0;
    const kept = await Promise.all(Array.from({ length: 20 }, () => madeOnce(dir, 'race', () => `value-${made++}`)));
    t.equal(new Set(kept.map(({ value }) => value)).size, 1);
    t.equal(kept.filter((one) => one.made).length, 1, 'one made it, the others read it');
    t.equal((await stat(join(dir, 'race'))).mode & 0o777, 0o600);
    t.same(await readdir(dir), ['race'], 'nothing is left beside it');
  });

  t.test('secrets are made once, unless they are set', async (t) => {
    const config = { ...parseConfig({}), dataDir: dir } as Config;
    t.equal(await knownApiKey(config), undefined);
    const first = await loadSecrets(config);
    t.match(first, { apiKey: /^ph_[0-9A-Za-z]{32}$/, apiKeyMade: true, secretKey: /^[0-9A-Za-z]{43}$/ });
    t.same(await loadSecrets(config), first, 'the same again');
    t.equal(await knownApiKey(config), first.apiKey);
    t.same(await loadSecrets({ ...config, apiKey: 'mine', secretKey: 'x'.repeat(32) }), {
      apiKey: 'mine',
      apiKeyMade: false,
      secretKey: 'x'.repeat(32),
    });
    await writeFile(join(dir, 'api-key'), '');
    await t.rejects(loadSecrets(config), { code: 'PH_DATA_DIR' }, 'an empty secret is never used');
  });

  t.test('stand-ins are written whole and read back', async (t) => {
    t.equal(await readStandIns(dir), undefined);
    await writeStandIns(dir, { pid: 7, mongoPort: 4000 });
    t.same(await readStandIns(dir), { pid: 7, mongoPort: 4000 });
    await writeFile(join(dir, 'stand-ins.json'), '{"pid":7,"mongoPort":"x","tele');
    t.equal(await readStandIns(dir), undefined, 'half a file counts as none');
  });

  t.test('one that cannot be written is named', async (t) => {
    const file = join(dir, 'a-file');
    await writeFile(file, '');
    await t.rejects(openDataDir(file), DataDirError);
    await t.rejects(openDataDir(join(file, 'below')), { code: 'PH_DATA_DIR', message: /DATA_DIR.*a-file/ });
    await mkdir(join(dir, 'api-key-dir', 'api-key'), { recursive: true });
    await t.rejects(knownApiKey({ apiKey: undefined, dataDir: join(dir, 'api-key-dir') }), DataDirError);
    t.match(await readFile(join(dir, 'race'), 'utf8'), /value/);
  });
});

t.test('the log never holds a token or a secret', async (t) => {
  const token = `123456:${'Ab_-9'.repeat(7)}`;
  for (const format of ['json', 'pretty'] as const) {
    let written = '';
    const write = (text: string): void => {
      written += text;
    };
    const sink = { write };
    const log = createLogger({ level: 'debug', format, sink, secrets: ['s3cret"key', '7:short', undefined] });
    const error = Object.assign(new Error(`POST https://api.telegram.org/bot${token}/sendMessage failed`), {
      on: { url: `/bot${encodeURIComponent(token)}/x`, nested: { key: 's3cret"key' } },
    });
    log.error({ err: error }, `while using 7:short and ${token}`);
    log.debug({ header: 'Bearer s3cret"key' }, 'debug');
    t.notMatch(written, /Ab_-9Ab_-9/, format);
    t.notMatch(written, /s3cret|7:short/, format);
    t.match(written, /\[hidden\]/, format);
    t.match(written, /while using/, format);
    t.equal(written.trim().split('\n').length >= 2, true);
    log.level = 'error';
    const before = written.length;
    log.info({}, 'quiet');
    t.equal(written.length, before, 'the level can be changed');
  }
  t.equal(redactor(['abc'])('abc'), 'abc', 'a text this short would blank out ordinary words');
});
