import { elements, fields, type RawValue, Type, textOf } from '../bson/raw-value.js';
import { isTruthy } from './expression/operator.js';
import { compileExpression, constantOf, type Scope } from './expression.js';

/** An equality that an $expr demands; its path holds no `$`. */
export interface Demand {
  readonly path: string;
  readonly value: RawValue;
}

function fieldPath(source: RawValue): string | undefined {
  if (source.type !== Type.string) return undefined;
  const text = textOf(source);
  return text.startsWith('$') && !text.startsWith('$$') && text.length > 1 ? text.slice(1) : undefined;
}

// A document whose path leads to exactly this value is among those that the query {path: value} matches. Null would also be what is missing, and an
// array is indexed by its elements: of these nothing is demanded.
const UNDEMANDABLE: ReadonlySet<number> = new Set([Type.null, Type.undefined, Type.array, Type.regex]);

/** The equalities of a path with a constant that an expression demands by itself or in its $and: what an index may be asked for before the expression
 * decides. Never throws. */
function demandsOf(source: RawValue, scope: Scope): Demand[] {
  if (source.type !== Type.object) return [];
  const [only, ...rest] = fields(source);
  if (only === undefined || rest.length > 0 || only[1].type !== Type.array) return [];
  const [name, operand] = only;
  const list = elements(operand);
  if (name === '$and') return list.flatMap((one) => demandsOf(one, scope));
  if (name !== '$eq' || list.length !== 2) return [];
  const [left, right] = list as [RawValue, RawValue];
  const path = fieldPath(left) ?? fieldPath(right);
  const value = constantOf(fieldPath(left) === undefined ? left : right, scope);
  if (path === undefined || value === undefined || UNDEMANDABLE.has(value.type)) return [];
  return [{ path, value }];
}

/** Compiles the operand of $expr: a test of documents, and the equalities that it demands. Throws as compileExpression. */
export function compileExpressionFilter(
  source: RawValue,
  scope: Scope,
): { readonly matches: (document: RawValue) => boolean; readonly demands: readonly Demand[] } {
  const expression = compileExpression(source, scope);
  return { matches: (document) => isTruthy(expression(document)), demands: demandsOf(source, scope) };
}
