import { fields, findField, type RawValue, rawDocument, Type } from '../bson/raw-value.js';
import { scratch } from '../bson/scratch.js';
import { identical } from '../bson/writer.js';
import { failedToParse, StoreError } from '../errors.js';
import { type Scope, withConstants } from '../query/expression.js';
import type { Trail } from '../query/path.js';
import { typeName } from '../query/type-names.js';
import { checkIdentifiers, compileArrayFilters, concretePaths } from './array-filters.js';
import type { Update } from './change.js';
import { checkOperator, type Step, stepsOf } from './field-operators.js';
import { checkConflicts, comparePaths, isPositional } from './paths.js';
import { pipeline } from './pipeline.js';
import { replacement } from './replacement.js';
import { checkLimits, immutableId } from './storable.js';
import { closeNode, openNode } from './tree.js';

const ID = Buffer.from('_id');

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
