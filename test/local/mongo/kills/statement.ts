import type { AnyBulkWriteOperation, Collection, Document, MongoClient } from 'mongodb';
import type { SeededRandom } from '../../../support/seeded-random.js';
import { type Counts, NOTHING, same } from './answer.js';
import { type Change, changeOfAny, changeOfOne, freshThing, LEVELS, TAGS, type Thing } from './thing.js';

/** The collections that are written to: which one a thing lies in follows from its number. */
export const COLLECTIONS = ['things', 'others'] as const;
export type Name = (typeof COLLECTIONS)[number];
export const collectionOf = (n: number): Name => COLLECTIONS[n % 2] as Name;

/** The collection of a thing in the database of a client. */
export const collectionIn = (client: MongoClient, name: Name): Collection<Thing> => client.db().collection<Thing>(name);

/** What becomes of one document: as it is afterwards, undefined when it is gone. */
export interface Step {
  readonly n: number;
  readonly after: Thing | undefined;
}

/** The things of one writer, by their number. */
export type Things = ReadonlyMap<number, Thing>;

/** A change of things that is asked for by one statement. */
export interface Statement {
  readonly name: Name;
  readonly operation: AnyBulkWriteOperation<Thing>;
  readonly steps: readonly Step[];
  readonly counts: Counts;
}

const MOST_THINGS = 150;

/** A thing after a change; the one given stays as it is. */
export function applied(thing: Thing, { apply }: Change): Thing {
  const copy = structuredClone(thing);
  apply(copy);
  return copy;
}

/** What the statements of one write have made of the things so far. */
interface Scene {
  readonly things: Map<number, Thing>;
  /** Numbers that a write without order has to do with: what it does to one of them must not meet what else it does. */
  readonly taken: Set<number> | undefined;
}

/** Makes statements on the things of one writer by chance, and what they need; each is made on a scene, which it changes. */
export function statementMaker(random: SeededRandom, writer: number) {
  let fresh = 0;
  let values = 0;
  const gone = new Set<number>();
  const unique = (): string => `${writer}-${values++}`;
  const { chance } = random;
  const some = <T>(list: readonly T[]): T | undefined => (list.length === 0 ? undefined : random.pick(list));

  const free = ({ taken }: Scene, n: number): boolean => taken?.has(n) !== true;
  const those = (scene: Scene, name: Name): Thing[] =>
    [...scene.things.values()].filter(({ n }) => collectionOf(n) === name && free(scene, n));

  function play(scene: Scene, steps: readonly Step[]): readonly Step[] {
    for (const { n, after } of steps) {
      scene.taken?.add(n);
      if (after === undefined) {
        scene.things.delete(n);
        gone.add(n);
      } else scene.things.set(n, after);
    }
    return steps;
  }

  /** A number that no thing has: a new one, or that of one that is gone. */
  function newNumber(scene: Scene, name: Name): number {
    const again = [...gone].find((n) => !scene.things.has(n) && free(scene, n) && collectionOf(n) === name);
    if (again !== undefined && chance(0.4)) {
      gone.delete(again);
      return again;
    }
    do fresh++;
    while (collectionOf(fresh) !== name);
    return fresh;
  }

  const newThing = (scene: Scene, name: Name): Thing => freshThing(random, writer, newNumber(scene, name), unique);

  /** A filter for just this thing, by one of the indexes that hold it. */
  function filterOf({ _id, n, slot, keys }: Thing): Document {
    const filters: Document[] = [{ _id }, { writer, n }];
    if (slot !== undefined) filters.push({ slot, writer });
    if (keys?.[0] !== undefined) filters.push({ writer, keys: keys[0] });
    return random.pick(filters);
  }

  function insertOne(scene: Scene, name: Name): Statement {
    const document = newThing(scene, name);
    const steps = play(scene, [{ n: document.n, after: document }]);
    return { name, operation: { insertOne: { document } }, steps, counts: { ...NOTHING, inserted: 1 } };
  }

  /** An insert that is refused: its `_id`, its place or its slot is another thing's. */
  function insertTwice(scene: Scene, name: Name): Statement {
    const other = some(those(scene, name));
    if (other === undefined) return insertOne(scene, name);
    const document = freshThing(random, writer, other.n, unique);
    const { slot } = other;
    const clashing =
      slot !== undefined && chance(0.5) ? { ...document, _id: `${unique()}-twice`, n: -1 - values, slot } : document;
    scene.taken?.add(other.n);
    return { name, operation: { insertOne: { document: clashing } }, steps: [], counts: { ...NOTHING, duplicate: 1 } };
  }

  function upsert(scene: Scene, name: Name): Statement {
    const document = newThing(scene, name);
    const { _id, n, sum: start, tags, ...rest } = document;
    const update = { $set: rest, $inc: { sum: start }, $push: { tags: { $each: tags } } };
    const steps = play(scene, [{ n, after: document }]);
    const counts = { ...NOTHING, upserted: 1 };
    return { name, operation: { updateOne: { filter: { _id, n }, update, upsert: true } }, steps, counts };
  }

  function updateOne(scene: Scene, name: Name): Statement {
    const thing = some(those(scene, name));
    if (thing === undefined) return upsert(scene, name);
    const change = chance(0.5) ? changeOfAny(random) : changeOfOne(random, thing, unique, true);
    const after = applied(thing, change);
    const steps = play(scene, [{ n: thing.n, after }]);
    const { update, also, arrayFilters } = change;
    const asked = {
      filter: { ...(also === undefined ? filterOf(thing) : { _id: thing._id, ...also }) },
      update,
      ...(arrayFilters && { arrayFilters }),
      upsert: chance(0.3),
    };
    const counts = { ...NOTHING, matched: 1, modified: same(thing, after) ? 0 : 1 };
    return { name, operation: { updateOne: asked }, steps, counts };
  }

  /** An update that is refused: it gives a thing the slot of another. */
  function updateTwice(scene: Scene, name: Name): Statement {
    const things = those(scene, name);
    const [one, other] = [some(things), some(things.filter(({ slot }) => slot !== undefined))];
    if (one === undefined || other?.slot === undefined || one === other) return updateOne(scene, name);
    const update = { $set: { slot: other.slot, level: 0 } };
    for (const { n } of [one, other]) scene.taken?.add(n);
    return {
      name,
      operation: { updateOne: { filter: { _id: one._id }, update } },
      steps: [],
      counts: { ...NOTHING, duplicate: 1 },
    };
  }

  function replaceOne(scene: Scene, name: Name): Statement {
    const thing = some(those(scene, name));
    if (thing === undefined) return insertOne(scene, name);
    const { _id, ...replacement } = freshThing(random, writer, thing.n, unique);
    const steps = play(scene, [{ n: thing.n, after: { _id, ...replacement } }]);
    const counts = { ...NOTHING, matched: 1, modified: 1 };
    return { name, operation: { replaceOne: { filter: filterOf(thing), replacement } }, steps, counts };
  }

  function deleteOne(scene: Scene, name: Name): Statement {
    const thing = some(those(scene, name));
    if (thing === undefined) return insertOne(scene, name);
    const steps = play(scene, [{ n: thing.n, after: undefined }]);
    return { name, operation: { deleteOne: { filter: filterOf(thing) } }, steps, counts: { ...NOTHING, deleted: 1 } };
  }

  /** A filter for several things, and those that it finds; none where statements have no order, since it could find what another one leaves. */
  function several(scene: Scene, name: Name, most: number): { filter: Document; found: Thing[] } | undefined {
    if (scene.taken !== undefined) return undefined;
    const things = [...scene.things.values()].filter(({ n }) => collectionOf(n) === name);
    const level = random.whole(0, LEVELS - 1);
    const tag = random.pick(TAGS);
    const from = some(things)?.n ?? 0;
    const ways: [Document, (thing: Thing) => boolean][] = [
      [{ writer, level }, (thing) => thing.level === level],
      [{ writer, tags: tag }, ({ tags }) => tags.includes(tag)],
      [{ writer, n: { $gte: from, $lt: from + 20 } }, ({ n }) => n >= from && n < from + 20],
      [{ writer, state: 'open', due: { $lt: 20 } }, ({ state, due }) => state === 'open' && (due ?? 99) < 20],
    ];
    const [filter, has] = random.pick(ways);
    const found = things.filter(has);
    return found.length === 0 || found.length > most ? undefined : { filter, found };
  }

  function updateMany(scene: Scene, name: Name): Statement {
    const many = several(scene, name, 60);
    if (many === undefined) return updateOne(scene, name);
    const { filter, found } = many;
    const change = changeOfAny(random);
    const changed = found.map((thing) => [thing, applied(thing, change)] as const);
    const steps = play(
      scene,
      changed.map(([{ n }, after]) => ({ n, after })),
    );
    const modified = changed.filter(([before, after]) => !same(before, after)).length;
    const { update, arrayFilters } = change;
    const asked = { filter, update, ...(arrayFilters && { arrayFilters }) };
    return { name, operation: { updateMany: asked }, steps, counts: { ...NOTHING, matched: found.length, modified } };
  }

  function deleteMany(scene: Scene, name: Name): Statement {
    const many = several(scene, name, scene.things.size > MOST_THINGS ? 40 : 6);
    if (many === undefined) return deleteOne(scene, name);
    const { filter, found } = many;
    const steps = play(
      scene,
      found.map(({ n }) => ({ n, after: undefined })),
    );
    return { name, operation: { deleteMany: { filter } }, steps, counts: { ...NOTHING, deleted: found.length } };
  }

  const STATEMENTS = [
    insertOne,
    insertOne,
    insertTwice,
    upsert,
    updateOne,
    updateOne,
    updateOne,
    updateTwice,
    replaceOne,
    updateMany,
  ];
  const DELETES = [deleteOne, deleteMany];
  const statementIn = (scene: Scene, name: Name): Statement => {
    const crowded = scene.things.size > MOST_THINGS;
    return random.pick(chance(crowded ? 0.5 : 0.2) ? DELETES : STATEMENTS)(scene, name);
  };

  const someName = (): Name => random.pick(COLLECTIONS);
  const sceneOf = (things: Things, inOrder: boolean): Scene => ({
    things: new Map(things),
    taken: inOrder ? undefined : new Set(),
  });

  return { unique, someName, sceneOf, those, insertOne, insertTwice, statementIn };
}
