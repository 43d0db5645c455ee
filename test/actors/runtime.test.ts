import t, { type Test } from 'tap';
import { timersOf } from '../../src/actors/clock.js';
import { Queue } from '../../src/actors/runtime/queue.js';
import {
  type ActorSpec,
  type ActorSystem,
  type Address,
  assertNever,
  createActorSystem,
  type Reply,
  reply,
  systemClock,
} from '../../src/actors/runtime.js';
import { type ChildSpec, supervisor, worker } from '../../src/actors/supervision.js';
import type { Log } from '../../src/log.js';
import { fakeClock, settle } from '../support/fake-clock.js';

type Mail =
  | { readonly type: 'note'; readonly text: string }
  | { readonly type: 'boom' }
  | { readonly type: 'what'; readonly replyTo: Reply<string[]> }
  | { readonly type: 'hold'; readonly replyTo: Reply<string[]> };

interface Line {
  readonly level: string;
  readonly obj: Record<string, unknown>;
  readonly msg: string;
}

const recorder = (): { log: Log; lines: Line[] } => {
  const lines: Line[] = [];
  const at = (level: string) => (obj: object, msg: string) => {
    lines.push({ level, obj: obj as Record<string, unknown>, msg });
  };
  return { lines, log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } };
};

/** An actor that remembers notes, crashes on boom, answers what and keeps hold. */
const notebook = (
  name: string,
  more: Partial<ActorSpec<readonly string[], Mail>> = {},
): ActorSpec<readonly string[], Mail> => ({
  name,
  init: () => [],
  receive: (state, message) => {
    switch (message.type) {
      case 'note':
        return [...state, message.text];
      case 'boom':
        throw new Error('boom');
      case 'what':
        reply(message.replyTo, [...state]);
        return state;
      case 'hold':
        return state;
      default:
        return assertNever(message);
    }
  },
  ...more,
});

const open = async (t: Test, children: readonly ChildSpec[]) => {
  const clock = fakeClock();
  const { log, lines } = recorder();
  const system = createActorSystem({ clock, log, random: () => 0.5 });
  t.teardown(() => system.stop());
  await system.start(supervisor({ name: 'root', strategy: 'one-for-one', children }));
  return { system, clock, lines };
};

const what = (system: ActorSystem, to: Address<Mail>, timeoutMs = 1_000): Promise<string[]> =>
  system.ask<Mail, string[]>(to, (replyTo) => ({ type: 'what', replyTo }), timeoutMs);

const gate = <T = void>() => {
  let open!: (value: T) => void;
  let fail!: (error: Error) => void;
  const passed = new Promise<T>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { open, fail, passed };
};

/** Collects what no handler has caught while `work` runs. */
const unhandled = async (work: () => Promise<void>): Promise<unknown[]> => {
  const seen: unknown[] = [];
  const listener = (reason: unknown): void => {
    seen.push(reason);
  };
  process.on('unhandledRejection', listener);
  await work();
  await settle(5);
  process.off('unhandledRejection', listener);
  return seen;
};

t.test('mail is handled in order, one message at a time, plain and async handlers mixed', async (t) => {
  let inside = 0;
  let most = 0;
  const seen: number[] = [];
  const { system } = await open(t, [
    worker<number, number>({
      name: 'a',
      init: () => 0,
      receive: (state, n) => {
        most = Math.max(most, ++inside);
        seen.push(n);
        if (n % 3 === 0) {
          inside--;
          return state + 1;
        }
        return settle(n % 2).then(() => {
          inside--;
          return state + 1;
        });
      },
    }),
  ]);
  const a = system.address<number>('a');
  for (let n = 0; n < 300; n++) t.equal(system.tell(a, n), 'accepted');
  t.equal(system.tree().children[0]?.mailbox, 300, 'nothing runs within tell');
  await settle(800);
  t.same(
    seen,
    Array.from({ length: 300 }, (_, n) => n),
  );
  t.equal(most, 1);
});

t.test('falsy mail is mail; falsy states but undefined are states', async (t) => {
  const seen: unknown[] = [];
  const { system } = await open(t, [
    worker<null | 0 | '', unknown>({
      name: 'a',
      init: () => 0,
      receive: (state, message) => {
        seen.push([state, message]);
        return message === 'async' ? Promise.resolve(null) : '';
      },
    }),
  ]);
  const a = system.address<unknown>('a');
  for (const message of [undefined, null, 0, '', false, 'async', 1]) system.tell(a, message);
  await settle();
  t.same(seen, [
    [0, undefined],
    ['', null],
    ['', 0],
    ['', ''],
    ['', false],
    ['', 'async'],
    [null, 1],
  ]);
  t.equal(system.tree().children[0]?.restarts, 0);
});

t.test('addresses do not assign to those of other mail', async (t) => {
  const { system } = await open(t, [worker(notebook('a'))]);
  const mail: Address<Mail> = system.address('a');
  const part: Address<{ type: 'boom' }> = mail;
  // @ts-expect-error nact's Ref<string> assigns to Ref<Mail>; ours must not
  const other: Address<string> = mail;
  // @ts-expect-error whoever takes a part does not take all
  const all: Address<Mail> = part;
  // @ts-expect-error a path alone is no address
  const made: Address<Mail> = { path: 'a' };
  const wrong = () => {
    // @ts-expect-error the mail must be the address's
    system.tell(mail, { type: 'nothing' });
    // @ts-expect-error an answer has its type
    return (to: Reply<string>) => reply(to, 1);
  };
  t.type(wrong, 'function');
  t.same([other.path, all.path, made.path], ['a', 'a', 'a']);
});

t.test('a full mailbox answers full, loses nothing and is counted', async (t) => {
  const { system, lines } = await open(t, [worker(notebook('a', { mailbox: { capacity: 3 } }))]);
  const a = system.address<Mail>('a');
  const said = ['1', '2', '3', '4', '5'].map((text) => system.tell(a, { type: 'note', text }));
  t.same(said, ['accepted', 'accepted', 'accepted', 'full', 'full']);
  await t.rejects(what(system, a), { code: 'PH_ACTOR_MAILBOX_FULL' });
  await settle();
  t.same(await what(system, a), ['1', '2', '3']);
  t.equal(system.counters().full, 3);
  t.equal(system.undelivered(), 0);
  t.equal(lines.filter((line) => line.msg.includes('full mailbox')).length, 1, 'one line for the first');
  t.throws(() => worker(notebook('b', { mailbox: { capacity: 0 } })), { code: 'PH_ACTOR_MAILBOX' });
});

t.test('the default capacity is 10,000', async (t) => {
  const { system } = await open(t, [worker(notebook('a'))]);
  const a = system.address<Mail>('a');
  const said = Array.from({ length: 10_001 }, () => system.tell(a, { type: 'note', text: '' }));
  t.equal(said.indexOf('full'), 10_000);
});

t.test('mail to nobody is undelivered, counted, and logged once per path in a while', async (t) => {
  const { system, clock, lines } = await open(t, [worker(notebook('a'))]);
  const nobody = system.address<Mail>('nobody');
  for (let i = 0; i < 5; i++) t.equal(system.tell(nobody, { type: 'boom' }), 'undelivered');
  await t.rejects(what(system, nobody), { code: 'PH_ACTOR_UNDELIVERED' });
  t.equal(system.tell(system.address<Mail>(''), { type: 'boom' }), 'undelivered', 'a supervisor takes no mail');
  t.equal(system.undelivered(), 7);
  const named = () => lines.filter((line) => line.obj.path === 'nobody').map((line) => [line.obj.type, line.obj.count]);
  t.same(named(), [['boom', 1]]);
  await clock.advance(10_000);
  system.tell(nobody, { type: 'note', text: '' });
  t.same(named(), [
    ['boom', 1],
    ['note', 6],
  ]);
  system.tell(nobody, { type: 'boom' });
  await system.stop();
  t.same(named().slice(2), [['boom', 1]], 'the rest is named at the stop');
});

t.test(
  'dispatch to a stopped actor is not silent; what its mailbox held is undelivered and asks end at once',
  async (t) => {
    const { system } = await open(t, [
      worker<number, Mail>({
        name: 'a',
        init: () => 0,
        receive: (s, m) => (m.type === 'boom' ? settle(3).then(() => s) : s),
      }),
    ]);
    const a = system.address<Mail>('a');
    system.tell(a, { type: 'boom' });
    await settle(1);
    system.tell(a, { type: 'note', text: 'left' });
    const waiting = t.rejects(what(system, a), { code: 'PH_ACTOR_CRASHED' });
    await system.removeChild('a');
    await waiting;
    t.equal(system.undelivered(), 2, 'the note and the question');
    t.equal(system.tell(a, { type: 'boom' }), 'undelivered');
    t.equal(system.undelivered(), 3);
    t.same(system.tree().children, []);
    await t.rejects(system.removeChild('a'), { code: 'PH_ACTOR_UNKNOWN' });
  },
);

t.test('an ask is answered, or times out by the clock; late and second answers are dropped', async (t) => {
  const held: Reply<string[]>[] = [];
  const { system, clock } = await open(t, [
    worker(
      notebook('a', {
        receive: (state, message) => {
          if (message.type === 'hold') held.push(message.replyTo);
          if (message.type === 'what') {
            reply(message.replyTo, ['first']);
            reply(message.replyTo, ['second']);
          }
          return state;
        },
      }),
    ),
  ]);
  const a = system.address<Mail>('a');
  t.same(await what(system, a), ['first']);
  t.equal(clock.pending, 0, 'an answer takes its timer along');
  const late = system.ask<Mail, string[]>(a, (replyTo) => ({ type: 'hold', replyTo }), 500);
  const rejected = t.rejects(late, { code: 'PH_ACTOR_TIMEOUT' });
  await clock.advance(499);
  t.equal(clock.pending, 1);
  await clock.advance(1);
  await rejected;
  for (const to of held) reply(to, ['late']);
  await t.rejects(
    system.ask<Mail, string[]>(
      a,
      () => {
        throw new Error('no message');
      },
      500,
    ),
    { message: 'no message' },
  );
  t.equal(clock.pending, 0);
});

t.test('an ask ends at once when the actor crashes with it in hand', async (t) => {
  const { system, clock } = await open(t, [
    worker<number, Mail>({
      name: 'a',
      init: () => 0,
      receive: (state, message) => {
        if (message.type === 'boom' || message.type === 'what') throw new Error('boom');
        return state;
      },
    }),
  ]);
  const a = system.address<Mail>('a');
  const held = system.ask<Mail, string[]>(a, (replyTo) => ({ type: 'hold', replyTo }), 60_000);
  const failing = what(system, a, 60_000);
  const both = Promise.all([
    t.rejects(held, { code: 'PH_ACTOR_CRASHED', cause: { message: 'boom' } }, 'taken before, not answered yet'),
    t.rejects(failing, { code: 'PH_ACTOR_CRASHED' }, 'the failing one'),
  ]);
  await settle();
  await both;
  t.equal(clock.now(), 0, 'nobody waited');
});

t.test('receive that answers undefined crashes and does not erase the state', async (t) => {
  let ended: unknown;
  const { system, clock, lines } = await open(t, [
    worker<string, string>({
      name: 'a',
      init: () => 'born',
      receive: (_, message) => (message === 'async' ? Promise.resolve(undefined) : undefined) as unknown as string,
      stop: (state) => {
        ended = state;
      },
    }),
  ]);
  for (const message of ['plain', 'async']) {
    ended = undefined;
    system.tell(system.address<string>('a'), message);
    await settle();
    t.equal(ended, 'born');
    t.match(system.tree().children[0]?.lastError, /undefined/);
    await clock.advance(1_000);
  }
  t.equal(system.tree().children[0]?.restarts, 2);
  t.match(
    lines.filter((line) => line.msg === 'actor crashed').map((line) => line.obj.err),
    [{ code: 'PH_ACTOR_NO_STATE' }, { code: 'PH_ACTOR_NO_STATE' }],
  );
  const bad = createActorSystem({ log: recorder().log });
  const none = worker<string, string>({ name: 'n', init: () => undefined as unknown as string, receive: (s) => s });
  await t.rejects(bad.start(none), { code: 'PH_ACTOR_NO_STATE' });
});

t.test('timed self-messages: in time, above the bound, cancellable, dead with their life', async (t) => {
  const seen: string[] = [];
  let cancel = (): void => undefined;
  let lives = 0;
  const { system, clock } = await open(t, [
    worker<number, string>({
      name: 'a',
      mailbox: { capacity: 1 },
      init: (ctx) => {
        ctx.after(1_000, `of life ${lives}`);
        return lives++;
      },
      receive: async (state, message, ctx) => {
        seen.push(message);
        if (message === 'arm') {
          ctx.after(50, 'timed 1');
          ctx.after(50, 'timed 2');
          cancel = ctx.after(50, 'cancelled');
        }
        if (message === 'crash') throw new Error('crash');
        if (message === 'slow') await settle(4);
        return state;
      },
    }),
  ]);
  const a = system.address<string>('a');
  system.tell(a, 'arm');
  await settle();
  cancel();
  system.tell(a, 'slow');
  await settle(1);
  t.equal(system.tell(a, 'fills'), 'accepted');
  t.equal(system.tell(a, 'too much'), 'full');
  clock.jump(50);
  await settle();
  t.same(seen, ['arm', 'slow', 'fills', 'timed 1', 'timed 2']);
  system.tell(a, 'crash');
  await clock.advance(900);
  t.equal(lives, 2);
  await clock.advance(100);
  t.notOk(seen.includes('of life 0'), 'the timer of the old life is gone');
  await clock.advance(1_000);
  t.equal(seen.filter((message) => message === 'of life 1').length, 1);
  await system.stop();
  t.equal(clock.pending, 0);
});

t.test(
  'self-messages that lie in the mailbox at a crash are discarded, other mail is kept in order, asks included',
  async (t) => {
    const seen: string[] = [];
    const first = gate();
    const { system, clock } = await open(t, [
      worker<number, Mail>({
        name: 'a',
        init: () => 0,
        receive: async (state, message, ctx) => {
          if (message.type === 'boom') {
            ctx.after(10, { type: 'note', text: 'timed' });
            ctx.pipe(
              Promise.resolve('piped'),
              (text) => ({ type: 'note', text }),
              () => ({ type: 'boom' }),
            );
            await first.passed;
            throw new Error('boom');
          }
          if (message.type === 'note') seen.push(message.text);
          if (message.type === 'what') reply(message.replyTo, [...seen]);
          return state;
        },
      }),
    ]);
    const a = system.address<Mail>('a');
    system.tell(a, { type: 'boom' });
    system.tell(a, { type: 'note', text: '1' });
    await clock.advance(20);
    system.tell(a, { type: 'note', text: '2' });
    const answer = what(system, a, 60_000);
    t.equal(system.tree().children[0]?.mailbox, 5);
    first.open();
    await settle();
    t.equal(system.tree().children[0]?.mailbox, 3, 'timed and piped are gone');
    t.equal(system.tree().children[0]?.state, 'restarting');
    t.equal(system.tell(a, { type: 'note', text: '3' }), 'accepted', 'mail waits during the backoff');
    await clock.advance(150);
    t.same(await answer, ['1', '2']);
    await settle();
    t.same(seen, ['1', '2', '3']);
    t.equal(system.undelivered(), 0);
  },
);

t.test('pipe: both ends become messages; of a life that is over they are dropped without a trace', async (t) => {
  const seen: string[] = [];
  const late = gate<string>();
  const lateFault = gate<string>();
  const toPipe = new Map<string, () => Promise<string>>([
    ['ok', () => Promise.resolve('fine')],
    ['fault', () => Promise.reject(new Error('bad'))],
    ['late', () => late.passed],
    ['late fault', () => lateFault.passed],
  ]);
  const { system } = await open(t, [
    worker<number, string>({
      name: 'a',
      init: () => 0,
      receive: (state, message, ctx) => {
        seen.push(message);
        const work = toPipe.get(message);
        if (work !== undefined)
          ctx.pipe(
            work(),
            (value) => `got ${value}`,
            (error) => `failed ${(error as Error).message}`,
          );
        return state;
      },
    }),
  ]);
  const a = system.address<string>('a');
  for (const message of toPipe.keys()) system.tell(a, message);
  await settle();
  t.same(seen, [...toPipe.keys(), 'got fine', 'failed bad']);
  const loose = await unhandled(async () => {
    await system.stop();
    late.open('late');
    lateFault.fail(new Error('late'));
    await settle();
  });
  t.same(loose, []);
  t.equal(seen.length, 6);
  t.equal(system.undelivered(), 0);
});

t.test('a mapping of pipe that throws is a crash', async (t) => {
  const { system, clock } = await open(t, [
    worker<number, string>({
      name: 'a',
      init: () => 0,
      receive: (state, _, ctx) => {
        ctx.pipe(
          Promise.resolve(1),
          () => {
            throw new Error('mapping');
          },
          () => 'never',
        );
        return state;
      },
    }),
  ]);
  system.tell(system.address<string>('a'), 'go');
  await settle();
  t.equal(system.tree().children[0]?.lastError, 'mapping');
  await clock.advance(200);
  t.equal(system.tree().children[0]?.state, 'running');
});

t.test('addresses by name stay good across restarts; child and sibling resolve from where one stands', async (t) => {
  const paths: string[] = [];
  const { system, clock } = await open(t, [
    supervisor({
      name: 'bots',
      strategy: 'one-for-one',
      children: [
        worker(
          notebook('bot:1', {
            init: (ctx) => {
              paths.push(ctx.path, ctx.self.path, ctx.child('x').path, ctx.sibling('y').path, ctx.address('z/z').path);
              return [];
            },
          }),
        ),
      ],
    }),
  ]);
  t.same(paths, ['bots/bot:1', 'bots/bot:1', 'bots/bot:1/x', 'bots/y', 'z/z']);
  const bot = system.address<Mail>('bots/bot:1');
  system.tell(bot, { type: 'note', text: 'lost with its life' });
  system.tell(bot, { type: 'boom' });
  await clock.advance(200);
  t.same(await what(system, bot), []);
  t.equal(system.tell(bot, { type: 'note', text: 'new' }), 'accepted');
  t.same(await what(system, bot), ['new']);
});

t.test(
  'stop is ordered and awaited: start in order, stop in reverse, handlers in flight and timers included',
  async (t) => {
    const events: string[] = [];
    const slow = gate();
    const traced = (name: string): ActorSpec<number, string> => ({
      name,
      init: async (ctx) => {
        await settle(2);
        events.push(`+${name}`);
        ctx.after(1e9, 'never');
        return 0;
      },
      receive: async (state) => {
        await slow.passed;
        events.push(`handled ${name}`);
        return state;
      },
      stop: async (_, __, reason) => {
        await settle(2);
        events.push(`-${name} ${reason}`);
      },
    });
    const { system, clock } = await open(t, [
      worker(traced('a')),
      worker(traced('b'), { children: [worker(traced('b1')), worker(traced('b2'))] }),
      worker(traced('c')),
    ]);
    t.same(events, ['+a', '+b', '+b1', '+b2', '+c']);
    t.equal(clock.pending, 5);
    events.length = 0;
    system.tell(system.address<string>('b/b1'), 'go');
    await settle(1);
    const stopped = system.stop();
    await settle(20);
    t.same(events, ['-c stop', '-b2 stop'], 'b1 has a handler in flight');
    t.equal(system.tree().children[1]?.state, 'stopping');
    slow.open();
    await stopped;
    t.same(events.slice(2), ['handled b1', '-b1 stop', '-b stop', '-a stop']);
    t.equal(clock.pending, 0, 'no timer lives');
    t.equal(system.tree().state, 'stopped');
    t.same(new Set(system.tree().children.map((child) => child.state)), new Set(['stopped']));
    t.equal(system.stop(), stopped, 'a second stop is the same');
    await t.rejects(system.start(worker(traced('x'))), { code: 'PH_ACTOR_NOT_RUNNING' });
  },
);

t.test('a parent handles mail while its children stop', async (t) => {
  const got: string[] = [];
  const { system } = await open(t, [
    worker<number, string>(
      { name: 'p', init: () => 0, receive: (_, m) => got.push(m) },
      {
        children: [
          worker<number, string>({
            name: 'c',
            init: () => 0,
            receive: (s) => s,
            stop: async (_, ctx) => {
              got.push(ctx.tell(ctx.address<string>('p'), 'last words'));
              await settle(2);
            },
          }),
        ],
      },
    ),
  ]);
  await system.stop();
  t.same(got, ['accepted', 'last words']);
});

t.test(
  'a handler that does not end is given up 5 s after a final stop; what it throws later harms nobody',
  async (t) => {
    const never = gate();
    let stops = 0;
    const { system, clock, lines } = await open(t, [
      worker<number, string>({
        name: 'a',
        init: () => 0,
        receive: async (state) => {
          await never.passed;
          return state;
        },
        stop: () => {
          stops++;
        },
      }),
    ]);
    system.tell(system.address<string>('a'), 'go');
    await settle(1);
    let over = false;
    const stopped = system.stop().then(() => {
      over = true;
    });
    await clock.advance(4_999);
    t.equal(over, false);
    await clock.advance(1);
    await stopped;
    t.equal(system.counters().abandoned, 1);
    t.ok(lines.some((line) => line.level === 'error' && line.msg.includes('given up')));
    const loose = await unhandled(async () => {
      never.fail(new Error('late'));
      await settle();
    });
    t.same(loose, []);
    t.equal(stops, 0, 'stop never runs beside a handler');
    t.equal(clock.pending, 0);
  },
);

t.test('a stop function is awaited without bound, what it throws is logged and counted', async (t) => {
  const long = gate();
  const { system, clock, lines } = await open(t, [
    worker<number, string>({
      name: 'a',
      init: () => 0,
      receive: (s) => s,
      stop: async () => {
        await long.passed;
        throw new Error('async');
      },
    }),
    worker<number, string>({
      name: 'b',
      init: () => 0,
      receive: (s) => s,
      stop: () => {
        throw new Error('sync');
      },
    }),
  ]);
  let over = false;
  const stopped = system.stop().then(() => {
    over = true;
  });
  await clock.advance(20_000);
  t.equal(over, false);
  t.ok(lines.some((line) => line.msg.includes('takes long')));
  long.open();
  await stopped;
  t.equal(system.counters().stopFaults, 2);
  t.equal(system.counters().abandoned, 0);
});

t.test('a fault at the start stops what has started, in reverse, and start rejects with it', async (t) => {
  const events: string[] = [];
  const fault = new Error('no port');
  const traced = (name: string, init: () => Promise<number> | number): ChildSpec =>
    worker<number, string>({
      name,
      init: (ctx) => {
        ctx.after(1e6, 'never');
        events.push(`+${name}`);
        return init();
      },
      receive: (s) => s,
      stop: () => {
        events.push(`-${name}`);
      },
    });
  for (const init of [
    () => {
      throw fault;
    },
    () => Promise.reject(fault),
  ]) {
    events.length = 0;
    const clock = fakeClock();
    const system = createActorSystem({ clock, log: recorder().log });
    const failed: Error[] = [];
    system.onFailure((error) => failed.push(error));
    const early = system.address<string>('d');
    const starting = system.start(
      supervisor({
        name: 'root',
        strategy: 'one-for-one',
        children: [
          traced('a', () => 0),
          supervisor({ name: 's', strategy: 'one-for-all', children: [traced('b', () => 0), traced('c', init)] }),
          traced('d', () => 0),
        ],
      }),
    );
    t.equal(system.tell(early, 'mail before its start waits'), 'accepted');
    await t.rejects(starting, fault);
    t.same(events, ['+a', '+b', '+c', '-b', '-a']);
    t.equal(system.undelivered(), 1);
    t.equal(clock.pending, 0);
    t.same(failed, [], 'onFailure is for faults after the start');
  }
});

t.test('a stop during the start ends it: start rejects, what has started is stopped', async (t) => {
  const slow = gate();
  const events: string[] = [];
  const clock = fakeClock();
  const system = createActorSystem({ clock, log: recorder().log });
  const traced = (name: string, wait: Promise<void>): ChildSpec =>
    worker<number, string>({
      name,
      init: () => wait.then(() => events.push(`+${name}`)),
      receive: (s) => s,
      stop: () => {
        events.push(`-${name}`);
      },
    });
  const starting = system.start(
    supervisor({
      name: 'root',
      strategy: 'one-for-one',
      children: [traced('a', Promise.resolve()), traced('b', slow.passed), traced('c', Promise.resolve())],
    }),
  );
  const rejected = t.rejects(starting, { code: 'PH_ACTOR_STOPPED' });
  await settle();
  const stopped = system.stop();
  await settle();
  slow.open();
  await stopped;
  await rejected;
  t.same(events, ['+a', '+b', '-b', '-a']);
  t.equal(clock.pending, 0);
});

t.test('exit crashes an actor at its next turn, before further mail', async (t) => {
  const slow = gate();
  const { system, clock } = await open(t, [
    worker(
      notebook('a', {
        receive: async (state, message) => {
          if (message.type === 'hold') await slow.passed;
          if (message.type === 'what') reply(message.replyTo, [...state]);
          return message.type === 'note' ? [...state, message.text] : state;
        },
      }),
    ),
  ]);
  const a = system.address<Mail>('a');
  t.equal(system.exit('a', new Error('idle')), true, 'an idle actor');
  await clock.advance(200);
  t.equal(system.tree().children[0]?.lastError, 'idle');
  t.equal(system.tree().children[0]?.restarts, 1);
  const held = t.rejects(
    system.ask<Mail, string[]>(a, (replyTo) => ({ type: 'hold', replyTo }), 1e6),
    { code: 'PH_ACTOR_CRASHED' },
  );
  system.tell(a, { type: 'note', text: 'after' });
  await settle(2);
  t.equal(system.exit('a', new Error('busy')), true);
  await settle();
  t.equal(system.tree().children[0]?.restarts, 1, 'the handler in flight ends first');
  slow.open();
  await settle();
  await held;
  t.equal(system.tree().children[0]?.state, 'restarting');
  t.equal(system.exit('a', new Error('again')), false, 'none runs');
  await clock.advance(300);
  t.same(await what(system, a), ['after'], 'the mail was kept');
  t.equal(system.exit('nobody', new Error('x')), false);
});

t.test('a parent with thousands of children stays usable', async (t) => {
  const count = process.env.POSTHORN_TEST_LONG ? 20_000 : 4_000;
  const { system } = await open(t, [
    worker<number, Mail>({
      name: 'parent',
      init: () => 0,
      receive: (state, message) => {
        if (message.type === 'what') reply(message.replyTo, [String(state)]);
        return state + 1;
      },
    }),
  ]);
  await Promise.all(
    Array.from({ length: count }, (_, i) =>
      system.addChild('parent', worker<number, Mail>({ name: `c${i}`, init: () => 0, receive: (s) => s })),
    ),
  );
  const parent = system.address<Mail>('parent');
  for (let i = 0; i < 9_000; i++) system.tell(parent, { type: 'boom' });
  // A parent that is a nact parent copies all names at each of the 9,000 messages.
  t.same(await what(system, parent), ['9000']);
  t.equal(system.tree().children[0]?.children.length, count);
  await system.removeChild('parent/c7');
  t.equal(system.tree().children[0]?.children.length, count - 1);
});

t.test('a busy actor leaves turns to others and to timers', async (t) => {
  const { system } = await open(t, [
    worker<number, string>({
      name: 'a',
      init: () => 0,
      receive: (state, message, ctx) => {
        ctx.tell(ctx.self, message);
        return state + 1;
      },
    }),
    worker(notebook('b')),
  ]);
  system.tell(system.address<string>('a'), 'for ever');
  const fired = await new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 1));
  t.ok(fired);
  t.same(await what(system, system.address<Mail>('b')), []);
});

t.test('a fault is never an unhandled rejection and never printed by nact', async (t) => {
  const printed: unknown[] = [];
  const print = console.log;
  console.log = (...args: unknown[]) => {
    printed.push(args);
  };
  t.teardown(() => {
    console.log = print;
  });
  const loose = await unhandled(async () => {
    const { system, clock } = await open(t, [
      worker<number, string>({
        name: 'a',
        init: () => 0,
        receive: (_, message) => {
          if (message === 'async') return Promise.reject(new Error('async'));
          throw message;
        },
        stop: () => Promise.reject(new Error('stop')),
      }),
    ]);
    const a = system.address<string>('a');
    system.tell(a, 'async');
    await clock.advance(300);
    system.tell(a, 'a string');
    await settle();
    t.match(system.tree().children[0]?.lastError, 'a string');
    await clock.advance(300);
    t.equal(system.tree().children[0]?.restarts, 2);
    await system.stop();
  });
  t.same(loose, []);
  t.same(printed, []);
});

t.test('the system clock: timers of 2^31 ms and more do not fire at once', async (t) => {
  let fired = 0;
  const cancel = systemClock.setTimer(2 ** 31, () => {
    fired++;
  });
  await settle(20);
  await new Promise((resolve) => setTimeout(resolve, 5));
  cancel();
  t.equal(fired, 0);
  await new Promise<void>((resolve) => {
    systemClock.setTimer(-1, resolve);
  });
  t.throws(() => systemClock.setTimer(Number.NaN, () => undefined), RangeError);
  const before = systemClock.now();
  t.ok(before <= systemClock.now());
  t.ok(Math.abs(systemClock.wallNow() - Date.now()) < 1_000);

  let now = 0;
  const set: number[] = [];
  let pending: (() => void) | undefined;
  const setTimer = timersOf({
    now: () => now,
    set: (run, delayMs) => {
      set.push(delayMs);
      pending = () => {
        now += delayMs;
        run();
      };
      return set.length;
    },
    clear: () => {
      pending = undefined;
    },
  });
  setTimer(2 ** 32, () => {
    fired++;
  });
  for (let i = 0; i < 3; i++) pending?.();
  t.same(set, [2 ** 31 - 1, 2 ** 31 - 1, 2]);
  t.equal(fired, 1);
  t.equal(now, 2 ** 32);
});

t.test('on the machine’s own clock and with nothing injected', async (t) => {
  const system = createActorSystem({ log: recorder().log });
  const heard = gate<string>();
  await system.start(
    supervisor({
      name: 'root',
      strategy: 'one-for-one',
      children: [
        worker<number, string>({
          name: 'a',
          init: (ctx) => {
            ctx.after(1, 'tick');
            return 0;
          },
          receive: (state, message) => {
            heard.open(message);
            return state;
          },
        }),
      ],
    }),
  );
  t.equal(await heard.passed, 'tick');
  t.throws(() => createActorSystem({ log: recorder().log }).tree(), { code: 'PH_ACTOR_NOT_RUNNING' });
  await system.stop();
});

t.test('the queue keeps order through growing, shrinking and retaining', async (t) => {
  const queue = new Queue<number>();
  const model: number[] = [];
  let seed = 7;
  for (let i = 0; i < 20_000; i++) {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    const grows = Math.floor(i / 1_000) % 2 === 0;
    if (seed % 10 < (grows ? 7 : 3)) {
      queue.push(i);
      model.push(i);
    } else if (queue.shift() !== model.shift()) t.fail(`differs at ${i}`);
    if (i % 997 === 0) {
      const keep = (n: number): boolean => n % 5 !== 0;
      queue.retain(keep);
      model.splice(0, model.length, ...model.filter(keep));
    }
    if (queue.size !== model.length) t.fail(`size differs at ${i}`);
  }
  while (model.length > 0) if (queue.shift() !== model.shift()) t.fail('differs at the end');
  t.equal(queue.shift(), undefined);
  t.equal(queue.size, 0);
});
