import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { silentLog } from '../../src/log.js';
import { type Holding, type LeaseGrant, type LeaseKeeper, leaseKeeper } from '../../src/store/lease-keeper.js';
import type { OwnerRow } from '../../src/store/models.js';
import { ownIdentity, type ProcessIdentity, provablyDead, sameProcess } from '../../src/store/process-identity.js';
import type { Store } from '../../src/store/store.js';
import { type FakeClock, fakeClock } from '../support/fake-clock.js';
import { type TestStore, testStores } from '../support/test-store.js';

const stores = await testStores(t);
/** One database for all: each test has a bot of its own. */
const of = await stores.fresh(t);
let bots = 0;

/** One keeper with what it said of one wish. */
interface Side {
  readonly keeper: LeaseKeeper;
  readonly holding: Holding;
  readonly grants: LeaseGrant[];
  readonly losses: string[];
}

/** Keepers on one database, whose writes are awaited by `go`. */
interface World {
  readonly clock: FakeClock;
  readonly of: TestStore;
  readonly bot: string;
  side(name: string, identity?: Partial<ProcessIdentity>, store?: Store): Promise<Side>;
  /** Goes on by `ms` in steps, each until what it led to is written. */
  go(ms: number): Promise<void>;
  row(): Promise<OwnerRow>;
  /** Holds the next operation of that name up until the answer is called. */
  hold(name: string): () => void;
}

/** The kernel's start time of a pid (proc(5), field 22). */
const startOf = (pid: number): string => {
  const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return line.slice(line.lastIndexOf(')') + 2).split(' ')[19] ?? '';
};

const elsewhere = (name: string): ProcessIdentity => ({
  host: name,
  bootId: `boot of ${name}`,
  pidNamespace: 'pid:[1]',
  pid: 100,
  started: '1',
});

async function worldOf(t: Test): Promise<World> {
  bots += 1;
  const bot = String(bots);
  const clock = fakeClock();
  let under = 0;
  const holds: { name: string; released: Promise<void> }[] = [];

  function watched(store: Store): Store {
    const counted = <T extends object>(collection: T): T =>
      new Proxy(collection, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name);
          if (typeof value !== 'function') return value;
          if (name === 'find')
            return (filter: object) => ({
              toArray: () =>
                run('find', () =>
                  (target as unknown as Store['models']['Owners']['collection']).find(filter).toArray(),
                ),
            });
          return (...args: unknown[]) => run(String(name), () => value.apply(target, args) as Promise<unknown>);
        },
      });
    const { Owners, Results } = store.models;
    return {
      ...store,
      models: {
        ...store.models,
        Owners: { ...Owners, collection: counted(Owners.collection) },
        Results: { ...Results, collection: counted(Results.collection) },
      },
    } as unknown as Store;
  }

  async function run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const at = holds.findIndex((hold) => hold.name === name);
    if (at !== -1) await holds.splice(at, 1)[0]?.released;
    under += 1;
    try {
      return await work();
    } finally {
      under -= 1;
    }
  }

  async function idle(): Promise<void> {
    for (let quiet = 0; quiet < 3; quiet = under === 0 ? quiet + 1 : 0)
      await new Promise((resolve) => setImmediate(resolve));
  }

  const keepers: LeaseKeeper[] = [];
  t.teardown(async () => {
    for (const keeper of keepers) keeper.stop();
    await idle();
  });

  return {
    clock,
    of,
    bot,
    async side(name, identity = {}, store = of.store) {
      const keeper = leaseKeeper(watched(store), { ...elsewhere(name), ...identity }, clock, silentLog);
      keepers.push(keeper);
      const grants: LeaseGrant[] = [];
      const losses: string[] = [];
      const holding = keeper.hold(bot, 'send', {
        granted: (grant) => grants.push(grant),
        lost: (reason) => losses.push(reason),
      });
      await idle();
      return { keeper, holding, grants, losses };
    },
    async go(ms) {
      for (let left = ms; left > 0; left -= 250) {
        await clock.advance(Math.min(250, left), 2);
        await idle();
      }
    },
    async row() {
      return (await of.store.models.Owners.collection.findOne({ bot, part: 'send' })) as unknown as OwnerRow;
    },
    hold(name) {
      let release = (): void => undefined;
      holds.push({
        name,
        released: new Promise((resolve) => {
          release = resolve;
        }),
      });
      return release;
    },
  };
}

t.test('the first owns, a standby waits as long as it beats', async (t) => {
  const world = await worldOf(t);
  const a = await world.side('a');
  t.match(a.grants, [{ bot: world.bot, part: 'send', epoch: 1, begun: [], handling: [] }]);
  t.ok(a.holding.mayCall());
  const b = await world.side('b');
  await world.go(30_000);
  t.equal(b.grants.length, 0);
  t.match(b.holding.holder, { host: 'a' }, 'who was seen beating is known');
  t.notOk(b.holding.mayCall());
  t.ok(a.holding.mayCall());
  t.notOk(a.holding.mustDestroy());
  t.match(await world.row(), { owner: { host: 'a' }, epoch: 1, beat: 10 }, 'a beat each 3 s');
});

t.test('what is published goes with the next beat, and to the next owner', async (t) => {
  const world = await worldOf(t);
  const a = await world.side('a');
  a.holding.publish({ begun: ['1-1-0', '1-1-1'], handling: [5], rate: 12, waiting: 44, ready: true });
  t.match(await world.row(), { begun: [], waiting: 0, ready: false });
  await world.go(3_000);
  t.match(await world.row(), { begun: ['1-1-0', '1-1-1'], handling: [5], rate: 12, waiting: 44, ready: true });
  a.keeper.stop();
  const b = await world.side('b');
  await world.go(12_000);
  t.match(b.grants, [{ epoch: 2, begun: ['1-1-0', '1-1-1'], handling: [5], rate: 12 }]);
  t.match(await world.row(), { owner: { host: 'b' }, epoch: 2, begun: ['1-1-0', '1-1-1'], ready: false });
  await world.go(3_000);
  t.match(await world.row(), { begun: ['1-1-0', '1-1-1'], handling: [5] }, 'they stay written until they are settled');
});

t.test('an owner that stands still is followed after 9 s, and has stopped by itself before', async (t) => {
  const world = await worldOf(t);
  const a = await world.side('a');
  const b = await world.side('b');
  await world.go(4_000);
  a.keeper.stop();
  const stoodStill = world.clock.now() - 1_000;
  await world.go(4_750);
  t.ok(a.holding.mayCall(), 'its last beat began less than 6 s ago');
  await world.go(250);
  t.notOk(a.holding.mayCall());
  t.notOk(a.holding.mustDestroy());
  await world.go(1_500);
  t.ok(a.holding.mustDestroy());
  t.equal(b.grants.length, 0);
  for (let i = 0; i < 20 && b.grants.length === 0; i += 1) await world.go(250);
  const after = world.clock.now() - stoodStill;
  t.ok(after >= 9_000 && after <= 11_500, `taken over after ${after} ms`);
  t.match(b.grants, [{ epoch: 2 }]);
  // Whatever the older one still writes is refused.
  await t.rejects(a.holding.publishNow({ begun: ['1-9-9'] }), { code: 'PH_LEASE_FENCED' });
  t.equal(a.losses.length, 1);
  t.equal(a.holding.grant, undefined);
  t.match(await world.row(), { epoch: 2, begun: [] });
});

t.test('a late beat is refused: fenced once, and a standby again', async (t) => {
  const world = await worldOf(t);
  const a = await world.side('a');
  await world.of.store.models.Owners.collection.updateOne(
    { bot: world.bot },
    { $set: { epoch: 5, owner: elsewhere('c'), beat: 0 } },
  );
  await world.go(3_250);
  t.equal(a.losses.length, 1);
  t.notOk(a.holding.mayCall());
  await world.go(11_000);
  t.match(a.grants.at(-1), { epoch: 6 }, 'c never beat');
  t.ok(a.holding.mayCall());
});

t.test('at once when released, provably dead, or one’s own', async (t) => {
  await t.test('released', async (t) => {
    const world = await worldOf(t);
    const a = await world.side('a');
    const b = await world.side('b');
    await world.go(2_000);
    a.holding.publish({ begun: ['1-1-7'] });
    await a.holding.release();
    t.match(await world.row(), { owner: null, begun: ['1-1-7'] });
    await world.go(1_000);
    t.match(b.grants, [{ epoch: 2, begun: ['1-1-7'] }]);
    await world.go(5_000);
    t.equal(a.grants.length, 1, 'the wish has ended');
  });
  const self = ownIdentity();
  for (const [name, identity, free] of [
    ['a pid that is gone', { ...self, pid: 4_194_303, started: '1' }, true],
    ['a pid of another start', { ...self, started: '1' }, true],
    ['a pid that lives', { ...self, pid: process.ppid, started: startOf(process.ppid) }, false],
    ['another boot', { ...self, pid: 4_194_303, bootId: 'other' }, false],
    ['another pid namespace', { ...self, pid: 4_194_303, pidNamespace: 'pid:[2]' }, false],
    ['oneself, by a lost answer', self, true],
  ] as const) {
    await t.test(name, async (t) => {
      const world = await worldOf(t);
      await world.of.store.models.Owners.collection.insertOne({
        bot: world.bot,
        part: 'send',
        owner: identity,
        epoch: 3,
        beat: 9,
        begun: ['1-1-1'],
        handling: [],
        waiting: 0,
      } as never);
      const b = await world.side('b', self);
      t.equal(b.grants.length, free ? 1 : 0);
      if (free) t.match(b.grants, [{ epoch: 4, begun: ['1-1-1'] }]);
    });
  }
});

t.test('a wish that ends while it takes over leaves what was begun written down', async (t) => {
  const world = await worldOf(t);
  await world.of.store.models.Owners.collection.insertOne({
    bot: world.bot,
    part: 'send',
    owner: null,
    epoch: 3,
    beat: 9,
    begun: ['1-1-1'],
    handling: [8],
    waiting: 0,
  } as never);
  const go = world.hold('findOneAndUpdate');
  const b = await world.side('b');
  await b.holding.release();
  go();
  await world.go(500);
  t.equal(b.grants.length, 0);
  t.match(await world.row(), { owner: null, epoch: 4, begun: ['1-1-1'], handling: [8] });
});

t.test('publishNow', async (t) => {
  await t.test('what resolved is written, whatever else is under way', async (t) => {
    const world = await worldOf(t);
    const a = await world.side('a');
    const begun: string[] = [];
    const missing: string[] = [];
    const add = async (id: string) => {
      begun.push(id);
      await a.holding.publishNow({ begun: [...begun] });
      const row = await world.row();
      if (!row.begun.includes(id)) missing.push(id);
    };
    const all: Promise<void>[] = [];
    for (let i = 0; i < 40; i += 1) {
      all.push(add(`1-1-${i}`));
      if (i % 5 === 0) world.clock.jump(3_000); // beats in between
      if (i % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(all);
    t.same(missing, []);
    t.equal((await world.row()).begun.length, 40);
    t.equal(a.losses.length, 0);
  });

  await t.test('a beat that is under way does not hide it', async (t) => {
    const world = await worldOf(t);
    const a = await world.side('a');
    const go = world.hold('bulkWrite');
    world.clock.jump(3_000);
    const written = a.holding.publishNow({ begun: ['1-1-0'] });
    await new Promise((resolve) => setImmediate(resolve));
    t.same((await world.row()).begun, []);
    go();
    await written;
    t.same((await world.row()).begun, ['1-1-0']);
  });

  await t.test('without a grant', async (t) => {
    const world = await worldOf(t);
    await world.side('a');
    const b = await world.side('b');
    await t.rejects(b.holding.publishNow({ begun: ['x'] }), { code: 'PH_LEASE_FENCED' });
  });
});

t.test('an owner write that is applied after a later one changes nothing', async (t) => {
  for (const [name, method] of [
    ['a beat', 'bulkWrite'],
    ['what is published at once', 'updateOne'],
  ] as const) {
    await t.test(name, async (t) => {
      const world = await worldOf(t);
      const { store } = world.of;
      const { Owners } = store.models;
      let late: (() => Promise<unknown>) | undefined;
      // The first write of that kind fails here, and reaches the store when `late` is called.
      const collection = new Proxy(Owners.collection, {
        get(target, field) {
          const value: unknown = Reflect.get(target, field);
          if (typeof value !== 'function') return value;
          return (...args: unknown[]) => {
            if (field !== method || late !== undefined) return value.apply(target, args);
            late = () => value.apply(target, args) as Promise<unknown>;
            return Promise.reject(new Error('its answer was lost'));
          };
        },
      });
      const models = { ...store.models, Owners: { ...Owners, collection } } as unknown as Store['models'];
      const a = await world.side('a', {}, { ...store, models });
      if (method === 'bulkWrite') {
        a.holding.publish({ begun: ['1-1-0'] });
        await world.go(3_000);
      } else await t.rejects(a.holding.publishNow({ begun: ['1-1-0'] }), /lost/);
      await a.holding.publishNow({ begun: ['1-1-0', '1-1-1'] });
      const before = await world.row();
      t.match(before, { begun: ['1-1-0', '1-1-1'] });
      await late?.();
      t.same(await world.row(), before);
      await world.go(3_000);
      t.match(await world.row(), { begun: ['1-1-0', '1-1-1'], epoch: 1 });
      t.equal(a.losses.length, 0, 'and its owner goes on');
    });
  }
});

t.test('a takeover whose answer is lost is taken once more, with what was begun', async (t) => {
  const world = await worldOf(t);
  const cut = await world.of.proxy();
  const far = await world.of.another(cut);
  await world.of.store.models.Owners.collection.insertOne({
    bot: world.bot,
    part: 'send',
    owner: null,
    epoch: 3,
    beat: 9,
    begun: ['1-1-1'],
    handling: [],
    waiting: 0,
  } as never);
  cut.loseAnswers(1, 'findAndModify', 'owners');
  const b = await world.side('b', {}, far);
  await world.go(2_500);
  t.equal(cut.lost, 1);
  t.equal(b.grants.length, 1);
  t.match(b.grants[0]?.begun, ['1-1-1']);
  t.match(await world.row(), { owner: { host: 'b' }, epoch: b.grants[0]?.epoch });
});

t.test('the store is away: no calls after 6 s, and on with the same epoch when it is back', async (t) => {
  const world = await worldOf(t);
  const cut = await world.of.proxy();
  const far = await world.of.another(cut);
  const a = await world.side('a', {}, far);
  t.ok(a.holding.mayCall());
  cut.shut();
  await world.clock.advance(6_000, 2);
  t.notOk(a.holding.mayCall());
  cut.open();
  for (let i = 0; i < 400 && !a.holding.mayCall(); i += 1) {
    await world.clock.advance(250, 2);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  t.ok(a.holding.mayCall());
  t.same([a.grants.length, a.losses.length], [1, 0]);
  t.match(await world.row(), { epoch: 1 });
});

t.test('a suspended machine: the wall clock counts too', async (t) => {
  const world = await worldOf(t);
  let asleep = 0;
  const clock = {
    now: () => world.clock.now(),
    wallNow: () => world.clock.wallNow() + asleep,
    setTimer: world.clock.setTimer,
  };
  const keeper = leaseKeeper(world.of.store, elsewhere('a'), clock, silentLog);
  t.teardown(() => keeper.stop());
  let granted = (): void => undefined;
  const first = new Promise<void>((resolve) => {
    granted = resolve;
  });
  const holding = keeper.hold(world.bot, 'send', { granted, lost: () => undefined });
  await first;
  t.ok(holding.mayCall());
  asleep = 8_000;
  t.notOk(holding.mayCall());
  t.ok(holding.mustDestroy());
});

t.test('a document that was edited by hand', async (t) => {
  const edits: readonly [string, object, object][] = [
    ['the epoch is a text', { $set: { epoch: 'seven' } }, { epoch: 1, begun: ['1-1-0'], handling: [5], rate: 12 }],
    ['the epoch is false', { $set: { epoch: false } }, { epoch: 1, waitUntil: 9e12 }],
    ['the epoch is gone', { $unset: { epoch: '' } }, { epoch: 1, begun: ['1-1-0'] }],
    ['the epoch is below zero', { $set: { epoch: -3 } }, { epoch: 1 }],
    ['the beat is gone', { $unset: { beat: '' } }, { epoch: 2, begun: ['1-1-0'] }],
    ['the beat is no number', { $set: { beat: Number.NaN } }, { epoch: 2 }],
    ['the owner is a name', { $set: { owner: 'me' } }, { epoch: 2, begun: ['1-1-0'] }],
    ['the owner is gone', { $unset: { owner: '' } }, { epoch: 2 }],
    ['the owner is half a process', { $set: { owner: { pid: 'x' } } }, { epoch: 2 }],
    ['begun is no list', { $set: { begun: 'all' } }, { epoch: 2, begun: [], handling: [5] }],
    ['begun holds what is no id', { $set: { begun: ['1-1-0', 4, null] } }, { epoch: 2, begun: ['1-1-0'] }],
    ['handling is gone', { $unset: { handling: '' } }, { epoch: 2, begun: ['1-1-0'], handling: [] }],
    ['handling holds texts', { $set: { handling: ['5', 5] } }, { epoch: 2, handling: [5] }],
    ['the rate is a text', { $set: { rate: 'fast' } }, { epoch: 2, begun: ['1-1-0'], rate: undefined }],
    ['the wait is a text', { $set: { waitUntil: 'soon' } }, { epoch: 2, rate: 12, waitUntil: undefined }],
    ['all at once', { $set: { owner: 1, epoch: [], beat: {}, begun: 1, handling: 1, rate: -1 } }, { epoch: 1 }],
  ];
  for (const [name, edit, expected] of edits) {
    await t.test(name, async (t) => {
      const world = await worldOf(t);
      const a = await world.side('a');
      await a.holding.publishNow({ begun: ['1-1-0'], handling: [5], rate: 12, waiting: 3, waitUntil: 9e12 });
      a.keeper.stop(); // it is gone: else its next beat would write most of it anew
      const { collection } = world.of.store.models.Owners;
      await collection.updateOne({ bot: world.bot }, edit as never);
      const b = await world.side('b');
      await world.go(8_000);
      t.equal(b.grants.length, 0, 'it may be an owner’s that lives');
      await world.go(4_000);
      t.match(b.grants, [expected]);
      if ('rate' in expected) t.equal(b.grants[0]?.rate, expected.rate);
      if ('waitUntil' in expected) t.equal(b.grants[0]?.waitUntil, expected.waitUntil);
      t.ok(b.holding.mayCall());
      await b.holding.publishNow({ waiting: 1 });
      await world.go(3_000);
      t.match(await world.row(), { owner: { host: 'b' }, beat: Number, waiting: 1 }, 'whole again');
      t.equal(b.losses.length, 0);
    });
  }

  await t.test('of an owner that lives: it stops, mends it and goes on', async (t) => {
    const world = await worldOf(t);
    const a = await world.side('a');
    await world.of.store.models.Owners.collection.updateOne({ bot: world.bot }, { $set: { epoch: 'x' } } as never);
    await world.go(3_000);
    t.equal(a.losses.length, 1, 'its beat meets nothing');
    t.notOk(a.holding.mayCall());
    await world.go(12_000);
    t.equal(a.grants.length, 2);
    t.ok(a.holding.mayCall());
  });

  await t.test('an epoch that was set back passes at once what the results know', async (t) => {
    const world = await worldOf(t);
    const results = world.of.store.models.Results.collection;
    await results.insertOne({ bot: world.bot, n: 1, k: 0, epoch: 700, items: Buffer.alloc(0), left: 0 } as never);
    await world.of.store.models.Owners.collection.insertOne({
      ...{ bot: world.bot, part: 'send', owner: null, epoch: 3, beat: 1 },
      ...{ begun: [], handling: [], waiting: 0 },
    } as never);
    const a = await world.side('a');
    t.match(a.grants, [{ epoch: 4 }]);
    a.holding.fenced('results of a later epoch');
    await world.go(1_500);
    t.match(a.grants.at(-1), { epoch: 701 }, 'once, not 697 times');
  });

  await t.test('deleted: a new one is above all that the results know', async (t) => {
    const world = await worldOf(t);
    const results = world.of.store.models.Results.collection;
    await results.insertOne({ bot: world.bot, n: 1, k: 0, epoch: 9, items: Buffer.alloc(0), left: 0 } as never);
    t.match((await world.side('a')).grants, [{ epoch: 10 }]);
  });
});

t.test('identities', async (t) => {
  const self = ownIdentity();
  t.ok(sameProcess(self, { ...self }));
  t.notOk(sameProcess(self, { ...self, started: '0' }));
  t.notOk(provablyDead(self, self));
  t.equal(self.pid, process.pid);
  t.match(self, { host: /./, bootId: /./, started: /^\d+$/ });
});
