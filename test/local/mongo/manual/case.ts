import type { Document } from 'bson';

/** What a case is about. */
export type Kind = 'query' | 'update' | 'comparison' | 'sort' | 'expression' | 'index' | 'error';

/** What must come out of a command; what is not named is not looked at. */
export interface Outcome {
  /** The documents of the answer, in this order. */
  readonly documents?: readonly Document[];
  /** The documents of the answer, in any order. */
  readonly set?: readonly Document[];
  /** Fields of the answer. */
  readonly reply?: Document;
  /** The error's code, and for a duplicate key what it names. */
  readonly error?: { readonly code: number; readonly keyPattern?: Document; readonly keyValue?: Document };
  /** The collection's documents after it, in any order. */
  readonly after?: readonly Document[];
}

/** One documented behaviour. */
export interface ManualCase {
  readonly kind: Kind;
  /** The page of MongoDB's manual, below https://www.mongodb.com/docs/v8.0/ */
  readonly page: string;
  readonly title: string;
  /** What the collection holds, and its indexes, each with its `key`. */
  readonly documents: readonly Document[];
  readonly indexes: readonly Document[];
  /** A command on the collection COLLECTION. */
  readonly command: Document;
  readonly outcome: Outcome;
}

/** The collection that every case works on. */
export const COLLECTION = 'c';

/** What a case can come with beside its documents. */
export interface Given {
  readonly indexes?: readonly Document[];
}

/** Documents with `_id` 1, 2, 3 … where they have none. */
export function numbered(documents: readonly Document[]): Document[] {
  return documents.map((document, i) => ('_id' in document ? document : { _id: i + 1, ...document }));
}

function manualCase(
  kind: Kind,
  page: string,
  title: string,
  documents: readonly Document[],
  command: Document,
  outcome: Outcome,
  { indexes = [] }: Given = {},
): ManualCase {
  return Object.freeze({ kind, page, title, documents: numbered(documents), indexes, command, outcome });
}

/** Any command of any kind. */
export const plain = manualCase;

function chosen(documents: readonly Document[], ids: readonly unknown[]): Document[] {
  return ids.map((id) => numbered(documents).find(({ _id }) => _id === id) as Document);
}

/** A filter, and the `_id`s of the documents that match. */
export function query(
  page: string,
  title: string,
  documents: readonly Document[],
  filter: Document,
  ids: readonly number[],
  given: Given = {},
): ManualCase {
  const kind: Kind = page === COMPARISON ? 'comparison' : 'query';
  return manualCase(kind, page, title, documents, { find: COLLECTION, filter }, { set: chosen(documents, ids) }, given);
}

/** The page of the order of types. */
export const COMPARISON = 'reference/bson-type-comparison-order';

/** A sort, and the `_id`s in the order that it gives. */
export function sorted(
  page: string,
  title: string,
  documents: readonly Document[],
  sort: Document,
  ids: readonly unknown[],
  given: Given & { readonly command?: Document } = {},
): ManualCase {
  const kind: Kind = page === COMPARISON ? 'comparison' : 'sort';
  const command = { find: COLLECTION, sort, ...given.command };
  return manualCase(kind, page, title, documents, command, { documents: chosen(documents, ids) }, given);
}

/** A projection, and the documents that it makes. */
export function projected(
  page: string,
  title: string,
  documents: readonly Document[],
  projection: Document,
  results: readonly Document[],
  filter: Document = {},
): ManualCase {
  return manualCase(
    'query',
    page,
    title,
    documents,
    { find: COLLECTION, filter, projection, sort: { _id: 1 } },
    { documents: results },
  );
}

/** How an update is made. */
export interface UpdateGiven extends Given {
  readonly q?: Document;
  readonly multi?: boolean;
  readonly upsert?: boolean;
  readonly arrayFilters?: readonly Document[];
  /** The numbers of documents matched and modified. */
  readonly counts?: readonly [n: number, nModified: number];
}

/** An update, and the documents after it or the code that it is refused with. */
export function update(
  page: string,
  title: string,
  before: readonly Document[],
  u: Document | readonly Document[],
  after: readonly Document[] | number,
  given: UpdateGiven = {},
): ManualCase {
  const { q = {}, multi, upsert, arrayFilters, counts } = given;
  const options = { multi, upsert, arrayFilters };
  const present = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const outcome: Outcome =
    typeof after === 'number'
      ? { error: { code: after }, after: numbered(before) }
      : { after: numbered(after), ...(counts === undefined ? {} : { reply: { n: counts[0], nModified: counts[1] } }) };
  return manualCase(
    'update',
    page,
    title,
    before,
    { update: COLLECTION, updates: [{ q, u, ...present }] },
    outcome,
    given,
  );
}

/** A pipeline, and the documents that come out of it, in any order. */
export function pipeline(
  page: string,
  title: string,
  documents: readonly Document[],
  stages: readonly Document[],
  results: readonly Document[],
): ManualCase {
  return manualCase(
    'expression',
    page,
    title,
    documents,
    { aggregate: COLLECTION, pipeline: stages, cursor: {} },
    { set: results },
  );
}

/** An expression, and its value for one document; `{}` of a value that is missing. */
export function evaluated(
  operator: string,
  title: string,
  expression: unknown,
  result: Document,
  document: Document = {},
): ManualCase {
  const page = operator.includes('/') ? operator : `reference/operator/aggregation/${operator}`;
  return pipeline(page, title, [document], [{ $replaceWith: { v: expression } }], [result]);
}

/** A command that is refused, and the error's code. */
export function refused(
  page: string,
  title: string,
  command: Document,
  code: number,
  given: Given & {
    readonly documents?: readonly Document[];
    readonly keyPattern?: Document;
    readonly keyValue?: Document;
  } = {},
): ManualCase {
  const { documents = [], keyPattern, keyValue } = given;
  const error = {
    code,
    ...(keyPattern === undefined ? {} : { keyPattern }),
    ...(keyValue === undefined ? {} : { keyValue }),
  };
  return manualCase('error', page, title, documents, command, { error, after: numbered(documents) }, given);
}
