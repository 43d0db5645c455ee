import type { Document, IndexDescription } from 'mongodb';
import type { SeededRandom } from '../../../support/seeded-random.js';

/** A document of the kill tests: every field but `_id` lies under an index, so that each change moves index entries too. `writer` and `n` never change. */
export interface Thing {
  readonly _id: string;
  readonly writer: number;
  readonly n: number;
  level: number;
  sum: number;
  tags: string[];
  parts: { k: string; v: number }[];
  /** Up to a few pages of the file, so that documents with overflow pages come and go. */
  text: string;
  /** Never empty: an empty array has a key of its own in a unique index. */
  keys?: string[];
  slot?: string;
  state?: 'open' | 'done';
  due?: number;
}

/** The tags that there are. */
export const TAGS = ['a', 'b', 'c', 'd', 'e'] as const;
const PARTS = ['x', 'y', 'z'] as const;
/** The levels that there are: 0 to 4. */
export const LEVELS = 5;

/** An index of the things, and what it is asked to prove that it has its documents. */
export interface ThingIndex {
  readonly spec: IndexDescription & { readonly name: string };
  readonly asks: readonly { readonly filter: Document; has(thing: Thing): boolean }[];
}

/** Compound, multikey, unique, sparse and partial indexes, and such that are several of these. */
export const INDEXES: readonly ThingIndex[] = [
  {
    spec: { name: 'place', key: { writer: 1, n: 1 }, unique: true },
    asks: [{ filter: { writer: { $gte: 0 } }, has: () => true }],
  },
  {
    spec: { name: 'level', key: { level: 1, sum: -1 } },
    asks: [{ filter: { level: 2 }, has: ({ level }) => level === 2 }],
  },
  {
    spec: { name: 'tags', key: { tags: 1 } },
    asks: TAGS.map((tag) => ({ filter: { tags: tag }, has: ({ tags }: Thing) => tags.includes(tag) })),
  },
  {
    spec: { name: 'parts', key: { 'parts.k': 1, level: 1 } },
    asks: PARTS.map((k) => ({
      filter: { 'parts.k': k },
      has: ({ parts }: Thing) => parts.some((part) => part.k === k),
    })),
  },
  {
    spec: { name: 'slot', key: { slot: 1 }, unique: true, sparse: true },
    asks: [{ filter: { slot: { $gte: '' } }, has: ({ slot }) => slot !== undefined }],
  },
  {
    spec: {
      name: 'keys',
      key: { writer: 1, keys: 1 },
      unique: true,
      partialFilterExpression: { keys: { $exists: true } },
    },
    asks: [
      { filter: { writer: 1, keys: { $exists: true } }, has: ({ writer, keys }) => writer === 1 && keys !== undefined },
    ],
  },
  {
    spec: { name: 'due', key: { due: 1, n: -1 }, partialFilterExpression: { state: 'open' } },
    asks: [{ filter: { state: 'open', due: { $gte: 0 } }, has: ({ state }) => state === 'open' }],
  },
];

/** A text of its own: mostly short, one of twelve longer than a page. */
function freshText(random: SeededRandom): string {
  const length = random.chance(1 / 12) ? random.whole(3_000, 9_000) : random.whole(0, 400);
  return `${random.whole(0, 999_999)}${'.'.repeat(length)}`;
}

/** A thing that was never there. `unique` makes values that nothing else has. */
export function freshThing(random: SeededRandom, writer: number, n: number, unique: () => string): Thing {
  const isOpen = random.chance(0.4);
  return {
    _id: `${writer}-${n}`,
    writer,
    n,
    level: random.whole(0, LEVELS - 1),
    sum: random.whole(-9, 9),
    tags: Array.from({ length: random.whole(0, 3) }, () => random.pick(TAGS)),
    parts: Array.from({ length: random.whole(0, 3) }, () => ({ k: random.pick(PARTS), v: random.whole(0, 9) })),
    text: freshText(random),
    ...(random.chance(0.4) ? { keys: Array.from({ length: random.whole(1, 3) }, unique) } : {}),
    ...(random.chance(0.4) ? { slot: unique() } : {}),
    ...(isOpen ? { state: 'open', due: random.whole(0, 99) } : {}),
  };
}

/** A change of one thing: as MongoDB is asked for it, and as it is. */
export interface Change {
  readonly update: Document | Document[];
  readonly arrayFilters?: Document[];
  /** What the filter must ask too, for a positional change. */
  readonly also?: Document;
  apply(thing: Thing): void;
}

/** A change that makes sense for every thing, whatever it holds. */
export function changeOfAny(random: SeededRandom): Change {
  const tag = random.pick(TAGS);
  const other = random.pick(TAGS);
  const by = random.whole(1, 9);
  const text = freshText(random);
  const level = random.whole(0, LEVELS - 1);
  const part = { k: random.pick(PARTS), v: by };
  return random.pick<Change>([
    {
      update: { $set: { level, text } },
      apply(thing) {
        Object.assign(thing, { level, text });
      },
    },
    {
      update: { $inc: { sum: by } },
      apply(thing) {
        thing.sum += by;
      },
    },
    {
      update: [{ $set: { sum: { $add: ['$sum', '$level'] }, level: { $mod: [{ $add: ['$level', by] }, LEVELS] } } }],
      apply(thing) {
        thing.sum += thing.level;
        thing.level = (thing.level + by) % LEVELS;
      },
    },
    {
      update: { $push: { tags: { $each: [tag, other], $position: 0, $slice: 5 } }, $inc: { sum: by } },
      apply(thing) {
        thing.tags = [tag, other, ...thing.tags].slice(0, 5);
        thing.sum += by;
      },
    },
    {
      update: { $pull: { tags: tag } },
      apply(thing) {
        thing.tags = thing.tags.filter((one) => one !== tag);
      },
    },
    {
      update: { $addToSet: { tags: tag } },
      apply(thing) {
        if (!thing.tags.includes(tag)) thing.tags.push(tag);
      },
    },
    {
      update: { $push: { parts: { $each: [part], $slice: -4 } } },
      apply(thing) {
        thing.parts = [...thing.parts, { ...part }].slice(-4);
      },
    },
    {
      update: { $pull: { parts: { k: part.k } } },
      apply(thing) {
        thing.parts = thing.parts.filter(({ k }) => k !== part.k);
      },
    },
    {
      update: { $inc: { 'parts.$[one].v': by } },
      arrayFilters: [{ 'one.k': part.k }],
      apply(thing) {
        for (const one of thing.parts) if (one.k === part.k) one.v += by;
      },
    },
    {
      update: { $set: { state: 'done' } },
      apply(thing) {
        thing.state = 'done';
      },
    },
    {
      update: { $set: { state: 'open', due: by } },
      apply(thing) {
        Object.assign(thing, { state: 'open', due: by });
      },
    },
    {
      update: { $unset: { slot: '', state: '', due: '' } },
      apply(thing) {
        delete thing.slot;
        delete thing.state;
        delete thing.due;
      },
    },
  ]);
}

/** A change that is of this thing alone: of its unique fields, or of an element that it has. `positional`: whether the filter may ask for that element too. */
export function changeOfOne(random: SeededRandom, thing: Thing, unique: () => string, positional: boolean): Change {
  const value = unique();
  const [key, ...others] = thing.keys ?? [];
  const changes: Change[] = [
    {
      update: { $set: { slot: value } },
      apply(one) {
        one.slot = value;
      },
    },
    {
      update: { $push: { keys: value } },
      apply(one) {
        one.keys = [...(one.keys ?? []), value];
      },
    },
    others.length > 0
      ? {
          update: { $pull: { keys: key } },
          apply(one) {
            one.keys = others;
          },
        }
      : {
          update: { $unset: { keys: '' } },
          apply(one) {
            delete one.keys;
          },
        },
  ];
  const k = thing.parts.at(-1)?.k;
  if (positional && k !== undefined)
    changes.push({
      also: { 'parts.k': k },
      update: { $inc: { 'parts.$.v': 3 } },
      apply(one) {
        const first = one.parts.find((part) => part.k === k);
        if (first !== undefined) first.v += 3;
      },
    });
  return random.pick(changes);
}
