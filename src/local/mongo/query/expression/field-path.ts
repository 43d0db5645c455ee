import { eachElement, findField, type RawValue, Type } from '../../bson/raw-value.js';
import { date } from '../../bson/values.js';
import { arrayOf } from '../../bson/writer.js';
import { failedToParse, notImplemented } from '../../errors.js';
import { type Expression, located, type Scope } from './operator.js';

function intoObject(object: RawValue, parts: readonly Buffer[], depth: number): RawValue | undefined {
  const next = findField(object, parts[depth] as Buffer);
  return next === undefined || depth === parts.length - 1 ? next : follow(next, parts, depth + 1);
}

/** The value at the end of a path from `depth` on; an array on the way gives the array of what lies in its documents. */
function follow(value: RawValue, parts: readonly Buffer[], depth: number): RawValue | undefined {
  if (value.type === Type.object) return intoObject(value, parts, depth);
  if (value.type !== Type.array) return undefined;
  const found: RawValue[] = [];
  eachElement(value, (element) => {
    const deeper = element.type === Type.object ? intoObject(element, parts, depth) : undefined;
    if (deeper !== undefined) found.push(deeper);
    return false;
  });
  return arrayOf(found);
}

/** The names of a dotted path. Throws 40353, 15998 or 16410 on an empty name or one with a dollar. */
export function fieldNames(path: string): string[] {
  if (path.endsWith('.')) throw located(40353, `FieldPath must not end with a '.': ${path}`);
  const names = path.split('.');
  for (const name of names) {
    if (name === '') throw located(15998, 'FieldPath field names may not be empty strings.');
    if (name.startsWith('$')) {
      throw located(
        16410,
        `FieldPath field names may not start with '$'. Consider using $getField or $setField: ${name}`,
      );
    }
    if (name.includes('\0')) throw located(16411, 'FieldPath field names may not contain null bytes.');
  }
  return names;
}

/** Refuses what cannot be the name of a user's variable. Throws FailedToParse (9), and NotImplemented for CURRENT. */
export function checkVariableName(name: string): void {
  if (name === 'CURRENT') throw notImplemented('another value for the variable CURRENT');
  if (name === '') throw failedToParse('empty variable names are not allowed');
  const first = name.codePointAt(0) as number;
  if (!/^[a-z]/.test(name) && first < 0x80)
    throw failedToParse(`'${name}' starts with an invalid character for a user variable name`);
  for (const letter of name) {
    if (/[A-Za-z0-9_]/.test(letter) || (letter.codePointAt(0) as number) >= 0x80) continue;
    throw failedToParse(`'${name}' contains an invalid character for a variable name: '${letter}'`);
  }
}

const UNKNOWN_SYSTEM_VARIABLES = new Set(['CLUSTER_TIME', 'SEARCH_META', 'USER_ROLES', 'JS_SCOPE', 'IS_MR']);

/** What `$$name` stands for. Throws 17276 on an unknown variable, NotImplemented by name on those of the system that are refused. */
function variable(name: string, scope: Scope): Expression {
  switch (name) {
    case 'ROOT':
    case 'CURRENT':
      checkDocument(scope);
      return (document) => document;
    case 'REMOVE':
      return () => undefined;
    case 'NOW': {
      const now = date(scope.nowMs);
      return () => now;
    }
    case 'DESCEND':
    case 'PRUNE':
    case 'KEEP':
      throw notImplemented(`the variable $$${name}`);
  }
  if (UNKNOWN_SYSTEM_VARIABLES.has(name)) throw notImplemented(`the variable $$${name}`);
  const known = scope.variables.get(name);
  if (known === undefined) throw located(17276, `Use of undefined variable: ${name}`);
  return () => known.value;
}

function checkDocument(scope: Scope): void {
  if (scope.refusal !== undefined) throw scope.refusal;
}

/** Compiles a text that begins with a dollar: a path into the document, a variable or a path into one. Throws 16872 on a bare dollar, and as
 * `fieldNames`. */
export function compileFieldPath(text: string, scope: Scope): Expression {
  if (text === '$') throw located(16872, "'$' by itself is not a valid FieldPath");
  if (!text.startsWith('$$')) {
    checkDocument(scope);
    const parts = fieldNames(text.slice(1)).map((name) => Buffer.from(name));
    return (document) => intoObject(document, parts, 0);
  }
  const [name, ...rest] = text.slice(2).split('.') as [string, ...string[]];
  if (name === '') throw failedToParse('empty variable names are not allowed');
  const holder = variable(name, scope);
  if (rest.length === 0) return holder;
  const parts = fieldNames(rest.join('.')).map((one) => Buffer.from(one));
  return (document) => {
    const value = holder(document);
    return value === undefined ? undefined : follow(value, parts, 0);
  };
}
