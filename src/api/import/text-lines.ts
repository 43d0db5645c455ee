import { isUtf8 } from 'node:buffer';

/** Longest line of an import, bytes; a longer one is a failed line and is never held in memory. */
export const MAX_LINE_BYTES = 65_536;
/** Lines handed on together at most. */
const MAX_BATCH = 1_000;
const LINE_FEED = 10;

/** A line of a file, counted from 1: its text without the line feed (a carriage return stays), or why it cannot be read. */
export type TextLine =
  | { readonly number: number; readonly text: string; readonly error?: never }
  | { readonly number: number; readonly text?: never; readonly error: string };

const BOM = Buffer.from([0xef, 0xbb, 0xbf]);

function decoded(number: number, bytes: Buffer): TextLine {
  const body = number === 1 && bytes.subarray(0, 3).equals(BOM) ? bytes.subarray(3) : bytes;
  return isUtf8(body) ? { number, text: body.toString('utf8') } : { number, error: 'not valid UTF-8' };
}

/**
 * Splits a stream of bytes, cut anywhere, into lines, handed on in groups of at most 1,000; a byte order mark at the start is left out.
 * Holds one line of at most 64 KiB and one chunk. Throws only what the stream throws.
 */
export async function* textLines(chunks: AsyncIterable<Uint8Array | string>): AsyncGenerator<TextLine[]> {
  let number = 1;
  let carry: Buffer[] = [];
  let carried = 0;
  let batch: TextLine[] = [];

  const take = (piece: Buffer): void => {
    if (carried + piece.length > MAX_LINE_BYTES) {
      batch.push({ number, error: `longer than ${MAX_LINE_BYTES} bytes` });
    } else batch.push(decoded(number, carried === 0 ? piece : Buffer.concat([...carry, piece])));
    number += 1;
    carry = [];
    carried = 0;
  };

  for await (const chunk of chunks) {
    const bytes =
      typeof chunk === 'string' ? Buffer.from(chunk) : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    let start = 0;
    for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
      take(bytes.subarray(start, end));
      start = end + 1;
      if (batch.length >= MAX_BATCH) {
        yield batch;
        batch = [];
      }
    }
    carried += bytes.length - start;
    if (carried > MAX_LINE_BYTES) carry = [];
    else if (start < bytes.length) carry.push(bytes.subarray(start));
    if (batch.length > 0) {
      yield batch;
      batch = [];
    }
  }
  if (carried > 0) {
    take(Buffer.alloc(0));
    yield batch;
  }
}
