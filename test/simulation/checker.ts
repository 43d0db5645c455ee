import { deliveryId } from '../../src/delivery/ids.js';
import { quietMs } from '../../src/delivery/lease-clock.js';
import { CHUNK_ITEMS, headAt, RESULT_BYTES, resultAt } from '../../src/delivery/packed.js';
import { headCount } from '../../src/store/send-store.js';
import { type Kernel, WALL_START } from './kernel.js';
import type { Change, ModelStore } from './model-store.js';
import type { SentCall, TelegramEvents } from './model-telegram.js';
import type { Plan } from './plan.js';
import { BOT, type SimProcess } from './process.js';
import type { Doc } from './rows.js';

/** A broken promise; the run ends with it. */
export class Violation extends Error {
  override readonly name = 'Violation';
  constructor(
    readonly rule: string,
    detail: string,
  ) {
    super(`${rule}: ${detail}`);
  }
}

interface Made {
  readonly call: SentCall;
  readonly epoch: number;
}

/** One delivery as the store has it, with all calls that were made of it. */
interface Delivery {
  readonly id: string;
  readonly place: readonly [n: number, k: number, index: number];
  readonly chatId: number;
  readonly chain: string;
  readonly atMostOnce: boolean;
  readonly text: string;
  state: string;
  /** The outcome is seen by majority reads. */
  durable: boolean;
  /** It was written by an owner that another had followed already: that one may have read the row before, and then its word counts. */
  provisional: boolean;
  readonly calls: Made[];
  /** From when on nothing but the way through the engine could hold its call up; Infinity when something else could. */
  dueAt: number;
  accepted: number;
  firstAccepted: number;
}

/** One request as its client knows it. */
export interface ClientRequest {
  readonly messages: readonly { readonly chatId: number; readonly text: string; readonly lane: string }[];
  /** When it was asked first. */
  readonly issuedAt: number;
  /** When a 202 came first; undefined when none did. */
  answeredAt: number | undefined;
  readonly broadcast: boolean;
}

/** Watches a run from outside of the engine: what is in the store, what reaches Telegram, what clients were answered. */
export interface Checker extends TelegramEvents {
  onChange(change: Change): void;
  asked(request: ClientRequest): void;
  /** A 202 with ids. Throws Violation. */
  answered(request: ClientRequest, ids: readonly string[]): void;
  blocked(chatId: number): void;
  unblocked(chatId: number): void;
  /** An update that the bot answers. */
  wrote(updateId: number): void;
  /** Undefined once everything that was accepted is settled; else what is not. */
  unsettled(): string | undefined;
  /** The last look at a run in which all is settled. Throws Violation. */
  end(): void;
  /** The first broken rule. */
  readonly failure: Violation | undefined;
  readonly counts: { deliveries: number; calls: number; repeated: number; takeovers: number };
}

/** In a calm run a call of which nothing is in the way comes within this, ms: wake, read, bodies, the write of a begun entry. */
const PROMPT_MS = 800;
/** How long a wake is under way at most, ms. */
const WAKE_MS = 30;
/** How long a broken cursor takes to be opened again, ms. */
const CURSOR_MS = 1_000;
const CHAT_PAUSE_MS = 1_100;
const FINAL_STATUS: ReadonlySet<number> = new Set([200, 400, 403]);

/** Makes the checker of a run. Its methods throw Violation. */
export function checker(
  kernel: Kernel,
  store: ModelStore,
  plan: Pick<Plan, 'rates' | 'concurrency' | 'calm'>,
  confirmed: () => number,
  brokenBefore: (at: number) => number,
): Checker {
  const { rates, concurrency } = plan;
  const deliveries = new Map<string, Delivery>();
  const byText = new Map<string, Delivery>();
  const chains = new Map<string, Delivery[]>();
  const kinds = new Map<number, Doc>();
  const committedPages = new Set<number>();
  /** Deliveries with a call whose outcome is not durable. */
  const open = new Set<Delivery>();
  const starts: number[] = [];
  const chatStarts = new Map<number, number>();
  const refusals = new Map<number, { epoch: number; startedAt: number }[]>();
  const everBlocked = new Set<number>();
  const grantedAt = new Map<number, number>();
  /** By epoch: the at-most-once calls that the owner before had begun. */
  const begunBefore = new Map<number, ReadonlySet<string>>();
  const markedAt = new Map<number, number>();
  const requests: ClientRequest[] = [];
  const updates = new Set<number>();
  const outputs = new Set<number>();
  const made = new Map<SentCall, Delivery>();
  const counts = { deliveries: 0, calls: 0, repeated: 0, takeovers: 0 };

  let failure: Violation | undefined;

  /** Kept as well as thrown: the engine may take what is thrown at it for a failure of its own. */
  function broken(rule: string, detail: string): never {
    failure ??= new Violation(rule, `${detail} (at ${kernel.now.toFixed(1)} ms)`);
    throw failure;
  }

  const ownerRow = (): Doc | undefined => store.all('Owners').find((row) => row.part === 'send');

  function register(delivery: Delivery): void {
    const name = `${delivery.text}@${delivery.chatId}`;
    const twice = byText.get(name);
    if (twice !== undefined) broken('accepted once', `${name} is in the log as ${twice.id} and ${delivery.id}`);
    deliveries.set(delivery.id, delivery);
    byText.set(name, delivery);
    counts.deliveries += 1;
    const chain = chains.get(delivery.chain) ?? [];
    chains.set(delivery.chain, chain);
    let at = chain.length;
    while (at > 0 && later(chain[at - 1] as Delivery, delivery)) at -= 1;
    chain.splice(at, 0, delivery);
  }

  const later = (a: Delivery, b: Delivery): boolean => {
    for (const at of [0, 1, 2] as const) if (a.place[at] !== b.place[at]) return a.place[at] > b.place[at];
    return false;
  };

  function delivery(place: Delivery['place'], inBroadcast: boolean, given: Partial<Delivery>): Delivery {
    const [n, k, index] = place;
    return {
      id: deliveryId({ bot: BOT, n, index, ...(inBroadcast ? { k } : {}) }),
      place,
      chatId: 0,
      chain: '',
      atMostOnce: false,
      text: '',
      state: 'queued',
      durable: false,
      provisional: false,
      calls: [],
      dueAt: Number.POSITIVE_INFINITY,
      accepted: 0,
      firstAccepted: Number.POSITIVE_INFINITY,
      ...given,
    };
  }

  function onPage(doc: Doc, change: Change): void {
    const n = doc.n as number;
    if (change.stage === 'committed' && !committedPages.has(n)) {
      committedPages.add(n);
      becomesDue(n);
    }
    if (change.stage !== 'applied' || change.before !== undefined) return;
    kinds.set(n, doc);
    for (const key of (doc.keys as string[] | undefined) ?? [])
      if (key.startsWith('u:')) outputs.add(Number(key.slice(2)));
    const heads = doc.heads as Buffer;
    const bodies = doc.bodies as { text: string }[];
    for (let index = 0; index < headCount(heads); index += 1) {
      const head = headAt(heads, index);
      register(
        delivery([n, 0, index], false, {
          chatId: head.chatId,
          chain: `${head.chatId} ${head.lane}`,
          atMostOnce: head.class === 'at-most-once',
          text: bodies[head.body]?.text ?? '',
        }),
      );
    }
  }

  /** The only message of a page, to a private chat, with nothing else to do for anybody: it must be called soon. */
  function becomesDue(n: number): void {
    const first = deliveries.get(deliveryId({ bot: BOT, n, index: 0 }));
    if (first === undefined || first.chatId < 0 || headCount(kinds.get(n)?.heads as Buffer) > 1) return;
    for (const other of deliveries.values()) if (other.place[0] !== n && !other.durable) return;
    if (store.all('Pages').some((page) => page.n !== n && page.open === true)) return;
    const chat = chatStarts.get(first.chatId) ?? Number.NEGATIVE_INFINITY;
    if (kernel.now - chat > CHAT_PAUSE_MS) first.dueAt = kernel.now;
  }

  function checkPrompt(found: Delivery, epoch: number): void {
    if (!plan.calm || found.calls.length > 0 || kinds.size > found.place[0]) return;
    const quietUntil = (grantedAt.get(epoch) ?? 0) + quietMs(rates).calls;
    const cursorAt = brokenBefore(found.dueAt + WAKE_MS) + CURSOR_MS;
    const late = kernel.now - Math.max(found.dueAt, quietUntil, cursorAt);
    if (late > PROMPT_MS) broken('prompt', `${found.id} is called ${late.toFixed(0)} ms later than it could be`);
  }

  function onBroadcastPage(doc: Doc, change: Change): void {
    if (change.stage !== 'applied' || change.before !== undefined) return;
    const page = kinds.get(doc.n as number);
    const chats = doc.chats as Buffer;
    for (let index = 0; index < chats.length / 8; index += 1) {
      const chatId = chats.readDoubleLE(index * 8);
      register(
        delivery([doc.n as number, doc.k as number, index], true, {
          chatId,
          chain: `${chatId} broadcast`,
          atMostOnce: (page?.broadcast as { class?: string } | undefined)?.class === 'at-most-once',
          text: (page?.bodies as { text: string }[] | undefined)?.[0]?.text ?? '',
        }),
      );
    }
  }

  function onResults(doc: Doc, change: Change): void {
    const { n, k } = doc as { n: number; k: number };
    const isBroadcast = kinds.get(n)?.kind === 'broadcast';
    const items = doc.items as Buffer;
    const epoch = doc.epoch as number;
    const isLate = epoch < Math.max(...grantedAt.keys());
    for (let at = 0; at < items.length / RESULT_BYTES; at += 1) {
      const { state } = resultAt(items, at);
      const id = deliveryId({
        bot: BOT,
        n,
        ...(isBroadcast ? { k, index: at } : { index: k * CHUNK_ITEMS + at }),
      });
      const found = deliveries.get(id);
      if (found === undefined) broken('nothing without a record', `results of ${id}, which is in no page`);
      if (change.stage === 'committed') {
        // Not when a later row has taken the outcome back meanwhile.
        if (state !== 'queued' && state === found.state) {
          found.durable = true;
          open.delete(found);
        }
        continue;
      }
      if (state === found.state) {
        if (!isLate) found.provisional = false;
        continue;
      }
      if (found.state !== 'queued') takenBack(found, state, epoch > (change.before?.epoch as number));
      if (state === 'queued') continue;
      found.provisional = isLate;
      settled(found, state);
    }
  }

  function takenBack(found: Delivery, state: string, byLaterOwner: boolean): void {
    if (!found.provisional || !byLaterOwner)
      broken('an outcome is final', `${found.id} was ${found.state} and becomes ${state}`);
    found.state = 'queued';
    found.durable = false;
    if (found.calls.length > 0) open.add(found);
  }

  function settled(found: Delivery, state: string): void {
    found.state = state;
    const { id } = found;
    if (state === 'sent' && found.accepted === 0)
      broken('nothing is lost', `${id} is recorded as sent, Telegram never had it`);
    if (state === 'unknown' && !found.atMostOnce) broken('at-least-once', `${id} became unknown`);
    if (state === 'blocked' && !everBlocked.has(found.chatId))
      broken('nothing is lost', `${id} is blocked, its chat never was`);
    if (state === 'dead' || state === 'unknown') {
      if (!hasLetter(found)) broken('nothing without a record', `${id} is ${state} without a dead letter`);
    }
  }

  function onOwners(doc: Doc, change: Change): void {
    if (doc.part !== 'send' || change.stage !== 'applied') return;
    const epoch = doc.epoch as number;
    if (epoch === change.before?.epoch) return;
    counts.takeovers += 1;
    grantedAt.set(epoch, kernel.now);
    begunBefore.set(epoch, new Set((doc.begun as string[]) ?? []));
  }

  function onChat(doc: Doc, change: Change): void {
    const chatId = doc.chatId as number;
    // An update that was handled after the refusal counts as a return, also one that was written before it.
    if (doc.reach === 'ok' && change.before !== undefined && change.before.reach !== 'ok') refusals.delete(chatId);
    if (change.stage !== 'committed') return;
    if (doc.reach === 'ok') markedAt.delete(chatId);
    else if (!markedAt.has(chatId)) markedAt.set(chatId, kernel.now);
  }

  function onUpdate(doc: Doc, change: Change): void {
    if (change.stage !== 'applied' || doc.state !== 'settled' || change.before?.state === 'settled') return;
    const updateId = doc.updateId as number;
    if (updates.has(updateId) && !outputs.has(updateId))
      broken('nothing is lost', `update ${updateId} is settled and its answer is in no page`);
  }

  /** True when the call may have to be made again: its process heard no final answer. */
  const mayRepeat = ({ heard }: SentCall): boolean =>
    heard !== undefined && (heard.kind === 'failure' || !FINAL_STATUS.has(heard.status));

  const certainlyNotSent = ({ heard }: SentCall): boolean =>
    heard !== undefined &&
    (heard.kind === 'failure' ? heard.beforeFirstByte : heard.status >= 400 && heard.status < 500);

  const hasLetter = ({ id }: Delivery): boolean => store.all('DeadLetters').some((row) => row.source === id);

  function checkOrder(found: Delivery, epoch: number): void {
    for (const earlier of chains.get(found.chain) ?? []) {
      if (earlier === found) return;
      // To a chat that was blocked it ends without a call: nobody waits for that to be durable.
      if (earlier.calls.length === 0 && everBlocked.has(earlier.chatId)) continue;
      // Begun by an owner before, or given up by it: it is never called again, only its end is not written yet.
      if (begunBefore.get(epoch)?.has(earlier.id) === true) continue;
      const last = earlier.calls.at(-1);
      if (hasLetter(earlier) && last !== undefined && last.epoch < epoch) continue;
      if (!earlier.durable) broken('order', `${found.id} is called, ${earlier.id} before it is not settled`);
    }
  }

  function checkChat(found: Delivery, epoch: number): void {
    for (const other of open) {
      if (other === found || other.chatId !== found.chatId) continue;
      const last = other.calls.at(-1);
      if (last?.epoch === epoch && !mayRepeat(last.call))
        broken('one unsettled call a chat', `${found.id} is called, ${other.id} of the same chat is not settled`);
    }
  }

  function checkRepeat(found: Delivery, epoch: number): void {
    if (found.durable && !found.provisional)
      broken('at-least-once', `${found.id} is called, its outcome is durable: ${found.state}`);
    for (const { call, epoch: then } of found.calls) {
      if (found.atMostOnce && !certainlyNotSent(call))
        broken('at-most-once', `${found.id} is called again, its call before may have arrived`);
      if (then === epoch && !mayRepeat(call))
        broken('at-least-once', `${found.id} is called again in one tenure, its call before did not fail`);
    }
  }

  function checkDoubt(epoch: number): void {
    let inDoubt = 0;
    for (const one of open) {
      const last = one.calls.at(-1);
      if (last?.epoch === epoch && !mayRepeat(last.call)) inDoubt += 1;
    }
    if (inDoubt > concurrency)
      broken('at-least-once', `a crash now would repeat ${inDoubt} messages, SEND_CONCURRENCY is ${concurrency}`);
  }

  function checkRates(chatId: number): void {
    const { perSecond, perChatSecond, perGroupMinute } = rates;
    if (perSecond > 0) {
      const nth = starts.at(-perSecond);
      if (nth !== undefined && kernel.now - nth < 1_000)
        broken('rates', `${perSecond + 1} calls within ${(kernel.now - nth).toFixed(1)} ms`);
    }
    starts.push(kernel.now);
    if (starts.length > 400) starts.splice(0, 200);
    const before = chatStarts.get(chatId) ?? Number.NEGATIVE_INFINITY;
    const perMs = chatId < 0 ? perGroupMinute / 60_000 : perChatSecond / 1_000;
    if (perMs > 0 && kernel.now - before < 1 / perMs)
      broken('rates', `chat ${chatId} is called again after ${(kernel.now - before).toFixed(1)} ms`);
    chatStarts.set(chatId, kernel.now);
  }

  /** A person who was found unreachable is left alone, unless a message of theirs came since. */
  function checkReach(chatId: number, epoch: number): void {
    const known = refusals.get(chatId) ?? [];
    if (known.length === 0) return;
    const row = store.all('Chats').find((one) => one.chatId === chatId);
    const wrote =
      row?.lastUpdateAt instanceof Date ? row.lastUpdateAt.getTime() - WALL_START : Number.NEGATIVE_INFINITY;
    for (const refusal of known) {
      if (wrote >= refusal.startedAt) continue;
      if (refusal.epoch === epoch) broken('unreachable', `chat ${chatId} is called again in one tenure`);
      const marked = markedAt.get(chatId) ?? Number.POSITIVE_INFINITY;
      if (marked < (grantedAt.get(epoch) ?? 0))
        broken('unreachable', `chat ${chatId} is called, it was marked before the takeover`);
    }
  }

  return {
    counts,
    get failure() {
      return failure;
    },
    onChange(change) {
      const { doc, table } = change;
      if (table === 'Pages') onPage(doc, change);
      else if (table === 'BroadcastPages') onBroadcastPage(doc, change);
      else if (table === 'Results') onResults(doc, change);
      else if (table === 'Owners') onOwners(doc, change);
      else if (table === 'Chats') onChat(doc, change);
      else if (table === 'Updates') onUpdate(doc, change);
    },
    begun(call) {
      counts.calls += 1;
      const found = byText.get(`${call.text}@${call.chatId}`);
      if (found === undefined) broken('nothing without a record', `a call of ${call.text}, which is in no page`);
      const epoch = (call.by as SimProcess).line.holding?.grant?.epoch;
      const row = ownerRow();
      if (epoch === undefined) broken('one owner', `${found.id} is called without a lease`);
      if (row?.epoch !== epoch)
        broken('one owner', `${found.id} is called under epoch ${epoch}, the store has ${row?.epoch}`);
      checkRepeat(found, epoch);
      checkOrder(found, epoch);
      checkChat(found, epoch);
      checkReach(call.chatId, epoch);
      checkRates(call.chatId);
      checkPrompt(found, epoch);
      found.calls.push({ call, epoch });
      made.set(call, found);
      open.add(found);
      checkDoubt(epoch);
    },
    arrived(call, status) {
      const found = made.get(call);
      if (found === undefined || status !== 200) return;
      found.accepted += 1;
      found.firstAccepted = Math.min(found.firstAccepted, kernel.now);
      if (found.accepted > 1) counts.repeated += 1;
      if (found.atMostOnce && found.accepted > 1) broken('at-most-once', `Telegram took ${found.id} twice`);
    },
    ended(call) {
      const found = made.get(call);
      const last = found?.calls.find((one) => one.call === call);
      if (last === undefined || call.heard?.kind !== 'answer' || call.heard.status !== 403) return;
      const known = refusals.get(call.chatId) ?? [];
      known.push({ epoch: last.epoch, startedAt: call.at });
      refusals.set(call.chatId, known);
    },
    asked(request) {
      requests.push(request);
    },
    answered(request, ids) {
      request.answeredAt ??= kernel.now;
      if (request.broadcast) {
        const n = Number(ids[0]?.split('-')[1]);
        if (!committedPages.has(n)) broken('accepted', `202 with ${ids[0]}, which is not in the store`);
        return;
      }
      request.messages.forEach((message, index) => {
        const found = deliveries.get(ids[index] ?? '');
        if (found === undefined || !committedPages.has(found.place[0]))
          broken('accepted', `202 with ${ids[index]}, which is not in the store`);
        if (found.text !== message.text || found.chatId !== message.chatId)
          broken('accepted', `202 with ${ids[index]} for ${message.text}, which is ${found.text}`);
      });
    },
    blocked(chatId) {
      everBlocked.add(chatId);
    },
    unblocked(chatId) {
      refusals.delete(chatId);
    },
    wrote(updateId) {
      updates.add(updateId);
    },
    unsettled() {
      for (const one of deliveries.values()) if (!one.durable) return `${one.id} (${one.text}) is ${one.state}`;
      const page = store.all('Pages').find((row) => row.open === true);
      if (page !== undefined) return `page ${page.n} is open`;
      const row = store.all('Broadcasts').find((one) => one.state !== 'done');
      if (row !== undefined) return `broadcast ${row.n} is ${row.state}`;
      for (const updateId of updates) {
        const update = store.all('Updates').find((one) => one.updateId === updateId);
        if (update?.state !== 'settled' && update?.state !== 'dead') return `update ${updateId} is ${update?.state}`;
      }
      return undefined;
    },
    end() {
      const known = new Map(store.all('Updates').map((row) => [row.updateId as number, row.state]));
      for (const updateId of updates) {
        if (updateId < confirmed() && !known.has(updateId))
          broken('nothing is lost', `update ${updateId} was confirmed and is not stored`);
        if (known.get(updateId) === 'settled' && !outputs.has(updateId))
          broken('nothing is lost', `update ${updateId} has no answer`);
      }
      for (const request of requests) {
        if (request.broadcast) continue;
        const there = request.messages.filter(({ text, chatId }) => byText.has(`${text}@${chatId}`)).length;
        if (there !== 0 && there !== request.messages.length)
          broken('accepted', `${there} of ${request.messages.length} messages of a request are in the log`);
        if (request.answeredAt !== undefined && there === 0)
          broken('accepted', 'a request with a 202 is not in the log');
      }
      checkClientOrder();
      checkBroadcasts();
    },
  };

  /** What a client knows: its 202 came before another request was asked. */
  function checkClientOrder(): void {
    const byChain = new Map<string, { request: ClientRequest; index: number; delivery: Delivery }[]>();
    for (const request of requests) {
      request.messages.forEach(({ text, chatId, lane }, index) => {
        const found = byText.get(`${text}@${chatId}`);
        if (found === undefined) return;
        const chain = byChain.get(`${chatId} ${lane}`) ?? [];
        byChain.set(`${chatId} ${lane}`, chain);
        chain.push({ request, index, delivery: found });
      });
    }
    for (const chain of byChain.values()) {
      for (const a of chain) {
        if (a.delivery.state !== 'sent') continue;
        for (const b of chain) {
          const first =
            a.request === b.request
              ? a.index < b.index
              : a.request.answeredAt !== undefined && a.request.answeredAt < b.request.issuedAt;
          if (first && b.delivery.firstAccepted < a.delivery.firstAccepted)
            broken(
              'order',
              `${b.delivery.text} reached Telegram before ${a.delivery.text}, whose 202 came before it was asked`,
            );
        }
      }
    }
  }

  function checkBroadcasts(): void {
    for (const row of store.all('Broadcasts')) {
      const items = [...deliveries.values()].filter((one) => one.place[0] === row.n);
      const chats = new Set(items.map((one) => one.chatId));
      const people = store.all('Chats').filter((one) => one.subscription === 'active' && one.type === 'private');
      for (const person of people)
        if (!chats.has(person.chatId as number))
          broken('nothing is lost', `broadcast ${row.n} never met ${person.chatId}`);
      const counted = Object.values(row.sum as Record<string, number>).reduce((sum, one) => sum + one, 0);
      if (counted !== items.length) broken('figures', `broadcast ${row.n} counts ${counted} of ${items.length} people`);
      for (const state of ['sent', 'blocked', 'dead', 'unknown']) {
        const real = items.filter((one) => one.state === state).length;
        if ((row.sum as Record<string, number>)[state] !== real)
          broken(
            'figures',
            `broadcast ${row.n} counts ${(row.sum as Record<string, number>)[state]} ${state}, there are ${real}`,
          );
      }
    }
  }
}
