import { once } from 'node:events';
import { Writable } from 'node:stream';

/** A stream that a command writes to. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** The standard streams of a command. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly stdin?: AsyncIterable<Uint8Array | string>;
}

/** Writes a part of a long output and waits until there is room for more. False when its reader has gone. Never rejects. */
export async function flow(output: Output, text: string): Promise<boolean> {
  const hasRoom = output.write(text) !== false;
  if (!(output instanceof Writable)) return true;
  if (!hasRoom && !output.destroyed && output.writableNeedDrain) {
    const waiting = new AbortController();
    const { signal } = waiting;
    await Promise.race([once(output, 'drain', { signal }), once(output, 'close', { signal })]).catch(() => undefined);
    waiting.abort();
  }
  return !output.destroyed && output.errored === null;
}

/** Writes a line to standard output. Never throws. */
export function say(io: Io, line: string): void {
  io.stdout.write(`${line}\n`);
}

/** Writes a line about the work, not its result, to standard error. Never throws. */
export function note(io: Io, line: string): void {
  io.stderr.write(`${line}\n`);
}

/** Writes the one JSON document of a command with --json. Never throws. */
export function sayJson(io: Io, document: object): void {
  say(io, JSON.stringify(document, undefined, 2));
}

/** Rows of cells with aligned columns, two spaces apart. Never throws. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
