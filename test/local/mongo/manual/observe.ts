import { type Document, deserialize, EJSON, serialize } from 'bson';
import { type Db, MongoServerError } from 'mongodb';
import { COLLECTION, type ManualCase, type Outcome } from './case.js';

// As they are on the wire: numbers with their types, fields in their order.
const RAW = { promoteValues: false, promoteBuffers: false, bsonRegExp: true } as const;

function textOf(value: unknown): string {
  const { v } = deserialize(serialize({ v: value }, { ignoreUndefined: false }), RAW);
  return EJSON.stringify(v, { relaxed: false });
}

function listText(list: readonly Document[], ordered: boolean): string {
  const texts = list.map(textOf);
  return (ordered ? texts : texts.sort()).join('\n');
}

/** Only the fields that are asked for, in documents too. */
function among(actual: unknown, wanted: Document): Document {
  const given = (actual ?? {}) as Document;
  const lastErrorObject =
    'lastErrorObject' in wanted ? { lastErrorObject: among(given.lastErrorObject, wanted.lastErrorObject) } : {};
  return { ...Object.fromEntries(Object.keys(wanted).map((name) => [name, given[name] ?? null])), ...lastErrorObject };
}

// Counts are numbers of any kind.
const asNumbers = (text: string): string =>
  text.replaceAll(/\{"\$number(?:Int|Long|Double)":"(-?\d+)(?:\.0)?"\}/g, '$1');

/** What a case expects, as a text: part by part. */
export function expectedText({ outcome }: ManualCase): string {
  return outcomeText(outcome, outcome);
}

function outcomeText(outcome: Outcome, wanted: Outcome): string {
  const { documents, set, reply, error, after } = outcome;
  const parts: string[] = [];
  if (error !== undefined) parts.push(`error ${asNumbers(textOf(error))}`);
  if (documents !== undefined) parts.push(listText(documents, wanted.documents !== undefined));
  if (set !== undefined) parts.push(listText(set, false));
  if (reply !== undefined) parts.push(asNumbers(textOf(reply)));
  if (after !== undefined) parts.push(`after:\n${listText(after, false)}`);
  return parts.join('\n');
}

async function prepare(db: Db, { documents, indexes }: ManualCase): Promise<void> {
  await db
    .collection(COLLECTION)
    .drop()
    .catch(() => undefined);
  await db.createCollection(COLLECTION);
  if (documents.length > 0) await db.collection(COLLECTION).insertMany(documents.map((one) => ({ ...one })));
  for (const { key, ...options } of indexes) await db.collection(COLLECTION).createIndex(key, options);
}

async function outcomeOf(db: Db, { command, outcome }: ManualCase): Promise<Outcome> {
  try {
    const reply = await db.command(command, RAW);
    const [failed] = (reply.writeErrors ?? []) as Document[];
    if (failed !== undefined) return { error: errorOf(failed, outcome) };
    const batch = reply.cursor?.firstBatch as Document[] | undefined;
    return {
      ...(batch === undefined ? {} : outcome.documents === undefined ? { set: batch } : { documents: batch }),
      ...(outcome.reply === undefined ? {} : { reply: among(reply, outcome.reply) }),
    };
  } catch (error) {
    if (!(error instanceof MongoServerError)) throw error;
    return { error: errorOf(error.errorResponse, outcome) };
  }
}

function errorOf(answer: Document, { error }: Outcome): NonNullable<Outcome['error']> {
  const code = Number(answer.code);
  return {
    code,
    ...(error?.keyPattern === undefined ? {} : { keyPattern: answer.keyPattern ?? null }),
    ...(error?.keyValue === undefined ? {} : { keyValue: answer.keyValue ?? null }),
  };
}

/** What a server makes of a case, as a text to compare with expectedText. Rejects when the server is lost or the case cannot be prepared. */
export async function observedText(db: Db, one: ManualCase): Promise<string> {
  await prepare(db, one);
  const seen = await outcomeOf(db, one);
  const after =
    one.outcome.after === undefined ? {} : { after: await db.collection(COLLECTION).find({}, RAW).toArray() };
  return outcomeText({ ...seen, ...after }, one.outcome);
}
