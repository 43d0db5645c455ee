import { elements, fields, findField, type RawValue, Type, textOf } from '../bson/raw-value.js';
import { flagOf, int64, NULL } from '../bson/values.js';
import { fieldNames } from './expression/field-path.js';
import { located } from './expression/operator.js';
import { addComputed, projectionNode, setExpression } from './projection-tree.js';

/** Makes the documents of one: one for each element of an array. */
export type Unwind = (document: RawValue) => RawValue[];

interface Options {
  readonly path: string;
  readonly index: string | undefined;
  readonly preserve: boolean;
}

function optionsOf(source: RawValue): Options {
  if (source.type !== Type.object && source.type !== Type.string)
    throw located(15981, 'expected either a string or an object as specification for $unwind stage');
  let path: string | undefined;
  let index: string | undefined;
  let preserve = false;
  if (source.type === Type.string) path = textOf(source);
  else {
    for (const [name, value] of fields(source)) {
      if (name === 'path') {
        if (value.type !== Type.string) throw located(28808, 'expected a string as the path for $unwind stage');
        path = textOf(value);
      } else if (name === 'preserveNullAndEmptyArrays') {
        if (value.type !== Type.bool)
          throw located(28809, 'expected a boolean for the preserveNullAndEmptyArrays option to $unwind stage');
        preserve = flagOf(value, name);
      } else if (name === 'includeArrayIndex') {
        if (value.type !== Type.string || textOf(value) === '')
          throw located(28810, 'expected a non-empty string for the includeArrayIndex option to $unwind stage');
        index = textOf(value);
        if (index.startsWith('$'))
          throw located(28822, `includeArrayIndex option to $unwind stage should not be prefixed with a '$': ${index}`);
      } else throw located(28811, `unrecognized option to $unwind stage: ${name}`);
    }
  }
  if (path === undefined || path === '') throw located(28812, 'no path specified to $unwind stage');
  if (!path.startsWith('$'))
    throw located(28818, `path option to $unwind stage should be prefixed with a '$': ${path}`);
  return { path: path.slice(1), index, preserve };
}

/** Compiles an $unwind. Throws 15981 and 28808 to 28822 on operands of a wrong shape. */
export function compileUnwind(source: RawValue): Unwind {
  const { path, index, preserve } = optionsOf(source);
  const names = fieldNames(path);
  const parts = names.map((name) => Buffer.from(name));
  let element: RawValue | undefined;
  let position: RawValue = NULL;
  const replace = projectionNode();
  setExpression(replace, names, () => element);
  const note = index === undefined ? undefined : projectionNode();
  if (index !== undefined && note !== undefined) setExpression(note, fieldNames(index), () => position);

  /** The value at the path; an array on the way is no way. */
  function find(document: RawValue): RawValue | undefined {
    let value: RawValue | undefined = document;
    for (const part of parts) value = value?.type === Type.object ? findField(value, part) : undefined;
    return value;
  }

  function made(document: RawValue, at: number | undefined): RawValue {
    if (note === undefined) return document;
    position = at === undefined ? NULL : int64(BigInt(at));
    return addComputed(document, note);
  }

  return (document) => {
    const value = find(document);
    if (value === undefined || value.type === Type.null || value.type === Type.undefined)
      return preserve ? [made(document, undefined)] : [];
    if (value.type !== Type.array) return [made(document, undefined)];
    const list = elements(value);
    if (list.length === 0) {
      if (!preserve) return [];
      element = undefined;
      return [made(addComputed(document, replace), undefined)];
    }
    return list.map((one, at) => {
      element = one;
      return made(addComputed(document, replace), at);
    });
  };
}
