import { field, fields, type RawValue, Type, textOf } from '../../bson/raw-value.js';
import { NULL, string } from '../../bson/values.js';
import { documentOf } from '../../bson/writer.js';
import { typeName } from '../type-names.js';
import {
  argumentsOf,
  type Compiler,
  type Expression,
  isNullish,
  located,
  namedArguments,
  type Operator,
  type Operators,
} from './operator.js';

const ROOT = string('$$ROOT');

/** Puts the fields of a document over those that were there: a known field keeps its place. Throws 40400 on what is no document; null and missing change nothing. */
export function mergeInto(fieldsSoFar: Map<string, RawValue>, value: RawValue | undefined): void {
  if (isNullish(value)) return;
  if (value.type !== Type.object)
    throw located(40400, `$mergeObjects requires object inputs, but input is of type ${typeName(value)}`);
  for (const [name, one] of fields(value)) fieldsSoFar.set(name, one);
}

const mergeObjects: Operator = (operand, compiler, name) => {
  const parts = argumentsOf(operand, compiler, name, 0, Number.POSITIVE_INFINITY);
  return (document) => {
    const out = new Map<string, RawValue>();
    for (const part of parts) mergeInto(out, part(document));
    return documentOf([...out]);
  };
};

/** The name that $getField and its like are given, where it is written as a text (a text with a dollar only in $literal). */
function fixedName(source: RawValue, name: string, code: number): string {
  const only = source.type === Type.object ? fields(source) : [];
  const literal = only.length === 1 && only[0]?.[0] === '$literal' ? only[0][1] : source;
  if (literal.type !== Type.string)
    throw located(code, `${name} requires 'field' to evaluate to a constant String, but got ${typeName(literal)}`);
  const text = textOf(literal);
  if (literal === source && text.startsWith('$'))
    throw located(5654600, `A field path reference which is not a constant is not allowed in ${name}: ${text}`);
  return text;
}

const getField: Operator = (operand, compiler, name) => {
  let nameSource = operand;
  let input: Expression = compiler.compile(ROOT);
  if (operand.type === Type.object && !fields(operand)[0]?.[0].startsWith('$')) {
    const given = namedArguments(operand, name, { required: ['field', 'input'], unknown: 3041701, missing: 3041702 });
    nameSource = given.get('field') as RawValue;
    input = compiler.compile(given.get('input') as RawValue);
  }
  const key = compiler.compile(nameSource);
  return (document) => {
    const wanted = key(document);
    if (wanted?.type !== Type.string)
      throw located(3041704, `$getField requires 'field' to evaluate to type String, but got ${typeName(wanted)}`);
    const value = input(document);
    if (value?.type === Type.object) return field(value, textOf(wanted));
    return isNullish(value) && value !== undefined ? NULL : undefined;
  };
};

function changed(
  given: ReadonlyMap<string, RawValue>,
  name: string,
  compiler: Compiler,
  value: Expression,
): Expression {
  const key = fixedName(given.get('field') as RawValue, name, 4161107);
  const input = compiler.compile(given.get('input') as RawValue);
  return (document) => {
    const target = input(document);
    if (isNullish(target)) return NULL;
    if (target.type !== Type.object)
      throw located(4161105, `${name} requires 'input' to evaluate to type Object, but got ${typeName(target)}`);
    const out = new Map<string, RawValue>(fields(target));
    const next = value(document);
    if (next === undefined) out.delete(key);
    else out.set(key, next);
    return documentOf([...out]);
  };
}

const setField: Operator = (operand, compiler, name) => {
  const given = namedArguments(operand, name, {
    required: ['field', 'input', 'value'],
    noDocument: 4161100,
    unknown: 4161101,
    missing: 4161102,
  });
  return changed(given, name, compiler, compiler.compile(given.get('value') as RawValue));
};

const unsetField: Operator = (operand, compiler, name) => {
  const given = namedArguments(operand, name, {
    required: ['field', 'input'],
    noDocument: 4161100,
    unknown: 4161101,
    missing: 4161109,
  });
  return changed(given, name, compiler, () => undefined);
};

/** Operators on documents. */
export const OBJECTS: Operators = {
  $mergeObjects: mergeObjects,
  $getField: getField,
  $setField: setField,
  $unsetField: unsetField,
};
