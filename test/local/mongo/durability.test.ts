import { readFileSync, readlinkSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Binary, MongoClient, MongoServerError } from 'mongodb';
import t, { type Test } from 'tap';
import { StoreStartError } from '../../../src/local/mongo/errors.js';
import { type EmbeddedStore, startEmbeddedStore } from '../../../src/local/mongo/server.js';
import { checkStore } from '../../../src/local/mongo/storage/check.js';
import { openSnapshot } from '../../../src/local/mongo/storage/engine.js';
import { openStore } from '../../../src/local/mongo/store.js';
import { eventually } from '../../support/eventually.js';
import { seededRandom } from '../../support/seeded-random.js';
import { mountSmallDisk } from '../../support/small-disk.js';
import { storeWalk } from '../../support/store-walk.js';
import { compileHost, startHost } from './kills/host.js';
import { WRITES } from './kills/write.js';
import { connectWriters, type Writers } from './kills/writer.js';

const KILLS = process.env.POSTHORN_TEST_LONG === undefined ? 5 : 50;
const MOMENT_MS = 120_000;
/** What of a disk of 16 MiB the store leaves to deletes is 2 MiB: less is a full disk to it, bytes. */
const ROOM_FOR_DELETES = 1_500_000;

/** The checker of `posthorn doctor --store` finds nothing wrong, beside the host too. */
async function agrees(t: Test, dataDir: string): Promise<void> {
  const snapshot = openSnapshot(join(dataDir, 'store'));
  t.strictSame(checkStore(snapshot).problems, [], 'documents and indexes agree');
  await snapshot.close();
}

/** Resolves when a figure of the writers has grown by so much. Rejects as soon as one of them found something wrong. */
async function reached({ working }: Writers, figure: () => number, more: number, what: string): Promise<void> {
  const wanted = figure() + more;
  const ended = working.then(() => Promise.reject(new Error('the writers have ended')));
  await Promise.race([eventually(`${more} more ${what}`, MOMENT_MS, async () => figure() >= wanted, 5), ended]);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

t.test('kill -9 of the host under 8 writing clients loses nothing that was acknowledged', async (t) => {
  const random = seededRandom(t);
  const directory = t.testdir();
  const program = compileHost(join(directory, 'program'));
  const dataDir = join(directory, 'data');
  let host = startHost(program, dataDir);
  t.teardown(() => host.kill());
  const port = await host.port;
  const writers = await connectWriters(`mongodb://127.0.0.1:${port}/posthorn`, 8, random.whole(0, 2 ** 31));
  t.teardown(() => writers.close());
  const { figures } = writers;
  for (let kill = 0; kill < KILLS; kill++) {
    writers.start();
    await reached(writers, () => figures.acknowledged, random.whole(80, 250), 'writes');
    await pause(random.whole(0, 50));
    await host.kill();
    const paused = writers.pause();
    paused.catch(() => undefined); // awaited below
    if (random.whole(1, 4) === 1) {
      const cutShort = startHost(program, dataDir);
      await pause(random.whole(0, 300));
      await cutShort.kill();
    }
    host = startHost(program, dataDir);
    t.equal(await host.port, port, 'the port is used again');
    await paused;
    t.strictSame(await writers.differences(), [], `kill ${kill + 1}: what is there is what must be`);
    await agrees(t, dataDir);
  }
  const { none, all, part } = figures.cutOff;
  t.ok(none + all + part > 0, 'writes were cut off');
  t.comment(
    `${KILLS} kills, ${figures.acknowledged} writes acknowledged; ${none + all + part} cut off: ${all} there, ${none} not, ${part} of several documents in part`,
  );
  t.strictSame([...figures.byName.keys()].sort(), WRITES, 'every kind of write was acknowledged');
  await writers.close();
  await host.kill();
  t.match(await storeWalk(t, dataDir), { status: 'ok' });
});

t.test('kill -9 of the host on a full disk loses nothing that was acknowledged', async (t) => {
  const disk = mountSmallDisk(t, 16);
  if (disk === undefined) return;
  const random = seededRandom(t);
  const program = compileHost(t.testdir());
  let host = startHost(program, disk.path);
  t.teardown(() => host.kill());
  const port = await host.port;
  const writers = await connectWriters(`mongodb://127.0.0.1:${port}/posthorn`, 8, random.whole(0, 2 ** 31));
  t.teardown(() => writers.close());
  const { figures } = writers;
  const refused = (more: number) => reached(writers, () => figures.refused, more, 'refusals');
  const deleted = (more: number) => reached(writers, () => figures.byName.get('deleteOne') ?? 0, more, 'deletes');
  writers.start();
  await reached(writers, () => figures.acknowledged, 200, 'writes');
  for (let kill = 0; kill < KILLS; kill++) {
    // To the last block, in the middle of commits, or so that the store has what it keeps for deletes.
    const leaving = random.chance(0.5) ? 0 : random.whole(ROOM_FOR_DELETES / 2, ROOM_FOR_DELETES);
    const { deletesRefused } = figures;
    disk.fill(leaving);
    await refused(random.whole(5, 30));
    if (leaving > 0) {
      await deleted(3);
      t.equal(figures.deletesRefused, deletesRefused, 'no delete is refused');
    }
    await pause(random.whole(0, 50));
    await host.kill();
    const paused = writers.pause();
    paused.catch(() => undefined); // awaited below
    host = startHost(program, disk.path);
    t.equal(await host.port, port, 'it starts on the full disk, at its port');
    await paused;
    t.strictSame(await writers.differences(), [], `kill ${kill + 1}: what is there is what must be`);
    await agrees(t, disk.path);
    writers.start();
    await refused(1);
    disk.clear();
    await reached(writers, () => figures.acknowledged, random.whole(20, 80), 'writes, now that there is room');
  }
  await writers.pause();
  t.strictSame(await writers.differences(), []);
  const { none, all, part } = figures.cutOff;
  t.comment(
    `${KILLS} kills, ${figures.acknowledged} writes acknowledged, ${figures.refused} refused, of deletes ${figures.deletesRefused}; ${none + all + part} cut off`,
  );
  await writers.close();
  await host.kill();
  t.match(await storeWalk(t, disk.path), { status: 'ok' });
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
    disk.fill();
    const results = await Promise.all(writing);
    results.forEach((result, k) => {
      if (result === undefined) kept.push(2000 + i * 40 + k);
    });
    seen = results.find((result) => result !== undefined);
  }
  t.equal(seen, 14031);
  t.equal(await things.countDocuments(), kept.length, 'what was refused is not there, what was accepted is');
  disk.clear();
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
