import { readdirSync, readFileSync, readlinkSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import t from 'tap';
import { readStandIns, writeStandIns } from '../../../src/data-dir.js';
import { startEmbeddedStore } from '../../../src/local/mongo/server.js';
import { mountSmallDisk } from '../../support/small-disk.js';

t.test('a killed host is followed at its port on a full disk, which then serves reads', async (t) => {
  const disk = mountSmallDisk(t, 12);
  if (disk === undefined) return;
  const mount = disk.path;
  const first = await startEmbeddedStore({ dataDir: mount });
  const client = await new MongoClient(first.uri).connect();
  t.teardown(() => client.close());
  const things = client.db().collection('things');
  await things.insertMany([{ n: 1 }, { n: 2 }]);
  await things.createIndex({ n: 1 }, { unique: true });
  await client.db().createCollection('capped', { capped: true, size: 4096 });
  await writeStandIns(mount, { pid: 1, mongoPort: first.port });
  await first.stop();
  // As a killed one leaves it: the lock names a process that is gone.
  const dead = {
    pid: process.pid,
    start: '1',
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    pidNamespace: readlinkSync('/proc/self/ns/pid'),
  };
  writeFileSync(join(mount, 'store.lock'), JSON.stringify(dead));
  const files = readdirSync(mount);
  disk.fill();
  t.equal(statfsSync(mount).bavail, 0, 'no block is left');

  const second = await startEmbeddedStore({ dataDir: mount });
  t.equal(second.port, first.port, 'the kept port is neither lost nor changed');
  t.equal(await things.countDocuments(), 2, 'clients that stayed read');
  await t.rejects(things.insertOne({ n: 3 }), { code: 14031 });
  t.equal(await things.createIndex({ n: 1 }, { unique: true }), 'n_1', 'an index that is there needs no room');
  await client.db().createCollection('capped', { capped: true, size: 4096 });
  await t.rejects(things.createIndex({ other: 1 }), { code: 14031 });
  await t.rejects(client.db().createCollection('other'), { code: 14031 });
  await t.rejects(client.db().createCollection('capped', { capped: true, size: 8192 }), { code: 48 });
  await writeStandIns(mount, { pid: 2, mongoPort: second.port });
  t.match(await readStandIns(mount), { mongoPort: first.port }, 'what was said of the stand-ins still holds');
  await t.rejects(writeStandIns(mount, { pid: 2, mongoPort: 4 }), { code: 'PH_DATA_DIR', message: /ENOSPC/ });
  t.strictSame(readdirSync(mount), [...files, 'filler'].sort(), 'nothing half written is left beside');
  disk.clear();
  await second.stop();
});
