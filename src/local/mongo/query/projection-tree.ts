import { eachElement, eachField, type RawValue, rawDocument, Type } from '../bson/raw-value.js';
import { type BsonWriter, bsonWriter } from '../bson/writer.js';
import type { Expression } from './expression.js';

/** What is done with one level of a document. */
export interface ProjectionNode {
  /** Fields that stay (an inclusion) or go (an exclusion) as they are. */
  readonly listed: Set<string>;
  readonly children: Map<string, ProjectionNode>;
  readonly expressions: Map<string, Expression>;
  /** Computed fields and children in the order in which they were written. */
  readonly order: string[];
  /** There are expressions here or below. */
  computed: boolean;
}

/** What becomes of a field that a projection does not name. */
export type Unnamed = 'stays' | 'goes';

/** An empty node. Never throws. */
export function projectionNode(): ProjectionNode {
  return { listed: new Set(), children: new Map(), expressions: new Map(), order: [], computed: false };
}

/** The child of that name, made when missing. Never throws. */
export function childOf(node: ProjectionNode, name: string): ProjectionNode {
  let child = node.children.get(name);
  if (child === undefined) {
    child = projectionNode();
    node.children.set(name, child);
    node.order.push(name);
  }
  return child;
}

/** Puts an expression at the end of a path. Never throws: collisions are the parser's to find. */
export function setExpression(root: ProjectionNode, names: readonly string[], expression: Expression): void {
  let node = root;
  node.computed = true;
  for (const name of names.slice(0, -1)) {
    node = childOf(node, name);
    node.computed = true;
  }
  const last = names.at(-1) as string;
  node.expressions.set(last, expression);
  node.order.push(last);
}

function writeListed(writer: BsonWriter, document: RawValue, node: ProjectionNode, unnamed: Unnamed): void {
  eachField(document, (name, value) => {
    if (node.listed.has(name)) {
      if (unnamed === 'goes') writer.value(name, value);
      return false;
    }
    const child = node.children.get(name);
    if (child !== undefined) writeNested(writer, name, value, child, unnamed);
    else if (unnamed === 'stays') writer.value(name, value);
    return false;
  });
}

/** Descends into documents, and through arrays into the documents in them; other values stay or go. */
function writeNested(writer: BsonWriter, name: string, value: RawValue, node: ProjectionNode, unnamed: Unnamed): void {
  if (value.type === Type.object) {
    writer.begin(name, Type.object);
    writeListed(writer, value, node, unnamed);
    writer.end();
  } else if (value.type === Type.array) {
    writer.begin(name, Type.array);
    let index = 0;
    eachElement(value, (element) => {
      const container = element.type === Type.object || element.type === Type.array;
      // An element that goes leaves a place to be filled when fields are computed below.
      if (container) writeNested(writer, String(index++), element, node, unnamed);
      else if (unnamed === 'stays') writer.value(String(index++), element);
      else if (node.computed) writer.document(String(index++), EMPTY);
      return false;
    });
    writer.end();
  } else if (unnamed === 'stays') writer.value(name, value);
  else if (node.computed) writer.document(name, EMPTY);
}

const EMPTY = Buffer.from([5, 0, 0, 0, 0]);

function compute(root: RawValue, document: RawValue | undefined, node: ProjectionNode): RawValue {
  const writer = bsonWriter(document === undefined ? 64 : document.end - document.start + 64);
  const done = new Set<string>();
  const put = (name: string, before: RawValue | undefined): void => {
    const child = node.children.get(name);
    const value =
      child === undefined ? (node.expressions.get(name) as Expression)(root) : computeBelow(root, before, child);
    if (value !== undefined) writer.value(name, value);
    done.add(name);
  };
  if (document !== undefined) {
    eachField(document, (name, value) => {
      if (!isComputed(node, name)) writer.value(name, value);
      else if (!done.has(name)) put(name, value);
      return false;
    });
  }
  for (const name of node.order) if (!done.has(name) && isComputed(node, name)) put(name, undefined);
  return rawDocument(writer.finish());
}

function isComputed(node: ProjectionNode, name: string): boolean {
  return node.expressions.has(name) || node.children.get(name)?.computed === true;
}

function computeBelow(root: RawValue, value: RawValue | undefined, node: ProjectionNode): RawValue {
  if (value?.type === Type.object) return compute(root, value, node);
  if (value?.type !== Type.array) return compute(root, undefined, node);
  const writer = bsonWriter(value.end - value.start + 64);
  writer.begin('', Type.array);
  eachElement(value, (element, index) => {
    writer.value(String(index), computeBelow(root, element, node));
    return false;
  });
  writer.end();
  // Type byte and empty name of the only field come before the array's bytes.
  const { bytes } = rawDocument(writer.finish());
  return { type: Type.array, bytes, start: 6, end: bytes.length - 1 };
}

/** Adds computed fields to a document: a field that is there keeps its place, a missing value takes it away. Throws what the expressions throw. */
export function addComputed(document: RawValue, node: ProjectionNode): RawValue {
  return compute(document, document, node);
}

/** Makes the document that a projection describes: what stays in the document's order, then the computed fields. Throws what its expressions throw. */
export function applyProjection(document: RawValue, node: ProjectionNode, unnamed: Unnamed): RawValue {
  const writer = bsonWriter(unnamed === 'goes' ? 256 : document.end - document.start + 16);
  writeListed(writer, document, node, unnamed);
  const kept = rawDocument(writer.finish());
  return node.computed ? compute(document, kept, node) : kept;
}
