import { elements, fields, type RawValue, Type, textOf } from '../bson/raw-value.js';
import { fieldNames } from './expression/field-path.js';
import { located } from './expression/operator.js';
import { compileExpression, type Scope } from './expression.js';
import { compileProject, type Projection, pathCollisions } from './projection.js';
import {
  addComputed,
  applyProjection,
  childOf,
  type ProjectionNode,
  projectionNode,
  setExpression,
} from './projection-tree.js';

/** Makes a new document of one document: what the stages do that know no other document, and the pipelines of updates. */
export type Reshape = Projection;

function collectFields(source: RawValue, prefix: string, seen: string[], node: ProjectionNode, scope: Scope): void {
  for (const [name, value] of fields(source)) {
    if (prefix !== '' && name.includes('.'))
      throw located(40183, `FieldPath field names may not contain '.' in a sub object: ${name}`);
    const path = `${prefix}${name}`;
    const names = fieldNames(path);
    if (value.type === Type.object) {
      const inner = fields(value);
      if (inner.length === 0)
        throw located(40180, `an empty object is not a valid value. Found empty object at path ${path}`);
      if (!inner.some(([one]) => one.startsWith('$'))) {
        collectFields(value, `${path}.`, seen, node, scope);
        continue;
      }
      if (inner.length > 1)
        throw located(
          40181,
          `an expression specification must contain exactly one field, the name of the expression: ${path}`,
        );
    }
    for (const other of seen) {
      if (other === path || other.startsWith(`${path}.`) || path.startsWith(`${other}.`)) {
        throw located(
          40176,
          `specification contains two conflicting paths. Cannot specify both '${path}' and '${other}'`,
        );
      }
    }
    seen.push(path);
    setExpression(node, names, compileExpression(value, scope));
  }
}

function addFields(name: string, operand: RawValue, scope: Scope): Reshape {
  if (operand.type !== Type.object) throw located(40272, `${name} specification stage must be an object`);
  const node = projectionNode();
  const seen: string[] = [];
  collectFields(operand, '', seen, node, scope);
  if (seen.length === 0) throw located(40177, 'invalid specification: it must have at least one field');
  return (document) => addComputed(document, node);
}

function unset(operand: RawValue): Reshape {
  if (operand.type !== Type.string && operand.type !== Type.array)
    throw located(31002, '$unset specification must be a string or an array');
  const list = operand.type === Type.array ? elements(operand) : [operand];
  if (list.length === 0)
    throw located(31119, '$unset specification must be a string or an array with at least one field');
  const node = projectionNode();
  const collide = pathCollisions();
  for (const one of list) {
    if (one.type !== Type.string)
      throw located(31120, '$unset specification must be a string or an array containing only string values');
    const names = fieldNames(textOf(one));
    collide(names);
    let at = node;
    for (const name of names.slice(0, -1)) at = childOf(at, name);
    at.listed.add(names.at(-1) as string);
  }
  return (document) => applyProjection(document, node, 'stays');
}

function replaceRoot(name: string, operand: RawValue, scope: Scope): Reshape {
  let source = operand;
  if (name === '$replaceRoot') {
    if (operand.type !== Type.object)
      throw located(40229, 'expected an object as specification for $replaceRoot stage');
    const list = new Map(fields(operand));
    for (const one of list.keys())
      if (one !== 'newRoot')
        throw located(40230, `unrecognized option to $replaceRoot stage: ${one}, only valid option is 'newRoot'.`);
    const given = list.get('newRoot');
    if (given === undefined) throw located(40231, 'no newRoot specified for the $replaceRoot stage');
    source = given;
  }
  const expression = compileExpression(source, scope);
  return (document) => {
    const value = expression(document);
    if (value?.type !== Type.object) {
      throw located(
        40228,
        `'newRoot' expression must evaluate to an object, but the resulting value was of another type or missing`,
      );
    }
    return value;
  };
}

/** Compiles a stage that makes one document of one document: $addFields, $set, $unset, $project, $replaceRoot, $replaceWith; undefined for any other.
 * Throws MongoDB's codes on operands of a wrong shape, NotImplemented by name on expressions that are refused. */
export function compileReshape(stage: string, operand: RawValue, scope: Scope): Reshape | undefined {
  switch (stage) {
    case '$addFields':
    case '$set':
      return addFields(stage, operand, scope);
    case '$unset':
      return unset(operand);
    case '$project':
      return compileProject(operand, scope);
    case '$replaceRoot':
    case '$replaceWith':
      return replaceRoot(stage, operand, scope);
    default:
      return undefined;
  }
}
