import fc from 'fast-check';
import t, { type Test } from 'tap';
import { type ActorSpec, createActorSystem, type Delivery, type TreeNode } from '../../src/actors/runtime.js';
import {
  affected,
  backoffDelay,
  type ChildSpec,
  countRestart,
  DEFAULT_POLICY,
  type Strategy,
  supervisor,
  worker,
} from '../../src/actors/supervision.js';
import { silentLog } from '../../src/log.js';
import { fakeClock, settle } from '../support/fake-clock.js';

type Mail = 'boom' | 'note' | 'hang';

/** A system whose actors write down their starts (`+name`), stops (`-name`) and handled notes (`name`), and fail on demand. */
const stage = (t: Test) => {
  const events: string[] = [];
  const clock = fakeClock();
  const system = createActorSystem({ clock, log: silentLog, random: () => 0.5 });
  const failures: Error[] = [];
  const parked: string[] = [];
  const faultyStarts = new Set<string>();
  const hanging = new Set<() => void>();
  let inside = 0;
  system.onFailure((error) => failures.push(error));
  system.onParked((path) => parked.push(path));
  t.teardown(() => system.stop());

  const actor = (name: string): ActorSpec<number, Mail> => ({
    name,
    init: async (ctx) => {
      if (faultyStarts.has(name)) throw new Error(`${name} cannot start`);
      ctx.after(1e9, 'note');
      await settle(1);
      events.push(`+${name}`);
      return 0;
    },
    receive: (state, message) => {
      if (message === 'boom') throw new Error(`${name} failed`);
      if (message === 'note') events.push(name);
      if (message === 'hang') {
        inside++;
        return new Promise((resolve) => {
          hanging.add(() => {
            inside--;
            resolve(state);
          });
        });
      }
      return state;
    },
    stop: async (_, __, reason) => {
      await settle(1);
      events.push(`-${name}${reason === 'stop' ? '!' : ''}`);
    },
  });
  const tell = (path: string, message: Mail): Delivery => system.tell(system.address<Mail>(path), message);
  const nodeAt = (path: string): TreeNode | undefined =>
    path === ''
      ? system.tree()
      : path
          .split('/')
          .reduce<TreeNode | undefined>((at, name) => at?.children.find((child) => child.name === name), system.tree());
  return {
    events,
    clock,
    system,
    failures,
    parked,
    faultyStarts,
    inside: () => inside,
    release: () => {
      for (const go of hanging) go();
      hanging.clear();
    },
    actor,
    leaf: (name: string): ChildSpec => worker(actor(name)),
    tell,
    stateOf: (path: string) => nodeAt(path)?.state,
    restartsOf: (path: string) => nodeAt(path)?.restarts,
    nodeAt,
    /** What has happened since the last call. */
    news: (): string => events.splice(0).join(' '),
  };
};

const crash = async (s: ReturnType<typeof stage>, path: string, ms = 1_000): Promise<void> => {
  s.tell(path, 'boom');
  await s.clock.advance(ms);
};

t.test('a restart waits for its backoff, keeps the mailbox, drops the failing message', async (t) => {
  const s = stage(t);
  await s.system.start(supervisor({ name: 'root', strategy: 'one-for-one', children: [s.leaf('a')] }));
  t.equal(s.news(), '+a');
  s.tell('a', 'note');
  s.tell('a', 'boom');
  s.tell('a', 'note');
  await s.clock.advance(99);
  t.equal(s.news(), 'a -a');
  t.match(s.nodeAt('a'), { state: 'restarting', restarts: 0, mailbox: 1, lastError: 'a failed' });
  t.equal(s.tell('a', 'note'), 'accepted');
  await s.clock.advance(1);
  t.equal(s.news(), '+a a a');
  t.match(s.nodeAt('a'), { state: 'running', restarts: 1, mailbox: 0, lastError: 'a failed' });
  t.equal(s.system.undelivered(), 0);
});

for (const [strategy, stopped, started] of [
  ['one-for-one', '-b', '+b'],
  ['rest-for-one', '-b -d -c', '+b +c +d'],
  ['one-for-all', '-b -d -c -a', '+a +b +c +d'],
] as const) {
  t.test(`${strategy} restarts whom it should, stops in reverse, starts in order, keeps all mail`, async (t) => {
    const s = stage(t);
    const children = ['a', 'b', 'c', 'd'].map(s.leaf);
    await s.system.start(supervisor({ name: 'root', strategy, children }));
    s.news();
    s.tell('b', 'boom');
    await settle(30);
    t.equal(s.news(), stopped);
    for (const name of ['a', 'b', 'c', 'd']) t.equal(s.tell(name, 'note'), 'accepted');
    await settle(30);
    s.news();
    await s.clock.advance(100);
    const news = s.news().split(' ');
    t.equal(news.filter((event) => event.startsWith('+')).join(' '), started);
    await settle(20);
    for (const name of ['a', 'b', 'c', 'd']) t.equal(s.stateOf(name), 'running');
    t.equal(s.clock.pending, 4, 'one timer of each actor, none of an old life');
    t.equal(s.system.undelivered(), 0);
  });
}

t.test('a restart of siblings waits for their handlers in flight: never two of one actor at once', async (t) => {
  const s = stage(t);
  await s.system.start(supervisor({ name: 'root', strategy: 'one-for-all', children: ['a', 'b'].map(s.leaf) }));
  s.news();
  s.tell('b', 'hang');
  await settle(1);
  s.tell('a', 'boom');
  await s.clock.advance(60_000);
  t.equal(s.inside(), 1);
  t.equal(s.news(), '-a', 'b is waited for without bound, nothing starts beside it');
  s.release();
  await s.clock.advance(100);
  t.equal(s.news(), '-b +a +b');
  t.equal(s.system.counters().abandoned, 0);
  s.tell('b', 'hang');
  await settle(1);
  s.tell('a', 'boom');
  await settle(20);
  const stopped = s.system.stop();
  await s.clock.advance(5_000);
  await stopped;
  t.equal(s.system.counters().abandoned, 1, 'a final stop bounds the wait');
  s.release();
  await settle();
  t.equal(s.clock.pending, 0);
});

t.test('the budget is 3 restarts in 5 s; the next fault goes up, at the root it ends all, in order', async (t) => {
  const s = stage(t);
  await s.system.start(supervisor({ name: 'root', strategy: 'one-for-one', children: ['a', 'b', 'c'].map(s.leaf) }));
  s.news();
  for (const name of ['a', 'b', 'c']) {
    await crash(s, name);
    t.equal(s.stateOf(name), 'running');
  }
  t.equal(s.news(), '-a +a -b +b -c +c');
  s.tell('b', 'boom');
  await settle(60);
  t.equal(s.news(), '-b -c -a', 'the budget is the supervisor’s, not the child’s');
  t.match(s.failures, [{ code: 'PH_ACTOR_BUDGET_SPENT', cause: { message: 'b failed' } }]);
  t.equal(s.stateOf(''), 'stopped');
  t.equal(s.stateOf('a'), 'stopped');
  t.equal(s.clock.pending, 0);
  t.equal(s.tell('a', 'note'), 'undelivered');
  await s.system.stop();
  t.equal(s.failures.length, 1);
});

t.test('restarts that lie further apart spend no budget', async (t) => {
  const s = stage(t);
  await s.system.start(supervisor({ name: 'root', strategy: 'one-for-one', children: [s.leaf('a')] }));
  for (let i = 0; i < 12; i++) await crash(s, 'a', 1_700);
  t.equal(s.restartsOf('a'), 12);
  t.equal(s.failures.length, 0);
});

t.test('the waits double within the window', async (t) => {
  const s = stage(t);
  await s.system.start(
    supervisor({
      name: 'root',
      strategy: 'one-for-one',
      children: [s.leaf('a')],
      budget: { restarts: 9, withinMs: 60_000 },
      backoff: { minMs: 100, maxMs: 500, jitter: 0 },
    }),
  );
  for (const waitMs of [100, 200, 400, 500, 500]) {
    s.news();
    s.tell('a', 'boom');
    await s.clock.advance(waitMs - 1);
    t.equal(s.news(), '-a');
    await s.clock.advance(1);
    t.equal(s.news(), '+a', `${waitMs} ms`);
  }
});

t.test(
  'a spent budget is a fault of the supervisor: its own supervisor restarts it with all that is under it',
  async (t) => {
    const s = stage(t);
    await s.system.start(
      supervisor({
        name: 'root',
        strategy: 'rest-for-one',
        children: [
          s.leaf('first'),
          supervisor({
            name: 'mid',
            strategy: 'one-for-one',
            children: ['a', 'b'].map(s.leaf),
            budget: { restarts: 1, withinMs: 5_000 },
          }),
          s.leaf('last'),
        ],
      }),
    );
    await crash(s, 'mid/a', 200);
    s.news();
    s.tell('mid/b', 'boom');
    s.tell('mid/b', 'note');
    await settle(30);
    t.equal(s.news(), '-b -a -last');
    t.equal(s.stateOf('mid'), 'restarting');
    await s.clock.advance(200);
    t.equal(s.news().replace(' b ', ' '), '+a +b +last');
    t.equal(s.system.undelivered(), 0, 'mail outlives the restart of a supervisor');
    t.equal(s.restartsOf('mid'), 1);
    t.equal(s.restartsOf('first'), 0);
    await crash(s, 'mid/a', 200);
    t.equal(s.restartsOf('mid'), 1, 'a restarted supervisor begins with a whole budget');
    t.equal(s.restartsOf('mid/a'), 3);
  },
);

t.test('a fault of a restart counts as a restart, until the budget is spent', async (t) => {
  const s = stage(t);
  await s.system.start(supervisor({ name: 'root', strategy: 'rest-for-one', children: ['a', 'b', 'c'].map(s.leaf) }));
  s.news();
  s.faultyStarts.add('b');
  await crash(s, 'b', 150);
  t.equal(s.news(), '-b -c');
  t.equal(s.stateOf('b'), 'restarting');
  t.equal(s.nodeAt('b')?.lastError, 'b cannot start');
  s.faultyStarts.clear();
  await s.clock.advance(400);
  t.equal(s.news(), '+b +c', 'what waits behind it comes up with it');
  s.faultyStarts.add('b');
  await s.clock.advance(10_000);
  s.tell('b', 'boom');
  await s.clock.advance(2_000);
  t.match(s.failures, [{ code: 'PH_ACTOR_BUDGET_SPENT' }]);
  t.equal(s.news(), '-b -c -a');
});

t.test('a second fault during the wait of a group joins it', async (t) => {
  const s = stage(t);
  await s.system.start(supervisor({ name: 'root', strategy: 'rest-for-one', children: ['a', 'b', 'c'].map(s.leaf) }));
  s.news();
  s.tell('c', 'boom');
  await s.clock.advance(50);
  t.equal(s.news(), '-c');
  s.tell('a', 'boom');
  await s.clock.advance(60);
  t.equal(s.news(), '-a -b', 'the wait begins anew, the second one longer');
  await s.clock.advance(200);
  t.equal(s.news(), '+a +b +c');
  t.same(['a', 'b', 'c'].map(s.restartsOf), [1, 1, 1]);
});

t.test('faults at the same moment under one-for-all restart each once', async (t) => {
  const s = stage(t);
  await s.system.start(supervisor({ name: 'root', strategy: 'one-for-all', children: ['a', 'b', 'c'].map(s.leaf) }));
  for (const name of ['a', 'b', 'c']) s.tell(name, 'boom');
  await s.clock.advance(3_000);
  t.same(['a', 'b', 'c'].map(s.restartsOf), [1, 1, 1]);
  t.equal(s.clock.pending, 3);
  t.equal(s.failures.length, 0);
});

t.test('one-for-one: the wait of one child holds up no other', async (t) => {
  const s = stage(t);
  await s.system.start(
    supervisor({
      name: 'root',
      strategy: 'one-for-one',
      children: ['a', 'b'].map(s.leaf),
      backoff: { minMs: 1_000, maxMs: 60_000, jitter: 0 },
      budget: { restarts: 9, withinMs: 1_500 },
    }),
  );
  s.news();
  s.tell('a', 'boom');
  await s.clock.advance(900);
  s.tell('b', 'boom');
  await s.clock.advance(100);
  t.equal(s.news(), '-a -b +a');
});

t.test('a worker with children: they stop before it, start after it, its crash restarts them', async (t) => {
  const s = stage(t);
  await s.system.start(
    supervisor({
      name: 'root',
      strategy: 'one-for-one',
      children: [
        worker(s.actor('pool'), { children: ['s0', 's1'].map(s.leaf), budget: { restarts: 1, withinMs: 5_000 } }),
      ],
    }),
  );
  t.equal(s.news(), '+pool +s0 +s1');
  await crash(s, 'pool', 200);
  t.equal(s.news(), '-s1 -s0 -pool +pool +s0 +s1');
  await crash(s, 'pool/s0', 200);
  t.equal(s.news(), '-s0 +s0');
  await crash(s, 'pool/s1', 500);
  t.equal(s.news(), '-s1 -s0 -pool +pool +s0 +s1', 'a spent budget is a crash of the worker');
  t.equal(s.restartsOf('pool'), 2);
  t.equal(s.system.exit('pool', new Error('from outside')), true);
  await s.clock.advance(1_000);
  t.equal(s.news(), '-s1 -s0 -pool +pool +s0 +s1');
});

t.test('a worker that crashes while its children start is restarted', async (t) => {
  const s = stage(t);
  let slow: (() => void) | undefined;
  let held = 0;
  const child = worker<number, Mail>({
    name: 'child',
    init: () =>
      new Promise((resolve) => {
        held++;
        slow = () => resolve(0);
        if (held === 1 || held > 2) resolve(0);
      }),
    receive: (state) => state,
  });
  await s.system.start(
    supervisor({ name: 'root', strategy: 'one-for-one', children: [worker(s.actor('p'), { children: [child] })] }),
  );
  s.news();
  await crash(s, 'p', 200);
  t.equal(s.stateOf('p'), 'restarting');
  t.equal(s.stateOf('p/child'), 'restarting');
  s.tell('p', 'boom');
  await settle(20);
  slow?.();
  await s.clock.advance(300);
  t.equal(s.stateOf('p'), 'running');
  t.equal(s.stateOf('p/child'), 'running');
  t.equal(s.restartsOf('p'), 2);
});

t.test('parking: a child that spends its own budget is parked, told of, tried again; its siblings go on', async (t) => {
  const s = stage(t);
  const bot = (name: string): ChildSpec =>
    supervisor({
      name,
      strategy: 'rest-for-one',
      children: [s.leaf(`${name}-pool`), s.leaf(`${name}-in`)],
      exhausted: 'park',
    });
  await s.system.start(supervisor({ name: 'bots', strategy: 'one-for-one', children: [bot('x'), bot('y')] }));
  s.news();
  s.tell('x/x-in', 'note');
  for (let i = 0; i < 4; i++) await crash(s, 'x/x-pool', 900);
  t.same(s.parked, ['x']);
  t.equal(s.stateOf('x'), 'parked');
  t.equal(s.stateOf('x/x-in'), 'stopped');
  t.match(s.nodeAt('x')?.lastError, /3 times/);
  t.same([s.stateOf('y'), s.restartsOf('y'), s.stateOf('')], ['running', 0, 'running']);
  t.equal(s.tell('x/x-in', 'note'), 'undelivered');
  t.equal(s.system.exit('x', new Error('x')), false);
  s.faultyStarts.add('x-in');
  s.news();
  await s.clock.advance(60_000);
  t.equal(s.news(), '+x-pool -x-pool');
  t.same(s.parked, ['x', 'x'], 'a try that fails parks again at once');
  s.faultyStarts.clear();
  await s.clock.advance(60_000);
  t.equal(s.news(), '+x-pool +x-in');
  t.equal(s.stateOf('x'), 'running');
  await crash(s, 'x/x-in', 200);
  t.equal(s.stateOf('x'), 'running', 'with a whole budget');
  t.equal(s.restartsOf('y'), 0);
  for (let i = 0; i < 3; i++) await crash(s, 'x/x-in', 900);
  t.equal(s.stateOf('x'), 'parked');
  await s.system.stop();
  t.equal(s.clock.pending, 0, 'a stop takes the next try along');
  t.equal(s.failures.length, 0);
});

t.test('a leaf that parks has a budget of its own; under rest-for-one its followers go on without it', async (t) => {
  const s = stage(t);
  await s.system.start(
    supervisor({
      name: 'root',
      strategy: 'rest-for-one',
      children: [
        s.leaf('a'),
        worker(s.actor('b'), { exhausted: 'park', budget: { restarts: 2, withinMs: 60_000 }, parkRetryMs: 5_000 }),
        s.leaf('c'),
      ],
      budget: { restarts: 0, withinMs: 60_000 },
    }),
  );
  s.news();
  await crash(s, 'b');
  s.faultyStarts.add('b');
  await crash(s, 'b');
  t.equal(s.news(), '-b -c +b +c -b -c +c');
  t.same(s.parked, ['b']);
  s.faultyStarts.clear();
  await s.clock.advance(5_000);
  t.equal(s.news(), '+b');
  t.same(['a', 'b', 'c'].map(s.stateOf), ['running', 'running', 'running']);
  t.equal(s.failures.length, 0);
});

t.test('a supervisor that restarts takes a parked child along, and parks it again if it cannot start', async (t) => {
  const s = stage(t);
  const bot = worker(s.actor('bot'), { exhausted: 'park', budget: { restarts: 0, withinMs: 1_000 } });
  await s.system.start(
    supervisor({
      name: 'root',
      strategy: 'one-for-one',
      children: [supervisor({ name: 'bots', strategy: 'one-for-one', children: [bot, s.leaf('other')] })],
    }),
  );
  await crash(s, 'bots/bot');
  t.equal(s.stateOf('bots/bot'), 'parked');
  s.faultyStarts.add('bot');
  t.equal(s.system.exit('bots', new Error('exit')), true);
  await s.clock.advance(1_000);
  t.same(['bots', 'bots/bot', 'bots/other'].map(s.stateOf), ['running', 'parked', 'running']);
  s.faultyStarts.clear();
  t.equal(s.system.exit('bots', new Error('exit')), true);
  await s.clock.advance(1_000);
  t.same(['bots', 'bots/bot', 'bots/other'].map(s.stateOf), ['running', 'running', 'running']);
  await s.clock.advance(200_000);
  t.equal(s.restartsOf('bots/bot'), 2, 'and its next try was taken back');
});

t.test('children come and go while it runs', async (t) => {
  const s = stage(t);
  await s.system.start(
    supervisor({
      name: 'root',
      strategy: 'one-for-one',
      children: [supervisor({ name: 'bots', strategy: 'one-for-one', children: [] }), s.leaf('z')],
    }),
  );
  s.news();
  await s.system.addChild('bots', worker(s.actor('a'), { children: [s.leaf('a1')] }));
  await s.system.addChild('bots', s.leaf('b'));
  t.equal(s.news(), '+a +a1 +b');
  await t.rejects(s.system.addChild('bots', s.leaf('a')), { code: 'PH_ACTOR_EXISTS' });
  await t.rejects(s.system.addChild('nowhere', s.leaf('a')), { code: 'PH_ACTOR_NOT_RUNNING' });
  s.faultyStarts.add('c1');
  await t.rejects(s.system.addChild('bots', worker(s.actor('c'), { children: [s.leaf('c1')] })), {
    message: 'c1 cannot start',
  });
  t.equal(s.news(), '+c -c');
  t.equal(s.stateOf('bots/c'), undefined, 'a child that did not start is not added');
  t.equal(s.tell('bots/c', 'note'), 'undelivered');
  await crash(s, 'bots/a', 200);
  t.equal(s.news(), '-a1 -a +a +a1');
  s.system.exit('bots', new Error('exit'));
  await s.clock.advance(1_000);
  t.equal(s.news(), '-b -a1 -a +a +a1 +b', 'they stay through a restart of their supervisor');
  await s.system.removeChild('bots/a');
  t.equal(s.news(), '-a1! -a!');
  t.equal(s.tell('bots/a/a1', 'note'), 'undelivered');
  await s.system.addChild('bots', s.leaf('a'));
  t.equal(s.news(), '+a', 'a name is free again');
  await s.system.stop();
  t.equal(s.news(), '-z! -a! -b!');
  await t.rejects(s.system.addChild('bots', s.leaf('d')), { code: 'PH_ACTOR_NOT_RUNNING' });
});

t.test('a child that is removed while it waits for its restart does not come back', async (t) => {
  for (const strategy of ['one-for-one', 'rest-for-one'] as const) {
    const s = stage(t);
    await s.system.start(supervisor({ name: 'root', strategy, children: ['a', 'b'].map(s.leaf) }));
    s.news();
    s.tell('a', 'boom');
    await s.clock.advance(50);
    s.tell('a', 'note');
    await s.system.removeChild('a');
    t.equal(s.system.undelivered(), 1);
    await s.clock.advance(5_000);
    t.notMatch(s.news(), /\+a/);
    t.equal(s.stateOf('b'), 'running');
    t.equal(s.clock.pending, 1);
  }
});

t.test('under rest-for-one a child is added when restarts under way are done', async (t) => {
  const s = stage(t);
  await s.system.start(supervisor({ name: 'root', strategy: 'rest-for-one', children: ['a', 'b'].map(s.leaf) }));
  s.news();
  s.tell('a', 'boom');
  await s.clock.advance(10);
  const added = s.system.addChild('', s.leaf('c'));
  await settle(20);
  t.equal(s.stateOf('c'), undefined);
  await s.clock.advance(200);
  await added;
  t.equal(s.news(), '-a -b +a +b +c');
});

t.test('a stop during a wait or a restart ends both', async (t) => {
  for (const waitMs of [0, 50, 100]) {
    const s = stage(t);
    await s.system.start(
      supervisor({
        name: 'root',
        strategy: 'one-for-one',
        children: [supervisor({ name: 'mid', strategy: 'one-for-all', children: ['a', 'b', 'c'].map(s.leaf) })],
      }),
    );
    s.tell('mid/b', 'boom');
    await settle(1);
    s.clock.jump(waitMs);
    await settle(waitMs === 100 ? 1 : 0);
    await s.system.stop();
    t.equal(s.clock.pending, 0);
    const started = s.events.filter((event) => event.startsWith('+')).length;
    t.equal(s.events.filter((event) => event.startsWith('-')).length, started, 'each start has its stop');
    t.equal(s.failures.length, 0);
  }
});

t.test('a root that is one worker', async (t) => {
  const s = stage(t);
  await s.system.start(s.leaf('only'));
  t.equal(s.tell('', 'note'), 'accepted');
  await crash(s, '');
  t.equal(s.news(), '+only only -only');
  t.match(s.failures, [{ message: 'only failed' }]);
});

t.test('a listener that throws harms nobody', async (t) => {
  const s = stage(t);
  s.system.onParked(() => {
    throw new Error('listener');
  });
  const child = worker(s.actor('a'), { exhausted: 'park', budget: { restarts: 0, withinMs: 1_000 } });
  await s.system.start(supervisor({ name: 'root', strategy: 'one-for-one', children: [child] }));
  await crash(s, 'a');
  t.equal(s.stateOf('a'), 'parked');
  await s.clock.advance(60_000);
  t.equal(s.stateOf('a'), 'running');
});

t.test('any faults at any time: what should run runs in the end, and each start has its stop', async (t) => {
  const runs = process.env.POSTHORN_TEST_LONG ? 1_000 : 30;
  const paths = ['a', 'mid', 'mid/b', 'mid/b/b1', 'mid/c', 'park', 'park/d', 'park/e', 'z'];
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom<Strategy>('one-for-one', 'one-for-all', 'rest-for-one'),
      fc.constantFrom<Strategy>('one-for-one', 'one-for-all', 'rest-for-one'),
      fc.array(
        fc.record({
          path: fc.constantFrom(...paths),
          rounds: fc.integer({ min: 0, max: 6 }),
          ms: fc.constantFrom(0, 0, 30, 100, 250, 1_000),
          broken: fc.boolean(),
        }),
        { maxLength: 12 },
      ),
      async (outer, inner, faults) => {
        const s = stage(t);
        const budget = { restarts: 1_000, withinMs: 1e6 };
        await s.system.start(
          supervisor({
            name: 'root',
            strategy: outer,
            budget,
            backoff: { minMs: 50, maxMs: 400, jitter: 0.2 },
            children: [
              s.leaf('a'),
              supervisor({
                name: 'mid',
                strategy: inner,
                budget: { restarts: 2, withinMs: 2_000 },
                children: [worker(s.actor('b'), { children: [s.leaf('b1')] }), s.leaf('c')],
              }),
              supervisor({
                name: 'park',
                strategy: inner,
                budget: { restarts: 1, withinMs: 2_000 },
                exhausted: 'park',
                children: [s.leaf('d'), s.leaf('e')],
              }),
              s.leaf('z'),
            ],
          }),
        );
        for (const fault of faults) {
          s.system.exit(fault.path, new Error('injected'));
          if (fault.broken) s.faultyStarts.add(fault.path.split('/').at(-1) ?? '');
          await settle(fault.rounds);
          s.clock.jump(fault.ms);
          await settle(2);
          if (fault.ms > 0) s.faultyStarts.clear();
        }
        s.faultyStarts.clear();
        for (let i = 0; i < 6; i++) await s.clock.advance(61_000, 30);
        const lives = new Map<string, number>();
        for (const event of s.events) {
          const name = event.slice(1).replace('!', '');
          const alive = (lives.get(name) ?? 0) + (event.startsWith('+') ? 1 : -1);
          lives.set(name, alive);
          if (alive < 0 || alive > 1) throw new Error(`${name} lives ${alive} times: ${s.events.join(' ')}`);
        }
        const states = paths.map((path) => `${path} ${s.stateOf(path)}`);
        if (!states.every((state) => state.endsWith('running'))) throw new Error(states.join(', '));
        const timers = [s.clock.pending];
        await s.system.stop();
        timers.push(s.clock.pending);
        if (timers.join() !== '7,0') throw new Error(`timers before and after the stop: ${timers.join()}`);
      },
    ),
    { numRuns: runs },
  );
  t.pass(`${runs} runs`);
});

t.test('budget: more restarts than allowed in any window, as OTP counts', async (t) => {
  const times: number[] = [];
  const counts = [0, 1_000, 5_000, 5_001, 6_500].map((now) =>
    countRestart({ restarts: 3, withinMs: 5_000 }, times, now),
  );
  t.same(counts, [1, 2, 3, 3, 3]);
  t.same(times, [5_000, 5_001, 6_500]);
});

t.test('backoff: doubled, capped, spread', async (t) => {
  const { backoff } = DEFAULT_POLICY;
  t.same(
    [1, 2, 3, 6, 7, 50, 5_000].map((nth) => backoffDelay(backoff, nth, () => 0.5)),
    [100, 200, 400, 3_200, 5_000, 5_000, 5_000],
  );
  t.equal(
    backoffDelay(backoff, 1, () => 0),
    80,
  );
  t.equal(Math.round(backoffDelay(backoff, 1, () => 1 - 1e-12)), 120);
  t.equal(
    backoffDelay(backoff, 50, () => 0.99),
    5_000,
  );
});

t.test('strategies', async (t) => {
  const order = ['a', 'b', 'c'];
  t.same(affected('one-for-one', order, 'b'), ['b']);
  t.same(affected('rest-for-one', order, 'b'), ['b', 'c']);
  t.same(affected('one-for-all', order, 'b'), ['a', 'b', 'c']);
});

t.test('a spec that is wrong is refused where it is written', async (t) => {
  const s = stage(t);
  t.throws(() => s.leaf(''), { code: 'PH_ACTOR_NAME' });
  t.throws(() => s.leaf('a/b'), { code: 'PH_ACTOR_NAME' });
  t.throws(() => supervisor({ name: 'x', strategy: 'one-for-one', children: [s.leaf('a'), s.leaf('a')] }), {
    code: 'PH_ACTOR_NAME',
  });
  for (const policy of [
    { budget: { restarts: -1, withinMs: 1 } },
    { budget: { restarts: 1, withinMs: 0 } },
    { backoff: { minMs: 2, maxMs: 1, jitter: 0 } },
    { backoff: { minMs: 1, maxMs: 1, jitter: 2 } },
    { parkRetryMs: Number.NaN },
  ]) {
    t.throws(() => supervisor({ name: 'x', strategy: 'one-for-one', children: [], ...policy }), {
      code: 'PH_ACTOR_POLICY',
    });
  }
});
