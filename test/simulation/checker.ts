import { deliveryId } from '../../src/delivery/ids.js';
import { quietMs } from '../../src/delivery/lease-clock.js';
import { CHUNK_ITEMS, headAt, RESULT_BYTES, resultAt } from '../../src/delivery/packed.js';
import { partCount, partText } from '../../src/delivery/text/cut-text.js';
import type { BodyRow } from '../../src/store/models.js';
import { headCount } from '../../src/store/send-store.js';
import type { Kernel } from './kernel.js';
import type { Change, ModelStore } from './model-store.js';
import type { SentCall, TelegramEvents } from './model-telegram.js';
import type { Plan } from './plan.js';
import type { SimProcess } from './process.js';
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
  readonly part: number;
  /** How often actors had been restarted then. */
  readonly restarts: number;
}

/** One delivery as the store has it, with all calls that were made of it. */
interface Delivery {
  readonly id: string;
  readonly place: readonly [n: number, k: number, index: number];
  readonly chatId: number;
  readonly chain: string;
  readonly atMostOnce: boolean;
  /** As it was given, and the messages that it is sent as. */
  readonly text: string;
  readonly parts: readonly string[];
  /** The delivery whose dead letter was replayed. */
  readonly replayOf: string | undefined;
  /** Parts that are recorded as sent, and those of which that is seen by majority reads. */
  steps: number;
  stepsDurable: number;
  /** As `provisional`, of the parts. */
  stepsProvisional: boolean;
  state: string;
  /** The outcome is seen by majority reads. */
  durable: boolean;
  /**
   * It was written by an owner that another had followed already, or after its writer was told that this had failed: who read the row before (the next owner, or actors
   * that were restarted) does not know it, and then their word counts.
   */
  provisional: boolean;
  readonly calls: Made[];
  /** From when on nothing but the way through the engine could hold its call up; Infinity when something else could. */
  dueAt: number;
  /** By part: how often Telegram took it, and when first. */
  readonly accepted: number[];
  readonly firstAccepted: number[];
}

/** A call of an owner, as far as the rates are concerned. */
interface Pace {
  readonly at: number;
  readonly epoch: number;
}

/** What an operator has made of a broadcast, as majority reads see it. */
interface Wish {
  readonly state: string;
  readonly since: number;
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
  /** A group became a supergroup. */
  moved(from: number, to: number): void;
  /** Actors were restarted: what they hold is read again. */
  restarted(): void;
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
const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
/** Up to this much jitter of the network the rates hold to the ms. */
const SURE_JITTER_MS = 20;
/** Longest message of Telegram, UTF-16 units. */
const MESSAGE_UNITS = 4_096;
const FINAL_STATUS: ReadonlySet<number> = new Set([200, 400, 403]);

/** An operator's move is followed within this, ms: a look each second; where the store fails, some looks. */
const MOVED_CALM_MS = 1_500;
const MOVED_MS = 40_000;

/** Makes the checker of one bot in a run. Its methods throw Violation. */
export function checker(
  bot: string,
  kernel: Kernel,
  store: ModelStore,
  plan: Pick<Plan, 'people' | 'rates' | 'concurrency' | 'calm' | 'telegram'>,
  confirmed: () => number,
  brokenBefore: (at: number) => number,
): Checker {
  const { rates, concurrency } = plan;
  const deliveries = new Map<string, Delivery>();
  /** By text of a part and chat: the delivery that a call of it is for, a replay in place of what it replays. */
  const byText = new Map<string, { found: Delivery; part: number }>();
  /** By whole text and chat: what a client asked for. */
  const asGiven = new Map<string, Delivery>();
  /** By the id of a supergroup that of the group it was; and the old ids whose move is durable. */
  const roots = new Map<number, number>();
  const movedDurable = new Set<number>();
  const wishes = new Map<number, Wish>();
  /** Broadcasts that were paused or cancelled at any time: those behind them may have passed them. */
  const everMoved = new Set<number>();
  const chains = new Map<string, Delivery[]>();
  const kinds = new Map<number, Doc>();
  const committedPages = new Set<number>();
  /** Deliveries with a call whose outcome is not durable. */
  const open = new Set<Delivery>();
  let lastStart: Pace | undefined;
  let lastGroupStart: Pace | undefined;
  const arrivals: Pace[] = [];
  const chatArrivals = new Map<number, Pace>();
  // How different two ways of one call are is learnt from answers; beyond this much jitter they are too few to tell exactly.
  const { jitterMs } = plan.telegram;
  const slackMs = jitterMs > SURE_JITTER_MS ? jitterMs / 10 : 0;
  const chatStarts = new Map<number, number>();
  const refusals = new Map<number, { epoch: number; wall: number }[]>();
  const everBlocked = new Set<number>();
  const grantedAt = new Map<number, number>();
  /** By epoch: the at-most-once calls that the owner before had begun. */
  const begunBefore = new Map<number, ReadonlySet<string>>();
  const markedAt = new Map<number, number>();
  /** By chat, the latest `lastUpdateAt` that its row ever had: a host whose clock is behind may set an earlier one. */
  const wroteAt = new Map<number, number>();
  /** By chat: the last call, with how often actors had been restarted then. */
  const under = new Map<number, { found: Delivery; epoch: number; restarts: number }>();
  let restarts = 0;
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

  const rows = (table: Parameters<ModelStore['all']>[0]): Doc[] => store.all(table).filter((row) => row.bot === bot);
  const ownerRow = (): Doc | undefined => rows('Owners').find((row) => row.part === 'send');
  const root = (chatId: number): number => roots.get(chatId) ?? chatId;
  const nameOf = (text: string, chatId: number): string => `${root(chatId)} ${text}`;

  function register(delivery: Delivery): void {
    const { id, parts, chatId, text, replayOf } = delivery;
    const name = nameOf(text, chatId);
    const twice = asGiven.get(name);
    if (replayOf !== undefined) checkReplay(delivery, replayOf);
    else if (twice !== undefined) broken('accepted once', `${name} is in the log as ${twice.id} and ${id}`);
    else asGiven.set(name, delivery);
    if (replayOf === undefined && parts.join('').replace(/\s/g, '') !== text.replace(/\s/g, ''))
      broken('parts', `the parts of ${id} are not its text`);
    if (parts.some((part) => part.length > MESSAGE_UNITS)) broken('parts', `a part of ${id} is too long for a message`);
    deliveries.set(id, delivery);
    parts.forEach((part, at) => {
      byText.set(nameOf(part, chatId), { found: delivery, part: at });
    });
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
      id: deliveryId({ bot, n, index, ...(inBroadcast ? { k } : {}) }),
      place,
      chatId: 0,
      chain: '',
      atMostOnce: false,
      text: '',
      parts: [],
      replayOf: undefined,
      steps: 0,
      stepsDurable: 0,
      stepsProvisional: false,
      state: 'queued',
      durable: false,
      provisional: false,
      calls: [],
      dueAt: Number.POSITIVE_INFINITY,
      accepted: [],
      firstAccepted: [],
      ...given,
    };
  }

  const contentOf = (body: BodyRow | undefined): Pick<Delivery, 'text' | 'parts'> =>
    body === undefined
      ? { text: '', parts: [] }
      : { text: body.text, parts: Array.from({ length: partCount(body) }, (_, part) => partText(body, part)) };

  /** A replay is a new delivery of a letter that waits, and the only one. */
  function checkReplay({ id, text, parts }: Delivery, replayOf: string): void {
    const original = deliveries.get(replayOf);
    const letter = rows('DeadLetters').find((row) => row.source === replayOf);
    if (original === undefined || original.text !== text)
      broken('replay', `${id} replays ${replayOf}, which is another message`);
    const sent = original.parts.length - parts.length;
    if (sent > original.steps || original.parts.slice(sent).some((part, at) => part !== parts[at]))
      broken('replay', `${id} is not what of ${replayOf} was not sent`);
    if (letter?.state !== 'waiting' || letter.replaying !== true)
      broken('replay', `${id} replays ${replayOf}, whose letter is ${letter?.state} and not marked`);
    if (original.durable && original.state === 'sent') broken('replay', `${id} replays ${replayOf}, which was sent`);
    for (const other of deliveries.values())
      if (other.replayOf === replayOf) broken('replay', `${replayOf} is replayed as ${other.id} and ${id}`);
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
    const bodies = doc.bodies as BodyRow[];
    const replays = new Map<number, string>();
    ((doc.keys as string[] | undefined) ?? []).forEach((key, at) => {
      const source = /^r:(.*):\d+$/.exec(key)?.[1];
      if (source !== undefined) replays.set((doc.keyItems as number[])[at] ?? -1, source);
    });
    for (let index = 0; index < headCount(heads); index += 1) {
      const head = headAt(heads, index);
      register(
        delivery([n, 0, index], false, {
          chatId: head.chatId,
          chain: `${head.chatId} ${head.lane}`,
          atMostOnce: head.class === 'at-most-once',
          ...contentOf(bodies[head.body]),
          replayOf: replays.get(index),
        }),
      );
    }
  }

  /** The only message of a page, to a private chat, with nothing else to do for anybody: it must be called soon. */
  function becomesDue(n: number): void {
    if (!plan.calm) return;
    const first = deliveries.get(deliveryId({ bot, n, index: 0 }));
    if (first === undefined || first.chatId < 0 || headCount(kinds.get(n)?.heads as Buffer) > 1) return;
    for (const other of deliveries.values()) if (other.place[0] !== n && !other.durable) return;
    if (rows('Pages').some((page) => page.n !== n && page.open === true)) return;
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
    // Written late, after its broadcast had ended without it: its people are counted as skipped, and nobody reads it.
    if (rows('Broadcasts').some((row) => row.n === doc.n && row.finishedAt !== undefined)) return;
    const chats = doc.chats as Buffer;
    for (let index = 0; index < chats.length / 8; index += 1) {
      const chatId = chats.readDoubleLE(index * 8);
      register(
        delivery([doc.n as number, doc.k as number, index], true, {
          chatId,
          chain: `${chatId} broadcast`,
          atMostOnce: (page?.broadcast as { class?: string } | undefined)?.class === 'at-most-once',
          ...contentOf((page?.bodies as BodyRow[] | undefined)?.[0]),
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
        bot,
        n,
        ...(isBroadcast ? { k, index: at } : { index: k * CHUNK_ITEMS + at }),
      });
      const found = deliveries.get(id);
      if (found === undefined) broken('nothing without a record', `results of ${id}, which is in no page`);
      const steps = (doc.parts as Record<string, readonly number[]> | undefined)?.[String(at)]?.length ?? 0;
      if (change.stage === 'committed') found.stepsDurable = steps;
      else {
        if (steps < found.steps && !found.stepsProvisional)
          broken('parts', `${id} had ${found.steps} parts sent and has ${steps}`);
        if (steps !== found.steps || !isLate) found.stepsProvisional = isLate;
        found.steps = steps;
      }
      if (steps > (found.calls.at(-1)?.part ?? Number.POSITIVE_INFINITY)) open.delete(found);
      if (change.stage === 'committed') {
        // Not when a later row has taken the outcome back meanwhile.
        if (state !== 'queued' && state === found.state) {
          found.durable = true;
          open.delete(found);
        }
        continue;
      }
      if (state === found.state) {
        if (!isLate && !change.late) found.provisional = false;
        continue;
      }
      if (found.state !== 'queued') {
        const wasRestarted = restarts > (found.calls.at(-1)?.restarts ?? restarts);
        takenBack(found, state, epoch > (change.before?.epoch as number) || wasRestarted);
      }
      if (state === 'queued') continue;
      found.provisional = isLate || change.late;
      settled(found, state);
    }
  }

  function takenBack(found: Delivery, state: string, wasReadAgain: boolean): void {
    if (!found.provisional || !wasReadAgain)
      broken('an outcome is final', `${found.id} was ${found.state} and becomes ${state}`);
    found.state = 'queued';
    found.durable = false;
    if (found.calls.length > 0) open.add(found);
  }

  function settled(found: Delivery, state: string): void {
    found.state = state;
    const { id } = found;
    if (state === 'sent' && found.parts.some((_, part) => (found.accepted[part] ?? 0) === 0))
      broken(
        'nothing is lost',
        `${id} is recorded as sent, Telegram never had ${found.parts.length > 1 ? 'all of ' : ''}it`,
      );
    if (state === 'cancelled' && wishOf(found)?.state !== 'cancelled')
      broken('nothing is lost', `${id} is cancelled, its broadcast is not`);
    if (state === 'skipped') broken('nothing is lost', `${id} is skipped, nobody has stopped`);
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
    begunBefore.set(epoch, new Set(doc.begun as string[]));
  }

  /** A broadcast's row: who is cancelled stays so, who has ended is done with. */
  function onBroadcast(doc: Doc, change: Change): void {
    const n = doc.n as number;
    const state = doc.state as string;
    const was = change.before;
    if (change.stage === 'applied') {
      if (state === 'paused' || state === 'cancelled') everMoved.add(n);
      if (was?.state === 'cancelled' && state !== 'cancelled')
        broken('broadcasts', `${n} was cancelled and is ${state}`);
      if (doc.finishedAt !== undefined && was?.finishedAt === undefined) forgetUnread(n, doc.k as number);
      if (was?.finishedAt !== undefined && was.state !== state) broken('broadcasts', `${n} had ended and is ${state}`);
      return;
    }
    if (wishes.get(n)?.state !== state) wishes.set(n, { state, since: kernel.now });
  }

  /** Pages of the audience that came between the last look for one and the end of their broadcast, as above. */
  function forgetUnread(n: number, fromK: number): void {
    for (const { id, place, state, calls } of [...deliveries.values()])
      if (place[0] === n && place[1] >= fromK && state === 'queued' && calls.length === 0) deliveries.delete(id);
  }

  const wishOf = ({ place }: Delivery): Doc | undefined => rows('Broadcasts').find((row) => row.n === place[0]);

  /** What is paused or cancelled begins no call: none of an owner that came later, and soon none of this one. */
  function checkWish({ id, place, steps }: Delivery, part: number, epoch: number): void {
    const wish = wishes.get(place[0]);
    if (wish === undefined || (wish.state !== 'paused' && wish.state !== 'cancelled') || steps + part > 0) return;
    const late = kernel.now - wish.since;
    if (wish.since < (grantedAt.get(epoch) ?? 0) || late > (plan.calm ? MOVED_CALM_MS : MOVED_MS))
      broken('broadcasts', `${id} is called, its broadcast is ${wish.state} since ${late.toFixed(0)} ms`);
  }

  function onChat(doc: Doc, change: Change): void {
    const chatId = doc.chatId as number;
    // An update that was handled after the refusal counts as a return, also one that was written before it.
    if (doc.reach === 'ok' && change.before !== undefined && change.before.reach !== 'ok') refusals.delete(chatId);
    if (doc.lastUpdateAt instanceof Date)
      wroteAt.set(chatId, Math.max(doc.lastUpdateAt.getTime(), wroteAt.get(chatId) ?? Number.NEGATIVE_INFINITY));
    if (change.stage !== 'committed') return;
    if (doc.movedTo !== undefined) movedDurable.add(chatId);
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
    heard !== undefined && (heard.kind === 'failure' || !FINAL_STATUS.has(heard.status) || toldNewId(heard.body));

  const toldNewId = (body: unknown): boolean =>
    (body as { parameters?: { migrate_to_chat_id?: number } } | undefined)?.parameters?.migrate_to_chat_id !==
    undefined;

  const certainlyNotSent = ({ heard }: SentCall): boolean =>
    heard !== undefined &&
    (heard.kind === 'failure' ? heard.beforeFirstByte : heard.status >= 400 && heard.status < 500);

  const hasLetter = ({ id }: Delivery): boolean => rows('DeadLetters').some((row) => row.source === id);

  function checkOrder(found: Delivery, epoch: number): void {
    for (const earlier of chains.get(found.chain) ?? []) {
      if (earlier === found) return;
      if (earlier.place[0] !== found.place[0] && everMoved.has(earlier.place[0])) continue;
      // To a chat that was blocked it ends without a call: nobody waits for that to be durable.
      if (earlier.calls.length === 0 && everBlocked.has(earlier.chatId)) continue;
      // Begun by an owner before, or given up by it: it is never called again, only its end is not written yet.
      if (earlier.durable || begunBefore.get(epoch)?.has(earlier.id) === true) continue;
      const last = earlier.calls.at(-1);
      if (last === undefined || last.epoch >= epoch || !hasLetter(earlier))
        broken('order', `${found.id} is called, ${earlier.id} before it is not settled`);
    }
  }

  function checkChat(found: Delivery, chatId: number, epoch: number): void {
    for (const other of open) {
      const last = other.calls.at(-1);
      if (other === found || last?.call.chatId !== chatId) continue;
      if (last?.epoch === epoch && !mayRepeat(last.call))
        broken('one unsettled call a chat', `${found.id} is called, ${other.id} of the same chat is not settled`);
    }
  }

  /** Parts go one after the other, each when the one before is durable; nothing comes between them as long as nothing has to be read again. */
  function checkParts(found: Delivery, part: number, chatId: number, epoch: number): void {
    if (part > 0 && found.stepsDurable < part)
      broken('parts', `part ${part} of ${found.id} is called, ${found.stepsDurable} before it are durable`);
    if (part < Math.min(found.stepsDurable, found.steps) && !found.stepsProvisional)
      broken('parts', `part ${part} of ${found.id} is called, it is recorded as sent`);
    const before = under.get(chatId);
    if (before === undefined || before.found === found || before.epoch !== epoch || before.restarts !== restarts)
      return;
    if (before.found.steps > 0 && before.found.state === 'queued')
      broken('parts', `${found.id} is called between the parts of ${before.found.id}`);
  }

  function checkRepeat(found: Delivery, part: number, epoch: number): void {
    if (found.durable && !found.provisional)
      broken('at-least-once', `${found.id} is called, its outcome is durable: ${found.state}`);
    for (const { call, epoch: then, part: other } of found.calls) {
      if (other !== part) continue;
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

  /** An owner is silent until the calls of the one before have arrived, as far as those were under way for no longer than a second. */
  function checkQuiet(chatId: number, epoch: number): void {
    const { perSecond, perGroupMinute } = rates;
    const check = (of: string, last: Pace | undefined, ms: number): void => {
      if (last !== undefined && last.epoch !== epoch && kernel.now - last.at < ms)
        broken('rates', `${of} is called ${(kernel.now - last.at).toFixed(1)} ms after a call of the owner before`);
    };
    if (perSecond > 0) check('the bot', lastStart, SECOND_MS);
    if (chatId < 0 && perGroupMinute > 0) check('a group', lastGroupStart, MINUTE_MS / perGroupMinute);
    lastStart = { at: kernel.now, epoch };
    if (chatId < 0) lastGroupStart = lastStart;
  }

  /** At Telegram, among the calls of one owner that it waits for: no window of a second has more than the rate, and no chat more than its own. */
  function checkRates(chatId: number, epoch: number): void {
    const { perSecond, perChatSecond, perGroupMinute } = rates;
    const at = kernel.now;
    const check = (of: string, before: Pace | undefined, ms: number): void => {
      if (before !== undefined && before.epoch === epoch && at - before.at < ms - slackMs)
        broken('rates', `${of}: within ${(at - before.at).toFixed(1)} ms, where ${ms} are to be`);
    };
    if (perSecond > 0) check(`${perSecond + 1} calls of the bot`, arrivals.at(-perSecond), SECOND_MS);
    const perMs = chatId < 0 ? perGroupMinute / MINUTE_MS : perChatSecond / SECOND_MS;
    if (perMs > 0) check(`2 calls to chat ${chatId}`, chatArrivals.get(chatId), 1 / perMs);
    arrivals.push({ at, epoch });
    if (arrivals.length > 400) arrivals.splice(0, 200);
    chatArrivals.set(chatId, { at, epoch });
  }

  /** A person who was found unreachable is left alone, unless a message of theirs came since. */
  function checkReach(chatId: number, epoch: number): void {
    const known = refusals.get(chatId) ?? [];
    if (known.length === 0) return;
    const wrote = wroteAt.get(chatId) ?? Number.NEGATIVE_INFINITY;
    for (const refusal of known) {
      // By the wall clocks of the two processes, which may differ.
      if (wrote >= refusal.wall) continue;
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
      if (doc.bot !== bot) return;
      if (table === 'Pages') onPage(doc, change);
      else if (table === 'BroadcastPages') onBroadcastPage(doc, change);
      else if (table === 'Results') onResults(doc, change);
      else if (table === 'Owners') onOwners(doc, change);
      else if (table === 'Chats') onChat(doc, change);
      else if (table === 'Broadcasts') onBroadcast(doc, change);
      else if (table === 'Updates') onUpdate(doc, change);
    },
    begun(call) {
      counts.calls += 1;
      const { chatId, text } = call;
      const known = byText.get(nameOf(text, chatId));
      if (known === undefined)
        broken('nothing without a record', `a call of ${text.slice(0, 40)}, which is in no page`);
      const { found, part } = known;
      const epoch = (call.by as SimProcess).lineOf(bot).holding?.grant?.epoch;
      const row = ownerRow();
      if (epoch === undefined) broken('one owner', `${found.id} is called without a lease`);
      if (row?.epoch !== epoch)
        broken('one owner', `${found.id} is called under epoch ${epoch}, the store has ${row?.epoch}`);
      if (found.chatId !== chatId && root(found.chatId) === found.chatId && !movedDurable.has(found.chatId))
        broken('migrated', `${found.id} goes to ${chatId}, and it is not durable that ${found.chatId} has become it`);
      checkRepeat(found, part, epoch);
      checkParts(found, part, chatId, epoch);
      checkOrder(found, epoch);
      checkChat(found, chatId, epoch);
      checkWish(found, part, epoch);
      checkReach(chatId, epoch);
      checkQuiet(chatId, epoch);
      chatStarts.set(chatId, kernel.now);
      checkPrompt(found, epoch);
      found.calls.push({ call, epoch, part, restarts });
      under.set(chatId, { found, epoch, restarts });
      made.set(call, found);
      open.add(found);
      checkDoubt(epoch);
    },
    arrived(call, status) {
      const found = made.get(call);
      const { part, epoch } = found?.calls.find((one) => one.call === call) ?? {};
      if (epoch !== undefined && epoch === ownerRow()?.epoch && call.heard === undefined && !call.by.dead)
        checkRates(call.chatId, epoch);
      if (found === undefined || part === undefined || status !== 200) return;
      found.firstAccepted[part] ??= kernel.now;
      found.accepted[part] = (found.accepted[part] ?? 0) + 1;
      const isAgain = (found.accepted[part] ?? 0) > 1;
      if (isAgain) counts.repeated += 1;
      if (found.atMostOnce && isAgain) broken('at-most-once', `Telegram took ${found.id} twice`);
      if (part > 0 && found.accepted[part - 1] === undefined)
        broken('parts', `part ${part} of ${found.id} reached Telegram, the one before has not`);
    },
    ended(call) {
      const found = made.get(call);
      const last = found?.calls.find((one) => one.call === call);
      if (last === undefined || call.heard?.kind !== 'answer' || call.heard.status !== 403) return;
      const known = refusals.get(call.chatId) ?? [];
      known.push({ epoch: last.epoch, wall: call.wall });
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
    moved(from, to) {
      roots.set(to, root(from));
    },
    restarted() {
      restarts += 1;
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
      const page = rows('Pages').find((row) => row.open === true);
      if (page !== undefined) return `page ${page.n} is open`;
      const row = rows('Broadcasts').find((one) => one.finishedAt === undefined);
      if (row !== undefined) return `broadcast ${row.n} is ${row.state} and has not ended`;
      const letter = rows('DeadLetters').find((one) => one.replaying === true || one.requeue === true);
      if (letter !== undefined) return `the replay of ${letter.source} has begun and not ended`;
      for (const updateId of updates) {
        const update = rows('Updates').find((one) => one.updateId === updateId);
        if (update?.state !== 'settled' && update?.state !== 'dead') return `update ${updateId} is ${update?.state}`;
      }
      return undefined;
    },
    end() {
      const known = new Map(rows('Updates').map((row) => [row.updateId as number, row.state]));
      for (const updateId of updates) {
        if (updateId < confirmed() && !known.has(updateId))
          broken('nothing is lost', `update ${updateId} was confirmed and is not stored`);
        if (known.get(updateId) === 'settled' && !outputs.has(updateId))
          broken('nothing is lost', `update ${updateId} has no answer`);
      }
      for (const request of requests) {
        if (request.broadcast) continue;
        const there = request.messages.filter(({ text, chatId }) => asGiven.has(nameOf(text, chatId))).length;
        if (there !== 0 && there !== request.messages.length)
          broken('accepted', `${there} of ${request.messages.length} messages of a request are in the log`);
        if (request.answeredAt !== undefined && there === 0)
          broken('accepted', 'a request with a 202 is not in the log');
      }
      checkClientOrder();
      checkSubscribers();
      checkBroadcasts();
      checkLetters();
    },
  };

  /** What a client knows: its 202 came before another request was asked. */
  function checkClientOrder(): void {
    const byChain = new Map<string, { request: ClientRequest; index: number; delivery: Delivery }[]>();
    for (const request of requests) {
      request.messages.forEach(({ text, chatId, lane }, index) => {
        const found = asGiven.get(nameOf(text, chatId));
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
          if (
            first &&
            (b.delivery.firstAccepted[0] ?? Number.POSITIVE_INFINITY) < Math.max(...a.delivery.firstAccepted)
          )
            broken(
              'order',
              `${b.delivery.text} reached Telegram before ${a.delivery.text}, whose 202 came before it was asked`,
            );
        }
      }
    }
  }

  /** Whoever was subscribed still is, in one row: no subscription ends in a run, a group keeps its own. */
  function checkSubscribers(): void {
    for (const chatId of plan.people) {
      const found = rows('Chats').filter(
        (one) => root(one.chatId as number) === chatId && one.subscription === 'active' && one.movedTo === undefined,
      );
      if (found.length !== 1) broken('nothing is lost', `subscriber ${chatId} has ${found.length} rows`);
    }
  }

  /** Who is in the audience was met once, or is counted as not met by a cancelled one; the figures are right. */
  function checkBroadcasts(): void {
    for (const row of rows('Broadcasts')) {
      const { n, state } = row as { n: number; state: string };
      const sum = row.sum as Record<string, number>;
      const items = [...deliveries.values()].filter((one) => one.place[0] === n);
      const met = new Set(items.map((one) => root(one.chatId)));
      if (met.size !== items.length) broken('nothing twice', `broadcast ${n} meets somebody twice`);
      const { types } = (kinds.get(n) as { broadcast: { audience: { types: string[] } } }).broadcast.audience;
      const people = rows('Chats').filter(
        (one) => one.subscription === 'active' && types.includes(String(one.type)) && one.movedTo === undefined,
      );
      const missed = people.filter((one) => !met.has(root(one.chatId as number)));
      if (state === 'done' && missed.length > 0)
        broken('nothing is lost', `broadcast ${n} never met ${missed[0]?.chatId}`);
      const expected: Record<string, number> = { skipped: missed.length };
      for (const one of items) expected[one.state] = (expected[one.state] ?? 0) + 1;
      for (const [name, counted] of Object.entries(sum))
        if (counted !== (expected[name] ?? 0))
          broken('figures', `broadcast ${n} counts ${counted} ${name}, there are ${expected[name] ?? 0}`);
      if (row.total !== people.length)
        broken('figures', `broadcast ${n} has a total of ${row.total}, there are ${people.length} people`);
    }
  }

  /** What was replayed has its one delivery, what was dropped has none. */
  function checkLetters(): void {
    const replays = new Map(
      [...deliveries.values()].flatMap((one) => (one.replayOf === undefined ? [] : [[one.replayOf, one]])),
    );
    for (const { queue, source, state, replayedAs } of rows('DeadLetters')) {
      if (queue !== 'deliveries') continue;
      const replay = replays.get(source as string);
      if ((state === 'replayed') !== (replay !== undefined) || replay?.id !== replayedAs)
        broken('replay', `the letter of ${source} is ${state} as ${replayedAs}, its replay is ${replay?.id}`);
    }
  }
}
