import {
  type AnyBulkWriteOperation,
  type ClientBulkWriteResult,
  Collection,
  Db,
  type Document,
  MongoClient,
} from 'mongodb';
import type { Operation } from './unified-format.js';

/** What the operations of a test act on, by their ids. */
export type Entities = ReadonlyMap<string, MongoClient | Db | Collection>;

type Call<T> = (target: T, given: Document) => Promise<unknown>;

/** Without the fields that only this driver's results have. */
function plainResult(result: ClientBulkWriteResult): Document {
  const { updateResults } = result;
  if (updateResults === undefined) return result;
  const plain = [...updateResults].map(([index, { didUpsert: _, ...others }]) => [index, others] as const);
  return { ...result, updateResults: new Map(plain) };
}

const CLIENT: Readonly<Record<string, Call<MongoClient>>> = {
  clientBulkWrite: async (client, { models, ...options }) => {
    const named = (models as Document[]).map((model) => {
      const [[name, rest] = []] = Object.entries(model) as [string, Document][];
      return { name, ...rest } as never;
    });
    return plainResult(await client.bulkWrite(named, options));
  },
};

const DATABASE: Readonly<Record<string, Call<Db>>> = {
  aggregate: (db, { pipeline, ...options }) => db.aggregate(pipeline as Document[], options).toArray(),
  createCollection: (db, { collection, ...options }) => db.createCollection(collection as string, options),
  dropCollection: (db, { collection }) => db.dropCollection(collection as string),
  modifyCollection: (db, { collection, ...options }) => db.command({ collMod: collection as string, ...options }),
};

const COLLECTION: Readonly<Record<string, Call<Collection>>> = {
  aggregate: (target, { pipeline, ...options }) => target.aggregate(pipeline as Document[], options).toArray(),
  bulkWrite: (target, { requests, ...options }) => target.bulkWrite(requests as AnyBulkWriteOperation[], options),
  count: (target, { filter, ...options }) => target.count(filter as Document, options),
  countDocuments: (target, { filter, ...options }) => target.countDocuments(filter as Document, options),
  createIndex: (target, { keys, ...options }) => target.createIndex(keys as Record<string, 1>, options),
  deleteMany: (target, { filter, ...options }) => target.deleteMany(filter as Document, options),
  deleteOne: (target, { filter, ...options }) => target.deleteOne(filter as Document, options),
  distinct: (target, { fieldName, filter, ...options }) =>
    target.distinct(fieldName as string, filter as Document, options),
  estimatedDocumentCount: (target, options) => target.estimatedDocumentCount(options),
  find: (target, { filter, ...options }) => target.find(filter as Document, options).toArray(),
  findOne: (target, { filter, ...options }) => target.findOne(filter as Document, options),
  findOneAndDelete: (target, { filter, ...options }) => target.findOneAndDelete(filter as Document, options),
  findOneAndReplace: (target, { filter, replacement, ...options }) =>
    target.findOneAndReplace(filter as Document, replacement as Document, lowerReturn(options)),
  findOneAndUpdate: (target, { filter, update, ...options }) =>
    target.findOneAndUpdate(filter as Document, update as Document, lowerReturn(options)),
  insertMany: (target, { documents, ...options }) => target.insertMany(documents as Document[], options),
  insertOne: (target, { document, ...options }) => target.insertOne(document as Document, options),
  replaceOne: (target, { filter, replacement, ...options }) =>
    target.replaceOne(filter as Document, replacement as Document, options),
  updateMany: (target, { filter, update, ...options }) =>
    target.updateMany(filter as Document, update as Document, options),
  updateOne: (target, { filter, update, ...options }) =>
    target.updateOne(filter as Document, update as Document, options),
};

/** The format says `After` where the Node driver says `after`. */
function lowerReturn(options: Document): Document {
  const { returnDocument, ...others } = options;
  return returnDocument === undefined ? others : { ...others, returnDocument: String(returnDocument).toLowerCase() };
}

function called<T>(calls: Readonly<Record<string, Call<T>>>, operation: Operation, target: T): Promise<unknown> {
  const call = calls[operation.name];
  if (call === undefined) throw new Error(`the runner does not know the operation ${operation.name}`);
  return call(target, structuredCopy(operation.arguments ?? {}));
}

/** The driver writes `_id`s into the documents it is given. */
function structuredCopy(value: Document): Document {
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, copied(one)]));
}

function copied(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copied);
  const plain = typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
  return plain ? structuredCopy(value) : value;
}

/** Carries an operation out by the driver. Rejects with what the driver throws; throws on an operation or an entity that the runner does not know. */
export async function runOperation(operation: Operation, entities: Entities): Promise<unknown> {
  if (operation.object === 'testRunner' && operation.name === 'failPoint') {
    const client = entities.get(String(operation.arguments?.client));
    if (!(client instanceof MongoClient)) throw new Error('a failPoint without its client');
    return await client.db('admin').command(operation.arguments?.failPoint as Document);
  }
  const target = entities.get(operation.object);
  if (target instanceof MongoClient) return await called(CLIENT, operation, target);
  if (target instanceof Db) return await called(DATABASE, operation, target);
  if (target instanceof Collection) return await called(COLLECTION, operation, target);
  throw new Error(`the runner does not know the entity ${operation.object}`);
}
