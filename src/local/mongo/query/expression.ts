import { elements, fields, type RawValue, Type, textOf } from '../bson/raw-value.js';
import { NULL } from '../bson/values.js';
import { arrayOf, documentOf } from '../bson/writer.js';
import { notImplemented, StoreError, typeMismatch } from '../errors.js';
import { ARITHMETIC } from './expression/arithmetic.js';
import { ARRAYS } from './expression/arrays.js';
import { CONVERSIONS } from './expression/convert.js';
import { DATES } from './expression/dates.js';
import { checkVariableName, compileFieldPath } from './expression/field-path.js';
import { ITERATION } from './expression/iteration.js';
import { LOGIC } from './expression/logic.js';
import { OBJECTS } from './expression/objects.js';
import {
  type Compiler,
  type Expression,
  located,
  type Operators,
  type Scope,
  type Variable,
} from './expression/operator.js';
import { REGEXES } from './expression/regexes.js';
import { SETS } from './expression/sets.js';
import { STRINGS } from './expression/strings.js';
import { TALLIES } from './expression/tallies.js';

export type { Expression, Scope } from './expression/operator.js';

const OPERATORS: Operators = {
  ...ARITHMETIC,
  ...LOGIC,
  ...ARRAYS,
  ...ITERATION,
  ...SETS,
  ...STRINGS,
  ...REGEXES,
  ...OBJECTS,
  ...CONVERSIONS,
  ...DATES,
  ...TALLIES,
};

// What MongoDB 8.0 knows beside these; any other name is unknown to it, too.
const REFUSED = new Set(
  (
    '$acos $acosh $asin $asinh $atan $atan2 $atanh $binarySize $bitAnd $bitNot $bitOr $bitXor $bottom $bottomN $bsonSize $cos $cosh ' +
    '$covariancePop $covarianceSamp $degreesToRadians $denseRank $derivative $documentNumber $expMovingAvg $function $integral ' +
    '$linearFill $locf $median $meta $percentile $radiansToDegrees $rank $sampleRate $shift $sin $sinh $tan $tanh ' +
    '$toHashedIndexKey $toUUID $top $topN $tsIncrement $tsSecond $accumulator $addToSet $push $count'
  ).split(' '),
);

function compileObject(source: RawValue, compiler: Compiler): Expression {
  const list = fields(source);
  const [first] = list;
  if (first?.[0].startsWith('$')) {
    const [name, operand] = first;
    if (list.length !== 1) {
      throw located(
        15983,
        `An object representing an expression must have exactly one field: ${list.map(([one]) => one)}`,
      );
    }
    const operator = Object.hasOwn(OPERATORS, name) ? OPERATORS[name] : undefined;
    if (operator !== undefined) return operator(operand, compiler, name);
    if (REFUSED.has(name)) throw notImplemented(`the expression operator ${name}`);
    throw new StoreError(168, 'InvalidPipelineOperator', `Unrecognized expression '${name}'`);
  }
  const parts = list.map(([name, value]) => {
    if (name.startsWith('$')) throw located(16410, `FieldPath field names may not start with '$': ${name}`);
    if (name.includes('.')) throw located(16412, `FieldPath field names may not contain '.': ${name}`);
    return [name, compiler.compile(value)] as const;
  });
  return (document) => {
    const out: [string, RawValue][] = [];
    for (const [name, expression] of parts) {
      const value = expression(document);
      if (value !== undefined) out.push([name, value]);
    }
    return documentOf(out);
  };
}

function compilerOf(scope: Scope): Compiler {
  const compiler: Compiler = {
    scope,
    compile(source) {
      if (source.type === Type.string) {
        const text = textOf(source);
        return text.startsWith('$') ? compileFieldPath(text, scope) : () => source;
      }
      if (source.type === Type.object) return compileObject(source, compiler);
      if (source.type !== Type.array) return () => source;
      const parts = elements(source).map((one) => compiler.compile(one));
      // In an array a missing value becomes null.
      return (document) => arrayOf(parts.map((part) => part(document) ?? NULL));
    },
    within(variables) {
      for (const name of variables.keys()) checkVariableName(name);
      return compilerOf({ ...scope, variables: new Map([...scope.variables, ...variables]) });
    },
  };
  return compiler;
}

/** Compiles an aggregation expression: field paths, variables, literals, operators, documents and arrays of these. Throws NotImplemented (238) naming
 * an operator that is refused, 168 on one that MongoDB does not know either, and MongoDB's codes on operands of a wrong shape. */
export function compileExpression(source: RawValue, scope: Scope): Expression {
  return compilerOf(scope).compile(source);
}

/** The value of an expression that is a literal or a constant variable; undefined when it is anything else. Never throws. */
export function constantOf(source: RawValue, scope: Scope): RawValue | undefined {
  if (source.type === Type.string) {
    const text = textOf(source);
    if (!text.startsWith('$')) return source;
    const known = text.startsWith('$$') ? scope.variables.get(text.slice(2)) : undefined;
    return known?.constant === true ? known.value : undefined;
  }
  if (source.type !== Type.object && source.type !== Type.array) return source;
  const list = source.type === Type.object ? fields(source) : [];
  return list.length === 1 && list[0]?.[0] === '$literal' ? list[0][1] : undefined;
}

/** The scope of a command: `let` is its document of constant expressions, `nowMs` its `$$NOW`. Throws TypeMismatch, 9 on a wrong name, 4890500 on what
 * needs a document. */
export function commandScope(given: RawValue | undefined, nowMs: number): Scope {
  const variables = new Map<string, Variable>();
  const scope: Scope = { nowMs, variables };
  if (given === undefined || given.type === Type.null) return scope;
  if (given.type !== Type.object) throw typeMismatch("field 'let' must be an object");
  const refusal = new StoreError(4890500, 'Location4890500', 'Command let Expression does not evaluate to a constant');
  const constants: Scope = { nowMs, variables: new Map(), refusal };
  for (const [name, source] of fields(given)) {
    checkVariableName(name);
    variables.set(name, { value: compileExpression(source, constants)(documentOf([])), constant: true });
  }
  return scope;
}

/** A scope with more variables: the constants of one update of a command. Throws TypeMismatch (14) when they are no document, FailedToParse (9) on a wrong name. */
export function withConstants(scope: Scope, given: RawValue | undefined): Scope {
  if (given === undefined) return scope;
  if (given.type !== Type.object) throw typeMismatch("field 'c' must be an object");
  const variables = new Map(scope.variables);
  for (const [name, value] of fields(given)) {
    checkVariableName(name);
    variables.set(name, { value, constant: true });
  }
  return { ...scope, variables };
}
