import {
  type Collection,
  type CommandFailedEvent,
  type CommandStartedEvent,
  type CommandSucceededEvent,
  type Db,
  type Document,
  MongoBulkWriteError,
  MongoClient,
  MongoClientBulkWriteError,
  type MongoClientOptions,
  MongoServerError,
} from 'mongodb';
import type { ExpectedError, ExpectedEvents, UnifiedFile, UnifiedTest } from './unified-format.js';
import { matchValue } from './unified-match.js';
import { runOperation } from './unified-operations.js';

/** What became of a test: passed; refused, with the text by which the server refused something by name; wrong, with what differed. */
export type Verdict =
  | { readonly outcome: 'passed' }
  | { readonly outcome: 'refused'; readonly refusal: string }
  | { readonly outcome: 'wrong'; readonly difference: string };

/** Runs tests of the drivers' unified test format. */
export interface UnifiedRunner {
  /** The version that the server gives. */
  readonly version: string;
  /** `options`: of all clients of the test. Never rejects but when the server cannot be reached. */
  run(file: UnifiedFile, test: UnifiedTest, options?: MongoClientOptions): Promise<Verdict>;
  close(): Promise<void>;
}

const NOT_IMPLEMENTED = 238;

interface Observed {
  readonly kind: string;
  readonly event: CommandStartedEvent | CommandSucceededEvent | CommandFailedEvent;
}

/** What a test's own entities are and what was seen of its clients. */
interface World {
  readonly entities: Map<string, MongoClient | Db | Collection>;
  readonly events: Map<string, Observed[]>;
  readonly refusals: string[];
}

function noteRefusal(world: World, reply: Document | undefined): void {
  const errors = (reply?.writeErrors ?? []) as Document[];
  const cursor = reply?.cursor as Document | undefined;
  const results = (cursor?.firstBatch ?? []) as Document[];
  for (const one of [reply, ...errors, ...results]) {
    if (one?.code === NOT_IMPLEMENTED) world.refusals.push(String(one.errmsg ?? one.message));
  }
}

function openClient(uri: string, given: Document, world: World, options: MongoClientOptions): MongoClient {
  const client = new MongoClient(uri, {
    ...options,
    ...(given.uriOptions as object | undefined),
    monitorCommands: true,
  });
  const seen: Observed[] = [];
  world.events.set(given.id as string, seen);
  const names = (given.observeEvents as string[] | undefined) ?? [];
  const observe = (kind: string, event: Observed['event']): void => {
    if (names.includes(kind) && event.commandName !== 'configureFailPoint') seen.push({ kind, event });
  };
  client.on('commandStarted', (event) => observe('commandStartedEvent', event));
  client.on('commandSucceeded', (event) => {
    noteRefusal(world, event.reply as Document | undefined);
    observe('commandSucceededEvent', event);
  });
  client.on('commandFailed', (event) => {
    noteRefusal(world, event.failure);
    observe('commandFailedEvent', event);
  });
  return client;
}

function createEntities(uri: string, file: UnifiedFile, options: MongoClientOptions): World {
  const world: World = { entities: new Map(), events: new Map(), refusals: [] };
  for (const entity of file.createEntities) {
    const { client, database, collection } = entity;
    if (client !== undefined) world.entities.set(client.id as string, openClient(uri, client, world, options));
    else if (database !== undefined) {
      const owner = world.entities.get(database.client as string) as MongoClient;
      const options = database.databaseOptions as object | undefined;
      world.entities.set(database.id as string, owner.db(database.databaseName as string, options));
    } else if (collection !== undefined) {
      const owner = world.entities.get(collection.database as string) as Db;
      const options = (collection.collectionOptions as object | undefined) ?? {};
      world.entities.set(collection.id as string, owner.collection(collection.collectionName as string, options));
    } else throw new Error(`the runner does not know the entity ${Object.keys(entity).join()}`);
  }
  return world;
}

function matchBulkError(expected: ExpectedError, error: unknown): void {
  if (expected.writeErrors !== undefined) {
    const { writeErrors } = error as MongoClientBulkWriteError;
    matchValue('writeErrors', Object.keys(expected.writeErrors), [...writeErrors.keys()].map(String), false);
    for (const [index, one] of Object.entries(expected.writeErrors)) {
      matchValue(`writeErrors.${index}`, one, writeErrors.get(Number(index)), true);
    }
  }
  if (expected.writeConcernErrors !== undefined) {
    const actual = (error as MongoClientBulkWriteError).writeConcernErrors;
    matchValue('writeConcernErrors', expected.writeConcernErrors, actual, true);
  }
  if (expected.expectResult !== undefined) {
    const result = error instanceof MongoClientBulkWriteError ? error.partialResult : undefined;
    matchValue('result', expected.expectResult, error instanceof MongoBulkWriteError ? error.result : result, true);
  }
}

function matchError(expected: ExpectedError, error: unknown): void {
  if (!(error instanceof Error)) throw new Error('no error was raised');
  const isServerError = error instanceof MongoServerError;
  if (expected.isClientError !== undefined && expected.isClientError === isServerError) {
    throw new Error(`expected an error of the ${isServerError ? 'client' : 'server'}, got ${error.message}`);
  }
  const { errorContains, errorCode, errorResponse } = expected;
  if (errorContains !== undefined && !error.message.toLowerCase().includes(errorContains.toLowerCase())) {
    throw new Error(`expected an error with '${errorContains}', got '${error.message}'`);
  }
  if (errorCode !== undefined) matchValue('errorCode', errorCode, (error as MongoServerError).code, false);
  if (errorResponse !== undefined) {
    matchValue('errorResponse', errorResponse, (error as MongoServerError).errorResponse, true);
  }
  matchBulkError(expected, error);
}

async function runOperations(test: UnifiedTest, world: World): Promise<void> {
  for (const operation of test.operations) {
    let result: unknown;
    let error: unknown;
    try {
      result = await runOperation(operation, world.entities);
    } catch (thrown) {
      error = thrown;
    }
    const where = `${operation.name} of ${operation.object}`;
    if (operation.expectError !== undefined) matchError(operation.expectError, error);
    else if (error !== undefined) throw error;
    if (operation.expectResult !== undefined) matchValue(where, operation.expectResult, result, true);
  }
}

function matchEvents({ client, events }: ExpectedEvents, world: World): void {
  const seen = world.events.get(client) ?? [];
  events.forEach((one, i) => {
    const [[kind, expected] = []] = Object.entries(one);
    const actual = seen[i];
    if (actual === undefined) throw new Error(`event ${i}: only ${seen.length} of ${events.length} were seen`);
    matchValue(`event ${i}`, kind, actual.kind, false);
    for (const [name, value] of Object.entries(expected ?? {})) {
      matchValue(`event ${i}.${name}`, value, (actual.event as unknown as Document)[name], true);
    }
  });
  if (seen.length > events.length) throw new Error(`${seen.length} events where ${events.length} are expected`);
}

/** Makes a runner for the server at a URI. Rejects when it cannot be reached. */
export async function unifiedRunner(uri: string): Promise<UnifiedRunner> {
  const own = await new MongoClient(uri, { writeConcern: { w: 'majority' } }).connect();
  const { version } = (await own.db('admin').command({ buildInfo: 1 })) as { version: string };

  async function prepare(file: UnifiedFile): Promise<void> {
    for (const { databaseName, collectionName, documents } of file.initialData ?? []) {
      const db = own.db(databaseName);
      await db.dropCollection(collectionName);
      if (documents.length === 0) await db.createCollection(collectionName);
      else await db.collection(collectionName).insertMany(documents.map((one) => ({ ...one })));
    }
  }

  async function matchOutcome(test: UnifiedTest): Promise<void> {
    for (const { databaseName, collectionName, documents } of test.outcome ?? []) {
      const found = own.db(databaseName).collection(collectionName).find().sort({ _id: 1 });
      matchValue(`outcome of ${collectionName}`, documents, await found.toArray(), false);
    }
  }

  return {
    version,
    async run(file, test, options = {}) {
      await prepare(file);
      const world = createEntities(uri, file, options);
      const clients = [...world.entities.values()].filter((entity) => entity instanceof MongoClient);
      try {
        await runOperations(test, world);
        for (const expected of test.expectEvents ?? []) matchEvents(expected, world);
        await matchOutcome(test);
        return { outcome: 'passed' };
      } catch (error) {
        const [refusal] = world.refusals;
        if (refusal !== undefined) return { outcome: 'refused', refusal };
        return { outcome: 'wrong', difference: error instanceof Error ? error.message : String(error) };
      } finally {
        await Promise.all(clients.map((client) => client.close()));
      }
    },
    close: () => own.close(),
  };
}
