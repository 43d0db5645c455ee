import { isNumber } from '../bson/numbers.js';
import { eachElement, eachField, field, fields, type RawValue, rawDocument, Type } from '../bson/raw-value.js';
import { flagOf } from '../bson/values.js';
import { type BsonWriter, bsonWriter } from '../bson/writer.js';
import { notImplemented, StoreError } from '../errors.js';

/** Makes the projected document of a stored one. */
export type Projection = (document: RawValue) => RawValue;

type Tree = Map<string, Tree | true>;

function addPath(tree: Tree, path: string): void {
  const names = path.split('.');
  let node = tree;
  names.forEach((name, i) => {
    const known = node.get(name);
    if (i === names.length - 1) {
      if (known !== undefined && known !== true)
        throw new StoreError(31249, 'Location31249', `Path collision at ${path}`);
      node.set(name, true);
    } else if (known === true) throw new StoreError(31250, 'Location31250', `Path collision at ${path}`);
    else {
      const next: Tree = known ?? new Map();
      node.set(name, next);
      node = next;
    }
  });
}

function writeIncluded(writer: BsonWriter, document: RawValue, tree: Tree): void {
  eachField(document, (name, value) => {
    const rule = tree.get(name);
    if (rule === undefined) return false;
    if (rule === true) writer.value(name, value);
    else writeNested(writer, name, value, rule, writeIncluded, false);
    return false;
  });
}

function writeExcluded(writer: BsonWriter, document: RawValue, tree: Tree): void {
  eachField(document, (name, value) => {
    const rule = tree.get(name);
    if (rule === undefined) writer.value(name, value);
    else if (rule !== true) writeNested(writer, name, value, rule, writeExcluded, true);
    return false;
  });
}

type WriteFields = (writer: BsonWriter, document: RawValue, tree: Tree) => void;

/** Descends into documents, and through arrays into the documents in them; other values stay (exclusion) or go (inclusion). */
function writeNested(
  writer: BsonWriter,
  name: string,
  value: RawValue,
  tree: Tree,
  write: WriteFields,
  keep: boolean,
): void {
  if (value.type === Type.object) {
    writer.begin(name, Type.object);
    write(writer, value, tree);
    writer.end();
  } else if (value.type === Type.array) {
    writer.begin(name, Type.array);
    let index = 0;
    eachElement(value, (element) => {
      const container = element.type === Type.object || element.type === Type.array;
      if (container) writeNested(writer, String(index++), element, tree, write, keep);
      else if (keep) writer.value(String(index++), element);
      return false;
    });
    writer.end();
  } else if (keep) writer.value(name, value);
}

function flatten(source: RawValue, prefix: string, into: [string, boolean][]): void {
  for (const [name, value] of fields(source)) {
    const path = `${prefix}${name}`;
    if (name.startsWith('$')) throw notImplemented(`the projection operator ${name}`);
    if (path.endsWith('.$') || path.includes('.$.')) throw notImplemented('the positional $ in a projection');
    if (value.type === Type.object && field(value, '') === undefined) {
      if (fields(value).length === 0)
        throw new StoreError(51270, 'Location51270', 'An empty sub-projection is not a valid value');
      flatten(value, `${path}.`, into);
    } else if (isNumber(value.type) || value.type === Type.bool) into.push([path, flagOf(value, path)]);
    else throw notImplemented(`an expression for '${path}' in a projection`);
  }
}

/** Compiles a projection of fields that are included or left out, nested by dots or documents; undefined when it changes nothing.
 * Throws NotImplemented on operators and expressions, 31253 or 31254 when both kinds are mixed. */
export function compileProjection(source: RawValue | undefined): Projection | undefined {
  if (source === undefined || source.type === Type.null) return undefined;
  const list: [string, boolean][] = [];
  flatten(source, '', list);
  if (list.length === 0) return undefined;
  const idRule = list.find(([path]) => path === '_id')?.[1];
  const others = list.filter(([path]) => path !== '_id');
  const inclusion = others.length > 0 ? others[0]?.[1] === true : idRule === true;
  for (const [path, included] of others) {
    if (included !== inclusion) {
      const [code, text] = included ? [31253, 'inclusion on field'] : [31254, 'exclusion on field'];
      throw new StoreError(
        code,
        `Location${code}`,
        `Cannot do ${text} ${path} in ${included ? 'exclusion' : 'inclusion'} projection`,
      );
    }
  }
  const tree: Tree = new Map();
  for (const [path] of others) addPath(tree, path);
  if (inclusion ? idRule !== false : idRule === false) tree.set('_id', true);
  const write = inclusion ? writeIncluded : writeExcluded;
  return (document) => {
    const writer = bsonWriter(inclusion ? 256 : document.end - document.start + 16);
    write(writer, document, tree);
    return rawDocument(writer.finish());
  };
}
