import { z } from 'zod';
import type { PersonRow } from '../../store/people.js';
import { boundedText } from '../bounded-text.js';
import { fieldPath } from '../checked.js';
import { botId, chatId } from '../message.js';
import { type FieldError, wrongInput } from '../problem.js';
import type { Bots } from '../services.js';
import { tags } from '../tags.js';
import { csvRecords } from './csv-records.js';
import { textLines } from './text-lines.js';

/** The formats of an import: a JSON object a line, or CSV with a header row of the same names. */
export type ImportFormat = 'ndjson' | 'csv';

const NAME = 'a text of at most 256 UTF-16 units';
const name = boundedText(0, 256, NAME).optional();

const person = z.strictObject(
  {
    chatId,
    type: z.enum(['private', 'group', 'supergroup', 'channel'], 'private, group, supergroup or channel').optional(),
    firstName: name,
    lastName: name,
    username: name,
    languageCode: boundedText(0, 35, 'a language code').optional(),
    tags: tags.optional(),
    active: z.boolean('true or false').optional(),
    botId: botId.optional(),
  },
  'an object',
);

const COLUMNS = Object.keys(person.shape);

/** Reads values as people: the row with its bot filled in, or what is wrong with it in one line. */
function reader(bots: Bots): (line: number, value: unknown) => PersonRow {
  return (line, value) => {
    const result = person.safeParse(value);
    if (!result.success) {
      const wrong = result.error.issues
        .slice(0, 5)
        .flatMap((issue) =>
          issue.code === 'unrecognized_keys'
            ? issue.keys.slice(0, 5).map((key) => `${fieldPath([...issue.path, key])}: no such field`)
            : [`${fieldPath(issue.path) || 'line'}: expected ${issue.message}`],
        );
      return { line, error: wrong.join('; ') };
    }
    const { botId: named, tags: given, ...fields } = result.data;
    const bot = named ?? bots.first;
    if (bot === undefined || !bots.known.has(bot)) {
      return { line, error: 'botId: expected the id of a bot of this installation' };
    }
    return { line, person: { ...fields, bot, ...(given === undefined ? {} : { tags: [...new Set(given)] }) } };
  };
}

async function* jsonRows(chunks: AsyncIterable<Uint8Array | string>, bots: Bots): AsyncGenerator<PersonRow[]> {
  const read = reader(bots);
  for await (const lines of textLines(chunks)) {
    const rows: PersonRow[] = [];
    for (const line of lines) {
      if (line.error !== undefined) {
        rows.push({ line: line.number, error: line.error });
        continue;
      }
      if (line.text.trim() === '') continue;
      let value: unknown;
      try {
        value = JSON.parse(line.text);
      } catch {
        rows.push({ line: line.number, error: 'not JSON' });
        continue;
      }
      rows.push(read(line.number, value));
    }
    yield rows;
  }
}

/** The columns of a header row. Throws a Problem 400 PH_IMPORT_HEADER that names the wrong ones. */
function columnsOf(header: readonly string[]): string[] {
  const columns = header.map((column) => column.trim());
  const errors: FieldError[] = [];
  for (const [index, column] of columns.entries()) {
    if (!COLUMNS.includes(column)) {
      errors.push({ field: column.slice(0, 100), expected: `a column of ${COLUMNS.join(', ')}` });
    } else if (columns.indexOf(column) !== index) errors.push({ field: column, expected: 'each column once' });
  }
  if (!columns.includes('chatId')) errors.push({ field: 'chatId', expected: 'this column in the header row' });
  if (errors.length > 0) throw wrongInput(errors.slice(0, 100), 'PH_IMPORT_HEADER');
  return columns;
}

/** The value that a cell of CSV stands for; what cannot be read stays text, so that the schema refuses it by name. */
function cellValue(column: string, cell: string): unknown {
  const trimmed = cell.trim();
  switch (column) {
    case 'chatId':
      return /^-?\d{1,16}$/.test(trimmed) ? Number(trimmed) : trimmed;
    case 'active':
      return { true: true, '1': true, false: false, '0': false }[trimmed.toLowerCase()] ?? trimmed;
    case 'tags':
      return trimmed
        .split(';')
        .map((tag) => tag.trim())
        .filter((tag) => tag !== '');
    default:
      return trimmed;
  }
}

async function* csvRows(chunks: AsyncIterable<Uint8Array | string>, bots: Bots): AsyncGenerator<PersonRow[]> {
  const read = reader(bots);
  let columns: string[] | undefined;
  for await (const records of csvRecords(textLines(chunks))) {
    const rows: PersonRow[] = [];
    for (const { number, fields, error } of records) {
      if (columns === undefined) {
        if (fields === undefined) {
          throw wrongInput([{ field: 'header', expected: `a header row (${error})` }], 'PH_IMPORT_HEADER');
        }
        columns = columnsOf(fields);
      } else if (fields === undefined) rows.push({ line: number, error });
      else if (fields.length !== columns.length) {
        rows.push({ line: number, error: `expected ${columns.length} fields, found ${fields.length}` });
      } else {
        const cells = columns.map((column, index) => [column, fields[index] ?? ''] as const);
        const given = cells.filter(([, cell]) => cell.trim() !== '');
        rows.push(read(number, Object.fromEntries(given.map(([column, cell]) => [column, cellValue(column, cell)]))));
      }
    }
    yield rows;
  }
}

/**
 * Reads a file of people, streamed: each row a person or the reason why a line is none; lines count from 1, empty ones are skipped,
 * an empty cell of CSV is an absent field. Throws a Problem 400 PH_IMPORT_HEADER for a wrong header row, else only what the stream throws.
 */
export function personRows(
  chunks: AsyncIterable<Uint8Array | string>,
  format: ImportFormat,
  bots: Bots,
): AsyncGenerator<PersonRow[]> {
  return format === 'csv' ? csvRows(chunks, bots) : jsonRows(chunks, bots);
}
