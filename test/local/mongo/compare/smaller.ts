import type { Document } from 'bson';

// What a document or a statement is not without.
const KEPT = new Set(['_id', 'q', 'u', 'limit', 'key', 'name', 'arrayFilters']);
const OPTIONAL = ['projection', 'limit', 'skip', 'new'];

function isPlain(value: unknown): value is Document {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** Everything that is one step smaller than a value: without one of its fields or elements, with one of them in its place, or with one of them smaller. */
function* smallerThan(value: unknown): Generator<unknown> {
  if (Array.isArray(value)) {
    if (value.length > 1) for (let i = 0; i < value.length; i++) yield value.toSpliced(i, 1);
    if (!value.some(isPlain)) yield* value;
    for (let i = 0; i < value.length; i++) for (const less of smallerThan(value[i])) yield value.with(i, less);
  } else if (isPlain(value)) {
    const entries = Object.entries(value);
    const removable = entries.filter(([name]) => !KEPT.has(name));
    for (const one of removable) yield Object.fromEntries(entries.filter((other) => other !== one));
    if (removable.length === entries.length) for (const [, child] of entries) yield child;
    for (const [i, [name, child]] of entries.entries()) {
      if (name === 'arrayFilters') continue;
      for (const less of smallerThan(child)) yield Object.fromEntries(entries.with(i, [name, less]));
    }
  }
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

/** The smaller forms of a command: each part stays a document or a list that is not empty, or goes where it may. */
export function* smallerCommands(command: Document): Generator<Document> {
  const [, ...parts] = Object.entries(command);
  for (const [part, value] of parts) {
    if (part === 'arrayFilters') continue;
    for (const less of smallerThan(value)) {
      const alike = Array.isArray(less) === Array.isArray(value) && isPlain(less) === isPlain(value);
      if (alike && !isEmptyList(less)) yield { ...command, [part]: less };
    }
    if (OPTIONAL.includes(part)) yield Object.fromEntries(Object.entries(command).filter(([one]) => one !== part));
  }
}
