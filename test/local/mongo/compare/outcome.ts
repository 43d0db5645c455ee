import { type Document, EJSON } from 'bson';
import { type Db, MongoServerError } from 'mongodb';
import { COLLECTION, type Step } from './program.js';

/** What a server answered to one step. */
export interface Outcome {
  /** The error's code; undefined where it went well. */
  readonly code: number | undefined;
  readonly message: string;
  /** What was answered, as canonical Extended JSON, in an order of its own where the order is no part of it. */
  readonly answer: string;
}

/** An outcome in one text. */
export function outcomeText(outcome: Outcome): string {
  return outcome.code === undefined ? outcome.answer : `error ${outcome.code}: ${outcome.message}`;
}

const DAY_MS = 86_400_000;
// As they are on the wire: numbers with their types, fields in their order.
const RAW = { promoteValues: false, promoteBuffers: false, bsonRegExp: true } as const;

/** A document's text; a time of today, which no generator makes, is the server's own and differs between two. */
function textOf(value: unknown): string {
  return EJSON.stringify(value, { relaxed: false })
    .replaceAll(/\{"\$date":\{"\$numberLong":"(\d+)"\}\}/g, (whole, ms: string) =>
      Math.abs(Date.now() - Number(ms)) < DAY_MS ? '"now"' : whole,
    )
    .replaceAll(/\{"\$timestamp":\{"t":(\d+),"i":\d+\}\}/g, (whole, s: string) =>
      Math.abs(Date.now() - Number(s) * 1000) < DAY_MS ? '"now"' : whole,
    );
}

function listText(list: readonly unknown[], ordered: boolean): string {
  const texts = list.map(textOf);
  if (!ordered) texts.sort();
  return texts.join('\n');
}

function answerOf(reply: Document, ordered: boolean): string {
  if (reply.cursor !== undefined) {
    if (String(reply.cursor.id) !== '0') throw new Error('an answer of more than one batch');
    return listText(reply.cursor.firstBatch, ordered);
  }
  if (reply.values !== undefined) return listText(reply.values, false);
  const { n, nModified, upserted, value, lastErrorObject } = reply;
  return textOf({ n, nModified, upserted, value, lastErrorObject });
}

/** Carries one step out. Rejects only when the server is lost. */
export async function carryOut(db: Db, { command, ordered }: Step): Promise<Outcome> {
  try {
    const reply = await db.command(command, RAW);
    const [failed] = (reply.writeErrors ?? []) as { code: unknown; errmsg: string }[];
    if (failed !== undefined) return { code: Number(failed.code), message: failed.errmsg, answer: '' };
    if ('createIndexes' in command) return { code: undefined, message: '', answer: '' };
    return { code: undefined, message: '', answer: answerOf(reply, ordered) };
  } catch (error) {
    if (!(error instanceof MongoServerError)) throw error;
    return { code: Number(error.code), message: error.message, answer: '' };
  }
}

/** All documents, in an order of their own. */
export async function stateOf(db: Db): Promise<string> {
  return listText(await db.collection(COLLECTION).find({}, RAW).toArray(), false);
}

/** The documents of a state. */
export function documentsOf(state: string): Document[] {
  return state === '' ? [] : state.split('\n').map((line) => EJSON.parse(line, { relaxed: false }));
}

/** Makes the second server's documents those of the first, without indexes on either when `withoutIndexes`. */
export async function levelUp(first: Db, second: Db, withoutIndexes: boolean): Promise<void> {
  if (withoutIndexes) {
    for (const db of [first, second]) await db.command({ dropIndexes: COLLECTION, index: '*' }).catch(() => undefined);
  }
  const documents = await first.collection(COLLECTION).find({}, RAW).toArray();
  await second.collection(COLLECTION).deleteMany({});
  if (documents.length > 0) await second.collection(COLLECTION).insertMany(documents);
}
