import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import t from 'tap';
import { readStandIns } from '../../src/data-dir.js';
import { localTelegramControl, startLocalTelegramProcess } from '../support/local-telegram.js';
import { API_KEY, posthornApi } from '../support/posthorn-api.js';
import { freePort, startProcess } from '../support/posthorn-process.js';

t.setTimeout(240_000);

/** Addresses of this machine by which others may reach it; those that hold for one link only are left out. */
const outward = (): string[] =>
  Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter((one) => !one.internal && (one.family === 'IPv4' || one.scopeid === 0))
    .map(({ address }) => address);

/** How a connection to an address ends: 'connected', or the code of the error. */
const connection = (host: string, port: number): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.once('connect', () => {
      socket.destroy();
      resolve('connected');
    });
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code ?? 'error'));
  });

/** A driver's client writes and reads at the address. */
async function writesAndReads(uri: string, _id: string): Promise<string[]> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 10_000 });
  try {
    const notes = client.db().collection<{ _id: string }>('notes');
    await notes.insertOne({ _id });
    return (await notes.find().sort({ _id: 1 }).toArray()).map((note) => note._id);
  } finally {
    await client.close();
  }
}

t.test('posthorn start local serves the store and the local Telegram, on loopback only', async (t) => {
  const dir = t.testdir();
  const dataDir = join(dir, 'data');
  // The store chooses its port and keeps it; the usual one of the local Telegram may be another test's.
  const env = { DATA_DIR: dataDir, LOCAL_TELEGRAM_PORT: String(await freePort()), LOG_FORMAT: 'json' };
  const start = () => startProcess(t, { args: ['start', 'local'], cwd: dir, env });
  const first = start();
  const uri = await first.line('local store ');
  const telegram = localTelegramControl(await first.line('local telegram '));
  t.equal(await first.ready(), '', 'it has no HTTP of its own');
  t.strictSame(await writesAndReads(uri, 'a'), ['a']);
  t.match(await telegram.bots(), [{ token: /^\d+:/ }], 'a made-up bot is there');

  const [storePort, telegramPort] = [uri, telegram.url].map((address) => Number(new URL(address).port)) as [
    number,
    number,
  ];
  t.match(await readStandIns(dataDir), { pid: first.pid, mongoPort: storePort, telegramPort }, 'the ports are kept');
  const addresses = outward();
  if (addresses.length === 0) t.pass('SKIPPED: this machine has no address but those of loopback');
  for (const [what, port] of [
    ['the store', storePort],
    ['the local Telegram', telegramPort],
  ] as const) {
    t.equal(await connection('127.0.0.1', port), 'connected');
    for (const address of addresses)
      t.equal(await connection(address, port), 'ECONNREFUSED', `${what} is not to be had at ${address}`);
  }
  t.same(await first.end('SIGTERM'), { code: 0, signal: null });

  const second = start();
  t.equal(await second.line('local store '), uri, 'the next start is at the same addresses');
  t.equal(await second.line('local telegram '), telegram.url);
  t.strictSame(await writesAndReads(uri, 'b'), ['a', 'b']);
  await second.end('SIGKILL');
  const third = start();
  t.equal(await third.line('local store '), uri, 'after a kill too');
  t.strictSame(await writesAndReads(uri, 'c'), ['a', 'b', 'c']);
  t.same(await third.end('SIGTERM'), { code: 0, signal: null });
});

t.test('production wants a MongoDB, or LOCAL_STORE=allow', async (t) => {
  const dir = t.testdir();
  const telegram = await startLocalTelegramProcess(t, t.testdir());
  const env = {
    ...telegram.env,
    NODE_ENV: 'production',
    DATA_DIR: join(dir, 'data'),
    API_KEY,
    SECRET_KEY: 's'.repeat(32),
    HOST: '127.0.0.1',
    PORT: '0',
    LOG_FORMAT: 'json',
  };
  for (const args of [['start'], ['start', 'local'], ['start', 'web']]) {
    const refused = startProcess(t, { args, cwd: dir, env });
    t.same(await refused.ended(), { code: 78, signal: null }, args.join(' '));
    t.match(
      refused.stderr(),
      /^posthorn: wrong configuration \(PH_CONFIG_INVALID\)\n +setting .*\n +MONGODB_URI +\S.* a MongoDB in production \(or LOCAL_STORE=allow for the embedded store\)\n$/,
    );
    t.equal(refused.stdout(), '', 'nothing was hosted');
  }
  const allowed = startProcess(t, { args: ['start'], cwd: dir, env: { ...env, LOCAL_STORE: 'allow' } });
  t.match(await allowed.line('local store '), /^mongodb:\/\/127\.0\.0\.1:\d+\/posthorn$/);
  t.match(await posthornApi(await allowed.ready()).call('GET', '/api/users'), { status: 200, body: { items: [] } });
  t.same(await allowed.end('SIGTERM'), { code: 0, signal: null });
});
