import type { WireEntity } from './wire.js';

/** A piece of a text and the entities that hold over it, the outermost first. */
export interface EntityRun {
  readonly text: string;
  readonly entities: readonly WireEntity[];
}

/** Cuts a text where an entity begins or ends. Entities that reach beyond the text are cut off, empty ones left out; they may overlap in any way. Never throws. */
export function entityRuns(text: string, entities: readonly WireEntity[]): EntityRun[] {
  const within = entities
    .map((entity) => ({
      entity,
      from: Math.max(0, entity.offset),
      to: Math.min(text.length, entity.offset + entity.length),
    }))
    .filter(({ from, to }) => from < to)
    .sort((a, b) => a.from - b.from || b.to - a.to);
  const edges = [...new Set([0, text.length, ...within.flatMap(({ from, to }) => [from, to])])].sort((a, b) => a - b);
  const runs: EntityRun[] = [];
  for (const [place, from] of edges.entries()) {
    const to = edges[place + 1];
    if (to === undefined) break;
    const over = within.filter((span) => span.from <= from && span.to >= to).map(({ entity }) => entity);
    runs.push({ text: text.slice(from, to), entities: over });
  }
  return runs;
}

const SCHEMES = new Set(['http:', 'https:', 'tg:', 'mailto:']);

/** The address that a link may lead to: of pages, of Telegram and of mail, nothing that runs; without a scheme it is a page's. Undefined for any other. Never throws. */
export function safeHref(address: string): string | undefined {
  const wish = /^\s*[a-z][a-z0-9+-]*:/i.test(address) ? address : `https://${address}`;
  if (!URL.canParse(wish)) return undefined;
  const { protocol, href } = new URL(wish);
  return SCHEMES.has(protocol) ? href : undefined;
}
