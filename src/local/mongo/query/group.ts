import { fields, type RawValue, Type } from '../bson/raw-value.js';
import { NULL } from '../bson/values.js';
import { documentOf } from '../bson/writer.js';
import { StoreError } from '../errors.js';
import { type Accumulator, compileAccumulator, type MakeAccumulator, valueKey } from './accumulators.js';
import { located } from './expression/operator.js';
import { compileExpression, type Expression, type Scope } from './expression.js';

/** A $group stage under way. `add` and `results` throw what its expressions throw, and 292 when it takes too much memory. */
export interface Group {
  add(document: RawValue): void;
  results(): RawValue[];
}

/** A compiled $group: each use begins an empty one. */
export type OpenGroup = () => Group;

const MAX_GROUPS = 500_000; // a bound of memory beside MongoDB's 100 MB, which is that of what the accumulators keep
const MAX_KEPT_BYTES = 100 * 1024 * 1024;

function tooLarge(what: string): StoreError {
  return new StoreError(292, 'QueryExceededMemoryLimitNoDiskUseAllowed', `Exceeded memory limit for $group: ${what}`);
}

/** A group by any expression with these accumulators. Never throws. */
export function grouping(idOf: Expression, makers: readonly (readonly [string, MakeAccumulator])[]): OpenGroup {
  return () => {
    const groups = new Map<string, { id: RawValue; accumulators: Accumulator[] }>();
    let bytes = 0;
    const charge = (more: number): void => {
      bytes += more;
      if (bytes > MAX_KEPT_BYTES) throw tooLarge('it keeps more than 100 MB');
    };
    return {
      add(document) {
        const value = idOf(document) ?? NULL;
        const key = valueKey(value);
        let group = groups.get(key);
        if (group === undefined) {
          if (groups.size >= MAX_GROUPS) throw tooLarge(`there are more than ${MAX_GROUPS} groups`);
          group = { id: value, accumulators: makers.map(([, make]) => make(charge)) };
          groups.set(key, group);
        }
        for (const accumulator of group.accumulators) accumulator.add(document);
      },
      results: () =>
        [...groups.values()].map(({ id, accumulators }) =>
          documentOf([
            ['_id', id],
            ...accumulators.map((one, i) => [(makers[i] as (typeof makers)[number])[0], one.result()] as const),
          ]),
        ),
    };
  };
}

/** Compiles a $group. Throws 15947 on another operand, 15955 without an _id, NotImplemented by name on expressions and accumulators that are refused. */
export function compileGroup(source: RawValue, scope: Scope): OpenGroup {
  if (source.type !== Type.object) throw located(15947, "a group's fields must be specified in an object");
  let id: Expression | undefined;
  const makers: [string, MakeAccumulator][] = [];
  for (const [name, value] of fields(source)) {
    if (name === '_id') id = compileExpression(value, scope);
    else makers.push([name, compileAccumulator(name, value, scope)]);
  }
  if (id === undefined) throw located(15955, 'a group specification must include an _id');
  return grouping(id, makers);
}
