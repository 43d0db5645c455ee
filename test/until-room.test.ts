import { MongoNetworkError, MongoServerError } from 'mongodb';
import t from 'tap';
import { untilRoom } from '../src/until-room.js';
import { fakeClock, settle } from './support/fake-clock.js';

const full = () => new MongoServerError({ message: 'no room', code: 14031 });
const lost = () => new MongoNetworkError('gone');
/** As the driver passes it on. */
const broken = () => Object.assign(new Error('This socket has been ended by the other party'), { code: 'EPIPE' });

/** A write that fails in these ways, one after the other, and then answers 'written'; with what its wait was told. */
function waiting(...failures: (() => Error)[]) {
  const clock = fakeClock();
  const stop = new AbortController();
  const told: string[] = [];
  const tries: number[] = [];
  const left = [...failures];
  const written = untilRoom(
    async () => {
      tries.push(clock.now());
      const failure = left.shift();
      if (failure !== undefined) throw failure();
      return 'written';
    },
    { clock, random: () => 0.5, stopping: stop.signal, onFailed: (store) => told.push(store) },
  );
  written.catch(() => undefined); // each test looks for itself
  return { clock, stop, told, tries, written };
}

t.test('a write of the start waits with growing pauses until there is room', async (t) => {
  const { clock, told, tries, written } = waiting(full, full, lost, broken, full, full);
  await clock.advance(30_000);
  t.equal(await written, 'written');
  t.strictSame(tries, [0, 500, 1_500, 3_500, 7_500, 12_500, 17_500]);
  t.strictSame(told, ['full', 'full', 'lost', 'lost', 'full', 'full'], 'a store that goes meanwhile is waited for');
});

t.test('a failed disk of the embedded store is waited for as a full one', async (t) => {
  const { clock, written } = waiting(() => new MongoServerError({ message: 'failed', code: 39 }));
  await clock.advance(1_000);
  t.equal(await written, 'written');
});

t.test('any other error ends it, a lost store before the first refusal too', async (t) => {
  const other = waiting(full, () => new Error('a bug'));
  await other.clock.advance(1_000);
  await t.rejects(other.written, { message: 'a bug' });
  const away = waiting(lost);
  await t.rejects(away.written, { message: 'gone' });
  t.strictSame(away.told, []);
});

t.test('a stop ends the wait at once', async (t) => {
  const { clock, stop, tries, written } = waiting(full, full, full);
  await clock.advance(600);
  stop.abort();
  await settle();
  await t.rejects(written, { code: 14031 });
  t.equal(tries.length, 2);
  t.equal(clock.pending, 0, 'no timer is left');
});
