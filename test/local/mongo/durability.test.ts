import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Binary, type Document, MongoClient, MongoServerError } from 'mongodb';
import t, { type Test } from 'tap';
import ts from 'typescript';
import { StoreStartError } from '../../../src/local/mongo/errors.js';
import { type EmbeddedStore, startEmbeddedStore } from '../../../src/local/mongo/server.js';
import { checkStore } from '../../../src/local/mongo/storage/check.js';
import { openSnapshot } from '../../../src/local/mongo/storage/engine.js';
import { openStore } from '../../../src/local/mongo/store.js';
import { mountSmallDisk } from '../../support/small-disk.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Turns the store and its host program into JavaScript once: a process that is started many times must not compile it each time. */
function compileHost(into: string): string {
  const sources = readdirSync(join(ROOT, 'src/local/mongo'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join('src/local/mongo', name));
  for (const name of sources) {
    const target = join(into, name.replace(/\.ts$/, '.js'));
    mkdirSync(dirname(target), { recursive: true });
    const { outputText } = ts.transpileModule(readFileSync(join(ROOT, name), 'utf8'), {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
    });
    writeFileSync(target, outputText);
  }
  const program = join(into, 'host.js');
  writeFileSync(
    program,
    `import { startEmbeddedStore } from './src/local/mongo/server.js';
const store = await startEmbeddedStore({ dataDir: process.argv[2] });
process.stdout.write('port ' + store.port + '\\n');`,
  );
  return program;
}

interface Host {
  readonly port: number;
  kill(): Promise<void>;
}

function startHost(program: string, dataDir: string): Promise<Host> {
  const child = spawn(process.execPath, [program, dataDir], { stdio: ['ignore', 'pipe', 'inherit'] });
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const port = /port (\d+)\n/.exec(text)?.[1];
      if (port === undefined) return;
      resolve({
        port: Number(port),
        async kill() {
          child.kill('SIGKILL');
          await gone;
        },
      });
    });
    child.once('exit', (code) => reject(new Error(`the host ended with ${code}`)));
  });
}

/** The checker of `posthorn doctor --store` finds nothing wrong, beside the host too. */
async function agrees(t: Test, dataDir: string): Promise<void> {
  const snapshot = openSnapshot(join(dataDir, 'store'));
  t.strictSame(checkStore(snapshot).problems, [], 'documents and indexes agree');
  await snapshot.close();
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

t.test('kill -9 of the host under 8 writing clients loses nothing that was acknowledged', async (t) => {
  const directory = t.testdir();
  const program = compileHost(join(directory, 'program'));
  const dataDir = join(directory, 'data');
  const rounds = process.env.POSTHORN_TEST_LONG === undefined ? 5 : 50;
  const inserted = new Set<string>();
  const counters = new Map<number, number>();
  let host = await startHost(program, dataDir);
  t.teardown(() => host.kill());
  const { port } = host;
  const uri = `mongodb://127.0.0.1:${port}/posthorn`;
  const clients = await Promise.all(
    Array.from({ length: 8 }, () =>
      new MongoClient(uri, {
        writeConcern: { w: 'majority', journal: true },
        serverSelectionTimeoutMS: 20_000,
        heartbeatFrequencyMS: 500,
        minHeartbeatFrequencyMS: 50,
      }).connect(),
    ),
  );
  t.teardown(() => Promise.all(clients.map((client) => client.close())));
  await clients[0]?.db().collection('rows').createIndex({ writer: 1, n: 1 }, { unique: true });
  const state = { stopped: false };
  let unacknowledged = 0;
  const writers = clients.map(async (client, writer) => {
    const rows = client.db().collection<{ _id: string; writer: number; n: number; text: string }>('rows');
    const sums = client.db().collection<Document>('sums');
    for (let n = 0; !state.stopped; n++) {
      try {
        await rows.insertMany(
          [0, 1, 2].map((part) => ({
            _id: `${writer}-${n}-${part}`,
            writer,
            n: n * 3 + part,
            text: 'x'.repeat(n % 300),
          })),
        );
        for (const part of [0, 1, 2]) inserted.add(`${writer}-${n}-${part}`);
        await sums.updateOne({ _id: writer as never }, { $set: { n, twin: n } }, { upsert: true });
        counters.set(writer, n);
      } catch (error) {
        if (error instanceof MongoServerError && typeof error.code === 'number') throw error;
        unacknowledged++;
      }
    }
  });
  for (let round = 0; round < rounds; round++) {
    const before = inserted.size;
    const until = performance.now() + 10_000;
    while (inserted.size < before + 60 && performance.now() < until) await pause(5);
    await pause((round * 37) % 50);
    await host.kill();
    host = await startHost(program, dataDir);
    t.equal(host.port, port, 'the port is used again');
  }
  const before = inserted.size;
  while (inserted.size < before + 30) await pause(5);
  state.stopped = true;
  await Promise.all(writers);
  t.ok(unacknowledged > 0, 'writes were cut off');

  const rows = clients[0]?.db().collection<Document>('rows');
  const found = (await rows?.find().hint({ $natural: 1 }).toArray()) ?? [];
  const ids = new Set(found.map(({ _id }) => String(_id)));
  t.strictSame(
    [...inserted].filter((id) => !ids.has(id)),
    [],
    `all of ${inserted.size} acknowledged rows are there`,
  );
  t.equal(await rows?.estimatedDocumentCount(), found.length, 'the count agrees');
  for (let writer = 0; writer < 8; writer++) {
    const byIndex = await rows?.find({ writer }).hint('writer_1_n_1').toArray();
    t.equal(byIndex?.length, found.filter((one) => one.writer === writer).length, 'index and documents agree');
    const sum = await clients[0]
      ?.db()
      .collection<Document>('sums')
      .findOne({ _id: writer as never });
    t.ok(
      sum !== null && sum?.twin === sum?.n && sum?.n >= (counters.get(writer) ?? 0),
      'no half of a write, no older one',
    );
  }
  await agrees(t, dataDir);
});

async function startedError(promise: Promise<EmbeddedStore>): Promise<StoreStartError> {
  try {
    await (await promise).stop();
  } catch (error) {
    if (error instanceof StoreStartError) return error;
    throw error;
  }
  throw new Error('it started');
}

t.test('one host at a time, its port, its format', async (t) => {
  const dataDir = t.testdir();
  const first = await startEmbeddedStore({ dataDir });
  t.match(await startedError(startEmbeddedStore({ dataDir })), {
    code: 'PH_STORE_LOCKED',
    message: new RegExp(`process ${process.pid} `),
  });
  await first.stop();
  await first.stop();
  const again = await startEmbeddedStore({ dataDir });
  t.equal(again.port, first.port);
  t.equal(again.uri, `mongodb://127.0.0.1:${first.port}/posthorn`);
  await again.stop();

  const other = createServer().listen(first.port, '127.0.0.1');
  await new Promise((resolve) => other.once('listening', resolve));
  t.match(await startedError(startEmbeddedStore({ dataDir, port: first.port })), {
    code: 'PH_STORE_PORT_TAKEN',
    message: new RegExp(String(first.port)),
  });
  const moved = await startEmbeddedStore({ dataDir });
  t.not(moved.port, first.port, 'a kept port that is taken is left');
  await moved.stop();
  await new Promise((resolve) => other.close(resolve));

  const lockFile = join(dataDir, 'store.lock');
  const holder = {
    pid: process.pid,
    start: '1',
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    pidNamespace: readlinkSync('/proc/self/ns/pid'),
  };
  for (const [text, why] of [
    [holder, 'the number lives again in another process'],
    [{ ...holder, bootId: 'before' }, 'the machine was started anew'],
    [{ ...holder, pidNamespace: 'pid:[1]' }, 'another container has not beaten for long'],
    ['half a fi', 'nobody can tell'],
  ] as const) {
    writeFileSync(lockFile, typeof text === 'string' ? text : JSON.stringify(text));
    utimesSync(lockFile, 1, 1);
    await (await startEmbeddedStore({ dataDir })).stop();
    t.pass(`a void lock: ${why}`);
  }
  writeFileSync(lockFile, JSON.stringify({ ...holder, pid: 4242, pidNamespace: 'pid:[1]' }));
  const beating = setInterval(() => utimesSync(lockFile, new Date(), new Date()), 20);
  t.match(await startedError(startEmbeddedStore({ dataDir })), { code: 'PH_STORE_LOCKED', message: /process 4242 / });
  clearInterval(beating);
  rmSync(lockFile);

  const opened = openStore({ directory: join(dataDir, 'store'), maxBytes: 2 ** 28, now: () => 0, clients: () => 0 });
  await opened.engine.write(() => {
    opened.engine.meta.putSync(Buffer.from('format'), Buffer.from('99'));
    return true;
  }, false);
  await opened.engine.close();
  t.match(await startedError(startEmbeddedStore({ dataDir })), { code: 'PH_STORE_FORMAT', message: /99/ });
});

async function code(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return error instanceof MongoServerError ? error.code : error;
  }
}

const blob = (): Binary => new Binary(Buffer.alloc(60_000, Math.random() * 256));

t.test('over its limit it refuses writes, reads and deletes go on, and with room writes go on', async (t) => {
  const store = await startEmbeddedStore({ dataDir: t.testdir(), maxMb: 4 });
  const client = await new MongoClient(store.uri).connect();
  const things = client.db().collection('things');
  let refused: unknown;
  let n = 0;
  while (refused === undefined && n < 5000) refused = await code(things.insertOne({ n: n++, blob: blob() }));
  t.equal(refused, 14031);
  t.equal(await things.countDocuments(), n - 1);
  t.equal((await things.deleteMany({ n: { $lt: (n * 3) / 4 } })).acknowledged, true);
  let accepted: unknown = 14031;
  for (let i = 0; i < 100 && accepted !== undefined; i++) {
    await pause(20);
    accepted = await code(things.insertOne({ n: -1, blob: blob() }));
  }
  t.equal(accepted, undefined);
  await client.close();
  await store.stop();
});

t.test('a full disk refuses writes, loses nothing, and with room writes go on', async (t) => {
  const disk = mountSmallDisk(t, 12);
  if (disk === undefined) return;
  const mount = disk.path;
  const store = await startEmbeddedStore({ dataDir: mount });
  const client = await new MongoClient(store.uri).connect();
  const things = client.db().collection('things');
  await things.createIndex({ n: 1 });
  const kept: number[] = [];
  const fill = async (from: number): Promise<unknown> => {
    for (let n = from; n < from + 1000; n++) {
      const refused = await code(things.insertOne({ n, blob: blob() }));
      if (refused !== undefined) return refused;
      kept.push(n);
    }
    return undefined;
  };
  t.equal(await fill(0), 14031, 'refused while some is left');
  t.ok(kept.length > 20);
  t.equal(await things.countDocuments(), kept.length, 'reads go on');

  // Now the disk is full in the middle of a commit: filled by somebody else right after the store has looked.
  await things.deleteMany({ n: { $lt: 10 } });
  kept.splice(0, 10);
  let seen: unknown;
  for (let i = 0; i < 50 && seen === undefined; i++) {
    await pause(110);
    const writing = Array.from({ length: 40 }, (_, k) =>
      code(things.insertOne({ n: 2000 + i * 40 + k, blob: blob() })),
    );
    try {
      writeFileSync(join(mount, `filler-${i}`), Buffer.alloc(12_000_000));
    } catch {
      // It is full: that was wanted.
    }
    const results = await Promise.all(writing);
    results.forEach((result, k) => {
      if (result === undefined) kept.push(2000 + i * 40 + k);
    });
    seen = results.find((result) => result !== undefined);
  }
  t.equal(seen, 14031);
  t.equal(await things.countDocuments(), kept.length, 'what was refused is not there, what was accepted is');
  for (let i = 0; i < 50; i++) rmSync(join(mount, `filler-${i}`), { force: true });
  disk.resize(64);
  let accepted: unknown = 1;
  for (let i = 0; i < 50 && accepted !== undefined; i++) {
    await pause(50);
    accepted = await code(things.insertOne({ n: 9000, blob: blob() }));
  }
  t.equal(accepted, undefined, 'with room it writes again');
  kept.push(9000);
  const numbers = (await things.find({}, { projection: { n: 1 }, hint: 'n_1' }).toArray()).map(({ n }) => n as number);
  t.strictSame(
    numbers.sort((a, b) => a - b),
    kept.sort((a, b) => a - b),
    'index and documents agree',
  );
  await client.close();
  await store.stop();
  const again = await startEmbeddedStore({ dataDir: mount });
  const reader = await new MongoClient(again.uri).connect();
  t.equal(
    await reader
      .db()
      .collection('things')
      .countDocuments({ n: { $gte: 0 } }),
    kept.length,
    'after a restart too',
  );
  await reader.close();
  await again.stop();
  await agrees(t, mount);
});
