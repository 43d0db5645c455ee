import { MongoClient, MongoNetworkError, MongoServerError, MongoServerSelectionError } from 'mongodb';
import { isSocketError } from '../../../../src/store/failure.js';
import { randomFrom } from '../../../support/seeded-random.js';
import { ordered } from './answer.js';
import { COLLECTIONS, collectionIn, collectionOf, type Name, type Step, type Things } from './statement.js';
import { INDEXES, type Thing } from './thing.js';
import { type Write, writeMaker } from './write.js';

/** What became of the writes of all clients. */
export interface Figures {
  acknowledged: number;
  /** Without an answer: of these none, all or a part was there afterwards. */
  readonly cutOff: { none: number; all: number; part: number };
  /** Refused since the store was full: what may make it larger, and what only deletes. */
  refused: number;
  deletesRefused: number;
  /** What was acknowledged, by the name of the write. */
  readonly byName: Map<string, number>;
}

/** Clients that write at the same time, each to things of its own, and know what must be there. */
export interface Writers {
  readonly figures: Figures;
  /** Begins, or goes on. */
  start(): void;
  /** Resolves when each has ended the write it was at, and knows what became of it: the store must answer by then. Rejects when anything was not as it must be. */
  pause(): Promise<void>;
  /** Rejects as `pause` does, as soon as there is something. Resolves when they pause. */
  readonly working: Promise<unknown>;
  /** Compares all that is in the store with what must be there, by walking it and by each index, and answers in sentences what differs. Only while they pause. */
  differences(): Promise<string[]>;
  close(): Promise<void>;
}

const OUT_OF_SPACE = 14031;
const WITHIN_MS = 120_000;

/** How a write ended that has no answer: it was cut off, or refused for want of room; undefined on any other error. The driver's errors of bulk writes hold the error in one of two places. */
function endOf(error: unknown): 'cut off' | 'refused' | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error instanceof MongoNetworkError || error instanceof MongoServerSelectionError || isSocketError(error))
    return 'cut off';
  if (error instanceof MongoServerError && error.code === OUT_OF_SPACE) return 'refused';
  return endOf(error.cause) ?? endOf((error as Partial<MongoServerError>).errorResponse);
}

/** The steps of a write that may be done in any order among themselves. */
function groupsOf({ steps, sizes, inOrder }: Write): readonly (readonly Step[])[] {
  if (!inOrder || sizes === undefined) return [steps];
  let at = 0;
  return sizes.map((size) => {
    at += size;
    return steps.slice(at - size, at);
  });
}

/** How much of a write that has no answer is there; undefined when it is something that cannot come of it. */
function partOf(write: Write, before: Things, there: Things): 'none' | 'part' | 'all' | undefined {
  const touched = [...new Set(write.steps.map(({ n }) => n))];
  const isAs = (things: Things, n: number): boolean => ordered(things.get(n)) === ordered(there.get(n));
  const agrees = (things: Things): boolean => touched.every((n) => isAs(things, n));
  if (agrees(before)) return 'none';
  let state = before;
  let isPart = false;
  for (const group of groupsOf(write)) {
    const next = new Map(state);
    for (const { n, after } of group) {
      if (after === undefined) next.delete(n);
      else next.set(n, after);
    }
    const from = state;
    isPart ||= touched.every((n) => isAs(from, n) || isAs(next, n));
    state = next;
  }
  if (agrees(state)) return 'all';
  return isPart ? 'part' : undefined;
}

/** Connects `count` clients to `uri` and makes the collections and their indexes. The writes follow from `seed`, and from what is cut off. */
export async function connectWriters(uri: string, count: number, seed: number): Promise<Writers> {
  const clients = await Promise.all(
    Array.from({ length: count }, () =>
      new MongoClient(uri, {
        writeConcern: { w: 'majority', journal: true },
        serverSelectionTimeoutMS: WITHIN_MS,
        heartbeatFrequencyMS: 500,
        minHeartbeatFrequencyMS: 50,
      }).connect(),
    ),
  );
  const [first] = clients as [MongoClient];
  for (const name of COLLECTIONS) await collectionIn(first, name).createIndexes(INDEXES.map(({ spec }) => spec));
  const figures: Figures = {
    acknowledged: 0,
    cutOff: { none: 0, all: 0, part: 0 },
    refused: 0,
    deletesRefused: 0,
    byName: new Map(),
  };
  let isWorking = false;
  const writers = clients.map((client, writer) => {
    let things: Things = new Map();
    const make = writeMaker(randomFrom(seed + writer), writer);

    function acknowledged({ name, steps }: Write): void {
      const next = new Map(things);
      for (const { n, after } of steps) {
        if (after === undefined) next.delete(n);
        else next.set(n, after);
      }
      things = next;
      figures.acknowledged++;
      figures.byName.set(name, (figures.byName.get(name) ?? 0) + 1);
    }

    /** Those of these things that are there; asked for again while the host is away. */
    async function look(numbers: readonly number[]): Promise<Things> {
      const until = performance.now() + WITHIN_MS;
      for (;;) {
        try {
          const found = await Promise.all(
            COLLECTIONS.map((name) =>
              collectionIn(client, name)
                .find({ _id: { $in: numbers.map((n) => `${writer}-${n}`) } })
                .toArray(),
            ),
          );
          return new Map(found.flat().map((thing) => [thing.n, thing]));
        } catch (error) {
          if (endOf(error) !== 'cut off' || performance.now() > until) throw error;
        }
      }
    }

    /** Finds out what became of a write without an answer, and goes on from there. */
    async function settle(write: Write, end: 'cut off' | 'refused'): Promise<void> {
      const numbers = [...new Set(write.steps.map(({ n }) => n))];
      const there = await look(numbers);
      const part = partOf(write, things, there);
      if (part === undefined || (end === 'refused' && write.isOne && part === 'all')) {
        const before = numbers.map((n) => things.get(n));
        throw new Error(
          `${write.name}, ${end}, left what cannot come of it: ${ordered({ before, steps: write.steps, there: [...there.values()] })}`,
        );
      }
      if (end === 'refused') figures[write.grows ? 'refused' : 'deletesRefused']++;
      else if (write.steps.length > 0) figures.cutOff[part]++;
      const next = new Map(things);
      for (const n of numbers) {
        const thing = there.get(n);
        if (thing === undefined) next.delete(n);
        else next.set(n, thing);
      }
      things = next;
    }

    async function work(): Promise<void> {
      while (isWorking) {
        const write = make(things);
        let answer: unknown;
        try {
          answer = await write.ask(client);
        } catch (error) {
          const end = endOf(error);
          if (end === undefined) throw new Error(`${write.name} failed`, { cause: error });
          await settle(write, end);
          continue;
        }
        if (ordered(answer) !== ordered(write.answer))
          throw new Error(`${write.name} answered ${ordered(answer)} instead of ${ordered(write.answer)}`);
        acknowledged(write);
      }
    }
    return { work, things: () => things };
  });

  async function differences(): Promise<string[]> {
    const all = writers.flatMap(({ things }) => [...things().values()]);
    const found: string[] = [];
    for (const name of COLLECTIONS) {
      const collection = collectionIn(first, name);
      const expected = new Map(all.filter(({ n }) => collectionOf(n) === name).map((thing) => [thing._id, thing]));
      const there = new Map(
        (await collection.find().hint({ $natural: 1 }).toArray()).map((thing) => [thing._id, thing]),
      );
      for (const id of new Set([...expected.keys(), ...there.keys()])) {
        const [wanted, actual] = [ordered(expected.get(id)), ordered(there.get(id))];
        if (wanted !== actual) found.push(`${name}: ${actual} instead of ${wanted}`);
      }
      const count = await collection.estimatedDocumentCount();
      if (count !== expected.size) found.push(`${name}: the count says ${count} instead of ${expected.size}`);
      found.push(...(await indexDifferences(name, [...expected.values()])));
    }
    return found;
  }

  async function indexDifferences(name: Name, expected: readonly Thing[]): Promise<string[]> {
    const found: string[] = [];
    for (const { spec, asks } of INDEXES) {
      for (const { filter, has } of asks) {
        const rows = await collectionIn(first, name)
          .find(filter, { projection: { _id: 1 } })
          .hint(spec.name)
          .toArray();
        const actual = rows.map(({ _id }) => _id).sort();
        const wanted = expected
          .filter(has)
          .map(({ _id }) => _id)
          .sort();
        if (actual.join() !== wanted.join())
          found.push(`${name}: by ${spec.name} ${ordered(filter)} finds ${actual.join()} instead of ${wanted.join()}`);
      }
    }
    return found;
  }

  let working: Promise<unknown> = Promise.resolve();
  return {
    figures,
    start() {
      isWorking = true;
      working = Promise.all(writers.map(({ work }) => work()));
      working.catch(() => undefined); // told by `pause`
    },
    async pause() {
      isWorking = false;
      await working;
    },
    get working() {
      return working;
    },
    differences,
    async close() {
      isWorking = false;
      await Promise.all(clients.map((client) => client.close()));
    },
  };
}
