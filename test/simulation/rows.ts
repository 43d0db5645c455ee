import { Binary, ObjectId } from 'mongodb';

/** A document of the model store; never changed in place. */
export type Doc = Readonly<Record<string, unknown>>;

/** The operators of queries that src/store uses; anything else is a bug of the simulation and throws. */
export function matches(doc: Doc, filter: Doc): boolean {
  for (const [field, wanted] of Object.entries(filter)) {
    if (field === '$or') {
      if (!(wanted as Doc[]).some((one) => matches(doc, one))) return false;
    } else if (!fits(doc[field], wanted)) return false;
  }
  return true;
}

function fits(value: unknown, wanted: unknown): boolean {
  if (!isOperators(wanted)) return equal(value, wanted);
  for (const [operator, operand] of Object.entries(wanted)) {
    if (!fitsOperator(value, operator, operand)) return false;
  }
  return true;
}

function fitsOperator(value: unknown, operator: string, operand: unknown): boolean {
  switch (operator) {
    case '$in': {
      const values = Array.isArray(value) ? value : [value];
      return (operand as unknown[]).some((one) => values.some((each) => equal(each, one)));
    }
    case '$ne':
      return !equal(value, operand);
    case '$exists':
      return (value !== undefined) === operand;
    case '$gt':
      return comparable(value) && compare(value, operand) > 0;
    case '$gte':
      return comparable(value) && compare(value, operand) >= 0;
    case '$lt':
      return comparable(value) && compare(value, operand) < 0;
    case '$lte':
      return comparable(value) && compare(value, operand) <= 0;
    default:
      throw new Error(`the model store has no operator ${operator}`);
  }
}

const comparable = (value: unknown): boolean => value !== undefined && value !== null;

function isOperators(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  if (value instanceof ObjectId || value instanceof Date || value instanceof Binary) return false;
  return Object.keys(value).some((key) => key.startsWith('$'));
}

const plain = (value: unknown): unknown =>
  value instanceof ObjectId ? value.toHexString() : value instanceof Date ? value.getTime() : value;

function equal(a: unknown, b: unknown): boolean {
  if (a === undefined || a === null) return b === undefined || b === null;
  if (Array.isArray(a) && !Array.isArray(b)) return a.some((one) => plain(one) === plain(b));
  return plain(a) === plain(b);
}

/** The order of two values of one kind. */
export function compare(a: unknown, b: unknown): number {
  const [x, y] = [plain(a) as string | number, plain(b) as string | number];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** A document after an update; `inserted` says that an upsert makes it. */
export function updated(doc: Doc, update: Doc, inserted: boolean): Doc {
  const next: Record<string, unknown> = { ...doc };
  for (const [operator, fields] of Object.entries(update)) {
    if (operator === '$set' || (operator === '$setOnInsert' && inserted)) Object.assign(next, fields);
    else if (operator === '$unset') for (const field of Object.keys(fields as Doc)) delete next[field];
    else if (operator === '$inc')
      for (const [field, by] of Object.entries(fields as Record<string, number>))
        next[field] = ((next[field] as number | undefined) ?? 0) + by;
    else if (operator !== '$setOnInsert') throw new Error(`the model store has no update ${operator}`);
  }
  for (const [field, value] of Object.entries(next)) if (value === undefined) delete next[field];
  return next;
}

/** What an upsert takes from its filter. */
export function seedOf(filter: Doc): Doc {
  return Object.fromEntries(
    Object.entries(filter).filter(([field, value]) => !field.startsWith('$') && !isOperators(value)),
  );
}

/** A copy whose bytes and lists are its own: what is written or read must not be shared with who wrote it. */
export function copied<T>(value: T): T {
  if (value instanceof Binary) {
    const bytes = Buffer.from(value.buffer.buffer, value.buffer.byteOffset, value.length());
    return Buffer.from(bytes) as unknown as T;
  }
  if (Buffer.isBuffer(value)) return Buffer.from(value) as unknown as T;
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof ObjectId || value instanceof Date) return value;
  if (Array.isArray(value)) return value.map(copied) as unknown as T;
  const copy: Record<string, unknown> = {};
  for (const [key, one] of Object.entries(value)) copy[key] = copied(one);
  return copy as T;
}
