import type { Document } from 'bson';
import { randomFrom } from '../../../support/seeded-random.js';
import { randomExpression } from './expressions.js';
import { randomFilter, randomOperators } from './filters.js';
import { randomUpdate } from './updates.js';
import { type Dice, dice, PATHS, PLAIN_PATHS, randomDocument } from './values.js';

/** One command of a program, on the collection COLLECTION. */
export interface Step {
  readonly command: Document;
  /** Whether the order of the documents in the answer is part of it. */
  readonly ordered: boolean;
  readonly writes: boolean;
}

/** The collection that all programs work on. */
export const COLLECTION = 'c';

/** A sort that leaves no two documents as equal. */
function randomSort(random: Dice): Document {
  const sort: Document = {};
  for (const path of random.several(0, 2, () => random.pick(PATHS))) sort[path] = random.pick([1, -1]);
  return { ...sort, _id: random.pick([1, -1]) };
}

/** An expression that a projection does not take for an inclusion. */
function computed(random: Dice): unknown {
  return { $ifNull: [randomExpression(random, 'any', 3), null] };
}

function randomProjection(random: Dice): Document {
  const kind = random.next();
  if (kind < 0.35) return Object.fromEntries(random.several(1, 2, () => [random.pick(PLAIN_PATHS), 1]));
  if (kind < 0.6) return Object.fromEntries(random.several(1, 2, () => [random.pick(PLAIN_PATHS), 0]));
  if (kind < 0.7)
    return { [random.pick(['a', 'b', 'a.b'])]: { $slice: random.pick<unknown>([1, -2, [1, 1], [-2, 1]]) } };
  if (kind < 0.8)
    return {
      [random.pick(['a', 'b'])]: {
        $elemMatch: random.chance(0.5) ? randomOperators(random) : randomFilter(random, 1, true),
      },
    };
  return {
    [random.pick(['x', 'a', 'b.x'])]: randomExpression(random, 'any', 3),
    ...(random.chance(0.5) ? { _id: 0 } : { c: 1 }),
  };
}

function find(random: Dice): Step {
  const command: Document = { find: COLLECTION, filter: randomFilter(random) };
  const projection = random.chance(0.25) ? randomProjection(random) : undefined;
  // Without its _id a document says nothing of its place.
  if (projection !== undefined) command.projection = projection;
  const ordered = random.chance(0.5);
  if (ordered) {
    command.sort = randomSort(random);
    if (random.chance(0.4)) command.limit = random.whole(1, 5);
    if (random.chance(0.3)) command.skip = random.whole(0, 4);
  }
  return { command, ordered, writes: false };
}

const STAGES: readonly ((random: Dice) => Document)[] = [
  (random) => ({ $match: randomFilter(random) }),
  (random) => ({ $sort: randomSort(random) }),
  (random) => ({ $project: randomProjectStage(random) }),
  (random) => ({ $addFields: { [random.pick(PLAIN_PATHS)]: randomExpression(random, 'any', 3) } }),
  (random) => ({ $unset: random.pick(PLAIN_PATHS) }),
  (random) => ({
    $unwind: random.chance(0.5)
      ? `$${random.pick(PLAIN_PATHS)}`
      : { path: `$${random.pick(['a', 'b'])}`, preserveNullAndEmptyArrays: true },
  }),
];

function randomProjectStage(random: Dice): Document {
  if (random.chance(0.3)) return { [random.pick(PLAIN_PATHS)]: 0 };
  return { [random.pick(['b', 'd', 'a.b'])]: 1, x: computed(random) };
}

function group(random: Dice): Document {
  const path = `$${random.pick(PLAIN_PATHS)}`;
  return {
    $group: {
      _id: random.pick<unknown>([path, null, { x: path }, { $type: path }]),
      n: { $sum: 1 },
      s: { [random.pick(['$sum', '$min', '$max', '$avg'])]: `$${random.pick(PLAIN_PATHS)}` },
    },
  };
}

function aggregate(random: Dice): Step {
  const pipeline = random.several(1, 3, () => random.pick(STAGES)(random));
  if (random.chance(0.4)) pipeline.push(random.chance(0.8) ? group(random) : { $count: 'n' });
  return { command: { aggregate: COLLECTION, pipeline, cursor: {} }, ordered: false, writes: false };
}

function update(random: Dice): Step {
  const { replaces, ...rest } = randomUpdate(random);
  const one = replaces || random.chance(0.5);
  const q = one
    ? { _id: random.whole(1, 9), ...(random.chance(0.5) ? randomFilter(random, 1) : {}) }
    : randomFilter(random);
  const upsert = random.chance(0.15);
  // What an upsert inserts has a known _id.
  if (upsert && typeof q._id !== 'number') q._id = random.whole(1, 14);
  return {
    command: { update: COLLECTION, updates: [{ q, ...rest, multi: !one, upsert }] },
    ordered: false,
    writes: true,
  };
}

function findAndModify(random: Dice): Step {
  const query = randomFilter(random);
  const base = { findAndModify: COLLECTION, query, sort: randomSort(random) };
  if (random.chance(0.25)) return { command: { ...base, remove: true }, ordered: true, writes: true };
  const { u, arrayFilters } = randomUpdate(random);
  return {
    command: { ...base, update: u, ...(arrayFilters === undefined ? {} : { arrayFilters }), new: random.chance(0.6) },
    ordered: true,
    writes: true,
  };
}

function createIndex(random: Dice): Step {
  const key: Document = {};
  for (const path of random.several(1, 3, () => random.pick(PLAIN_PATHS))) key[path] = random.pick([1, -1]);
  const index: Document = { key, name: Object.entries(key).flat().join('_') };
  if (random.chance(0.25)) index.unique = true;
  if (random.chance(0.2)) index.sparse = true;
  else if (random.chance(0.25)) {
    index.partialFilterExpression = {
      [random.pick(PLAIN_PATHS)]: random.pick<unknown>([{ $exists: true }, { $gt: random.value() }, random.value()]),
    };
  }
  return { command: { createIndexes: COLLECTION, indexes: [index] }, ordered: false, writes: true };
}

const STEPS: readonly (readonly [share: number, make: (random: Dice) => Step])[] = [
  [40, find],
  [12, aggregate],
  [4, (random) => ({ command: { count: COLLECTION, query: randomFilter(random) }, ordered: false, writes: false })],
  [
    4,
    (random) => ({
      command: { distinct: COLLECTION, key: random.pick(PATHS), query: randomFilter(random, 1) },
      ordered: false,
      writes: false,
    }),
  ],
  [24, update],
  [7, findAndModify],
  [
    3,
    (random) => ({
      command: { delete: COLLECTION, deletes: [{ q: randomFilter(random, 1), limit: 0 }] },
      ordered: false,
      writes: true,
    }),
  ],
  [3, (random) => insert([randomDocument(random, random.whole(1, 14))])],
  [4, createIndex],
];
const KINDS = STEPS.flatMap(([share, make]) => Array.from({ length: share }, () => make));

function insert(documents: Document[]): Step {
  return { command: { insert: COLLECTION, documents }, ordered: false, writes: true };
}

/** The program of a seed: documents, often an index, then commands of all kinds. */
export function programOf(seed: number): Step[] {
  const random = dice(randomFrom(Math.imul(seed, 0x9e3779b1)));
  const steps = [insert(Array.from({ length: random.whole(4, 9) }, (_, i) => randomDocument(random, i + 1)))];
  if (random.chance(0.5)) steps.push(createIndex(random));
  for (let i = random.whole(12, 22); i > 0; i--) {
    steps.push(random.pick(KINDS)(random));
  }
  return steps;
}
