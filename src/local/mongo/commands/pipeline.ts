import { elements, fields, type RawValue, Type } from '../bson/raw-value.js';
import { integerOf } from '../bson/values.js';
import { arrayOf, documentOf } from '../bson/writer.js';
import { failedToParse, typeMismatch } from '../errors.js';
import { located } from '../query/expression/operator.js';
import type { Scope } from '../query/expression.js';
import { compileFilter } from '../query/filter.js';
import { parseSort } from '../query/sort.js';
import { EMPTY_DOCUMENT, type Store } from './context.js';
import type { Query, Source } from './query.js';
import type { TimeLimit } from './time-limit.js';

/** One stage of a pipeline, not yet compiled. */
export interface Stage {
  readonly name: string;
  readonly operand: RawValue;
}

/** What stages work with beside the documents. */
export interface Site {
  readonly store: Store;
  readonly database: string;
  readonly time: TimeLimit;
}

/** A compiled stage: makes a source of the one before it. May be used several times. */
export type Flow = (source: Source) => Source;

/** The stages of a pipeline. Throws on shapes that are none, and by name on change streams. */
export function stagesOf(pipeline: RawValue | undefined): Stage[] {
  if (pipeline?.type !== Type.array) throw failedToParse("'pipeline' option must be specified as an array");
  return elements(pipeline).map((one) => {
    if (one.type !== Type.object) throw typeMismatch("Each element of the 'pipeline' array must be an object");
    const list = fields(one);
    const [only] = list;
    if (only === undefined || list.length !== 1)
      throw located(40323, 'A pipeline stage specification object must contain exactly one field.');
    const [name, operand] = only;
    if (name === '$changeStream') {
      throw located(
        40573,
        'The $changeStream stage is only supported on replica sets: the embedded store has no change streams',
      );
    }
    return { name, operand };
  });
}

/** A whole number of at least `least` that a $skip or a $limit is given. Throws 5107200 or 5107201 on a negative one, 15958 on a limit of 0, TypeMismatch naming the stage. */
export function countOf({ name, operand }: Stage, least: number): number {
  const number = integerOf(operand, name);
  if (number < 0)
    throw located(
      name === '$skip' ? 5107200 : 5107201,
      `invalid argument to ${name} stage: Expected a non-negative number in: ${number}`,
    );
  if (number < least) throw located(15958, 'the limit must be positive');
  return number;
}

/** What a query can do of a pipeline from the front: $match, then $sort, then $skip and $limit. `also`: what the documents must fulfil beside. Throws as the
 * parts' parsers do. */
export function pipelineQuery(
  stages: readonly Stage[],
  scope: Scope,
  also: RawValue = EMPTY_DOCUMENT,
): { readonly query: Query; readonly rest: readonly Stage[] } {
  let at = 0;
  const take = (name: string): Stage | undefined => (stages[at]?.name === name ? stages[at++] : undefined);
  const match = take('$match');
  if (match !== undefined && match.operand.type !== Type.object)
    throw located(15959, 'the match filter must be an expression in an object');
  const sort = take('$sort');
  if (sort !== undefined && sort.operand.type !== Type.object)
    throw located(15973, 'the $sort key specification must be an object');
  const parts = parseSort(sort?.operand);
  if (sort !== undefined && parts.length === 0) throw located(15976, '$sort stage must have at least one sort key');
  const skip = take('$skip');
  const limit = take('$limit');
  const filters = [also, match?.operand].filter((one) => one !== undefined && one !== EMPTY_DOCUMENT) as RawValue[];
  const [first = EMPTY_DOCUMENT, second] = filters;
  const filter = second === undefined ? first : documentOf([['$and', arrayOf(filters)]]);
  return {
    query: {
      filter: compileFilter(filter, scope),
      sort: parts,
      skip: skip === undefined ? 0 : countOf(skip, 0),
      limit: limit === undefined ? 0 : countOf(limit, 1),
    },
    rest: stages.slice(at),
  };
}
