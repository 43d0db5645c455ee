import { eachElement, fields, findField, type RawValue, Type, textOf } from '../bson/raw-value.js';
import { arrayOf, documentOf } from '../bson/writer.js';
import { badValue, notImplemented } from '../errors.js';
import { type Path, pathOf } from './path.js';

/** A compiled aggregation expression; undefined is a missing value. */
export type Expression = (document: RawValue) => RawValue | undefined;

function follow(value: RawValue, path: Path, depth: number): RawValue | undefined {
  const next = findField(value, path.parts[depth] as Buffer);
  if (next === undefined || depth === path.parts.length - 1) return next;
  if (next.type === Type.object) return follow(next, path, depth + 1);
  if (next.type !== Type.array) return undefined;
  const found: RawValue[] = [];
  eachElement(next, (element) => {
    const deeper = element.type === Type.object ? follow(element, path, depth + 1) : undefined;
    if (deeper !== undefined) found.push(deeper);
    return false;
  });
  return arrayOf(found);
}

/** Compiles field paths (`$a.b`), `$$ROOT`, literals, `$literal` and documents of these. Throws NotImplemented naming any other operator. */
export function compileExpression(source: RawValue): Expression {
  if (source.type === Type.string) {
    const text = textOf(source);
    if (text === '$$ROOT' || text === '$$CURRENT') return (document) => document;
    if (text.startsWith('$$')) throw notImplemented(`the variable ${text}`);
    if (!text.startsWith('$')) return () => source;
    if (text.length === 1) throw badValue("'$' by itself is not a valid FieldPath");
    const path = pathOf(text.slice(1));
    return (document) => follow(document, path, 0);
  }
  if (source.type === Type.array) throw notImplemented('arrays in an expression');
  if (source.type !== Type.object) return () => source;
  const list = fields(source);
  const [first] = list;
  if (first?.[0] === '$literal' && list.length === 1) return () => first[1];
  if (first?.[0].startsWith('$')) throw notImplemented(`the expression operator ${first[0]}`);
  const parts = list.map(([name, value]) => [name, compileExpression(value)] as const);
  return (document) => {
    const out: [string, RawValue][] = [];
    for (const [name, expression] of parts) {
      const value = expression(document);
      if (value !== undefined) out.push([name, value]);
    }
    return documentOf(out);
  };
}
