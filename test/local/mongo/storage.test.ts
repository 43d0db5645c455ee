import {
  closeSync,
  cpSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Document, deserialize, serialize } from 'bson';
import { open } from 'lmdb';
import { MongoClient } from 'mongodb';
import t from 'tap';
import { fields, rawDocument } from '../../../src/local/mongo/bson/raw-value.js';
import { dispatch } from '../../../src/local/mongo/commands/dispatch.js';
import { startEmbeddedStore } from '../../../src/local/mongo/server.js';
import { checkStore } from '../../../src/local/mongo/storage/check.js';
import { openSnapshot } from '../../../src/local/mongo/storage/engine.js';
import { readHeader } from '../../../src/local/mongo/storage/file-header.js';
import { recordKey } from '../../../src/local/mongo/storage/index-key.js';
import { openStore, type StoreOptions } from '../../../src/local/mongo/store.js';
import { eventually } from '../../support/eventually.js';
import { seededRandom } from '../../support/seeded-random.js';

type Opened = ReturnType<typeof openStore>;

const opened = (directory: string, more: Partial<StoreOptions> = {}): Opened =>
  openStore({ directory, maxBytes: 2 ** 28, now: () => 0, clients: () => 0, ...more });

/** Carries a command out as a connection does. */
async function run(store: Opened, command: Document): Promise<Document> {
  const body = rawDocument(Buffer.from(serialize(command)));
  const list = fields(body);
  const asked = { name: list[0]?.[0] ?? '', database: 't', body, fields: new Map(list), sequences: new Map() };
  const asker = { connectionId: 1, signal: new AbortController().signal };
  return deserialize(await dispatch(store, asked, asker, () => undefined));
}

const insert = (store: Opened, ...documents: Document[]): Promise<Document> => run(store, { insert: 'c', documents });
const count = async (store: Opened): Promise<number> => (await run(store, { count: 'c', query: {} })).n as number;

/** What the log was told: level and text. */
function logged(): { lines: [string, object, string][]; log: NonNullable<StoreOptions['log']> } {
  const lines: [string, object, string][] = [];
  const say = (level: string) => (about: object, text: string) => void lines.push([level, about, text]);
  return { lines, log: { info: say('info'), warn: say('warn'), error: say('error') } };
}

/** How a commit is made: by lmdb's thread always, or here as soon as one was quick. The first is always by the thread. */
const WAYS = [
  ["by lmdb's thread", 0],
  ['here', Number.POSITIVE_INFINITY],
] as const;

/** A disk on which a commit fails with this text, from when `failing` is set; `gone`: the file cannot be read after that, as when lmdb could not write its meta page. */
function failingDisk(text: string, gone: boolean) {
  const disk: { failing: boolean; byThread: number; here: number } = { failing: false, byThread: 0, here: 0 };
  const opens = ((options: Parameters<typeof open>[0]) => {
    const root = open(options);
    let lost = false;
    const failed = (work: () => unknown) => () => {
      const result = work();
      if (!disk.failing) return result;
      lost = gone;
      throw new Error(text);
    };
    const [byThread, here] = [root.childTransaction.bind(root), root.transactionSync.bind(root)];
    root.childTransaction = ((work: () => unknown) => {
      disk.byThread++;
      return byThread(failed(work));
    }) as typeof root.childTransaction;
    root.transactionSync = ((work: () => unknown) => {
      disk.here++;
      return here(failed(work));
    }) as typeof root.transactionSync;
    const openTable = root.openDB.bind(root);
    root.openDB = ((...args: Parameters<typeof root.openDB>) => {
      const table = openTable(...args);
      const get = table.getBinaryFast.bind(table);
      table.getBinaryFast = (key) => {
        if (lost) throw new Error('MDB_PANIC: Update of meta page failed or environment had fatal error');
        return get(key);
      };
      return table;
    }) as typeof root.openDB;
    return root;
  }) as typeof open;
  return { disk, opens };
}

/** Such a disk with one more commit, of that way. */
function after(before: ReturnType<typeof failingDisk>['disk'], quickMs: number): typeof before {
  const { byThread, here } = before;
  return { failing: false, ...(quickMs === 0 ? { byThread: byThread + 1, here } : { byThread, here: here + 1 }) };
}

for (const [way, quickMs] of WAYS) {
  t.test(
    `when the disk fails it only reads, and says so; a new start takes writes again, commits ${way}`,
    async (t) => {
      const directory = t.testdir();
      const { disk, opens } = failingDisk('Input/output error', false);
      const { lines, log } = logged();
      const store = opened(directory, { open: opens, log, quickMs });
      t.match(await insert(store, { _id: 1 }), { ok: 1, n: 1 });
      disk.failing = true;
      const before = { ...disk };
      const first = insert(store, { _id: 2 });
      const refused = [await first, ...(await Promise.all([insert(store, { _id: 3 }), insert(store, { _id: 4 })]))];
      for (const one of refused)
        t.match(one, {
          ok: 0,
          code: 39,
          codeName: 'FileStreamFailed',
          errmsg: /Input\/output error.*restart the store/,
        });
      disk.failing = false;
      t.match(await insert(store, { _id: 5 }), { ok: 0, code: 39 }, 'a disk that seems well again is not trusted');
      t.match(await run(store, { delete: 'c', deletes: [{ q: {}, limit: 0 }] }), { ok: 0, code: 39 });
      t.strictSame(disk, after(before, quickMs), 'nothing was written after the failure');
      t.equal(await count(store), 1, 'reads go on');
      t.match(await run(store, { serverStatus: 1 }), {
        storageEngine: { readOnly: true, refusal: /disk of the store failed/ },
      });
      t.equal(
        lines.filter(([level, , text]) => level === 'error' && text === 'local store: writes are refused').length,
        1,
      );
      await store.engine.close();
      const again = opened(directory);
      t.equal(await count(again), 1);
      t.match(await insert(again, { _id: 2 }), { ok: 1, n: 1 });
      t.match(await run(again, { serverStatus: 1 }), { storageEngine: { readOnly: false } });
      t.equal(checkStore(again.engine).problemsTotal, 0);
      await again.engine.close();
    },
  );
}

for (const [way, quickMs] of WAYS) {
  t.test(`what waits while a commit fails is not tried on that disk, commits ${way}`, async (t) => {
    const { disk, opens } = failingDisk('Input/output error', false);
    const store = opened(t.testdir(), { open: opens, quickMs });
    await insert(store, { _id: 1 });
    disk.failing = true;
    const before = { ...disk };
    const many = Array.from({ length: 5 }, (_, n) => insert(store, { _id: `a${n}` }));
    await Promise.resolve(); // the first batch is under way, these are the next one
    many.push(...Array.from({ length: 5 }, (_, n) => insert(store, { _id: `b${n}` })));
    for (const one of await Promise.all(many)) t.match(one, { ok: 0, code: 39 });
    t.strictSame(disk, { ...after(before, quickMs), failing: true });
    await store.engine.close();
  });
}

for (const [way, quickMs] of WAYS) {
  t.test(`when nothing can be read any more every answer is an error, none is empty, commits ${way}`, async (t) => {
    const { disk, opens } = failingDisk('No space left on device', true);
    const store = opened(t.testdir(), { open: opens, quickMs });
    await insert(store, { _id: 1 });
    disk.failing = true;
    t.match(await insert(store, { _id: 2 }), { ok: 0, code: 39, errmsg: /nothing is read or written/ });
    for (const command of [{ find: 'c' }, { count: 'c' }, { listCollections: 1 }, { listIndexes: 'c' }, { drop: 'c' }])
      t.match(await run(store, command), { ok: 0, code: 39 }, Object.keys(command)[0] ?? '');
    t.match(await run(store, { ping: 1 }), { ok: 1 });
    t.match(await run(store, { serverStatus: 1 }), { ok: 1, storageEngine: { readOnly: true } });
    await store.engine.close();
  });
}

for (const [way, quickMs] of WAYS) {
  t.test(`a commit that fails for want of room is refused alone, commits ${way}`, async (t) => {
    for (const text of [
      'No space left on device',
      'Disk quota exceeded',
      'MDB_MAP_FULL: Environment mapsize limit reached',
    ]) {
      const { disk, opens } = failingDisk(text, false);
      const store = opened(t.testdir(), { open: opens, quickMs });
      await insert(store, { _id: 1 });
      disk.failing = true;
      t.match(await insert(store, { _id: 2 }), { ok: 0, code: 14031, errmsg: new RegExp(text) });
      t.equal(await count(store), 1);
      disk.failing = false;
      t.match(await insert(store, { _id: 2 }), { ok: 1 }, 'with room it writes again');
      await store.engine.close();
    }
  });
}

for (const [way, quickMs] of WAYS) {
  t.test(
    `a host that was followed by another writes nothing more, and answers nothing from what it knew, commits ${way}`,
    async (t) => {
      const directory = t.testdir();
      const old = opened(directory, { quickMs });
      await insert(old, { _id: 1 });
      const next = opened(directory, { quickMs });
      await run(next, { createIndexes: 'c', indexes: [{ key: { a: 1 }, name: 'a' }] });
      t.match(await insert(next, { _id: 2, a: 1 }), { ok: 1 });
      t.match(await insert(old, { _id: 3, a: 1 }), { ok: 0, code: 91, errmsg: /another process hosts the store/ });
      t.match(await run(old, { find: 'c' }), { ok: 0, code: 91 });
      t.match(await insert(next, { _id: 3, a: 1 }), { ok: 1 });
      t.equal(await count(next), 3);
      t.strictSame(checkStore(next.engine).problems, []);
      await next.engine.close();
      await old.engine.close();
    },
  );
}

t.test('a directory that holds something else is refused in a clear line', async (t) => {
  const foreign = async (directory: string, table?: string): Promise<void> => {
    const root = open({ path: directory, noSubdir: false });
    await (table === undefined ? root : root.openDB({ name: table })).put('key', 'value');
    await root.close();
  };
  const cases: [string, (directory: string) => unknown, RegExp][] = [
    ['another program of lmdb', (d) => foreign(d), /another program: tables key/],
    ['its table', (d) => foreign(d, 'things'), /another program: tables things/],
    ['a table of the same name', (d) => foreign(d, 'docs'), /format "unknown"/],
    ['text', (d) => writeFileSync(join(d, 'data.mdb'), 'hello'), /does not begin as one/],
    ['zeros', (d) => writeFileSync(join(d, 'data.mdb'), Buffer.alloc(50_000)), /does not begin as one/],
    ['noise', (d) => writeFileSync(join(d, 'data.mdb'), Buffer.alloc(50_000, 0xa5)), /does not begin as one/],
  ];
  for (const format of ['0', '3', '99', 'x']) {
    const write = async (directory: string): Promise<void> => {
      const store = opened(directory);
      await store.engine.write(
        () => void store.engine.meta.putSync(Buffer.from('format'), Buffer.from(format)) === undefined,
        false,
      );
      await store.engine.close();
    };
    cases.push([`format ${format}`, write, new RegExp(`format "${format}", this version reads and writes 2`)]);
  }
  for (const [what, make, message] of cases) {
    const directory = t.testdir({});
    const path = join(directory, what.replaceAll(' ', '-'));
    mkdirSync(path);
    await make(path);
    t.throws(() => opened(path), { code: 'PH_STORE_FORMAT', message }, what);
    t.throws(() => opened(path), { code: 'PH_STORE_FORMAT', message }, `${what}, the second time`);
  }
});

async function filled(directory: string): Promise<void> {
  const store = opened(directory);
  await run(store, {
    createIndexes: 'c',
    indexes: [
      { key: { n: 1 }, name: 'n', unique: true },
      { key: { 'tags.x': 1, a: -1 }, name: 'tags' },
      { key: { s: 1 }, name: 's', sparse: true },
      { key: { a: 1 }, name: 'p', partialFilterExpression: { a: { $gt: 5 } } },
    ],
  });
  for (let i = 0; i < 10; i++) {
    const row = (n: number): Document => ({
      _id: n,
      n,
      a: n % 10,
      tags: [{ x: n }, { x: [1, 2] }],
      ...(n % 3 === 0 ? { s: 'x' } : {}),
    });
    await insert(store, ...Array.from({ length: 50 }, (_, k) => row(i * 50 + k)));
  }
  await run(store, { delete: 'c', deletes: [{ q: { a: 3 }, limit: 0 }] });
  await store.engine.close();
}

/** As `filled`, with values on pages of their own and trees of several levels: 2,470 documents. */
async function filledWide(directory: string): Promise<void> {
  await filled(directory);
  const store = opened(directory);
  const row = (n: number, bytes: number): Document => ({ _id: n, n, a: 4, text: 'x'.repeat(bytes) });
  for (let i = 0; i < 20; i++)
    await insert(store, ...Array.from({ length: 100 }, (_, k) => row(1_000 + i * 100 + k, 300)));
  await insert(store, ...Array.from({ length: 20 }, (_, k) => row(10_000 + k, 20_000)));
  await store.engine.close();
}

const WHOLE = '2470 documents, 0 problems';

/** What a start says of a directory. */
async function startOn(directory: string): Promise<string> {
  let store: Opened;
  try {
    store = opened(directory);
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
  const { documents, problemsTotal } = checkStore(store.engine);
  await store.engine.close();
  return `${documents} documents, ${problemsTotal} problems`;
}

/** What `doctor --store` says of it. */
async function walkOn(directory: string): Promise<string> {
  let snapshot: ReturnType<typeof openSnapshot>;
  try {
    snapshot = openSnapshot(directory);
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
  const { documents, problemsTotal } = checkStore(snapshot);
  await snapshot.close();
  return `${documents} documents, ${problemsTotal} problems`;
}

t.test('a file that was cut off anywhere is refused, by a start, by a second one and by the checker', async (t) => {
  const directory = t.testdir({ whole: {}, cut: {} });
  const whole = join(directory, 'whole');
  await filledWide(whole);
  const { size } = statSync(join(whole, 'data.mdb'));
  const lengths = [
    1,
    100,
    4096,
    8191,
    8192,
    ...Array.from({ length: 24 }, (_, i) => Math.floor((size * (i + 1)) / 25)),
  ];
  for (const length of lengths) {
    const cut = join(directory, 'cut', String(length));
    cpSync(whole, cut, { recursive: true });
    truncateSync(join(cut, 'data.mdb'), length);
    t.equal(await walkOn(cut), 'PH_STORE_FORMAT', `the checker, ${length} of ${size} bytes`);
    t.equal(await startOn(cut), 'PH_STORE_FORMAT', `a start, ${length} of ${size} bytes`);
    t.equal(await startOn(cut), 'PH_STORE_FORMAT', 'and the next one');
    t.equal(statSync(join(cut, 'data.mdb')).size, length, 'what is left was not touched');
  }
});

t.test('a file that lacks only free pages at its end is whole, and made as long as it says', async (t) => {
  const directory = t.testdir();
  await filledWide(directory);
  const path = join(directory, 'data.mdb');
  const header = readHeader(directory);
  if (header === undefined) throw new Error('there is no file');
  const { size } = statSync(path);
  t.equal(header.expected, size);
  // As lmdb leaves it when the last pages were taken and given back in one transaction: the newest meta page says one more.
  const meta = Buffer.alloc(8);
  meta.writeBigUInt64LE(BigInt(size / header.pageSize));
  const file = openSync(path, 'r+');
  writeSync(file, meta, 0, 8, Number(header.transaction % 2n) * header.pageSize + 144);
  closeSync(file);
  t.equal(readHeader(directory)?.expected, size + header.pageSize);
  t.equal(await walkOn(directory), WHOLE);
  t.equal(statSync(path).size, size, 'who reads does not write');
  t.equal(await startOn(directory), WHOLE);
  t.equal(statSync(path).size, size + header.pageSize);
});

t.test(
  'a file with any one page damaged is refused or named by the checker, unless the page is free or the middle of a text',
  async (t) => {
    const directory = t.testdir({ whole: {}, hurt: {} });
    const [whole, hurt] = [join(directory, 'whole'), join(directory, 'hurt')];
    await filledWide(whole);
    const bytes = readFileSync(join(whole, 'data.mdb'));
    const { pageSize = 4096 } = readHeader(whole) ?? {};
    const random = seededRandom(t);
    let unseen = 0;
    const pages = bytes.length / pageSize;
    for (let page = 0; page < pages; page++) {
      const damaged = Buffer.from(bytes);
      const own = damaged.subarray(page * pageSize, (page + 1) * pageSize);
      if (page % 3 === 0) own.fill(0);
      else if (page % 3 === 1) for (let i = 0; i < pageSize; i++) own[i] = random.whole(0, 255);
      else own.copyWithin(0, 64); // right bytes at a wrong place
      const each = join(hurt, String(page));
      mkdirSync(each);
      writeFileSync(join(each, 'data.mdb'), damaged);
      const said = await walkOn(each);
      if (said === WHOLE) unseen++;
      else if (said !== 'PH_STORE_FORMAT') t.match(said, / [1-9]\d* problems/, `page ${page}`);
      rmSync(each, { recursive: true });
    }
    // The texts of 20,000 bytes have four such pages each: lmdb keeps no checksums.
    t.ok(unseen < pages / 4, `${unseen} of ${pages} pages`);
  },
);

t.test('the checker finds each kind of damage, and none in a store that is whole', async (t) => {
  const directory = t.testdir();
  await filled(directory);
  const store = opened(directory);
  const { docs, index, meta } = store.engine;
  const collection = store.catalog.find('t.c');
  if (collection === undefined) throw new Error('no collection');
  const indexId = (name: string): number => collection.indexes.find((one) => one.name === name)?.id ?? 0;
  const whole = checkStore(store.engine);
  t.match(whole, { collections: 1, documents: 450, problemsTotal: 0, problems: [] });
  t.ok(whole.indexEntries > 450 * 4);

  const firstKey = (id: number): Buffer => {
    const start = recordKey(id, 0).subarray(0, 4);
    const [key] = [...index.getKeys({ start, limit: 1 })];
    return key as Buffer;
  };
  const record = 7;
  const key = recordKey(collection.id, record);
  const damages: [string, () => void, RegExp[]][] = [
    [
      'an entry is gone',
      () => index.removeSync(firstKey(indexId('n'))),
      [/is missing in index n/, /index n has 449 entries, its documents have 450/],
    ],
    [
      'an entry of no document',
      () =>
        index.putSync(Buffer.concat([firstKey(indexId('tags')), Buffer.alloc(1)]), recordKey(0, 99_999).subarray(4)),
      [/index tags has an entry .* of no document/],
    ],
    [
      'an entry of another document',
      () => index.putSync(firstKey(indexId('_id_')), recordKey(0, 20).subarray(4)),
      [/index _id_ has its key for record 20/],
    ],
    [
      'a sparse index holds too much',
      () => index.putSync(Buffer.concat([firstKey(indexId('s')), Buffer.alloc(1)]), recordKey(0, record).subarray(4)),
      [/index s has \d+ entries, its documents have/],
    ],
    [
      'a document is gone',
      () => docs.removeSync(key),
      [/index _id_ has an entry .* of no document/, /449 documents, its count says 450/, /bytes, its sum says/],
    ],
    [
      'a document is no BSON',
      () => docs.putSync(key, Buffer.from('no BSON at all')),
      [/document of record 7 is no BSON/],
    ],
    [
      'a document has no _id',
      () => docs.putSync(key, Buffer.from(serialize({ n: 6 }))),
      [/document of record 7 has no _id/],
    ],
    [
      'a document was changed behind its indexes',
      () => docs.putSync(key, Buffer.from(serialize({ _id: 6, n: 6000, a: 6, tags: [] }))),
      [/document of record 7 is missing in index n/],
    ],
    [
      'bytes of nobody',
      () => docs.putSync(recordKey(4_000_000, 1), Buffer.from(serialize({ _id: 1 }))),
      [/table docs has keys under the number 4000000, which belongs to nothing/],
    ],
    [
      'entries of nobody',
      () => index.putSync(recordKey(4_000_001, 1), recordKey(0, 1).subarray(4)),
      [/table index has keys under the number 4000001/],
    ],
    [
      'an index does not know that it has arrays',
      () => {
        const now = store.catalog.find('t.c');
        if (now === undefined) return;
        for (const one of now.indexes) one.multikey = one.multikey.map(() => false);
        store.catalog.touch(now, true);
        store.catalog.save();
      },
      [/has an array where index tags is not marked for arrays/],
    ],
    [
      'counts are wrong',
      () => meta.putSync(Buffer.from(`n:${collection.id}`), Buffer.alloc(16)),
      [/450 documents, its count says 0/],
    ],
  ];
  for (const [what, damage, expected] of damages) {
    let problems: readonly string[] = [];
    // In a transaction that is undone at its end: each damage is found alone.
    await store.engine
      .write(() => {
        damage();
        problems = checkStore(store.engine).problems;
        throw new Error('undone');
      }, false)
      .catch(() => undefined);
    for (const one of expected)
      t.ok(
        problems.some((text) => one.test(text)),
        `${what}: ${one.source}: ${problems.join(' | ').slice(0, 300)}`,
      );
  }
  t.equal(checkStore(store.engine).problemsTotal, 0);
  await store.engine.close();
});

t.test('limits are said at the start, and once when they are crossed', async (t) => {
  const { lines, log } = logged();
  const store = await startEmbeddedStore({ dataDir: t.testdir(), maxMb: 4, log });
  t.match(lines, [['info', { documentBytes: 16_777_216, indexKeyBytes: 1960, warningMb: 3, maxMb: 4 }, /limits/]]);
  const client = await new MongoClient(store.uri).connect();
  const things = client.db().collection('things');
  await things.createIndex({ text: 1 }, { name: 'by text' });
  for (const length of [3000, 5000]) {
    const error = { code: 17280, message: /index by text .*up to 1960/ };
    await t.rejects(things.insertOne({ text: 'x'.repeat(length) }), error);
  }
  const tooLong = (text: string): number =>
    lines.filter(([level, , line]) => level === 'warn' && line.includes(text)).length;
  t.equal(tooLong('too long index key'), 1);

  /** Writes until it is refused; resolves to the refusal's code. */
  const fill = async (): Promise<unknown> => {
    for (;;) {
      const refused = await things.insertOne({ fill: Buffer.alloc(100_000) }).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (refused !== undefined) return (refused as { code?: unknown }).code;
    }
  };
  t.equal(await fill(), 14031);
  t.equal(tooLong('more than 80 %'), 1);
  t.equal(lines.filter(([level, , line]) => level === 'error' && line === 'local store: writes are refused').length, 1);
  await things.deleteMany({});
  await eventually('writes are taken again', 5000, () =>
    things.insertOne({ n: 1 }).then(
      () => true,
      () => false,
    ),
  );
  t.equal(lines.filter(([, , line]) => line === 'local store: writes are taken again').length, 1);
  t.equal(await fill(), 14031);
  t.equal(tooLong('more than 80 %'), 2, 'each crossing');
  await client.close();
  await store.stop();
});

t.test('a file of format 1 gets its indexes anew, or is left as it was', async (t) => {
  const directory = t.testdir({ good: {}, bad: {} });
  /** As format 1 left it: entries that indexes do not hold any more, lacking ones, and unknown arrays. */
  const age = async (path: string, more: (store: Opened) => void): Promise<void> => {
    const store = opened(path);
    await store.engine.write(() => {
      const { index, meta } = store.engine;
      const [id, n] = store.catalog.find('t.c')?.indexes ?? [];
      if (id === undefined || n === undefined) throw new Error('no indexes');
      const start = recordKey(n.id, 0).subarray(0, 4);
      const [first, second] = [...index.getKeys({ start, limit: 2 })] as Buffer[];
      if (first === undefined || second === undefined) throw new Error('no keys');
      index.removeSync(first);
      index.putSync(Buffer.concat([second, Buffer.alloc(2)]), recordKey(0, 3).subarray(4));
      n.multikey = n.multikey.map(() => true);
      more(store);
      meta.putSync(Buffer.from('format'), Buffer.from('1'));
      return true;
    }, false);
    await store.engine.close();
  };
  const good = join(directory, 'good');
  await filled(good);
  await age(good, () => undefined);
  const { lines, log } = logged();
  const migrated = opened(good, { log });
  t.match(lines, [['info', {}, /indexes of an older format were built anew/]]);
  t.match(checkStore(migrated.engine), { documents: 450, problems: [] });
  t.match(await run(migrated, { find: 'c', filter: { n: 0 } }), { cursor: { firstBatch: [{ _id: 0 }] } });
  await migrated.engine.close();
  const again = logged();
  await opened(good, { log: again.log }).engine.close();
  t.strictSame(again.lines, [], 'once');

  const bad = join(directory, 'bad');
  await filled(bad);
  await age(bad, (store) => {
    const collection = store.catalog.find('t.c');
    if (collection === undefined) return;
    store.engine.docs.putSync(recordKey(collection.id, 9), Buffer.from(serialize({ _id: 'twin', n: 0 })));
  });
  for (const time of ['first', 'second'])
    t.throws(
      () => opened(bad),
      { code: 'PH_STORE_FORMAT', message: /format 1 and cannot become 2: t\.c: two documents .* unique index n/ },
      `the ${time} time`,
    );
});
