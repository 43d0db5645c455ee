import {
  compareEntities,
  endOf,
  type FormattedText,
  isCode,
  isQuote,
  isSplittable,
  SPLITTABLE,
  type TextEntity,
  withoutOverlaps,
} from './entity.js';
import { findEntities } from './text-entities.js';

/** Most entities of a message that its sender set, custom emoji not counted; Telegram drops the rest. */
const OWN_ENTITIES_MAX = 100;
const PLACE_MAX = 1_000_000;
const NOT_UNICODE = 'Strings must be encoded in UTF-8';
/** A half of a surrogate pair without its other half. */
const LONE_SURROGATE = /\p{Surrogate}/u;
// Control characters become spaces; carriage returns, line separators, embeddings and three marks that cross lines out go.
const REMOVED = /[\r\u2028-\u202e]|\u030a|\u0333|\u033f/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what Telegram replaces
const CONTROLS = /[\0-\t\v\f\x0e-\x1f]/g;
const REMOVED_ALL = new RegExp(REMOVED, 'g');
// Of marks of direction in a row only the last remains one.
const DIRECTION_MARKS = /[\u200e\u200f](?=[\u200e\u200f])/g;
const UNCLEAN = new RegExp(`${CONTROLS.source}|${REMOVED.source}|${DIRECTION_MARKS.source}`);
/** A text in which a reader sees nothing. */
const INVISIBLE = /^[\s\u00a0\u1680\u180e\u2000-\u200f\u202e\u202f\u205f\u2800\u3000\ufffc]*$/;

/**
 * Makes of a text and its sender's entities what Telegram keeps: control characters cleaned, both ends trimmed, entities cut to the text, joined,
 * split and sorted, and those that Telegram finds by itself added. The text is '' when nothing is left of it, without entities.
 * What Telegram refuses is an error's text, in tdlib's words. Never throws.
 */
export function fixText(text: string, own: readonly TextEntity[] = []): FormattedText | string {
  if (LONE_SURROGATE.test(text)) return NOT_UNICODE;
  if (own.length === 0) {
    const clean = trimmed(cleaned(text));
    if (INVISIBLE.test(clean)) return EMPTY;
    return { text: clean, entities: findEntities(clean) };
  }
  const misplaced = own.find(({ offset, length }) => !isPlace(offset) || !isPlace(length));
  if (misplaced !== undefined) {
    const { offset, length } = misplaced;
    return `Receive an entity with incorrect ${isPlace(offset) ? `length ${length}` : `offset ${offset}`}`;
  }
  const fixed = fixEntities(own);
  const fault = boundsFault(text, fixed);
  if (fault !== undefined) return fault;
  const placed = cleanedWith(text, fixed);
  const trimmedText = trimmedWith(placed.text, fixEntities(placed.entities));
  if (INVISIBLE.test(trimmedText.text)) return EMPTY;
  return { text: trimmedText.text, entities: withFound(trimmedText.text, trimmedText.entities) };
}

const EMPTY: FormattedText = { text: '', entities: [] };

function isPlace(value: number): boolean {
  return value >= 0 && value <= PLACE_MAX;
}

function cleaned(text: string): string {
  return UNCLEAN.test(text)
    ? text.replace(CONTROLS, ' ').replace(REMOVED_ALL, '').replace(DIRECTION_MARKS, '\u200c')
    : text;
}

/** The text without spaces and line breaks at its ends. */
function trimmed(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isBlank(text.charCodeAt(from))) from += 1;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to -= 1;
  return from === 0 && to === text.length ? text : text.slice(from, to);
}

function isBlank(unit: number): boolean {
  return unit === 32 || unit === 10;
}

/** The text cleaned, with the entities moved along. */
function cleanedWith(text: string, entities: readonly TextEntity[]): FormattedText {
  if (!REMOVED.test(text)) return { text: cleaned(text), entities };
  const removedBefore: number[] = [0];
  for (let at = 0, removed = 0; at < text.length; at += 1) {
    if (REMOVED.test(text[at] ?? '')) removed += 1;
    removedBefore.push(removed);
  }
  const placeOf = (offset: number): number => offset - (removedBefore[offset] ?? 0);
  const moved = entities.map((entity) => {
    const offset = placeOf(entity.offset);
    return { ...entity, offset, length: placeOf(endOf(entity)) - offset };
  });
  return { text: cleaned(text), entities: moved };
}

/** The text without blanks at its end, and at its begin as far as no entity is there; entities are cut to it. */
function trimmedWith(text: string, entities: readonly TextEntity[]): FormattedText {
  let to = text.length;
  while (to > 0 && isBlank(text.charCodeAt(to - 1))) to -= 1;
  const cut = entities
    .filter(({ offset }) => offset < to)
    .map((entity) => (endOf(entity) > to ? { ...entity, length: to - entity.offset } : entity))
    .sort(compareEntities);
  let from = 0;
  const firstEntity = cut[0]?.offset ?? to;
  while (from < firstEntity && isBlank(text.charCodeAt(from))) from += 1;
  return {
    text: text.slice(from, to),
    entities: from === 0 ? cut : cut.map((entity) => ({ ...entity, offset: entity.offset - from })),
  };
}

/** Why entities do not lie in a text, as tdlib tells the first such. */
function boundsFault(text: string, entities: readonly TextEntity[]): string | undefined {
  const isInPair = (at: number): boolean =>
    at > 0 &&
    at < text.length &&
    (text.charCodeAt(at) & 0xfc00) === 0xdc00 &&
    (text.charCodeAt(at - 1) & 0xfc00) === 0xd800;
  const bytesBehind = (at: number): number => Buffer.byteLength(text.slice(0, at + 1));
  const faults: { readonly at: number; readonly fault: string }[] = [];
  for (const entity of entities) {
    const { offset } = entity;
    const end = endOf(entity);
    if (isInPair(end)) {
      const fault = `Entity beginning at UTF-16 offset ${offset} ends in a middle of a UTF-16 symbol at byte offset ${bytesBehind(end)}`;
      faults.push({ at: end, fault });
    }
    if (isInPair(offset)) {
      faults.push({
        at: offset,
        fault: `Entity begins in a middle of a UTF-16 symbol at byte offset ${bytesBehind(offset)}`,
      });
    }
  }
  const [first] = faults.sort((a, b) => a.at - b.at);
  if (first !== undefined) return first.fault;
  const beyond = entities.find(({ offset }) => offset > text.length);
  if (beyond !== undefined) return `Entity begins after the end of the text at UTF-16 offset ${beyond.offset}`;
  const long = entities.findLast((entity) => endOf(entity) > text.length);
  if (long === undefined) return undefined;
  return `Entity beginning at UTF-16 offset ${long.offset} ends after the end of the text at UTF-16 offset ${endOf(long)}`;
}

interface Groups {
  /** Code, links, custom emoji: none overlaps another. */
  readonly whole: TextEntity[];
  readonly quotes: TextEntity[];
  readonly splittable: TextEntity[];
}

function grouped(entities: readonly TextEntity[]): Groups {
  const groups: Groups = { whole: [], quotes: [], splittable: [] };
  for (const entity of entities) {
    if (isSplittable(entity)) groups.splittable.push(entity);
    else if (isQuote(entity)) groups.quotes.push(entity);
    else groups.whole.push(entity);
  }
  return groups;
}

/**
 * Entities as Telegram orders them: of those that can't be split, none overlaps another, but for what lies within a quotation; the rest is joined
 * where it meets its like, and split where another entity begins or ends within. Empty ones are gone. Never throws.
 */
function fixEntities(entities: readonly TextEntity[]): TextEntity[] {
  const { whole, quotes, splittable } = grouped(entities.filter(({ length }) => length > 0).sort(compareEntities));
  const kept = withoutOverlaps(quotes);
  return joined(splittable, [...outsideQuoteEdges(withoutOverlaps(whole), kept), ...kept]);
}

/** Those entities that no quotation begins or ends in. */
function outsideQuoteEdges(entities: readonly TextEntity[], quotes: readonly TextEntity[]): TextEntity[] {
  return withoutClashes(entities, quotes, (entity, quote) => {
    const end = endOf(entity);
    return endOf(quote) < end || (quote.offset > entity.offset && quote.offset < end);
  });
}

/** Those entities that do not clash with the first of the others that ends behind their begin; in either list none overlaps another. */
function withoutClashes(
  entities: readonly TextEntity[],
  others: readonly TextEntity[],
  clash: (entity: TextEntity, other: TextEntity) => boolean,
): TextEntity[] {
  let at = 0;
  return entities.filter((entity) => {
    let other = others[at];
    while (other !== undefined && endOf(other) <= entity.offset) {
      at += 1;
      other = others[at];
    }
    return other === undefined || !clash(entity, other);
  });
}

/** Splits and joins the splittable entities between the others, and returns all in order. */
function joined(splittable: readonly TextEntity[], others: readonly TextEntity[]): TextEntity[] {
  const sorted = [...others].sort(compareEntities);
  if (splittable.length === 0) return sorted;
  return [...split(splittable, sorted), ...sorted].sort(compareEntities);
}

/** The parts of splittable entities: cut where one of them begins, where another entity begins or ends, and gone within code. */
function split(splittable: readonly TextEntity[], others: readonly TextEntity[]): TextEntity[] {
  const parts: TextEntity[] = [];
  const spans = new Map<TextEntity['type'], { from: number; to: number }>();
  let next = 0;
  const flush = (to: number, isKept: boolean): void => {
    for (const type of SPLITTABLE) {
      const span = spans.get(type);
      if (span === undefined || span.from >= to) continue;
      const end = Math.min(span.to, to);
      if (isKept) parts.push({ offset: span.from, length: end - span.from, type });
      if (span.to <= to) spans.delete(type);
      else span.from = to;
    }
  };
  const advance = (to: number, isKept: boolean): void => {
    for (let entity = splittable[next]; entity !== undefined && entity.offset < to; entity = splittable[next]) {
      const span = spans.get(entity.type);
      if (span !== undefined && entity.offset <= span.to) span.to = Math.max(span.to, endOf(entity));
      else {
        flush(entity.offset, isKept);
        spans.set(entity.type, { from: entity.offset, to: endOf(entity) });
      }
      next += 1;
    }
    flush(to, isKept);
  };
  const open: TextEntity[] = [];
  const moveTo = (to: number): void => {
    for (let last = open.at(-1); last !== undefined && endOf(last) <= to; last = open.at(-1)) {
      advance(endOf(last), !isCode(last));
      open.pop();
    }
    advance(to, true);
  };
  for (const other of others) {
    moveTo(other.offset);
    open.push(other);
  }
  moveTo(Number.POSITIVE_INFINITY);
  return parts;
}

/** The sender's entities, as many as Telegram takes, with those that it finds where none of them is. */
function withFound(text: string, own: readonly TextEntity[]): TextEntity[] {
  const groups = grouped(own);
  let left = OWN_ENTITIES_MAX;
  const take = (entity: TextEntity): boolean => {
    if (entity.type === 'custom_emoji') return true;
    left -= 1;
    return left >= 0;
  };
  const kept = [...groups.whole, ...groups.quotes].sort(compareEntities).filter(take);
  const whole = kept.filter((entity) => !isQuote(entity));
  const quotes = kept.filter(isQuote);
  const splittable = split(groups.splittable, []).filter(take);
  const found = withoutClashes(
    outsideQuoteEdges(findEntities(text), quotes),
    whole,
    (entity, other) => other.offset < endOf(entity),
  );
  return joined(splittable, [...whole, ...quotes, ...found]);
}
