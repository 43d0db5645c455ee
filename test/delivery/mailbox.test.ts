import fc from 'fast-check';
import t from 'tap';
import { chains, NONE } from '../../src/delivery/chains.js';
import { chatHeap } from '../../src/delivery/chat-heap.js';
import { chatTable } from '../../src/delivery/chat-table.js';
import { LANES, type Lane, laneCode } from '../../src/delivery/lanes.js';
import { type Chain, type Item, type Mailboxes, mailboxes } from '../../src/delivery/mailbox.js';

const long = process.env.POSTHORN_TEST_LONG !== undefined;
const numRuns = long ? 2_000 : 150;

/** The plain model: what the mailboxes must be like, without any cleverness. */
interface ModelChat {
  readonly chains: Item[][];
  notBefore: number;
  busy: Item | 'adopted' | undefined;
  held: boolean;
}

type Command =
  | { kind: 'push' | 'pushFirst'; chat: number; chain: Chain; lane: Lane }
  | { kind: 'serve'; lane: Lane; spend: boolean }
  | { kind: 'settle' | 'retry' | 'advance'; pick: number; restMs: number; spend: boolean; doubt: boolean }
  | { kind: 'freeze'; chat: number; ms: number }
  | { kind: 'freezeGroups'; ms: number }
  | { kind: 'hold' | 'unhold' | 'busy' | 'adopt'; chat: number }
  | { kind: 'drop'; chat: number; keep: number }
  | { kind: 'tick'; ms: number };

const CHATS = [1, 2, 3, -4, -5, 2 ** 40 + 1, -(2 ** 52)];

const chat = fc.constantFrom(...CHATS);
const lane = fc.constantFrom(...LANES);
const restMs = fc.constantFrom(0, 0, 10, 25, 100);
const push = fc.record({
  kind: fc.constantFrom('push' as const, 'push' as const, 'push' as const, 'pushFirst' as const),
  chat,
  chain: fc.constantFrom<Chain>(0, 1, 2, 3),
  lane,
});
const serve = fc.record({ kind: fc.constant('serve' as const), lane, spend: fc.boolean() });
const end = fc.record({
  kind: fc.constantFrom('settle' as const, 'settle' as const, 'retry' as const, 'advance' as const),
  pick: fc.nat(),
  restMs,
  spend: fc.boolean(),
  doubt: fc.boolean(),
});
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: push },
  { weight: 8, arbitrary: serve },
  { weight: 8, arbitrary: end },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('freeze' as const), chat, ms: fc.constantFrom(5, 50, 200) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('freezeGroups' as const), ms: fc.constantFrom(5, 50) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('hold' as const, 'unhold' as const, 'busy' as const, 'adopt' as const),
      chat,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('drop' as const), chat, keep: fc.integer({ min: 1, max: 3 }) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('tick' as const), ms: fc.constantFrom(1, 10, 30, 120) }) },
);

/** Runs commands on both and throws at the first difference. */
function compare(commands: readonly Command[]): void {
  const boxes = mailboxes();
  const model = new Map<number, ModelChat>();
  let groupsNotBefore = Number.NEGATIVE_INFINITY;
  let now = 0;
  let count = 0;
  let pushed = 0;
  let gone = 0;

  const chatOf = (id: number): ModelChat => {
    const known = model.get(id);
    if (known !== undefined) return known;
    const made: ModelChat = {
      chains: [[], [], [], []],
      notBefore: Number.NEGATIVE_INFINITY,
      busy: undefined,
      held: false,
    };
    model.set(id, made);
    return made;
  };
  const best = (box: ModelChat): Item | undefined =>
    box.chains.find((items) => (items[0]?.part ?? 0) > 0)?.[0] ??
    box.chains
      .flatMap((items) => items.slice(0, 1))
      .reduce<Item | undefined>((a, b) => (a === undefined || laneCode(b.lane) < laneCode(a.lane) ? b : a), undefined);
  const due = (id: number, box: ModelChat): number =>
    Math.max(box.notBefore, id < 0 ? groupsNotBefore : Number.NEGATIVE_INFINITY);
  const free = (box: ModelChat): boolean => box.busy === undefined && !box.held;
  const same = (what: string, a: unknown, b: unknown): void => {
    if (JSON.stringify(a) !== JSON.stringify(b))
      throw new Error(`${what}: ${JSON.stringify(a)}, model ${JSON.stringify(b)}`);
  };
  const replaceItem = (box: ModelChat, from: Item, to: Item): void => {
    const chain = box.chains[from.chain] ?? [];
    chain[chain.indexOf(from)] = to;
  };
  /** Known to the mailboxes: a chat that they may have forgotten is not held or marked by `hold`. */
  const remembered = (_id: number, box: ModelChat): boolean =>
    box.busy !== undefined || box.held || best(box) !== undefined || box.notBefore > now;

  const check = (): void => {
    let mask = 0;
    let soonest = Number.POSITIVE_INFINITY;
    let waiting = 0;
    let kept = 0;
    let ready = 0;
    for (const [id, box] of model) {
      const head = best(box);
      const mine = box.chains.flat().filter((item) => item !== box.busy);
      waiting += mine.length;
      same(`waiting of ${id}`, boxes.peek(id), mine);
      same(`busy ${id}`, boxes.isBusy(id), box.busy !== undefined);
      if (remembered(id, box)) kept += 1;
      if (head === undefined || !free(box)) continue;
      if (due(id, box) <= now) {
        ready += 1;
        mask |= 1 << laneCode(head.lane);
      } else soonest = Math.min(soonest, due(id, box));
    }
    same('ready lanes', boxes.readyLanes(now), mask);
    same('earliest', String(boxes.earliest()), String(soonest));
    same('ready chats', boxes.ready, ready);
    same('waiting', boxes.waiting, waiting);
    if (boxes.chats < kept) throw new Error(`forgot a chat: ${boxes.chats} of ${kept}`);
    for (const of of LANES) {
      const item = boxes.next(now, of);
      if (item === undefined) {
        if ((mask & (1 << laneCode(of))) !== 0) throw new Error(`nothing of ${of}`);
        continue;
      }
      const box = chatOf(item.chatId);
      if (!free(box) || due(item.chatId, box) > now) throw new Error(`chat ${item.chatId} is not ready`);
      if (item.lane !== of) throw new Error(`${item.lane} for ${of}`);
      same('next', item, best(box));
    }
  };

  for (const step of commands) {
    switch (step.kind) {
      case 'push':
      case 'pushFirst': {
        count += 1;
        pushed += 1;
        const box = chatOf(step.chat);
        const item: Item = {
          chatId: step.chat,
          chain: step.chain,
          lane: step.lane,
          source: count * 7,
          index: count,
          attempts: 0,
          part: 0,
        };
        const chain = box.chains[step.chain] ?? [];
        boxes[step.kind](step.chat, step.chain, item.source, item.index, step.lane);
        if (step.kind === 'push') chain.push(item);
        else chain.splice(chain[0] !== undefined && (chain[0] === box.busy || chain[0].part > 0) ? 1 : 0, 0, item);
        break;
      }
      case 'serve': {
        const item = boxes.next(now, step.lane);
        if (item === undefined) break;
        const box = chatOf(item.chatId);
        const head = best(box);
        if (head === undefined) throw new Error('a head out of nothing');
        const { doubtedSince: _, ...rest } = head;
        const begun = { ...rest, attempts: head.attempts + (step.spend ? 1 : 0) };
        same('begin', boxes.begin(item.chatId, step.spend), begun);
        replaceItem(box, head, begun);
        box.busy = begun;
        break;
      }
      case 'settle':
      case 'advance':
      case 'retry': {
        const busy = [...model].filter(([, box]) => box.busy !== undefined);
        const [id, box] = busy[step.pick % Math.max(1, busy.length)] ?? [];
        if (id === undefined || box === undefined) break;
        const item = box.busy;
        if (step.kind === 'settle') boxes.settle(id, now + step.restMs);
        else if (step.kind === 'advance') boxes.advance(id, now + step.restMs);
        else boxes.retry(id, now + step.restMs, { spend: step.spend, doubtedSince: step.doubt ? now : undefined });
        box.busy = undefined;
        box.notBefore = Math.max(box.notBefore, now + step.restMs);
        if (item === undefined || item === 'adopted') break;
        if (step.kind === 'settle') {
          box.chains[item.chain]?.shift();
          gone += 1;
        } else if (step.kind === 'advance') {
          const { doubtedSince: _, ...rest } = item;
          replaceItem(box, item, { ...rest, attempts: 0, part: item.part + 1 });
        } else {
          replaceItem(box, item, {
            ...item,
            attempts: item.attempts + (step.spend ? 1 : 0),
            ...(step.doubt ? { doubtedSince: now } : {}),
          });
        }
        break;
      }
      case 'freeze': {
        boxes.freeze(step.chat, now + step.ms);
        const box = chatOf(step.chat);
        box.notBefore = Math.max(box.notBefore, now + step.ms);
        break;
      }
      case 'freezeGroups':
        boxes.freezeGroups(now + step.ms);
        groupsNotBefore = Math.max(groupsNotBefore, now + step.ms);
        break;
      case 'hold':
        if (!remembered(step.chat, chatOf(step.chat))) break;
        boxes.hold(step.chat);
        chatOf(step.chat).held = true;
        break;
      case 'unhold':
        boxes.unhold(step.chat);
        chatOf(step.chat).held = false;
        break;
      case 'busy':
        if (chatOf(step.chat).busy !== undefined) break;
        boxes.busy(step.chat);
        chatOf(step.chat).busy = 'adopted';
        break;
      case 'adopt': {
        const box = chatOf(step.chat);
        const head = box.chains.find((items) => items.length > 0)?.[0];
        if (box.busy !== undefined || head === undefined) break;
        same('adopt', boxes.adopt(step.chat, head.source, head.index), head);
        box.busy = head;
        break;
      }
      case 'drop': {
        const box = chatOf(step.chat);
        const drops = (item: Item): boolean => item.index % step.keep === 0;
        const dropped = boxes.dropWaiting(step.chat, drops);
        same(
          'dropped',
          dropped,
          box.chains.flat().filter((item) => item !== box.busy && drops(item)),
        );
        gone += dropped.length;
        for (const items of box.chains) {
          items.splice(0, items.length, ...items.filter((item) => item === box.busy || !drops(item)));
        }
        break;
      }
      case 'tick':
        now += step.ms;
        break;
    }
    check();
  }

  // All that is left can be settled, and then nothing is remembered.
  groupsNotBefore = Number.NEGATIVE_INFINITY;
  for (const id of CHATS) {
    boxes.unhold(id);
    if (boxes.isBusy(id)) {
      if (chatOf(id).busy !== 'adopted') gone += 1;
      boxes.settle(id, now);
    }
  }
  for (let left = boxes.waiting; left > 0; left -= 1) {
    now += 1_000;
    const item = LANES.map((of) => boxes.next(now, of)).find((found) => found !== undefined);
    if (item === undefined) throw new Error(`${left} items are stuck`);
    boxes.begin(item.chatId);
    boxes.settle(item.chatId, now);
    gone += 1;
  }
  boxes.readyLanes(now + 1_000);
  same('settled or dropped', gone, pushed);
  same('chats at the end', boxes.chats, 0);
}

t.test('does what the plain model does, through all that may happen to a chat', async () => {
  fc.assert(fc.property(fc.array(command, { maxLength: 250, size: 'max' }), compare), { numRuns });
});

t.test('the table of chats does what a Map does', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ id: fc.oneof(fc.integer({ min: -60, max: 60 }), fc.maxSafeInteger()), add: fc.boolean() }), {
        maxLength: 600,
        size: 'max',
      }),
      (steps) => {
        const table = chatTable();
        const model = new Map<number, number>();
        for (const { id, add } of steps) {
          const slot = model.get(id);
          if (add && slot === undefined) {
            const made = table.insert(id);
            if ([...model.values()].includes(made)) return false;
            model.set(id, made);
          } else if (!add && slot !== undefined) {
            table.remove(slot);
            model.delete(id);
          }
          if (table.size !== model.size) return false;
        }
        const ids = new Set(steps.map(({ id }) => id));
        return [...ids].every((id) => table.find(id) === (model.get(id) ?? NONE));
      },
    ),
    { numRuns },
  );
});

t.test('the heap gives the soonest, whatever was removed or delayed', async () => {
  const step = fc.record({
    kind: fc.constantFrom('add', 'add', 'add', 'remove', 'later', 'pop'),
    id: fc.integer({ min: 1, max: 60 }),
    at: fc.nat(1_000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400, size: 'max' }), (steps) => {
      const table = chatTable();
      const heap = chatHeap(table);
      const times = new Map<number, number>();
      for (let id = 1; id <= 60; id += 1) table.insert(id);
      for (const { kind, id, at } of steps) {
        const slot = table.find(id);
        if (kind === 'pop' && times.size > 0) {
          const popped = table.chatId[heap.pop()] ?? 0;
          if (times.get(popped) !== Math.min(...times.values())) return false;
          times.delete(popped);
        } else if (kind === 'add' && !times.has(id)) {
          table.notBefore[slot] = at;
          heap.add(slot);
          times.set(id, at);
        } else if (kind === 'remove' && times.delete(id)) {
          heap.remove(slot);
        } else if (kind === 'later' && times.has(id)) {
          table.notBefore[slot] = (times.get(id) ?? 0) + at;
          heap.later(slot);
          times.set(id, (times.get(id) ?? 0) + at);
        }
        if (heap.size !== times.size || heap.soonest() !== Math.min(...times.values())) return false;
      }
      return true;
    }),
    { numRuns },
  );
});

t.test('items are used again', async (t) => {
  const pool = chains();
  let tail = pool.append(NONE, 0, 0, 0, 0);
  const handles = new Set<number>();
  for (let i = 1; i < 1_000; i += 1) {
    tail = pool.append(tail, i, i, 0, 0);
    handles.add(tail);
    tail = pool.removeAfter(tail, tail);
  }
  t.ok(handles.size <= 2, `${handles.size} places for two items at a time`);
  t.equal(pool.index(tail), 999);
});

/** Serves every ready item, highest lane first, each over at once with that rest; the chats in order. */
function drain(boxes: Mailboxes, now: number, restMs: number, most = Number.POSITIVE_INFINITY): number[] {
  const served: number[] = [];
  for (;;) {
    const item = LANES.map((of) => boxes.next(now, of)).find((found) => found !== undefined);
    if (item === undefined || served.length >= most) return served;
    boxes.begin(item.chatId);
    boxes.settle(item.chatId, now + restMs);
    served.push(item.chatId);
  }
}

t.test('chats take turns', async (t) => {
  const boxes = mailboxes();
  for (const id of [9, 3, 7, -1]) for (let i = 0; i < 3; i += 1) boxes.push(id, 3, 0, i, 'bulk');
  t.same(drain(boxes, 0, 0), [9, 3, 7, -1, 9, 3, 7, -1, 9, 3, 7, -1]);
  for (let i = 0; i < 3_000; i += 1) boxes.push(5, 2, 1, i, 'bulk');
  for (let id = 10; id < 610; id += 1) boxes.push(id, 2, 1, 0, 'bulk');
  t.same(drain(boxes, 1, 1_000).length, 601, 'a chat with 3,000 waiting has one turn');
  t.equal(boxes.earliest(), 1_001);
  t.equal(boxes.waitingOf(5), 2_999);
});

t.test('within a chat the higher lane goes first, and a chat with a reply joins the replies', async (t) => {
  const boxes = mailboxes();
  boxes.push(1, 3, 0, 0, 'bulk');
  boxes.push(2, 3, 0, 1, 'bulk');
  boxes.push(2, 0, 0, 2, 'reply');
  boxes.push(1, 1, 0, 3, 'notify');
  boxes.push(1, 2, 0, 4, 'bulk');
  t.equal(boxes.readyLanes(0), 0b011);
  t.equal(boxes.next(0, 'bulk'), undefined);
  t.match(boxes.next(0, 'reply'), { chatId: 2, index: 2 });
  t.match(boxes.next(0, 'notify'), { chatId: 1, index: 3 });
  const order: number[] = [];
  for (;;) {
    const item = LANES.map((of) => boxes.next(0, of)).find((found) => found !== undefined);
    if (item === undefined) break;
    order.push(boxes.begin(item.chatId).index);
    boxes.settle(item.chatId, 0);
  }
  t.same(order, [2, 3, 1, 4, 0], 'messages by chat id before broadcasts of the same lane');
});

t.test('misuse is a bug with a code', async (t) => {
  const boxes = mailboxes();
  for (const id of [0, 1.5, Number.NaN, 2 ** 53]) {
    t.throws(() => boxes.push(id, 0, 0, 0, 'reply'), { code: 'PH_MAILBOX_CHAT' });
  }
  t.throws(() => boxes.begin(1), { code: 'PH_MAILBOX_NOT_READY' });
  t.throws(() => boxes.settle(1, 0), { code: 'PH_MAILBOX_NOT_BUSY' });
  t.throws(() => boxes.retry(1, 0), { code: 'PH_MAILBOX_NOT_BUSY' });
  boxes.push(1, 0, 0, 0, 'reply');
  boxes.begin(1);
  t.throws(() => boxes.begin(1), { code: 'PH_MAILBOX_NOT_READY' });
  t.throws(() => boxes.busy(1), { code: 'PH_MAILBOX_BUSY' });
  t.throws(() => boxes.adopt(1, 0, 0), { code: 'PH_MAILBOX_BUSY' });
  t.equal(boxes.adopt(2, 0, 0), undefined);
  boxes.freeze(1, Number.NaN);
  boxes.settle(1, 0);
  boxes.readyLanes(0);
  t.equal(boxes.chats, 0);
});

t.test('a large backlog fits and gives its memory back', async (t) => {
  const chats = long ? 1_000_000 : 150_000;
  const before = process.memoryUsage().arrayBuffers;
  const boxes = mailboxes();
  for (let i = 0; i < chats; i += 1) boxes.push(5_000_000_000 + i * 3, 3, i >>> 9, i & 511, 'bulk');
  const perChat = (process.memoryUsage().arrayBuffers - before) / chats;
  // Garbage of the growing arrays may still be counted: the live size is about 70 bytes.
  t.ok(perChat < 400, `${perChat} bytes a chat with one item`);
  t.equal(drain(boxes, 0, 1_025).length, chats);
  t.equal(boxes.chats, chats, 'remembered for their pacing');
  t.equal(boxes.readyLanes(1_025), 0);
  t.equal(boxes.chats, 0);
});
