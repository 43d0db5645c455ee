import { isNumber } from '../bson/numbers.js';
import { fields, type RawValue, Type } from '../bson/raw-value.js';
import { flagOf } from '../bson/values.js';
import { fieldNames } from './expression/field-path.js';
import { located } from './expression/operator.js';
import { compileExpression, type Expression, type Scope } from './expression.js';
import { applyProjection, childOf, type ProjectionNode, projectionNode, setExpression } from './projection-tree.js';

/** Makes the projected document of another one. Throws what its expressions throw. */
export type Projection = (document: RawValue) => RawValue;

/** What a projection says of one path: it stays, goes or is computed. */
export interface ProjectionRule {
  readonly path: string;
  readonly names: readonly string[];
  readonly rule: boolean | Expression;
}

/** Reads one path in its own way, or leaves it to the ordinary one. */
export type Special = (path: string, value: RawValue) => readonly ProjectionRule[] | undefined;

/** Remembers paths. Throws 31249 or 31250 when one lies on the way of another. */
export function pathCollisions(): (names: readonly string[]) => void {
  const leaves = new Set<string>();
  const ways = new Set<string>();
  return (names) => {
    const path = names.join('.');
    if (leaves.has(path) || ways.has(path)) throw located(31250, `Path collision at ${path}`);
    for (let i = 1; i < names.length; i++) {
      const way = names.slice(0, i).join('.');
      if (leaves.has(way))
        throw located(31249, `Path collision at ${path} remaining portion ${names.slice(i).join('.')}`);
      ways.add(way);
    }
    leaves.add(path);
  };
}

/** Reads a projection into rules. Throws 51270 on an empty document, 31249 or 31250 on collisions, and as `compileExpression`. */
export function projectionRules(
  source: RawValue,
  scope: Scope,
  special: Special = () => undefined,
  prefix = '',
): ProjectionRule[] {
  return fields(source).flatMap(([name, value]): readonly ProjectionRule[] => {
    const path = `${prefix}${name}`;
    const own = special(path, value);
    if (own !== undefined) return own;
    const computed = (): ProjectionRule[] => [{ path, names: fieldNames(path), rule: compileExpression(value, scope) }];
    if (value.type === Type.object) {
      const [first] = fields(value);
      if (first === undefined)
        throw located(51270, 'An empty sub-projection is not a valid value. Found empty object at path');
      if (!first[0].startsWith('$')) return projectionRules(value, scope, special, `${path}.`);
      return computed();
    }
    if (!isNumber(value.type) && value.type !== Type.bool) return computed();
    return [{ path, names: fieldNames(path), rule: flagOf(value, path) }];
  });
}

/** How a list of rules treats what it does not name, and the tree of them. Throws 31252, 31253 or 31254 when inclusion and exclusion are mixed. */
export function projectionOf(rules: readonly ProjectionRule[]): {
  readonly node: ProjectionNode;
  readonly inclusion: boolean;
} {
  const id = rules.find(({ path }) => path === '_id')?.rule;
  const others = rules.filter(({ path, rule }) => path !== '_id' || typeof rule !== 'boolean');
  const decider = others.find(({ rule }) => typeof rule === 'boolean') ?? others[0];
  const inclusion = decider === undefined ? id === true : decider.rule !== false;
  const node = projectionNode();
  const collide = pathCollisions();
  for (const { path, names, rule } of others) {
    collide(names);
    if (typeof rule !== 'boolean') {
      if (!inclusion) throw located(31252, `Cannot use an expression in an exclusion projection: ${path}`);
      setExpression(node, names, rule);
      continue;
    }
    if (rule !== inclusion) {
      throw rule
        ? located(31253, `Cannot do inclusion on field ${path} in exclusion projection`)
        : located(31254, `Cannot do exclusion on field ${path} in inclusion projection`);
    }
    let at = node;
    for (const name of names.slice(0, -1)) at = childOf(at, name);
    at.listed.add(names.at(-1) as string);
  }
  const ownId = node.children.has('_id') || node.expressions.has('_id');
  if (typeof id === 'boolean' ? id === inclusion : inclusion && !ownId) {
    collide(['_id']);
    node.listed.add('_id');
  }
  return { node, inclusion };
}

/** Compiles the operand of $project. Throws 51272 when it is empty, and as `projectionRules` and `projectionOf`. */
export function compileProject(source: RawValue, scope: Scope): Projection {
  if (source.type !== Type.object) throw located(15969, '$project specification must be an object');
  const rules = projectionRules(source, scope);
  if (rules.length === 0) throw located(51272, 'projection specification must have at least one field');
  const { node, inclusion } = projectionOf(rules);
  return (document) => applyProjection(document, node, inclusion ? 'goes' : 'stays');
}
