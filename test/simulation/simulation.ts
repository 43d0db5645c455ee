import type { Queue } from '../../src/queues.js';
import { moveBroadcast } from '../../src/store/broadcasts.js';
import { type Checker, type ClientRequest, checker, Violation } from './checker.js';
import { type Kernel, onGrid, withKernel } from './kernel.js';
import { modelStore } from './model-store.js';
import { type ModelTelegram, modelTelegram } from './model-telegram.js';
import { type Incident, type Plan, planOf, type Wanted } from './plan.js';
import type { PlantedBug } from './planted-bugs.js';
import { type ProcessWorld, type SimProcess, simProcess, wakeBus } from './process.js';

/** How a seed ended. */
export interface Report {
  readonly seed: number;
  /** The broken promise, or what was thrown; undefined when all held. */
  readonly failure: Error | undefined;
  /** The same for the same seed and code. */
  readonly hash: number;
  readonly virtualMs: number;
  readonly events: number;
  readonly faults: ReadonlyMap<string, number>;
  readonly counts: {
    readonly deliveries: number;
    readonly calls: number;
    readonly repeated: number;
    readonly takeovers: number;
  };
  /** The trace, when it was asked for. */
  readonly lines: readonly string[];
}

/** Within this after the last fault everything is settled, virtual ms. */
const SETTLE_MS = 900_000;
/** Longest pause of a client between two requests, and before it asks again, ms. */
const THINK_MS = 4_000;
const ASK_AGAIN_MS = 2_000;
const NO_ANSWER_MS = 20_000;

const CALM_STORE = { latencyMs: 3, commitMs: 2, lost: 0, answerLost: 0, late: 0, cut: 0, slow: 0 };
const CALM_TELEGRAM = { refused: 0, requestLost: 0, answerLost: 0, error500: 0, tooMany: 0, slow: 0, late: 0 };

/** Ids of supergroups are below it. */
const NEW_IDS = -1_000_000_000_000;
/** A wall clock is set by so much at most, ms. */
const WALL_SET_MS = 60_000;

/** One bot of a run. */
interface BotWorld {
  readonly bot: string;
  readonly check: Checker;
  readonly telegram: ModelTelegram;
  /** The chats that clients know. */
  readonly chats: number[];
}

/** Where a process runs, one after another. */
interface Machine {
  life: number;
  process: SimProcess | undefined;
  /** Of its wall clock at the start of a process. */
  readonly wallAheadMs: number;
}

/** Runs one seed to its end. `bug` puts a known mistake into the engine, `calm` and `focus` decide what of the plan is not left to the seed, `keepLines` keeps the trace. Never rejects. */
export async function simulate(
  seed: number,
  options: Wanted & { bug?: PlantedBug; keepLines?: boolean } = {},
): Promise<Report> {
  return withKernel(seed, options.keepLines === true, async (kernel) => {
    const plan = planOf(kernel.random, options);
    const run = runOf(kernel, plan, options.bug);
    let failure: Error | undefined;
    try {
      await run.go();
      failure = run.failure();
    } catch (error) {
      failure = run.failure() ?? (error as Error);
    }
    run.end();
    return {
      seed,
      failure,
      hash: kernel.hash,
      virtualMs: kernel.now,
      events: kernel.events,
      faults: kernel.faults,
      counts: run.counts(),
      lines: kernel.lines,
    };
  });
}

function runOf(kernel: Kernel, plan: Plan, bug: PlantedBug | undefined) {
  const { random } = kernel;
  const store = modelStore(kernel);
  const wakes = wakeBus(kernel, bug?.cursorForgets === true);
  const worlds = plan.bots.map((bot): BotWorld => {
    const check: Checker = checker(
      bot,
      kernel,
      store,
      plan,
      () => telegram.confirmed,
      (at) => wakes.brokenBefore(at),
    );
    const telegram = modelTelegram(kernel, bot, plan.rates, check);
    telegram.weather = plan.telegram;
    telegram.limits = plan.limits;
    store.onChange((change) => check.onChange(change));
    return { bot, check, telegram, chats: [...plan.chats] };
  });
  store.weather = plan.store;
  wakes.weather = plan.wakes;
  const world: ProcessWorld = {
    kernel,
    store,
    telegrams: new Map(worlds.map(({ bot, telegram }) => [bot, telegram])),
    wakes,
    rates: plan.rates,
    concurrency: plan.concurrency,
    broadcastPage: plan.broadcastPage,
    bug,
  };
  const machines: Machine[] = [];
  let clientsLeft = plan.clients;
  let faultsOver = false;
  let texts = 0;

  const alive = (): SimProcess[] => machines.flatMap(({ process }) => (process?.dead === false ? [process] : []));

  function launch(machine: number): void {
    const place = machines[machine];
    if (place === undefined || place.process?.dead === false) return;
    place.life += 1;
    const process = simProcess(world, machine, place.life, place.wallAheadMs);
    place.process = process;
    process.onExit = () => relaunch(machine, 500);
    kernel.trace(() => `${process.name} starts`);
    void process
      .start()
      .catch((error: unknown) => kernel.trace(() => `${process.name} did not start: ${String(error)}`));
  }

  function relaunch(machine: number, delayMs: number): void {
    kernel.after(delayMs, () => launch(machine));
  }

  function kill(process: SimProcess): void {
    kernel.trace(() => `${process.name} is killed`);
    process.kill();
    const machine = machines.findIndex((one) => one.process === process);
    relaunch(machine, random.chance(0.5) ? 100 + random.next() * 1_000 : random.next() * 20_000);
  }

  const newMachine = (): Machine => ({
    life: 0,
    process: undefined,
    wallAheadMs: onGrid((random.next() - 0.5) * plan.wallsApartMs),
  });

  function block({ telegram, check }: BotWorld, chatId: number): void {
    telegram.blocked.add(chatId);
    check.blocked(chatId);
    telegram.arrive(member(chatId, 'kicked'));
  }

  function unblock({ telegram, check }: BotWorld, chatId: number): void {
    telegram.blocked.delete(chatId);
    check.unblocked(chatId);
    telegram.arrive(member(chatId, 'member'));
  }

  function write(of: BotWorld, chatId: number): void {
    if (of.telegram.blocked.has(chatId)) unblock(of, chatId);
    of.check.wrote(of.telegram.arrive(message(chatId)));
  }

  /** A group becomes a supergroup; mostly the bot is told, by one or both of the service messages. */
  function migrate({ telegram, check, chats }: BotWorld): void {
    const groups = chats.filter((one) => one < 0 && one > NEW_IDS && !telegram.moved.has(one));
    if (groups.length === 0) return;
    const from = random.pick(groups);
    const to = NEW_IDS - random.whole(0, 1_000) * 10 + (from % 10);
    kernel.fault('telegram: a group migrates');
    telegram.moved.set(from, to);
    check.moved(from, to);
    const told = (chatId: number, type: string, fields: object) =>
      kernel.after(random.next() * 2_000, () => {
        telegram.arrive({ message: { message_id: 1, date: 0, chat: { id: chatId, type, title: 'group' }, ...fields } });
      });
    if (random.chance(0.5)) told(from, 'group', { migrate_to_chat_id: to });
    if (random.chance(0.5)) told(to, 'supergroup', { migrate_from_chat_id: from });
    // Clients go on with the id they know, and some learn the new one.
    if (random.chance(0.5)) kernel.after(random.next() * 3_000, () => chats.push(to));
  }

  /** What an operator asks of a process; one who hears an error, or whose process dies, asks no more. */
  function operate(what: string, work: (process: SimProcess) => Promise<unknown>): void {
    const processes = alive();
    if (processes.length === 0) return;
    const process = random.pick(processes);
    kernel.after(
      0.5 + random.next() * 4,
      () => {
        work(process).then(
          (answer) => kernel.trace(() => `${process.name} ${what}: ${JSON.stringify(answer)}`),
          () => undefined,
        );
      },
      process,
    );
  }

  function moveSome({ bot }: BotWorld, move: 'pause' | 'resume' | 'cancel'): void {
    const open = store.all('Pages').filter((row) => row.bot === bot && row.kind === 'broadcast' && row.open === true);
    if (open.length === 0) return;
    const id = `${bot}-${random.pick(open).n}`;
    kernel.fault(`operator: ${move}`);
    operate(`${move} ${id}`, async (process) => {
      const moved = (await moveBroadcast(process.store, id, move))?.moved === true;
      if (moved) wakes.wake(bot);
      return moved;
    });
  }

  function replaySome({ bot }: BotWorld, what: 'replay' | 'drop'): void {
    const waiting = store.all('DeadLetters').filter((row) => row.bot === bot && row.state === 'waiting');
    if (waiting.length === 0) return;
    const { queue, source } = random.pick(waiting) as { queue: Queue; source: string };
    const ids = [queue === 'deliveries' ? source : `${bot}-${source}`];
    const which = random.chance(0.3) ? { bot } : ids;
    kernel.fault(`operator: ${what}`);
    for (let times = random.chance(0.3) ? 2 : 1; times > 0; times -= 1)
      operate(`${what} ${ids[0]}`, ({ deadLetters }) => deadLetters[what](queue, which));
  }

  /** Once nothing fails any more operators end what they have begun: nothing stays paused, nor half replayed. */
  function finishOperations(): void {
    for (const { bot } of worlds) {
      const paused = store.all('Broadcasts').filter((row) => row.bot === bot && row.state === 'paused');
      for (const { n } of paused)
        operate(`resume ${bot}-${n}`, ({ store }) => moveBroadcast(store, `${bot}-${n}`, 'resume'));
      const begun = store.all('DeadLetters').filter((row) => row.bot === bot && row.replaying === true);
      const ids = begun.map((row) => String(row.source));
      if (ids.length > 0) operate(`replay ${ids}`, ({ deadLetters }) => deadLetters.replay('deliveries', ids));
    }
    kernel.after(1_000, finishOperations);
  }

  function happen({ kind }: Incident): void {
    if (faultsOver) return;
    const process = alive().length === 0 ? undefined : random.pick(alive());
    const of = random.pick(worlds);
    const chat = random.pick(plan.chats.filter((one) => one > 0));
    switch (kind) {
      case 'disk full':
        store.fullUntil = kernel.now + 200 + random.next() * 12_000;
        return;
      case 'migrate':
        migrate(of);
        return;
      case 'pause':
        moveSome(of, 'pause');
        if (random.chance(0.7)) kernel.after(random.next() * 6_000, () => !faultsOver && moveSome(of, 'resume'));
        return;
      case 'cancel':
        moveSome(of, 'cancel');
        if (random.chance(0.3)) moveSome(of, random.pick(['pause', 'resume']));
        return;
      case 'replay':
      case 'drop':
        replaySome(of, kind);
        return;
      case 'store away':
        kernel.fault(kind);
        store.awayUntil = kernel.now + 200 + random.next() * 15_000;
        return;
      case 'outage':
        kernel.fault(`telegram: outage`);
        of.telegram.outage = {
          until: kernel.now + 500 + random.next() * 20_000,
          status: random.pick([500, 502, 401, 404]),
          spares: random.chance(0.3),
        };
        return;
      case 'cursors':
        kernel.fault('wake: all cursors end');
        wakes.breakCursors();
        return;
      case 'block':
        kernel.fault(kind);
        block(of, chat);
        if (random.chance(0.3)) kernel.after(random.next() * 300, () => write(of, chat));
        return;
      case 'unblock':
        kernel.fault(kind);
        if (of.telegram.blocked.size > 0) write(of, random.pick([...of.telegram.blocked]));
        return;
      case 'write':
        write(of, chat);
        return;
      default:
    }
    if (process === undefined) return;
    kernel.fault(`process: ${kind}`);
    kernel.trace(() => `${process.name}: ${kind}`);
    switch (kind) {
      case 'kill':
        kill(process);
        return;
      case 'suspend':
      case 'freeze':
        process.suspend(200 + random.next() * (random.chance(0.5) ? 3_000 : 20_000), kind === 'freeze');
        return;
      case 'drain':
        void process.drain(random.whole(1, 10) * 1_000).catch(() => undefined);
        return;
      case 'actor': {
        const actor = random.pick(['sender-pool', 'sender-pool/sender:0', 'sender-pool/sender:1', 'ingress', 'bot']);
        for (const { check } of worlds) check.restarted();
        process.actors.exit(`bot:${of.bot}/${actor}`, new Error('injected'));
        return;
      }
      case 'clock set':
        process.setWall(onGrid((random.next() - 0.5) * 2 * WALL_SET_MS));
        return;
      case 'start':
        machines.push(newMachine());
        launch(machines.length - 1);
        return;
      default:
    }
  }

  /** What a client asks: the same again when it hears nothing, as long as a key makes that safe. */
  interface Ask {
    readonly check: Checker;
    readonly request: ClientRequest;
    readonly key: string | undefined;
    call(process: SimProcess, key: string | undefined): Promise<readonly string[]>;
  }

  function askOf({ bot, check, telegram, chats }: BotWorld): Ask {
    const key = random.chance(0.6) ? `key-${texts}` : undefined;
    const idempotency = (given: string | undefined) =>
      given === undefined ? undefined : { key: given, bodyHash: given };
    const klass = () => (random.chance(0.3) ? ('at-most-once' as const) : ('at-least-once' as const));
    const text = () => {
      texts += 1;
      const start = `${random.chance(0.04) ? 'poison ' : !plan.calm && random.chance(0.02) ? 'cursed ' : ''}#${texts}`;
      return random.chance(plan.longShare) ? longText(start) : start;
    };
    // One whose last part is never taken is given up with the others sent.
    const longText = (start: string) =>
      `${start} ${Array.from({ length: random.pick([450, 900]) }, (_, word) => `${texts}.${word}-`.padEnd(11, '=')).join(' ')}${random.chance(0.1) ? ' poison' : ''}`;
    // To many chats a text that always ends with 500 looks like a bot that is not served: one call a minute, hours of it.
    const uncursed = () => text().replace('cursed ', '');
    const begin = (messages: ClientRequest['messages'], broadcast: boolean): ClientRequest => ({
      messages,
      issuedAt: kernel.now,
      answeredAt: undefined,
      broadcast,
    });
    if (plan.people.length > 0 && random.chance(plan.broadcastShare)) {
      const types = random.pick([['private'], ['private', 'group', 'supergroup']]);
      const body = { text: uncursed(), lane: 'bulk' as const, class: klass(), audience: { types } };
      return {
        check,
        key,
        request: begin([], true),
        call: async (process, given) => [(await process.acceptance.broadcast(bot, body, idempotency(given))).id],
      };
    }
    if (random.chance(0.15)) {
      const body = { text: uncursed(), lane: random.pick(['notify', 'bulk'] as const), class: klass() };
      // Not to one group twice, under both of its ids.
      const all = chats.filter((one) => !chats.includes(telegram.moved.get(one) ?? one - 1));
      const some = all.filter(() => random.chance(0.7));
      const to = some.length === 0 ? all : some;
      return {
        check,
        key,
        request: begin(
          to.map((chatId) => ({ chatId, ...body })),
          false,
        ),
        call: async (process, given) =>
          (await process.acceptance.chatIds(bot, body, to, undefined, idempotency(given))).ids,
      };
    }
    const dedup = key === undefined && random.chance(0.5);
    const messages = Array.from({ length: plan.calm && random.chance(0.6) ? 1 : random.whole(1, 8) }, () => {
      const body = text();
      return {
        chatId: random.pick(chats),
        text: body,
        lane: random.pick(['reply', 'notify', 'notify', 'bulk'] as const),
        class: klass(),
        ...(dedup ? { dedupKey: body } : {}),
      };
    });
    return {
      check,
      key: key ?? (dedup ? '' : undefined),
      request: begin(messages, false),
      call: async (process, given) =>
        (await process.acceptance.messages(bot, messages, idempotency(given === '' ? undefined : given))).ids,
    };
  }

  function client(): void {
    let left = Math.ceil(plan.requests / plan.clients);
    const next = (): void => {
      if (left === 0) {
        clientsLeft -= 1;
        return;
      }
      left -= 1;
      kernel.after(random.chance(0.3) ? random.next() * 30 : random.next() * THINK_MS, () =>
        ask(askOf(random.pick(worlds)), true, next),
      );
    };
    next();
  }

  function ask(what: Ask, first: boolean, next: () => void): void {
    if (first) what.check.asked(what.request);
    const processes = alive().filter((one) => one.accepting);
    const again = (): void => {
      if (what.key === undefined) next();
      else kernel.after(random.next() * ASK_AGAIN_MS, () => ask(what, false, next));
    };
    if (processes.length === 0) {
      again();
      return;
    }
    const process = random.pick(processes);
    let heard = false;
    const hear = (then: () => void): void => {
      if (heard) return;
      heard = true;
      done();
      kernel.after(0.5 + random.next() * 4, then);
    };
    const done = process.asked({ lost: () => hear(again) });
    kernel.after(NO_ANSWER_MS, () => hear(again));
    kernel.after(
      0.5 + random.next() * 4,
      () => {
        // A hurried client asks a second process before the first has answered.
        if (first && what.key !== undefined && random.chance(0.1)) {
          kernel.fault('client: asks twice at once');
          ask(what, false, () => undefined);
        }
        what.call(process, what.key).then(
          (ids) => {
            if (process.dead) return;
            hear(() => {
              kernel.trace(() => `202 ${ids.join()}`);
              what.check.answered(what.request, ids);
              next();
            });
          },
          () => hear(again),
        );
      },
      process,
    );
  }

  function endFaults(): void {
    faultsOver = true;
    kernel.trace(() => 'faults are over');
    store.weather = CALM_STORE;
    store.awayUntil = 0;
    store.fullUntil = 0;
    for (const { telegram } of worlds) {
      telegram.weather = { ...plan.telegram, ...CALM_TELEGRAM };
      telegram.outage = { until: 0, status: 500, spares: false };
    }
    finishOperations();
    wakes.weather = { lost: 0, doubled: 0 };
    for (const machine of machines.keys()) relaunch(machine, 100);
  }

  const failure = (): Error | undefined => worlds.find(({ check }) => check.failure !== undefined)?.check.failure;
  const unsettled = (): string | undefined => {
    for (const { check } of worlds) {
      const what = check.unsettled();
      if (what !== undefined) return what;
    }
    return undefined;
  };

  return {
    failure,
    counts() {
      const sum = { deliveries: 0, calls: 0, repeated: 0, takeovers: 0 };
      for (const { check } of worlds)
        for (const field of Object.keys(sum) as (keyof typeof sum)[]) sum[field] += check.counts[field];
      return sum;
    },
    async go(): Promise<void> {
      for (const { bot } of worlds)
        for (const chatId of plan.people) {
          const type = chatId > 0 ? 'private' : 'group';
          store.insert('Chats', { bot, chatId, type, subscription: 'active', reach: 'ok', tags: [] });
        }
      for (let machine = 0; machine < plan.processes; machine += 1) {
        machines.push(newMachine());
        relaunch(machine, machine === 0 ? 0 : random.next() * 3_000);
      }
      for (let one = 0; one < plan.clients; one += 1) kernel.after(random.next() * 1_000, client);
      for (const incident of plan.incidents) kernel.after(incident.atMs, () => happen(incident));
      kernel.after(plan.faultsEndMs, endFaults);
      const failed = () => failure() !== undefined;
      await kernel.run(() => failed() || faultsOver, plan.faultsEndMs + 1);
      const isDone = () => failed() || (clientsLeft === 0 && unsettled() === undefined);
      const settled = await kernel.run(isDone, SETTLE_MS);
      if (failed()) return;
      if (!settled) {
        throw new Violation(
          'liveness',
          `${unsettled() ?? `${clientsLeft} clients have no answer`}, ${SETTLE_MS / 1_000} s after the last fault`,
        );
      }
      for (const { check, telegram } of worlds) {
        check.end();
        if (plan.calm && telegram.limited > 0)
          throw new Violation('rates', `${telegram.limited} calls met a limit of Telegram in a calm run`);
      }
    },
    /** Nothing of the run goes on. */
    end(): void {
      for (const process of alive()) process.kill();
    },
  };
}

const person = (chatId: number) => ({ id: chatId, is_bot: false, first_name: `person ${chatId}` });
const privateChat = (chatId: number) => ({ id: chatId, type: 'private', first_name: `person ${chatId}` });

const message = (chatId: number) => ({
  message: { message_id: 1, date: 0, chat: privateChat(chatId), from: person(chatId), text: 'hello' },
});

const member = (chatId: number, status: 'kicked' | 'member') => ({
  my_chat_member: {
    chat: privateChat(chatId),
    from: person(chatId),
    date: 0,
    old_chat_member: { status: status === 'member' ? 'kicked' : 'member', user: person(7) },
    new_chat_member: { status, user: person(7) },
  },
});
