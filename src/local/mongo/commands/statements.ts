import { fields, type RawValue } from '../bson/raw-value.js';
import { resetScratch } from '../bson/scratch.js';
import { flagOf } from '../bson/values.js';
import { StoreError } from '../errors.js';
import type { WriteStep } from '../storage/engine.js';
import type { Command } from '../wire/message.js';
import { checkCollation, countOption, documentsOf } from './context.js';
import { mixedReply } from './reply.js';
import { timeLimit } from './time-limit.js';

const MAX_STATEMENTS = 100_000; // maxWriteBatchSize of hello
const MAX_TOLD = 1024 * 1024; // texts of errors in one answer; beyond it they are left empty, as MongoDB leaves them

/** What the statements of a command did so far. */
export interface Tally {
  n: number;
  modified: number;
  readonly upserted: { index: number; _id: RawValue }[];
  readonly errors: Record<string, unknown>[];
  /** The length of the errors' texts. */
  told: number;
}

/** One statement: returns true when it is done, false to be called again in a later transaction. */
export type Statement = (outOfTime: () => boolean) => boolean;

/** Runs a command's statements one after another inside the store's transactions; an ordered command ends with its first error. The step throws MaxTimeMSExpired (50)
 * when the command's time is up: what was done by then stays. */
export function statementsStep(statements: readonly (() => Statement)[], tally: Tally, command: Command): WriteStep {
  const ordered = orderedOf(command);
  const time = timeLimit(countOption(command, 'maxTimeMS'));
  let at = 0;
  let current: Statement | undefined;
  return (outOfTime) => {
    time.check();
    while (at < statements.length) {
      try {
        resetScratch();
        const statement: Statement = current ?? (statements[at] as () => Statement)();
        current = statement;
        if (!statement(outOfTime)) return false;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        tally.told += error.message.length;
        tally.errors.push(writeError(at, error, tally.told < MAX_TOLD));
        if (ordered) return true;
      }
      current = undefined;
      at++;
      if (at < statements.length && outOfTime()) return false;
    }
    return true;
  };
}

function writeError(index: number, error: StoreError, told: boolean): Record<string, unknown> {
  return { index, code: error.code, ...error.extra, errmsg: told ? error.message : '' };
}

/** The answer of a command of statements. Never throws. */
export function tallyReply(tally: Tally, updates: boolean): Buffer {
  return mixedReply({
    n: tally.n,
    ...(updates ? { nModified: tally.modified } : {}),
    ...(tally.upserted.length > 0 ? { upserted: tally.upserted } : {}),
    ...(tally.errors.length > 0 ? { writeErrors: tally.errors } : {}),
  });
}

/** Nothing done yet. Never throws. */
export function newTally(): Tally {
  return { n: 0, modified: 0, upserted: [], errors: [], told: 0 };
}

function orderedOf(command: Command): boolean {
  const value = command.fields.get('ordered');
  return value === undefined || flagOf(value, 'ordered');
}

/** The statements of a command. Throws InvalidLength (16) when there are none or too many, and as documentsOf. */
export function countedDocuments(command: Command, name: string): readonly RawValue[] {
  const list = documentsOf(command, name);
  if (list.length === 0 || list.length > MAX_STATEMENTS) {
    throw new StoreError(
      16,
      'InvalidLength',
      `Write batch sizes must be between 1 and ${MAX_STATEMENTS}. Got ${list.length} operations.`,
    );
  }
  return list;
}

/** The fields of one statement. Throws 40415 on one that is not known, 40414 on one that is missing, and as checkCollation. */
export function statementFields(
  source: RawValue,
  name: string,
  needed: readonly string[],
  optional: readonly string[],
): ReadonlyMap<string, RawValue> {
  const found = new Map(fields(source));
  for (const one of found.keys()) {
    if (!needed.includes(one) && !optional.includes(one))
      throw new StoreError(40415, 'Location40415', `BSON field '${name}.${one}' is an unknown field.`);
  }
  for (const one of needed) {
    if (!found.has(one))
      throw new StoreError(40414, 'Location40414', `BSON field '${name}.${one}' is missing but a required field`);
  }
  checkCollation(found.get('collation'));
  return found;
}
