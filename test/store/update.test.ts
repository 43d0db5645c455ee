import { Binary } from 'mongodb';
import t from 'tap';
import { duplicateKey } from '../../src/store/store.js';
import { testStores } from '../support/test-store.js';

const { store } = await (await testStores(t)).fresh(t);
const results = store.models.Results.collection;

const row = (n: number, epoch: number, bytes = 0) => ({
  filter: { bot: '1', n, k: 0, epoch: { $lte: epoch } },
  change: { $set: { epoch, items: new Binary(Buffer.alloc(bytes)) } },
  upsert: true,
});
const kept = async () =>
  (
    await results
      .find({ bot: '1' }, { projection: { n: 1, epoch: 1 } })
      .sort({ n: 1 })
      .toArray()
  ).map((one) => [one.n, one.epoch]);

t.afterEach(async () => void (await results.deleteMany({})));

t.test('more updates than a command holds are all carried out', async (t) => {
  const all = Array.from({ length: 200 }, (_, n) => row(n, 1, 200_000)); // 40 MB: a command has 16
  await store.update('Results', all);
  t.equal(await results.countDocuments({ bot: '1' }), 200);
  await store.update('Results', all);
  t.equal(await results.countDocuments({ bot: '1' }), 200, 'again: nothing more');
});

t.test('none is no command', async () => store.update('Results', []));

t.test('an update that fails is told, the others of its command are carried out', async (t) => {
  await store.update('Results', [row(2, 9)]);
  const error = await store.update('Results', [row(1, 5), row(2, 5), row(3, 5)]).catch((one: unknown) => one);
  t.same(duplicateKey(error), { keyPattern: { bot: 1, n: 1, k: 1 } });
  t.same(await kept(), [
    [1, 5],
    [2, 9],
    [3, 5],
  ]);
});

t.test('an update that fails keeps none of the next command from being carried out', async (t) => {
  await store.update('Results', [row(0, 9)]);
  const all = Array.from({ length: 100 }, (_, n) => row(n, 5));
  await t.rejects(store.update('Results', all), { code: 11_000 });
  t.equal(await results.countDocuments({ bot: '1' }), 100);
});

t.test('without upsert only what is there is changed', async (t) => {
  await store.update('Results', [row(1, 5)]);
  await store.update('Results', [
    { filter: { bot: '1', n: 1 }, change: { $set: { epoch: 6 } } },
    { filter: { bot: '1', n: 2 }, change: { $set: { epoch: 6 } } },
  ]);
  t.same(await kept(), [[1, 6]]);
});

t.test('a command that the server refuses rejects', async (t) => {
  await t.rejects(store.update('Results', [{ filter: { bot: '1' }, change: { $none: { epoch: 6 } } }]), { code: 9 });
});
