import t from 'tap';
import { deadLetterWatchActor } from '../../src/actors/dead-letter-watch.js';
import { createActorSystem } from '../../src/actors/runtime.js';
import { supervisor, worker } from '../../src/actors/supervision.js';
import { createEvents } from '../../src/events.js';
import { silentLog } from '../../src/log.js';
import type { Queue } from '../../src/queues.js';
import { health, readiness } from '../../src/readiness.js';
import { fakeClock } from '../support/fake-clock.js';

t.test('more than 10 dead letters are told of, and their end', async (t) => {
  const clock = fakeClock();
  const lines: object[] = [];
  const log = { ...silentLog, warn: (fields: object) => void lines.push(fields) };
  const events = createEvents(log);
  const told: unknown[] = [];
  events.subscribe('dead-letters.piled-up', (fact) => told.push({ piledUp: fact }));
  const end = events.subscribe('dead-letters.dealt-with', (fact) => told.push({ dealtWith: fact }));
  const of = health({ sender: false, bot: false });
  const waiting: Record<Queue, number> = { deliveries: 10, updates: 0, jobs: 0 };
  let isAway = false as boolean;
  let asked = 0;
  const system = createActorSystem({ clock, log });
  const actor = deadLetterWatchActor({
    count: async (queues) => {
      if (isAway) throw new Error('no server');
      asked += 1;
      return queues.reduce((sum, queue) => sum + waiting[queue], 0);
    },
    events,
    report: (piledUp) => {
      of.deadLetters = piledUp;
    },
  });
  await system.start(supervisor({ name: 'root', strategy: 'one-for-one', children: [worker(actor)] }));
  const queues = () => readiness(of).checks.queues;
  await clock.advance(0);
  t.same([queues(), told], [{ status: 'ok' }, []], 'ten are borne');
  t.equal(asked, 1, 'one question tells that');
  waiting.deliveries = 11;
  await clock.advance(10_000);
  t.same(queues(), { status: 'degraded', detail: 'deliveries: 11 dead letters wait (posthorn dlq list)' });
  t.same(told, [{ piledUp: { queue: 'deliveries', waiting: 11 } }]);
  t.same(lines, [{ queue: 'deliveries', waiting: 11 }]);
  waiting.deliveries = 1_001;
  waiting.updates = 12;
  await clock.advance(10_000);
  t.match(queues(), { detail: /^deliveries: more than 1000 dead letters wait; updates: 12 dead letters wait/ });
  t.equal(told.length, 2, 'a queue is told of once');
  isAway = true;
  waiting.deliveries = 0;
  await clock.advance(30_000);
  t.match(queues(), { status: 'degraded' }, 'the figures stay while the store is away');
  isAway = false;
  await clock.advance(10_000);
  t.match(queues(), { detail: /^updates: 12/ });
  t.same(told.at(-1), { dealtWith: { queue: 'deliveries', waiting: 0 } });
  end();
  waiting.updates = 10;
  await clock.advance(10_000);
  t.same(queues(), { status: 'ok' });
  t.equal(told.length, 3, 'who has stopped listening hears no more');
  await system.stop();
  t.equal(clock.pending, 0);
});

t.test('a listener that throws harms nobody', (t) => {
  const errors: object[] = [];
  const events = createEvents({ ...silentLog, error: (fields) => void errors.push(fields) });
  const heard: unknown[] = [];
  events.subscribe('update.dead', () => {
    throw new Error('planted');
  });
  events.subscribe('update.dead', (fact) => heard.push(fact));
  const fact = { bot: '1', updateId: 5, reason: 'no' };
  events.publish('update.dead', fact);
  t.same(heard, [fact]);
  t.match(errors, [{ event: 'update.dead' }]);
  t.end();
});
