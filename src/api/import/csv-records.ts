import { MAX_LINE_BYTES, type TextLine } from './text-lines.js';

/** Most lines of one record (a quoted field may hold line ends), so that a stray quote costs its own line only. */
const MAX_RECORD_LINES = 64;

/** A record of a CSV file: the number of its first line, and its fields or why it is none. */
export type CsvRecord =
  | { readonly number: number; readonly fields: readonly string[]; readonly error?: never }
  | { readonly number: number; readonly fields?: never; readonly error: string };

/**
 * The fields of one record (RFC 4180: comma, fields in double quotes, a quote in them doubled); undefined when a quoted field
 * is still open at the end; a text when it is malformed. Never throws.
 */
export function csvFields(text: string): string[] | string | undefined {
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    let field = '';
    if (text[at] === '"') {
      at += 1;
      for (;;) {
        const quote = text.indexOf('"', at);
        if (quote < 0) return undefined;
        field += text.slice(at, quote);
        at = quote + 1;
        if (text[at] !== '"') break;
        field += '"';
        at += 1;
      }
      if (at < text.length && text[at] !== ',') return 'text after a closing quote';
    } else {
      const comma = text.indexOf(',', at);
      field = text.slice(at, comma < 0 ? text.length : comma);
      if (field.includes('"')) return 'a quote inside a field without quotes';
      at += field.length;
    }
    fields.push(field);
    if (at >= text.length) return fields;
    at += 1;
  }
}

const withoutReturn = (text: string): string => (text.endsWith('\r') ? text.slice(0, -1) : text);

/** The record that begins with the first of `lines` and how many lines it takes; undefined when more lines are needed to tell. */
function firstRecord(lines: readonly TextLine[], final: boolean): { record: CsvRecord; taken: number } | undefined {
  const first = lines[0];
  if (first === undefined) return undefined;
  const { number } = first;
  const failed = (error: string) => ({ record: { number, error }, taken: 1 });
  let text = '';
  for (let taken = 1; ; taken += 1) {
    const line = lines[taken - 1];
    if (line === undefined && !final) return undefined;
    if (line?.error !== undefined && taken === 1) return failed(line.error);
    if (line?.text === undefined || taken > MAX_RECORD_LINES || text.length > MAX_LINE_BYTES) {
      return failed('a quoted field is not closed');
    }
    text = taken === 1 ? line.text : `${text}\n${line.text}`;
    const fields = csvFields(withoutReturn(text));
    if (typeof fields === 'string') return failed(fields);
    if (fields !== undefined) return { record: { number, fields }, taken };
  }
}

/**
 * The records of a CSV file; empty lines between them are skipped. A malformed record fails with the number of its first line,
 * and reading goes on with the line after that one. Throws only what the stream throws.
 */
export async function* csvRecords(lines: AsyncIterable<readonly TextLine[]>): AsyncGenerator<CsvRecord[]> {
  let waiting: readonly TextLine[] = [];
  const drain = (final: boolean): CsvRecord[] => {
    const records: CsvRecord[] = [];
    let at = 0;
    while (at < waiting.length) {
      if (waiting[at]?.text?.trim() === '') {
        at += 1;
        continue;
      }
      const found = firstRecord(
        waiting.slice(at, at + MAX_RECORD_LINES + 1),
        final || waiting.length > at + MAX_RECORD_LINES,
      );
      if (found === undefined) break;
      records.push(found.record);
      at += found.taken;
    }
    waiting = waiting.slice(at);
    return records;
  };
  for await (const group of lines) {
    waiting = waiting.length === 0 ? group : [...waiting, ...group];
    const records = drain(false);
    if (records.length > 0) yield records;
  }
  const records = drain(true);
  if (records.length > 0) yield records;
}
