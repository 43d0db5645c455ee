import { compareValues } from '../bson/compare.js';
import { elements, fields, findField, type RawValue, rawDocument, Type } from '../bson/raw-value.js';
import { scratch } from '../bson/scratch.js';
import { bsonWriter, identical } from '../bson/writer.js';
import { failedToParse, StoreError, typeMismatch } from '../errors.js';
import { type Scope, withConstants } from '../query/expression.js';
import type { Trail } from '../query/path.js';
import { compileReshape, type Reshape } from '../query/reshape.js';
import { typeName } from '../query/type-names.js';
import { checkIdentifiers, compileArrayFilters, concretePaths } from './array-filters.js';
import { checkOperator, type Moment, type Step, stepsOf } from './field-operators.js';
import { checkConflicts, comparePaths, isPositional } from './paths.js';
import { checkLimits, withTimestamps } from './storable.js';
import { closeNode, openNode } from './tree.js';

/** A compiled update. */
export interface Update {
  /** The document after it; the same object when nothing changes. `trail`: how the query matched, for `usesMatch`. The new one lies in scratch bytes.
   * Throws 2, 9, 14, 15, 28, 34, 40, 66 or 17419, as the operators do. */
  apply(document: RawValue, moment: Moment, trail?: Trail): RawValue;
  /** Whether it is a replacement. */
  readonly replaces: boolean;
  /** Whether it has a positional `$`. */
  readonly usesMatch: boolean;
  /** The top-level fields it can change; undefined: any. */
  readonly touched: ReadonlySet<string> | undefined;
}

const ID = Buffer.from('_id');

function immutableId(): StoreError {
  return new StoreError(
    66,
    'ImmutableField',
    "Performing an update on the path '_id' would modify the immutable field '_id'",
  );
}

/** Names beginning with a dollar are no fields. Throws 52 naming the first. */
function checkNames(document: RawValue): void {
  for (const [name] of fields(document)) {
    if (name.startsWith('$')) {
      throw new StoreError(
        52,
        'DollarPrefixedFieldName',
        `The dollar ($) prefixed field '${name}' is not allowed in the context of an update's replacement document. Consider using an aggregation pipeline with $replaceWith.`,
      );
    }
  }
}

/** The document that takes the place of another: with the `_id` of that one, first; the other one itself when nothing changes. Throws ImmutableField (66) on another `_id`, and as
 * checkLimits. */
export function replaced(document: RawValue, source: RawValue, { inserting }: Moment): RawValue {
  if (source === document) return document;
  const id = findField(document, ID);
  const ownId = findField(source, ID);
  if (id === undefined) return source;
  if (ownId !== undefined && compareValues(ownId, id) !== 0) throw immutableId();
  const writer = bsonWriter(source.end - source.start + 32, scratch);
  writer.value('_id', ownId ?? id);
  for (const [name, value] of fields(source)) if (name !== '_id') writer.value(name, value);
  const result = rawDocument(writer.finish());
  checkLimits(result, inserting ? 'upsert' : 'update');
  return identical(result, document) ? document : result;
}

function replacement(source: RawValue): Update {
  checkNames(source);
  return {
    replaces: true,
    usesMatch: false,
    touched: undefined,
    apply: (document, moment) => replaced(document, withTimestamps(source, moment.now), moment),
  };
}

function operatorSteps(operators: readonly (readonly [string, RawValue])[]): Step[] {
  return operators.flatMap(([operator, operands]) => {
    checkOperator(operator);
    if (operands.type !== Type.object) {
      throw failedToParse(
        `Modifiers operate on fields but we found type ${typeName(operands)} instead, for ${operator}: {$mod: {<field>: ...}}`,
      );
    }
    return fields(operands).flatMap(([path, operand]) => stepsOf(operator, path, operand));
  });
}

function inOrder(steps: Step[]): Step[] {
  checkConflicts(steps);
  // Since 5.0 MongoDB takes the fields of an update in the order of their names.
  return steps.sort((a, b) => comparePaths(a.names, b.names));
}

function modification(
  source: RawValue,
  operators: readonly (readonly [string, RawValue])[],
  arrayFilters: RawValue | undefined,
): Update {
  const filters = compileArrayFilters(arrayFilters);
  const steps = inOrder(operatorSteps(operators));
  const positional = steps.some(({ names }) => isPositional(names));
  if (positional || filters.size > 0) checkIdentifiers(steps, filters);
  const touched = new Set(steps.map(({ names }) => names[0] as string));
  const touchesId = touched.has('_id');

  function stepsFor(document: RawValue, trail: Trail | undefined): Step[] {
    const concrete = steps.flatMap(({ names, change }) =>
      isPositional(names)
        ? concretePaths(document, names, filters, trail).map((path) => ({ names: path, change }))
        : [{ names, change }],
    );
    // What one path stands for is in order and apart.
    return steps.length === 1 ? concrete : inOrder(concrete);
  }

  return {
    replaces: false,
    usesMatch: positional && steps.some(({ names }) => names.includes('$')),
    touched,
    apply(document, moment, trail) {
      const root = openNode(document);
      // What positional parts stand for can be asked of the document before any change, for no path leads through another.
      for (const { names, change } of positional ? stepsFor(document, trail) : steps) change(root, names, moment);
      const result = rawDocument(
        closeNode(root, document.end - document.start + (source.end - source.start) + 64, scratch),
      );
      if (identical(result, document)) return document;
      if (touchesId) {
        const before = findField(document, ID);
        const after = findField(result, ID);
        if (before !== undefined && (after === undefined || !identical(before, after))) throw immutableId();
      }
      checkLimits(result, moment.inserting ? 'upsert' : 'update');
      return result;
    },
  };
}

// MongoDB's other stages: they are known, but no part of an update.
const OTHER_STAGES = new Set(
  (
    '$bucket $bucketAuto $changeStream $changeStreamSplitLargeEvent $collStats $count $currentOp $densify $documents $facet $fill $geoNear $graphLookup ' +
    '$group $indexStats $limit $listLocalSessions $listSampledQueries $listSearchIndexes $listSessions $lookup $match $merge $out $planCacheStats $querySettings ' +
    '$redact $sample $search $searchMeta $setWindowFields $shardedDataDistribution $skip $sort $sortByCount $unionWith $unwind $vectorSearch'
  ).split(' '),
);

function reshapeOf(stage: RawValue, scope: Scope): Reshape {
  const [only, ...others] = stage.type === Type.object ? fields(stage) : [];
  if (stage.type !== Type.object) throw typeMismatch('Each element of the pipeline of an update must be an object');
  if (only === undefined || others.length > 0)
    throw new StoreError(
      40323,
      'Location40323',
      'A pipeline stage specification object must contain exactly one field.',
    );
  const [name, operand] = only;
  const reshape = compileReshape(name, operand, scope);
  if (reshape !== undefined) return reshape;
  if (OTHER_STAGES.has(name))
    throw new StoreError(72, 'InvalidOptions', `${name} is not allowed to be used within an update`);
  throw new StoreError(40324, 'Location40324', `Unrecognized pipeline stage name: '${name}'`);
}

function pipeline(source: RawValue, scope: Scope): Update {
  const stages = elements(source).map((stage) => reshapeOf(stage, scope));
  return {
    replaces: false,
    usesMatch: false,
    touched: undefined,
    apply: (document, moment) =>
      replaced(
        document,
        stages.reduce((value, stage) => stage(value), document),
        moment,
      ),
  };
}

/** What an update may come with. */
export interface UpdateOptions {
  readonly arrayFilters?: RawValue | undefined;
  /** The constants of this update alone: more variables for its pipeline. */
  readonly constants?: RawValue | undefined;
}

/** Compiles an update: a document of operators, a replacement, or a pipeline of stages that reshape a document, in which `scope` is seen. Throws FailedToParse (9) on an unknown
 * operator and on options that do not go with it, 40 on conflicting paths, InvalidOptions (72) on a stage that no update has; and as namesOf, stepsOf, compileArrayFilters,
 * checkIdentifiers and compileReshape. */
export function compileUpdate(source: RawValue, scope: Scope, { arrayFilters, constants }: UpdateOptions = {}): Update {
  if (source.type === Type.array) {
    if (arrayFilters !== undefined && compileArrayFilters(arrayFilters).size > 0)
      throw failedToParse('arrayFilters may not be specified for pipeline-style updates');
    return pipeline(source, withConstants(scope, constants));
  }
  if (source.type !== Type.object) throw failedToParse('Update argument must be either an object or an array');
  if (constants !== undefined)
    throw new StoreError(51198, 'Location51198', 'Constant values may only be specified for pipeline updates');
  const operators = fields(source);
  if (operators[0]?.[0].startsWith('$') === true) return modification(source, operators, arrayFilters);
  checkIdentifiers([], compileArrayFilters(arrayFilters));
  return replacement(source);
}
