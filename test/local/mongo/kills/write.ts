import type { AnyClientBulkWriteModel, Document, MongoClient } from 'mongodb';
import type { SeededRandom } from '../../../support/seeded-random.js';
import { askAlone, countsOf, sum } from './answer.js';
import { applied, collectionIn, type Statement, type Step, statementMaker, type Things } from './statement.js';
import { changeOfAny, changeOfOne, LEVELS, type Thing } from './thing.js';

/** One request of a client, which may be cut off. */
export interface Write {
  readonly name: string;
  /** What it does, document by document. */
  readonly steps: readonly Step[];
  /** How many steps each of its statements has; absent: it is one statement. */
  readonly sizes?: readonly number[];
  /** Cut off, the first statements of it may be done, any steps of the next one, and the others not; else any steps. Each document is whole either way. */
  readonly inOrder: boolean;
  /** Whether it is of one document and nothing else: refused, it has done nothing. */
  readonly isOne: boolean;
  /** What the answer says when all of it is done. */
  readonly answer: unknown;
  /** Whether it may make the store larger, so that a full one refuses it. */
  readonly grows: boolean;
  ask(client: MongoClient): Promise<unknown>;
}

/** The names of all writes. */
export const WRITES = [
  ...['deleteMany', 'deleteOne', 'find', 'findOneAndDelete', 'findOneAndUpdate', 'insertMany', 'insertOne'],
  ...['ordered bulkWrite', 'ordered bulkWrite of the client', 'replaceOne', 'unordered bulkWrite'],
  ...['unordered bulkWrite of the client', 'updateMany', 'updateOne'],
];

/** Makes the writes of one writer, by chance, each from what its things are at that time. */
export function writeMaker(random: SeededRandom, writer: number): (things: Things) => Write {
  const { chance } = random;
  const { unique, someName, sceneOf, those, insertOne, insertTwice, statementIn } = statementMaker(random, writer);

  /** One statement by itself. */
  function alone(things: Things): Write {
    const { name, operation, steps, counts } = statementIn(sceneOf(things, true), someName());
    const [kind] = Object.keys(operation) as [string];
    return {
      name: kind,
      steps,
      inOrder: false,
      isOne: !/Many$/.test(kind),
      answer: counts,
      grows: !/^delete/.test(kind),
      ask: (client) => countsOf(askAlone(collectionIn(client, name), operation)),
    };
  }

  function insertMany(things: Things): Write {
    const inOrder = chance(0.5);
    const name = someName();
    const scene = sceneOf(things, inOrder);
    const statements = Array.from({ length: random.whole(2, 5) }, () =>
      (chance(0.1) ? insertTwice : insertOne)(scene, name),
    );
    const documents = statements.flatMap(({ operation }) =>
      'insertOne' in operation ? [operation.insertOne.document as Thing] : [],
    );
    return {
      name: 'insertMany',
      ...outcome(statements, inOrder),
      grows: true,
      ask: (client) => countsOf(collectionIn(client, name).insertMany(documents, { ordered: inOrder })),
    };
  }

  /** What statements come to together. */
  function outcome(
    statements: readonly Statement[],
    inOrder: boolean,
  ): Pick<Write, 'steps' | 'sizes' | 'inOrder' | 'isOne' | 'answer'> {
    const failed = statements.findIndex(({ counts }) => counts.duplicate > 0);
    const done = inOrder && failed >= 0 ? statements.slice(0, failed + 1) : statements;
    return {
      steps: done.flatMap(({ steps }) => steps),
      sizes: done.map(({ steps }) => steps.length),
      inOrder,
      isOne: false,
      answer: sum(done.map(({ counts }) => counts)),
    };
  }

  /** Several statements of one collection in one call of the driver: a command for each kind of them. */
  function bulkWrite(things: Things): Write {
    const inOrder = chance(0.5);
    const name = someName();
    const scene = sceneOf(things, inOrder);
    const statements = Array.from({ length: random.whole(3, 8) }, () => statementIn(scene, name));
    return {
      name: inOrder ? 'ordered bulkWrite' : 'unordered bulkWrite',
      ...outcome(statements, inOrder),
      grows: true,
      ask: (client) =>
        countsOf(
          collectionIn(client, name).bulkWrite(
            statements.map(({ operation }) => operation),
            { ordered: inOrder },
          ),
        ),
    };
  }

  /** Several statements of several collections in one command. */
  function clientBulkWrite(things: Things): Write {
    const inOrder = chance(0.5);
    const scene = sceneOf(things, inOrder);
    const statements = Array.from({ length: random.whole(3, 8) }, () => statementIn(scene, someName()));
    const models = statements.map(({ name, operation }) => {
      const [[kind, asked]] = Object.entries(operation) as [[string, object]];
      return { name: kind, namespace: `posthorn.${name}`, ...asked } as AnyClientBulkWriteModel<Document>;
    });
    return {
      name: inOrder ? 'ordered bulkWrite of the client' : 'unordered bulkWrite of the client',
      ...outcome(statements, inOrder),
      grows: true,
      ask: (client) => countsOf(client.bulkWrite(models, { ordered: inOrder })),
    };
  }

  function findOneAndUpdate(things: Things): Write {
    const name = someName();
    const level = random.whole(0, LEVELS - 1);
    const direction = chance(0.5) ? 1 : -1;
    const found = those(sceneOf(things, true), name)
      .filter((thing) => thing.level === level)
      .sort((left, right) => (left.n - right.n) * direction)
      .at(0);
    if (found === undefined) return alone(things);
    const change = chance(0.5) ? changeOfAny(random) : changeOfOne(random, found, unique, false);
    const after = applied(found, change);
    const { update, arrayFilters } = change;
    const wantsAfter = chance(0.5);
    return {
      name: 'findOneAndUpdate',
      steps: [{ n: found.n, after }],
      inOrder: true,
      isOne: true,
      answer: wantsAfter ? after : found,
      grows: true,
      ask: (client) =>
        collectionIn(client, name).findOneAndUpdate({ writer, level }, update as Document, {
          sort: { n: direction },
          returnDocument: wantsAfter ? 'after' : 'before',
          ...(arrayFilters && { arrayFilters }),
        }),
    };
  }

  function findOneAndDelete(things: Things): Write {
    const name = someName();
    const found = those(sceneOf(things, true), name)
      .filter(({ state }) => state === 'open')
      .sort((left, right) => (left.due ?? 0) - (right.due ?? 0) || right.n - left.n)
      .at(0);
    if (found === undefined) return alone(things);
    return {
      name: 'findOneAndDelete',
      steps: [{ n: found.n, after: undefined }],
      inOrder: true,
      isOne: true,
      answer: found,
      grows: false,
      ask: (client) =>
        collectionIn(client, name).findOneAndDelete({ writer, state: 'open' }, { sort: { due: 1, n: -1 } }),
    };
  }

  /** No write, but it shows that what is there is what was acknowledged. */
  function findAll(things: Things): Write {
    const name = someName();
    return {
      name: 'find',
      steps: [],
      inOrder: true,
      isOne: true,
      answer: those(sceneOf(things, true), name).sort((left, right) => left.n - right.n),
      grows: false,
      ask: (client) => collectionIn(client, name).find({ writer }).sort({ n: 1 }).toArray(),
    };
  }

  const FORMS = [
    ...[alone, alone, alone, alone, alone, alone, insertMany, insertMany, bulkWrite, bulkWrite, bulkWrite],
    ...[clientBulkWrite, clientBulkWrite, findOneAndUpdate, findOneAndUpdate, findOneAndDelete, findAll],
  ];
  return (things) => random.pick(FORMS)(things);
}
