import { type ClientRequest, checker, Violation } from './checker.js';
import { type Kernel, withKernel } from './kernel.js';
import { modelStore } from './model-store.js';
import { modelTelegram } from './model-telegram.js';
import { type Incident, type Plan, planOf } from './plan.js';
import type { PlantedBug } from './planted-bugs.js';
import { BOT, type ProcessWorld, type SimProcess, simProcess, wakeBus } from './process.js';

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

/** Runs one seed to its end. `bug` puts a known mistake into the engine, `calm` makes it a run without faults, `keepLines` keeps the trace. Never rejects. */
export async function simulate(
  seed: number,
  options: { bug?: PlantedBug; calm?: boolean; keepLines?: boolean } = {},
): Promise<Report> {
  return withKernel(seed, options.keepLines === true, async (kernel) => {
    const plan = planOf(kernel.random, options.calm);
    const run = runOf(kernel, plan, options.bug);
    let failure: Error | undefined;
    try {
      await run.go();
      failure = run.check.failure;
    } catch (error) {
      failure = run.check.failure ?? (error as Error);
    }
    run.end();
    return {
      seed,
      failure,
      hash: kernel.hash,
      virtualMs: kernel.now,
      events: kernel.events,
      faults: kernel.faults,
      counts: run.check.counts,
      lines: kernel.lines,
    };
  });
}

function runOf(kernel: Kernel, plan: Plan, bug: PlantedBug | undefined) {
  const { random } = kernel;
  const store = modelStore(kernel);
  const wakes = wakeBus(kernel, bug?.cursorForgets === true);
  let confirmed = (): number => 0;
  const check = checker(
    kernel,
    store,
    plan,
    () => confirmed(),
    (at) => wakes.brokenBefore(at),
  );
  const telegram = modelTelegram(kernel, plan.rates, check);
  confirmed = () => telegram.confirmed;
  store.onChange((change) => check.onChange(change));
  store.weather = plan.store;
  telegram.weather = plan.telegram;
  telegram.limits = plan.limits;
  wakes.weather = plan.wakes;
  const world: ProcessWorld = {
    kernel,
    store,
    telegram,
    wakes,
    rates: plan.rates,
    concurrency: plan.concurrency,
    broadcastPage: plan.broadcastPage,
    bug,
  };
  const machines: { life: number; process: SimProcess | undefined }[] = [];
  let clientsLeft = plan.clients;
  let faultsOver = false;
  let texts = 0;

  const alive = (): SimProcess[] => machines.flatMap(({ process }) => (process?.dead === false ? [process] : []));

  function launch(machine: number): void {
    const place = machines[machine];
    if (place === undefined || place.process?.dead === false) return;
    place.life += 1;
    const process = simProcess(world, machine, place.life);
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

  function block(chatId: number): void {
    telegram.blocked.add(chatId);
    check.blocked(chatId);
    telegram.arrive(member(chatId, 'kicked'));
  }

  function unblock(chatId: number): void {
    telegram.blocked.delete(chatId);
    check.unblocked(chatId);
    telegram.arrive(member(chatId, 'member'));
  }

  function write(chatId: number): void {
    if (telegram.blocked.has(chatId)) unblock(chatId);
    check.wrote(telegram.arrive(message(chatId)));
  }

  function happen({ kind }: Incident): void {
    if (faultsOver) return;
    const process = alive().length === 0 ? undefined : random.pick(alive());
    const chat = random.pick(plan.chats.filter((one) => one > 0));
    switch (kind) {
      case 'store away':
        kernel.fault(kind);
        store.awayUntil = kernel.now + 200 + random.next() * 15_000;
        return;
      case 'outage':
        kernel.fault(`telegram: outage`);
        telegram.outage = {
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
        block(chat);
        if (random.chance(0.3)) kernel.after(random.next() * 300, () => write(chat));
        return;
      case 'unblock':
        kernel.fault(kind);
        if (telegram.blocked.size > 0) write(random.pick([...telegram.blocked]));
        return;
      case 'write':
        write(chat);
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
        process.actors.exit(`bot:${BOT}/${actor}`, new Error('injected'));
        return;
      }
      case 'start':
        machines.push({ life: 0, process: undefined });
        launch(machines.length - 1);
        return;
      default:
    }
  }

  /** What a client asks: the same again when it hears nothing, as long as a key makes that safe. */
  interface Ask {
    readonly request: ClientRequest;
    readonly key: string | undefined;
    call(process: SimProcess, key: string | undefined): Promise<readonly string[]>;
  }

  function askOf(): Ask {
    const key = random.chance(0.6) ? `key-${texts}` : undefined;
    const idempotency = (given: string | undefined) =>
      given === undefined ? undefined : { key: given, bodyHash: given };
    const klass = () => (random.chance(0.3) ? ('at-most-once' as const) : ('at-least-once' as const));
    const text = () => {
      texts += 1;
      return `${random.chance(0.04) ? 'poison ' : !plan.calm && random.chance(0.02) ? 'cursed ' : ''}#${texts}`;
    };
    // To many chats a text that always ends with 500 looks like a bot that is not served: one call a minute, hours of it.
    const uncursed = () => text().replace('cursed ', '');
    const begin = (messages: ClientRequest['messages'], broadcast: boolean): ClientRequest => ({
      messages,
      issuedAt: kernel.now,
      answeredAt: undefined,
      broadcast,
    });
    if (plan.people.length > 0 && random.chance(0.12)) {
      const body = { text: uncursed(), lane: 'bulk' as const, class: klass(), audience: { types: ['private'] } };
      return {
        key,
        request: begin([], true),
        call: async (process, given) => [(await process.acceptance.broadcast(BOT, body, idempotency(given))).id],
      };
    }
    if (random.chance(0.15)) {
      const body = { text: uncursed(), lane: random.pick(['notify', 'bulk'] as const), class: klass() };
      const chats = plan.chats.filter(() => random.chance(0.7));
      const to = chats.length === 0 ? plan.chats : chats;
      return {
        key,
        request: begin(
          to.map((chatId) => ({ chatId, ...body })),
          false,
        ),
        call: async (process, given) =>
          (await process.acceptance.chatIds(BOT, body, to, undefined, idempotency(given))).ids,
      };
    }
    const dedup = key === undefined && random.chance(0.5);
    const messages = Array.from({ length: plan.calm && random.chance(0.6) ? 1 : random.whole(1, 8) }, () => {
      const body = text();
      return {
        chatId: random.pick(plan.chats),
        text: body,
        lane: random.pick(['reply', 'notify', 'notify', 'bulk'] as const),
        class: klass(),
        ...(dedup ? { dedupKey: body } : {}),
      };
    });
    return {
      key: key ?? (dedup ? '' : undefined),
      request: begin(messages, false),
      call: async (process, given) =>
        (await process.acceptance.messages(BOT, messages, idempotency(given === '' ? undefined : given))).ids,
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
      kernel.after(random.chance(0.3) ? random.next() * 30 : random.next() * THINK_MS, () => ask(askOf(), true, next));
    };
    next();
  }

  function ask(what: Ask, first: boolean, next: () => void): void {
    if (first) check.asked(what.request);
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
              check.answered(what.request, ids);
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
    telegram.weather = { ...plan.telegram, ...CALM_TELEGRAM };
    telegram.outage = { until: 0, status: 500, spares: false };
    wakes.weather = { lost: 0, doubled: 0 };
    for (const machine of machines.keys()) relaunch(machine, 100);
  }

  return {
    check,
    async go(): Promise<void> {
      for (const chatId of plan.people)
        store.insert('Chats', { bot: BOT, chatId, type: 'private', subscription: 'active', reach: 'ok', tags: [] });
      for (let machine = 0; machine < plan.processes; machine += 1) {
        machines.push({ life: 0, process: undefined });
        relaunch(machine, machine === 0 ? 0 : random.next() * 3_000);
      }
      for (let one = 0; one < plan.clients; one += 1) kernel.after(random.next() * 1_000, client);
      for (const incident of plan.incidents) kernel.after(incident.atMs, () => happen(incident));
      kernel.after(plan.faultsEndMs, endFaults);
      const failed = () => check.failure !== undefined;
      await kernel.run(() => failed() || faultsOver, plan.faultsEndMs + 1);
      const isDone = () => failed() || (clientsLeft === 0 && check.unsettled() === undefined);
      const settled = await kernel.run(isDone, SETTLE_MS);
      if (failed()) return;
      if (!settled) {
        throw new Violation(
          'liveness',
          `${check.unsettled() ?? `${clientsLeft} clients have no answer`}, ${SETTLE_MS / 1_000} s after the last fault`,
        );
      }
      check.end();
      if (plan.calm && telegram.limited > 0)
        throw new Violation('rates', `${telegram.limited} calls met a limit of Telegram in a calm run`);
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
