import { type Document, EJSON } from 'bson';
import type { Outcome } from './outcome.js';
import type { Step } from './program.js';

/** Where both servers answer differently at a step. */
export interface Difference {
  readonly step: Step;
  /** Position of the step in its program. */
  readonly at: number;
  /** Whether the answers differ, or only the documents after it. */
  readonly what: 'answer' | 'documents';
  /** The answers. */
  readonly embedded: Outcome;
  readonly other: Outcome;
  /** The documents after it, as texts. */
  readonly after: readonly [embedded: string, other: string];
  /** The documents before it. */
  readonly before: readonly Document[];
}

/** A difference that MongoDB's manual explains: the other server is wrong, or both are right. */
interface KnownDifference {
  readonly name: string;
  /** The manual's page below https://www.mongodb.com/docs/v8.0/ and what it says. */
  readonly page: string;
  readonly explanation: string;
  applies(difference: Difference): boolean;
}

/** Whether the embedded store fails with this code and a text like that. */
function fails({ embedded }: Difference, code: number, text = /./): boolean {
  return embedded.code === code && text.test(embedded.message);
}

function isDocument(value: unknown): value is Document {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !('_bsontype' in value) &&
    !(value instanceof Date)
  );
}

/** Whether an array lies on the way that a path takes through a value, before its end. */
function throughArray(value: unknown, names: readonly string[]): boolean {
  const [name, ...rest] = names;
  if (name === undefined) return false;
  if (Array.isArray(value)) return true;
  return isDocument(value) && throughArray(value[name], rest);
}

function anyThroughArray({ before }: Difference, path: string): boolean {
  return before.some((document) => throughArray(document, path.split('.')));
}

/** All strings in a value, and all names of fields. */
function* words(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value;
  else if (Array.isArray(value)) for (const one of value) yield* words(one);
  else if (isDocument(value)) {
    for (const [name, child] of Object.entries(value)) {
      yield name;
      yield* words(child);
    }
  }
}

function uses({ step }: Difference, ...names: string[]): boolean {
  for (const word of words(step.command)) if (names.includes(word)) return true;
  return false;
}

function* pathsIn(fields: Document, prefix: string): Generator<string> {
  for (const [name, value] of Object.entries(fields)) {
    yield `${prefix}${name}`;
    if (isDocument(value) && !Object.keys(value).some((one) => one.startsWith('$')))
      yield* pathsIn(value, `${prefix}${name}.`);
  }
}

/** The dotted paths that a command computes fields for. */
function computedPaths(command: Document): string[] {
  const stages: Document[] = [command.pipeline, command.update, command.updates?.[0]?.u].filter(Array.isArray).flat();
  const fields = stages.flatMap((stage) => [stage.$addFields, stage.$set, stage.$project]);
  return [...fields, command.projection]
    .filter(isDocument)
    .flatMap((one) => [...pathsIn(one, '')])
    .filter((path) => path.includes('.'));
}

/** Whether a path leads, before its end, through anything but documents in any document. */
function leadsElsewhere({ before }: Difference, path: string): boolean {
  return before.some((document) => {
    let value: unknown = document;
    for (const name of path.split('.').slice(0, -1)) {
      value = isDocument(value) ? value[name] : undefined;
      if (!isDocument(value)) return true;
    }
    return false;
  });
}

/** A text of documents with its letters sorted line by line: the same for documents that differ in the order of their fields. */
function inAnyOrder(text: string): string {
  return text
    .split('\n')
    .map((line) => [...line].sort().join(''))
    .sort()
    .join('\n');
}

function sameButForLongs(a: string, b: string): boolean {
  return inAnyOrder(a.replaceAll('numberLong', 'numberInt')) === inAnyOrder(b.replaceAll('numberLong', 'numberInt'));
}

function withoutDoubles(text: string): string {
  return text.replaceAll(/"\$numberDouble":"[^"]*"/g, '');
}

// The answer to a write that met no document.
const NOTHING = /^\{"n":\{"\$numberInt":"0"\}|"lastErrorObject":\{"n":\{"\$numberInt":"0"\}/;

/** Whether a stage before gives the first name of a path another value, of documents that hold arrays. */
function madeAnew({ step, before }: Difference, path: string): boolean {
  const stages: Document[] = step.command.pipeline ?? [];
  const name = path.split('.')[0] as string;
  const made = stages.some((stage) =>
    [stage.$addFields, stage.$project].some((fields) => isDocument(fields) && name in fields),
  );
  return made && before.some((document) => Object.values(document).some(Array.isArray));
}

/** All of them; each is narrow, and the printed summary counts how often each applied. */
export const DIFFERENCES: readonly KnownDifference[] = [
  {
    name: 'array updates of a missing array',
    page: 'reference/operator/update/positional-all',
    explanation: 'the array must exist, also for an upsert; SecantusDB changes nothing and says nothing',
    applies: (one) => fails(one, 2, /must exist in the document in order to apply array updates/),
  },
  {
    name: 'a positional $ without a match',
    page: 'reference/operator/update/positional',
    explanation: 'the array field must be part of the query; SecantusDB changes nothing and says nothing',
    applies: (one) => fails(one, 2, /did not find the match needed from the query/),
  },
  {
    name: 'array updates of what is no array',
    page: 'reference/operator/update/positional-filtered',
    explanation: 'only elements of arrays can be meant; SecantusDB changes nothing and says nothing',
    applies: (one) => fails(one, 2, /Cannot apply array updates to non-array element/),
  },
  {
    name: 'parallel arrays',
    page: 'core/indexes/index-types/index-multikey/create-multikey-index-compound',
    explanation:
      'at most one field of a compound index is an array, an empty one too; SecantusDB looks at whole arrays only',
    applies: (one) => fails(one, 171),
  },
  {
    name: 'conflicting paths',
    page: 'reference/operator/update',
    explanation: 'paths that meet conflict, also where one goes on with $[] or $[id]; SecantusDB compares the texts',
    applies: (one) => fails(one, 40),
  },
  {
    name: '$count of nothing',
    page: 'reference/operator/aggregation/count',
    explanation: 'without documents the stage passes none on; SecantusDB passes on a count of 0',
    applies: (one) => one.embedded.answer === '' && one.embedded.code === undefined && uses(one, '$count'),
  },
  {
    name: 'paths that cannot be, for operators that create nothing',
    page: 'reference/operator/update/pull',
    explanation:
      'a path that leads through a value of another kind is not viable; only for $unset that is nothing to do',
    applies: (one) => fails(one, 28) && uses(one, '$pull', '$pullAll', '$pop', '$rename'),
  },
  {
    name: 'field paths through arrays',
    page: 'core/field-paths',
    explanation:
      'of an array the path gives an array of what its documents have, an empty one too; SecantusDB then has nothing',
    applies: (one) => {
      for (const word of words(one.step.command)) {
        if (word.startsWith('$$')) {
          if (word.includes('.')) return true;
        } else if (
          word.startsWith('$') &&
          word.includes('.') &&
          (anyThroughArray(one, word.slice(1)) || madeAnew(one, word.slice(1)))
        )
          return true;
      }
      return false;
    },
  },
  {
    name: 'computed fields of a path',
    page: 'reference/operator/aggregation/addFields',
    explanation:
      'a computed field is put into each document of an array, and a value of another kind becomes a document; SecantusDB replaces arrays, keeps other values, and makes no document for a missing one',
    applies: (one) => computedPaths(one.step.command).some((path) => leadsElsewhere(one, path)),
  },
  {
    name: 'excluded fields below arrays',
    page: 'reference/operator/aggregation/unset',
    explanation: 'a field is removed from each document of an array; SecantusDB looks at no arrays',
    applies: (one) =>
      uses(one, '$unset', '$project', 'projection') &&
      [...words(one.step.command)].some((word) => anyThroughArray(one, word)),
  },
  {
    name: 'distinct through arrays',
    page: 'reference/command/distinct',
    explanation: 'each element of an array is looked at; SecantusDB finds nothing in documents of an array',
    applies: (one) => 'distinct' in one.step.command && anyThroughArray(one, one.step.command.key),
  },
  {
    name: 'booleans and numbers',
    page: 'reference/bson-type-comparison-order',
    explanation: 'false is not 0, nor true 1; SecantusDB takes them for one value',
    applies: (one) =>
      ('distinct' in one.step.command || uses(one, '$pullAll')) && /\b(true|false)\b/.test(JSON.stringify(one.before)),
  },
  {
    name: 'updates that cannot be, where nothing matches',
    page: 'reference/operator/update',
    explanation: 'an update is refused before a document is looked at; SecantusDB says nothing where none matches',
    applies: (one) =>
      [2, 9, 14, 40].includes(one.embedded.code ?? 0) &&
      one.step.writes &&
      one.other.code === undefined &&
      (NOTHING.test(one.other.answer) || (uses(one, '$pull') && /"upserted":\[/.test(one.other.answer))),
  },
  {
    name: 'array updates that lead nowhere',
    page: 'reference/operator/update/positional-all',
    explanation: 'an element that holds no fields cannot get one; SecantusDB changes nothing and says nothing',
    applies: (one) =>
      fails(one, 28) &&
      one.other.code === undefined &&
      [...words(one.step.command)].some((word) => /\.\$\[\w*\]\./.test(word)),
  },
  {
    name: 'sorts through arrays',
    page: 'reference/method/cursor.sort',
    explanation: 'an element of an array without the field sorts as null; SecantusDB leaves it out',
    applies: (one) => {
      const sorts = [one.step.command.sort, ...(one.step.command.pipeline ?? []).map((stage: Document) => stage.$sort)];
      return sorts.filter(isDocument).some((sort) => Object.keys(sort).some((path) => anyThroughArray(one, path)));
    },
  },
  {
    name: 'ranges and $ne of regular expressions',
    page: 'reference/operator/query/ne',
    explanation: 'a regular expression is no operand of them (BadValue); SecantusDB compares',
    applies: (one) => fails(one, 2, /^Can't have regex as arg/i),
  },
  {
    name: '$or, $and and $nor in $elemMatch',
    page: 'reference/operator/query/elemMatch',
    explanation: 'a filter of documents may be any; SecantusDB takes them for operators on values',
    applies: (one) => one.other.code === 2 && /unknown operator: \$(or|and|nor)/.test(one.other.message),
  },
  {
    name: 'the order of new fields',
    page: 'reference/operator/update',
    explanation: 'fields are updated in the order of their names; SecantusDB in that of the operators',
    applies: ({ step, after, embedded, other }) =>
      step.writes &&
      inAnyOrder(after[0]) === inAnyOrder(after[1]) &&
      inAnyOrder(embedded.answer) === inAnyOrder(other.answer) &&
      embedded.code === other.code,
  },
  {
    name: 'missing values and $in',
    page: 'reference/operator/aggregation/in',
    explanation: 'a missing value is not null; SecantusDB takes it for one',
    applies: (one) => /"\$in":\[(\{|"\$)/.test(JSON.stringify(one.step.command)),
  },
  {
    name: 'positions beyond the end of an array',
    page: 'tutorial/query-for-null-fields',
    explanation: 'a path that leads nowhere inside of an array is not null either; SecantusDB takes it for null',
    applies: (one) =>
      /null|\$(nin|ne|not|exists|type|gte|lte)\b/.test(JSON.stringify(one.step.command)) &&
      [...words(one.step.command)].some((word) => /\.\d/.test(word) && anyThroughArray(one, word)),
  },
  {
    name: 'index keys of elements that are no documents',
    page: 'core/indexes/index-types/index-multikey',
    explanation:
      'an element of an array without the field has the key null; SecantusDB has none for an element that is no document',
    applies: (one) => fails(one, 11000, /index: \S*\.\S* dup key: .*null/),
  },
  {
    name: 'the type that $bit gives',
    page: 'reference/operator/update/bit',
    explanation: 'a 64-bit operand makes a 64-bit number, also of a missing one; SecantusDB makes a 32-bit one',
    applies: (one) =>
      uses(one, '$bit') &&
      sameButForLongs(one.after[0], one.after[1]) &&
      sameButForLongs(one.embedded.answer, one.other.answer),
  },
  {
    name: '$mod of negative and large numbers',
    page: 'reference/operator/query/mod',
    explanation:
      'the remainder has the sign of the dividend, as numbers are cut towards zero, and 64-bit integers are exact; SecantusDB divides as Python does, and large ones as doubles',
    applies: (one) =>
      uses(one, '$mod') &&
      (/"\$mod":\[(-|\d(\.\d)?,-)/.test(JSON.stringify(one.step.command)) ||
        /9223372036854775807|9007199254740993/.test(EJSON.stringify(one.before, { relaxed: false }))),
  },
  {
    name: '$elemMatch on arrays in arrays',
    page: 'reference/operator/query/elemMatch',
    explanation: 'an array in an array is a document whose fields are its positions; SecantusDB asks documents only',
    applies: (one) =>
      uses(one, '$elemMatch') &&
      /\[([^[\]]*,)?\[/.test(JSON.stringify(one.before.map((document) => Object.values(document)))),
  },
  {
    name: '\\w and letters beyond ASCII',
    page: 'reference/operator/query/regex',
    explanation: 'without (*UCP) \\w is a letter, digit or underscore of ASCII; SecantusDB takes all letters',
    applies: (one) => [...words(one.step.command)].some((word) => word.includes('\\w')),
  },
  {
    name: 'upserts from paths that meet',
    page: 'reference/method/db.collection.updateOne',
    explanation:
      'no document is made of a filter that demands two values of one path (54), a regular expression demands none; SecantusDB takes the one and refuses the other',
    applies: (one) =>
      fails(one, 54) ||
      (one.other.code === 54 && uses(one, '$all')) ||
      (one.what === 'documents' &&
        /"upserted":\[/.test(one.other.answer) &&
        one.after[1].includes('$regularExpression')),
  },
  {
    name: '$all of arrays',
    page: 'reference/operator/query/all',
    explanation:
      '$all of an array in an array is the field being that array, or having it as an element; SecantusDB looks at the elements only',
    applies: (one) => /"\$all":\[([^\]]*,)?\[/.test(JSON.stringify(one.step.command)),
  },
  {
    name: 'groups of [] and {}',
    page: 'reference/operator/aggregation/group',
    explanation: 'an empty array and an empty document are different values; SecantusDB groups them together',
    applies: (one) => uses(one, '$group') && /\[\]/.test(one.embedded.answer) && /\{\}/.test(one.embedded.answer),
  },
  {
    name: 'index keys of arrays in arrays',
    page: 'core/indexes/index-types/index-multikey',
    explanation:
      'the key of an empty array is undefined, that of an array in an array is this array; SecantusDB has one key for an array and for an array of it',
    applies: (one) =>
      one.embedded.code === undefined && one.other.code === 11000 && /dup key: .*\[/.test(one.other.message),
  },
  {
    name: 'updates of many that fail on the way',
    page: 'reference/method/db.collection.updateMany',
    explanation:
      'what was changed before the failure stays, and the order of the documents is not defined: both are right',
    applies: ({ what, embedded, other, step }) =>
      what === 'documents' &&
      embedded.code !== undefined &&
      other.code !== undefined &&
      step.command.updates?.[0]?.multi === true,
  },
  {
    name: 'constants that fail, without documents',
    page: 'reference/operator/aggregation/slice',
    explanation:
      'an expression of constants that cannot be evaluated fails; the embedded store says so with the first document',
    applies: ({ embedded, other }) =>
      embedded.code === undefined &&
      other.code !== undefined &&
      (embedded.answer === '' || NOTHING.test(embedded.answer)) &&
      /only supports|can't convert|cannot|must|Failed to optimize|argument|requires|represent/i.test(other.message),
  },
  {
    name: 'the type of what is missing',
    page: 'reference/operator/aggregation/type',
    explanation: 'what is missing is of the type missing; SecantusDB calls it null or an object',
    applies: (one) => uses(one, '$type') && (one.embedded.answer + one.after[0]).includes('"missing"'),
  },
  {
    name: 'missing variables in an array',
    page: 'core/field-paths',
    explanation: 'in an array a missing value becomes null; SecantusDB keeps a value of its own for it',
    applies: (one) => /\["\$\$x"\]/.test(JSON.stringify(one.step.command)),
  },
  {
    name: 'regular expressions in a partial index',
    page: 'core/index-partial',
    explanation: 'the expression of a partial index has no regular expression; SecantusDB takes it',
    applies: (one) => fails(one, 67, /Expression not supported in partial index/),
  },
  {
    name: 'sums of large integers and doubles',
    page: 'reference/operator/aggregation/sum',
    explanation: '64-bit integers are added exactly; SecantusDB makes doubles of them first',
    applies: (one) =>
      uses(one, '$sum', '$avg', '$add', '$subtract', '$multiply') &&
      /9007199254740993|9223372036854775807/.test(EJSON.stringify(one.before, { relaxed: false })) &&
      withoutDoubles(one.embedded.answer) === withoutDoubles(one.other.answer),
  },
  {
    name: '$all of null',
    page: 'reference/operator/query/all',
    explanation:
      '$all of one value is the equality to it, and what is missing is equal to null; SecantusDB finds it not',
    applies: (one) => /"\$all":\[[^\]]*null/.test(JSON.stringify(one.step.command)),
  },
  {
    name: '$not in $pull',
    page: 'reference/operator/update/pull',
    explanation:
      '$not is no operator on values at the head of a condition; SecantusDB looks at the condition only where there is an array',
    applies: (one) => fails(one, 2, /unknown top level operator: \$not/) && uses(one, '$pull'),
  },
  {
    name: 'the time',
    page: 'reference/operator/update/currentDate',
    explanation: 'the time that a document gets depends on when it is changed: both are right',
    applies: (one) => !one.step.writes && one.other.answer.includes('"now"'),
  },
  {
    name: 'NaN in place of NaN',
    page: 'reference/operator/update/inc',
    explanation: 'the document stays as it was; whether that counts as modified is not said, SecantusDB counts it',
    applies: ({ step, embedded, other, after, before }) =>
      step.writes &&
      after[0] === after[1] &&
      EJSON.stringify(before, { relaxed: false }).includes('NaN') &&
      embedded.answer.replace(/"nModified":\{[^}]*\}/, '') === other.answer.replace(/"nModified":\{[^}]*\}/, ''),
  },
  {
    name: 'defects of SecantusDB',
    page: 'reference/error-codes',
    explanation: 'it answers with an internal error (1)',
    applies: (one) => one.other.code === 1 && /internal server error/.test(one.other.message),
  },
];
