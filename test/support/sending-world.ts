import { ObjectId } from 'mongodb';
import type { PoolMessage, PoolReport } from '../../src/actors/pool/state.js';
import { type ActorSystem, createActorSystem } from '../../src/actors/runtime.js';
import { type SendLine, sendLine } from '../../src/actors/send-line.js';
import { senderActor } from '../../src/actors/sender.js';
import { senderPoolActor } from '../../src/actors/sender-pool.js';
import { supervisor, worker } from '../../src/actors/supervision.js';
import { deliveryId } from '../../src/delivery/ids.js';
import type { Lane, MessageClass } from '../../src/delivery/lanes.js';
import type { KnownResult, ResultWrite } from '../../src/delivery/ledger.js';
import { type Answer, classify } from '../../src/delivery/outcome.js';
import type { Rates } from '../../src/delivery/pacing.js';
import { CHUNK_ITEMS, emptyTally, packHeads, RESULT_BYTES, resultAt } from '../../src/delivery/packed.js';
import { cutText, partCount, partText } from '../../src/delivery/text/cut-text.js';
import type { Log } from '../../src/log.js';
import { silentLog } from '../../src/log.js';
import type { BroadcastMove, BroadcastStore } from '../../src/store/broadcast-store.js';
import type { HoldingEvents, LeaseGrant, LeaseKeeper, Published } from '../../src/store/lease-keeper.js';
import type { BodyRow, BroadcastBody, BroadcastRow } from '../../src/store/models.js';
import type { AppendedPage } from '../../src/store/page-log.js';
import type { Commit, NewDeadLetter, PageBodies, PageHead, SendStore } from '../../src/store/send-store.js';
import { StoreError } from '../../src/store/store.js';
import { type FakeClock, fakeClock, settle } from './fake-clock.js';

export const BOT = '7';
/** People of one broadcast page in the fake store. */
export const AUDIENCE_PAGE = 20;

/** One sendMessage as Telegram met it. Times are of the fake clock. */
export interface MetCall {
  readonly chatId: number;
  readonly text: string;
  readonly at: number;
  readonly by: SendingProcess;
  /** Of the lease at its start. */
  readonly epoch: number;
  endedAt: number | undefined;
  answer: Answer | undefined;
}

/** What Telegram answers to a call and after how long; `lost` = the connection breaks. */
export interface Plan {
  readonly afterMs?: number;
  readonly answer?: Answer;
}

/** One message to append. */
export interface Draft {
  readonly chatId: number;
  readonly lane?: Lane;
  readonly class?: MessageClass;
  readonly text?: string;
}

/** One process with the actors of one bot's sending on the shared fakes. */
export interface SendingProcess {
  readonly name: string;
  readonly system: ActorSystem;
  readonly line: SendLine;
  readonly reports: PoolReport[];
  readonly destroyed: () => number;
  mayCall: boolean;
  dead: boolean;
  /** Takes the lease: a higher epoch, with what the owner before had begun. The owner before is fenced, and told so when `tell`. */
  take(tell?: boolean): Promise<void>;
  /** The lease is lost to somebody. */
  lose(): void;
  /** As kill -9: nothing of it is written, called or answered any more. */
  kill(): void;
  crash(path: 'pool' | number): void;
  drain(withinMs: number): Promise<void>;
}

/** The store of one bot, a Telegram, a clock, and processes on them. */
export interface SendingWorld {
  readonly clock: FakeClock;
  readonly calls: MetCall[];
  /** Calls, writes and their ends in order, as text. */
  readonly events: string[];
  readonly deadLetters: Map<string, NewDeadLetter>;
  readonly unreachable: Set<number>;
  readonly frozen: Map<number, number>;
  /** Stubs of chats that became others. */
  readonly moved: Map<number, number>;
  readonly broadcasts: Map<number, BroadcastRow>;
  readonly lease: {
    epoch: number;
    owner: SendingProcess | undefined;
    begun: readonly string[];
    released: number;
    rate?: number | undefined;
    waitUntil?: number;
  };
  probes: number;
  /** What getMe answers. */
  getMe: () => Answer;
  /** What sendMessage answers; default: sent after 40 ms. `nth` counts the calls of that text from 1. */
  plan: (chatId: number, text: string, nth: number) => Plan | undefined;
  /** People who are no subscribers any more; audiences that were read before have them still. */
  readonly stopped: Set<number>;
  /** A mark is not set: the person wrote meanwhile. */
  cameBack: Set<number>;
  /** Operations (by name) that fail before they are applied, and those that are applied and then fail. */
  away: RegExp | undefined;
  lose: RegExp | undefined;
  /** Holds operations of that name up (the first `times` of them; default all), before they are applied or after, until the answer is called. */
  hold(name: RegExp, when?: 'before' | 'after', times?: number): () => void;
  process(options?: { concurrency?: number; rates?: Partial<Rates>; log?: Log }): Promise<SendingProcess>;
  /** A page of the log; told to the process in memory, by a wake, or to nobody. */
  append(drafts: readonly Draft[], how?: 'handed' | 'wake' | 'none'): string[];
  broadcast(people: readonly number[], body?: Partial<BroadcastBody> & { readonly text?: string }): number;
  /** What the API does to a broadcast; told by a wake, or to be found by the look of each second. */
  move(n: number, to: 'running' | 'paused' | 'cancelled', how?: 'wake' | 'none'): void;
  /** State of a delivery in the store. */
  state(id: string): string;
  states(ids: readonly string[]): string[];
  /** The message ids of its parts that the store knows as sent, without the last one's. */
  parts(id: string): readonly number[];
  tally(n: number): Record<string, number>;
  isClosed(n: number): boolean;
  /** Goes on until everything in the store is settled; throws after `limitMs`. */
  finish(limitMs: number, rounds?: number): Promise<void>;
  /** Throws with the first broken rule: one unsettled call a chat, order, rates, nothing called twice but what may be. */
  check(options?: { repeats?: number; perSecond?: number }): void;
  stop(): Promise<void>;
}

export const ok = (messageId = 1): Answer => ({
  kind: 'answer',
  status: 200,
  body: { ok: true, result: { message_id: messageId } },
});
export const refusal = (code: number, description: string, parameters?: object): Answer => ({
  kind: 'answer',
  status: code,
  body: { ok: false, error_code: code, description, ...(parameters === undefined ? {} : { parameters }) },
});
export const limited = (seconds: number): Answer =>
  refusal(429, `Too Many Requests: retry after ${seconds}`, { retry_after: seconds });
export const blocked = (): Answer => refusal(403, 'Forbidden: bot was blocked by the user');
export const lost = (): Answer => ({ kind: 'failure', beforeFirstByte: false, reason: 'ECONNRESET' });
export const unsent = (): Answer => ({ kind: 'failure', beforeFirstByte: true, reason: 'ECONNREFUSED' });

interface Page {
  readonly n: number;
  readonly kind: 'messages' | 'broadcast';
  readonly heads: Buffer;
  readonly bodies: PageBodies['bodies'];
  readonly broadcast?: BroadcastBody;
  readonly people: readonly number[];
  open: boolean;
}

interface Part {
  readonly k: number;
  readonly id: string;
  readonly chats: number[];
  readonly upTo: ObjectId | null;
  open: boolean;
}

const SHARDS = 4;
const LATENCY_MS = 40;
const COMMIT_MS = 5;

function bodyOf(text: string): BodyRow {
  const cut = cutText(text, undefined);
  return { text, ...(cut.kind === 'parts' ? { parts: cut.parts } : {}) };
}

const uid = (index: number): ObjectId => new ObjectId(index.toString(16).padStart(24, '0'));
const networkError = (): Error => Object.assign(new Error('no server'), { name: 'MongoNetworkError' });
const never = <T>(): Promise<T> => new Promise<T>(() => undefined);

/** Makes the world; processes are added by `process`. */
export function sendingWorld(): SendingWorld {
  const clock = fakeClock();
  const calls: MetCall[] = [];
  const events: string[] = [];
  const pages: Page[] = [];
  const parts = new Map<number, Part[]>();
  const results = new Map<string, ResultWrite & { epoch: number }>();
  const deadLetters = new Map<string, NewDeadLetter>();
  const unreachable = new Set<number>();
  const frozen = new Map<number, number>();
  const moved = new Map<number, number>();
  const broadcasts = new Map<number, BroadcastRow>();
  const processes: SendingProcess[] = [];
  const violations: string[] = [];
  let isMoved = false;
  const holds: { name: RegExp; when: 'before' | 'after'; left: number; released: Promise<void> }[] = [];
  const listeners: { appended: ((page: AppendedPage) => void)[]; wake: (() => void)[] } = {
    appended: [],
    wake: [],
  };
  /** By text: place in the order of acceptance, chat, lane, and its id. */
  const accepted = new Map<string, { at: number; chatId: number; lane: string; id: string; part: number }>();

  const wait = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      clock.setTimer(ms, resolve);
    });

  async function operation<T>(by: SendingProcess, name: string, apply: () => T, ms = 0): Promise<T> {
    if (ms > 0) await wait(ms);
    else await settle(1);
    await held('before', name);
    if (by.dead) return never();
    if (world.away?.test(name)) throw networkError();
    const answer = apply();
    events.push(name);
    await held('after', name);
    if (world.lose?.test(name)) throw networkError();
    return answer;
  }

  async function held(when: 'before' | 'after', name: string): Promise<void> {
    for (const hold of [...holds]) {
      if (hold.when !== when || !hold.name.test(name) || hold.left <= 0) continue;
      hold.left -= 1;
      await hold.released;
    }
  }

  const rowOf = (n: number, k: number) => results.get(`${n}/${k}`);

  function stateAt(n: number, k: number | undefined, index: number): string {
    const row = rowOf(n, k ?? Math.floor(index / CHUNK_ITEMS));
    return row === undefined ? 'queued' : resultAt(row.items, k === undefined ? index % CHUNK_ITEMS : index).state;
  }

  function sentParts(id: string): readonly number[] {
    const [, n = 0, first = 0, second] = id.split('-').map(Number);
    const index = second ?? first % CHUNK_ITEMS;
    return rowOf(n, second === undefined ? Math.floor(first / CHUNK_ITEMS) : first)?.parts[String(index)] ?? [];
  }

  function stateOf(id: string): string {
    const [, n = 0, first = 0, second] = id.split('-').map(Number);
    return second === undefined ? stateAt(n, undefined, first) : stateAt(n, first, second);
  }

  function storeOf(by: SendingProcess): SendStore {
    const head = (page: Page): PageHead => ({
      n: page.n,
      kind: page.kind,
      open: page.open,
      heads: page.heads,
      ...(page.broadcast === undefined ? {} : { broadcast: page.broadcast }),
    });
    const markOf = (chatId: number) => ({
      chatId,
      unreachable: unreachable.has(chatId),
      frozenUntil: frozen.get(chatId) ?? 0,
      ...(moved.has(chatId) ? { movedTo: moved.get(chatId) ?? 0 } : {}),
    });
    return {
      tail: () => operation(by, 'tail', () => pages.length),
      openPages: (after, upTo, limit) =>
        operation(by, 'openPages', () =>
          pages
            .filter((page) => page.open && page.n > after && page.n <= upTo)
            .slice(0, limit)
            .map(head),
        ),
      pagesAfter: (after, limit) =>
        operation(by, 'pagesAfter', () =>
          pages
            .filter((page) => page.n > after)
            .slice(0, limit)
            .map(head),
        ),
      bodies: (n) =>
        operation(by, `bodies ${n}`, () => {
          const page = pages[n - 1];
          return page === undefined
            ? undefined
            : {
                n,
                heads: page.heads,
                bodies: page.bodies,
                ...(page.broadcast === undefined ? {} : { broadcast: page.broadcast }),
              };
        }),
      results: (n, fromK = 0) =>
        operation(by, `results ${n}`, () =>
          [...results.values()]
            .filter((row) => row.n === n && row.k >= fromK)
            .map(
              ({ k, items, tally, rest, parts }): KnownResult => ({ k, items: Buffer.from(items), tally, rest, parts }),
            ),
        ),
      deadLetters: (n) =>
        operation(
          by,
          `deadLetters ${n}`,
          () =>
            new Map(
              [...deadLetters.values()]
                .filter((letter) => letter.source.startsWith(`${BOT}-${n}-`))
                .map((letter) => [letter.source, letter.payload.state === 'unknown' ? 'unknown' : 'dead'] as const),
            ),
        ),
      marks: (chatIds) =>
        operation(by, 'marks', () =>
          chatIds.filter((id) => unreachable.has(id) || frozen.has(id) || moved.has(id)).map(markOf),
        ),
      frozenChats: (now) =>
        operation(by, 'frozenChats', () => [...frozen].filter(([, until]) => until > now).map(([id]) => markOf(id))),
      async commit(commit: Commit) {
        await operation(by, 'commit letters', () => {
          for (const letter of commit.deadLetters)
            if (!deadLetters.has(letter.source)) deadLetters.set(letter.source, letter);
          for (const mark of commit.unreachable) if (!world.cameBack.has(mark.chatId)) unreachable.add(mark.chatId);
          for (const { chatId, until } of commit.frozen) frozen.set(chatId, until);
          for (const { chatId, to } of commit.moved ?? []) moved.set(chatId, to);
        });
        await operation(
          by,
          'commit results',
          () => {
            for (const write of commit.results) {
              const known = rowOf(write.n, write.k);
              const fits =
                known === undefined ||
                known.epoch < commit.epoch ||
                (known.epoch === commit.epoch && known.left >= write.left && known.steps <= write.steps);
              if (!fits) throw new StoreError('PH_LEASE_FENCED', 'results belong to a later epoch');
              results.set(`${write.n}/${write.k}`, { ...write, epoch: commit.epoch });
            }
            for (const { n, k } of commit.closed) {
              const page = pages[n - 1];
              if (k === undefined && page !== undefined) page.open = false;
              const part = parts.get(n)?.find((one) => one.k === k);
              if (part !== undefined) part.open = false;
            }
          },
          COMMIT_MS,
        );
      },
    };
  }

  function broadcastStoreOf(by: SendingProcess): BroadcastStore {
    const partsOf = (n: number): Part[] => {
      const known = parts.get(n) ?? [];
      parts.set(n, known);
      return known;
    };
    const stored = (part: Part, mine: boolean) => ({
      k: part.k,
      chats: part.chats,
      upTo: part.upTo,
      open: part.open,
      mine,
    });
    return {
      row: (n) =>
        operation(by, `row ${n}`, () => {
          const row = broadcasts.get(n);
          return row === undefined ? undefined : { ...row };
        }),
      begin: (n, at) =>
        operation(by, `begin ${n}`, () => {
          const row: BroadcastRow = { startedAt: at, ...(broadcasts.get(n) ?? newRow(n)) };
          broadcasts.set(n, row);
          return { ...row };
        }),
      wishes: (ns) =>
        operation(by, 'wishes', () => ns.flatMap((n) => broadcasts.get(n) ?? []).map(({ n, state }) => ({ n, state }))),
      count: (audience, after = null) =>
        operation(by, 'count', () => {
          const people = pages[Number(audience.tags?.[0]) - 1]?.people ?? [];
          return people.slice(after === null ? 0 : Number.parseInt(after.toHexString(), 16)).length;
        }),
      flags: (asked) =>
        operation(by, 'flags', () => ({
          unreachable: new Set(asked.filter((chat) => unreachable.has(chat))),
          // The stub of a group that moved has no subscription.
          stopped: new Set(asked.filter((chat) => world.stopped.has(chat) || moved.has(chat))),
        })),
      audience: (audience, after) =>
        operation(by, 'audience', () => {
          const people = pages[Number(audience.tags?.[0]) - 1]?.people ?? [];
          const from = after === null ? 0 : Number.parseInt(after.toHexString(), 16);
          const chats = people.slice(from, from + AUDIENCE_PAGE);
          return {
            chats,
            unreachable: chats.map((chat) => unreachable.has(chat)),
            upTo: chats.length < AUDIENCE_PAGE ? null : uid(from + chats.length),
          };
        }),
      openPages: (n, fromK) =>
        operation(by, `openParts ${n}`, () =>
          partsOf(n)
            .filter((part) => part.open && part.k >= fromK)
            .map((part) => stored(part, true)),
        ),
      among: (n, chats) =>
        operation(by, 'among', () => {
          const own = partsOf(n).flatMap((part) => part.chats);
          return new Set(own.filter((chat) => chats.has(chat)));
        }),
      lastPage: (n) =>
        operation(by, `lastPart ${n}`, () => {
          const last = partsOf(n).at(-1);
          return last === undefined ? undefined : stored(last, true);
        }),
      addPage: (n, k, id, _after, page) =>
        operation(by, `addPage ${n}/${k}`, () => {
          const known = partsOf(n).find((part) => part.k === k);
          if (known !== undefined) return stored(known, known.id === id.toHexString());
          const made = { k, id: id.toHexString(), chats: page.chats, upTo: page.upTo, open: true };
          partsOf(n).push(made);
          page.chats.forEach((chatId, index) => {
            const at = pages.findIndex((one) => one.n === n);
            const body = pages[at]?.bodies[0] ?? { text: '' };
            for (let part = 0; part < partCount(body); part += 1) {
              accepted.set(`${partText(body, part)}@${chatId}`, {
                at: n * 1e6 + k * 1e3 + index + part / 100,
                chatId,
                lane: 'broadcast',
                id: deliveryId({ bot: BOT, n, k, index }),
                part,
              });
            }
          });
          return stored(made, true);
        }),
      move: (n, from, to: BroadcastMove) =>
        operation(by, `move ${n}`, () => {
          const row = broadcasts.get(n);
          if (row === undefined || row.k !== from.k || row.finishedAt !== undefined) return false;
          if ((row.state === 'cancelled') !== (from.cancelled === true)) return false;
          broadcasts.set(n, { ...row, ...to, sum: { ...to.sum } });
          return true;
        }),
      close: (n) =>
        operation(by, `close ${n}`, () => {
          const page = pages[n - 1];
          if (page !== undefined) page.open = false;
        }),
    };
  }

  function keeperOf(by: SendingProcess, held: { grant: LeaseGrant | undefined; events: HoldingEvents | undefined }) {
    const keeper: LeaseKeeper = {
      hold(_bot, _part, given) {
        held.events = given;
        let fields: Published = {};
        return {
          get grant() {
            return held.grant;
          },
          holder: undefined,
          mayCall: () => held.grant !== undefined && by.mayCall,
          mustDestroy: () => false,
          publish(more) {
            fields = { ...fields, ...more };
          },
          async publishNow(more) {
            fields = { ...fields, ...more };
            const sent = fields;
            await operation(by, 'publishNow', () => {
              if (world.lease.owner !== by) throw new StoreError('PH_LEASE_FENCED', 'another process owns this part');
              world.lease.begun = sent.begun ?? world.lease.begun;
              if ('rate' in sent) world.lease.rate = sent.rate;
              if (sent.waitUntil !== undefined) world.lease.waitUntil = sent.waitUntil;
            });
          },
          fenced(reason) {
            if (held.grant === undefined) return;
            held.grant = undefined;
            held.events?.lost(reason);
          },
          listen(more) {
            held.events = more;
          },
          async release() {
            if (held.grant !== undefined) world.lease.begun = fields.begun ?? world.lease.begun;
            held.grant = undefined;
            world.lease.released += 1;
            if (world.lease.owner === by) world.lease.owner = undefined;
          },
        };
      },
      stop: () => undefined,
    };
    return keeper;
  }

  const newRow = (n: number): BroadcastRow => ({
    bot: BOT,
    n,
    state: 'running',
    sum: emptyTally(),
    k: 0,
    ratePerSecond: 0,
  });

  function textOf(chatId: number, text: string): string {
    return accepted.has(text) ? text : `${text}@${chatId}`;
  }

  function callOf(by: SendingProcess, flights: Set<(answer: Answer) => void>, chatId: number, given: string) {
    const text = textOf(chatId, given);
    const earlier = calls.filter((call) => call.chatId === chatId).at(-1);
    const met: MetCall = {
      chatId,
      text,
      at: clock.now(),
      by,
      epoch: world.lease.epoch,
      endedAt: undefined,
      answer: undefined,
    };
    if (earlier !== undefined && earlier.epoch === met.epoch && earlier.text !== text) {
      const before = accepted.get(earlier.text);
      // Once its dead letter is durable it has ended: who reads its page again, after a crash before the result, settles it by that.
      const isOpen =
        before !== undefined &&
        stateOf(before.id) === 'queued' &&
        !deadLetters.has(before.id) &&
        sentParts(before.id).length <= before.part;
      if (before !== undefined && isOpen && !again(earlier.answer)) {
        violations.push(`chat ${chatId} is called for ${text} before the end of ${earlier.text} is durable`);
      }
    }
    calls.push(met);
    events.push(`call ${text}`);
    const nth = calls.filter((call) => call.text === text).length;
    const { afterMs = LATENCY_MS, answer = ok(calls.length) } = world.plan(chatId, text, nth) ?? {};
    return new Promise<Answer>((resolve) => {
      const end = (given: Answer) => {
        cancel();
        flights.delete(end);
        if (by.dead) return;
        met.endedAt = clock.now();
        met.answer = given;
        resolve(given);
      };
      const cancel = clock.setTimer(afterMs, () => end(answer));
      flights.add(end);
    });
  }

  /** Ends after which the same item may be called again, and others of the chat go before it. */
  function again(answer: Answer | undefined): boolean {
    if (answer === undefined || answer.kind === 'failure') return answer !== undefined;
    return answer.status === 429 || answer.status >= 500 || classify(answer).kind === 'migrated';
  }

  const world: SendingWorld = {
    clock,
    calls,
    events,
    deadLetters,
    unreachable,
    frozen,
    moved,
    broadcasts,
    lease: { epoch: 0, owner: undefined, begun: [], released: 0 },
    probes: 0,
    getMe: () => ok(),
    plan: () => undefined,
    stopped: new Set(),
    cameBack: new Set(),
    away: undefined,
    lose: undefined,
    hold(name, when = 'before', times = Number.POSITIVE_INFINITY) {
      let release = (): void => undefined;
      const hold = {
        name,
        when,
        left: times,
        released: new Promise<void>((resolve) => {
          release = resolve;
        }),
      };
      holds.push(hold);
      return () => {
        holds.splice(holds.indexOf(hold), 1);
        release();
      };
    },
    async process(options = {}) {
      const { concurrency = 64, rates } = options;
      const system = createActorSystem({ clock, random: () => 0.5, log: options.log ?? silentLog });
      const held: { grant: LeaseGrant | undefined; events: HoldingEvents | undefined } = {
        grant: undefined,
        events: undefined,
      };
      const flights = new Set<(answer: Answer) => void>();
      const reports: PoolReport[] = [];
      let destroyed = 0;
      const pool = system.address<PoolMessage>('sender-pool');
      const client = {
        call(method: string, payload: object): Promise<Answer> {
          if (proc.dead) return never();
          if (method === 'getMe') {
            world.probes += 1;
            return wait(10).then(world.getMe);
          }
          const { chat_id, text } = payload as { chat_id: number; text: string };
          return callOf(proc, flights, chat_id, text);
        },
        warm: () => Promise.resolve(),
        async destroy() {
          destroyed += 1;
          for (const end of [...flights]) end(lost());
        },
      };
      // The line needs the store of the process, and the process shows its line.
      const proc = {
        name: `p${processes.length + 1}`,
        system,
        reports,
        destroyed: () => destroyed,
        mayCall: true,
        dead: false,
        async take(tell = true) {
          const before = world.lease.owner;
          if (before !== undefined && before !== proc && tell) before.lose();
          world.lease.epoch += 1;
          world.lease.owner = proc;
          const { epoch, begun, rate, waitUntil } = world.lease;
          held.grant = {
            bot: BOT,
            part: 'send',
            epoch,
            begun,
            handling: [],
            ...(rate === undefined ? {} : { rate }),
            ...(waitUntil === undefined ? {} : { waitUntil }),
          };
          held.events?.granted(held.grant);
          await settle();
        },
        lose() {
          held.grant = undefined;
          if (world.lease.owner === proc) world.lease.owner = undefined;
          held.events?.lost('another process owns the part');
        },
        kill() {
          proc.dead = true;
        },
        crash(path: 'pool' | number) {
          system.exit(path === 'pool' ? 'sender-pool' : `sender-pool/sender:${path}`, new Error('a planted fault'));
        },
        drain: (withinMs: number) =>
          system.ask<PoolMessage, void>(pool, (replyTo) => ({ type: 'drain', withinMs, replyTo }), withinMs + 1_000),
      } as unknown as SendingProcess;
      const store = storeOf(proc);
      const line = sendLine({
        bot: BOT,
        rates: { perSecond: 30, perChatSecond: 1, perGroupMinute: 20, ...rates },
        concurrency,
        client,
        store,
        clock,
      });
      Object.assign(proc, { line });
      const actor = senderPoolActor({
        line,
        shards: SHARDS,
        store,
        broadcasts: broadcastStoreOf(proc),
        keeper: keeperOf(proc, held),
        appended: (listener) => {
          listeners.appended.push(listener);
          return () => listeners.appended.splice(listeners.appended.indexOf(listener), 1);
        },
        wakes: (listener) => {
          listeners.wake.push(listener);
          return () => listeners.wake.splice(listeners.wake.indexOf(listener), 1);
        },
        report: (report) => reports.push(report),
        newId: () => new ObjectId(),
      });
      const budget = { restarts: 1_000, withinMs: 5_000 };
      await system.start(
        supervisor({
          name: 'root',
          strategy: 'one-for-one',
          budget,
          children: [
            worker(actor, {
              strategy: 'one-for-one',
              budget,
              children: Array.from({ length: SHARDS }, (_, shard) => worker(senderActor({ shard, line, pool }))),
            }),
          ],
        }),
      );
      await settle();
      processes.push(proc);
      return proc;
    },
    append(drafts, how = 'handed') {
      const n = pages.length + 1;
      const bodies = drafts.map((draft, index) => bodyOf(draft.text ?? `m${n}.${index}`));
      const heads = packHeads(
        drafts.map((draft, index) => ({
          chatId: draft.chatId,
          body: index,
          lane: draft.lane ?? 'notify',
          class: draft.class ?? 'at-least-once',
        })),
      );
      pages.push({ n, kind: 'messages', heads, bodies, people: [], open: true });
      const ids = drafts.map((draft, index) => {
        const id = deliveryId({ bot: BOT, n, index });
        const body = bodies[index] ?? { text: '' };
        const { chatId, lane = 'notify' } = draft;
        for (let part = 0; part < partCount(body); part += 1)
          accepted.set(partText(body, part), { at: n * 1e6 + index + part / 100, chatId, lane, id, part });
        return id;
      });
      if (how === 'handed')
        for (const tell of listeners.appended) tell({ bot: BOT, n, kind: 'messages', heads, bodies });
      if (how === 'wake') for (const wake of listeners.wake) wake();
      return ids;
    },
    broadcast(people, { text, ...body } = {}) {
      const n = pages.length + 1;
      const broadcast: BroadcastBody = {
        lane: 'bulk',
        class: 'at-least-once',
        ...body,
        audience: { types: ['private'], tags: [String(n)] },
      };
      const bodies = [bodyOf(text ?? `b${n}`)];
      pages.push({ n, kind: 'broadcast', heads: Buffer.alloc(0), bodies, broadcast, people, open: true });
      for (const tell of listeners.appended) tell({ bot: BOT, n, kind: 'broadcast', heads: Buffer.alloc(0), bodies });
      return n;
    },
    move(n, to, how = 'wake') {
      const row = broadcasts.get(n) ?? newRow(n);
      if (row.state === 'done' || row.state === 'cancelled') return;
      broadcasts.set(n, { ...row, state: to });
      isMoved = true;
      events.push(`${to} ${n}`);
      if (how === 'wake') for (const wake of listeners.wake) wake();
    },
    state: stateOf,
    parts: sentParts,
    states: (ids) => ids.map(stateOf),
    tally(n) {
      const sum: Record<string, number> = {};
      for (const row of results.values()) {
        if (row.n !== n) continue;
        for (let i = 0; i < row.items.length / RESULT_BYTES; i += 1) {
          const { state } = resultAt(row.items, i);
          sum[state] = (sum[state] ?? 0) + 1;
        }
      }
      return sum;
    },
    isClosed: (n) => pages[n - 1]?.open === false,
    async finish(limitMs, rounds) {
      const end = clock.now() + limitMs;
      while (pages.some((page) => page.open)) {
        if (clock.now() >= end) {
          const open = pages.filter((page) => page.open).map((page) => page.n);
          throw new Error(
            `not settled after ${limitMs} ms: pages ${open.join()}; last: ${events.slice(-12).join(' | ')}`,
          );
        }
        await clock.advance(100, rounds);
      }
    },
    check({ repeats = 0, perSecond = 30 } = {}) {
      if (violations.length > 0) throw new Error(violations[0]);
      checkRepeats(repeats);
      checkChats();
      checkRate(perSecond);
    },
    async stop() {
      for (const proc of processes) {
        if (proc.dead) continue;
        let stopped = false;
        const stop = proc.system.stop().then(() => {
          stopped = true;
        });
        for (let i = 0; i < 200 && !stopped; i += 1) await clock.advance(100);
        await stop;
      }
    },
  };

  function checkRepeats(repeats: number): void {
    const first = new Map<string, MetCall>();
    let repeated = 0;
    for (const call of calls) {
      const before = first.get(call.text);
      if (before !== undefined && !again(before.answer)) repeated += 1;
      first.set(call.text, call);
    }
    if (repeated > repeats) throw new Error(`${repeated} messages were called again, allowed are ${repeats}`);
  }

  function checkChats(): void {
    const chats = new Map<number, MetCall[]>();
    for (const call of calls) chats.set(call.chatId, [...(chats.get(call.chatId) ?? []), call]);
    for (const [chatId, met] of chats) {
      const furthest = new Map<string, number>();
      const seen = new Set<string>();
      met.forEach((call, index) => {
        const before = met[index - 1];
        if (before !== undefined && before.epoch === call.epoch && (before.endedAt ?? call.at + 1) > call.at) {
          throw new Error(`chat ${chatId} has two calls at once: ${before.text}, ${call.text}`);
        }
        if (seen.has(call.text)) return;
        seen.add(call.text);
        const { at = 0, lane = '' } = accepted.get(call.text) ?? {};
        // Whoever pauses a broadcast gives up the order among broadcasts.
        if (isMoved && lane === 'broadcast') return;
        if (at < (furthest.get(lane) ?? -1)) throw new Error(`chat ${chatId}: ${call.text} comes too late`);
        furthest.set(lane, at);
      });
    }
  }

  function checkRate(perSecond: number): void {
    if (perSecond === 0) return;
    calls.forEach((call, index) => {
      const later = calls[index + perSecond];
      if (later !== undefined && later.at - call.at < 1_000)
        throw new Error(`${perSecond + 1} calls within ${later.at - call.at} ms`);
    });
  }

  return world;
}
