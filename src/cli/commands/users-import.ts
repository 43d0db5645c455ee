import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { ImportFormat } from '../../api/import/person-rows.js';
import { importUsers } from '../../api/people.js';
import { CommandError, EXIT } from '../exit.js';
import { note, say, sayJson } from '../io.js';
import { withProgress } from '../progress.js';
import type { Session } from '../session.js';
import { withStore } from '../with-store.js';

/** Failed lines that are printed; --json lists the first 1,000. */
const PRINTED_LINES = 20;

/** The bytes of an import and how many there will be, if that is known. */
interface Source {
  readonly chunks: AsyncIterable<Uint8Array | string>;
  readonly bytes: number | undefined;
}

async function sourceOf(session: Session, file: string): Promise<Source> {
  if (file === '-') {
    const { stdin } = session.io;
    if (stdin === undefined) throw new CommandError(EXIT.failed, 'there is no standard input');
    return { chunks: stdin, bytes: undefined };
  }
  try {
    const found = await stat(file);
    if (found.isDirectory()) throw Object.assign(new Error('a directory'), { code: 'EISDIR' });
    return { chunks: createReadStream(file), bytes: found.isFile() ? found.size : undefined };
  } catch (error) {
    throw new CommandError(EXIT.failed, `cannot read ${file}: ${(error as NodeJS.ErrnoException).code}`);
  }
}

/** Passes the chunks on and counts their bytes. */
async function* counted(
  chunks: AsyncIterable<Uint8Array | string>,
  add: (bytes: number) => void,
): AsyncGenerator<Uint8Array | string> {
  for await (const chunk of chunks) {
    add(chunk.length);
    yield chunk;
  }
}

/**
 * `posthorn users import FILE|-`: as POST /api/users/import; the format is `format`, else csv for a name that ends in .csv, else ndjson.
 * Resolves with the exit code, 1 when lines failed. Throws CommandError and Problem.
 */
export async function usersImport(
  session: Session,
  file: string,
  options: { readonly format?: ImportFormat; readonly json?: true },
): Promise<number> {
  const { io } = session;
  const { chunks, bytes } = await sourceOf(session, file);
  const format = options.format ?? (file.toLowerCase().endsWith('.csv') ? 'csv' : 'ndjson');
  return withStore(session, async ({ services }) => {
    const result = await withProgress(
      io,
      `import of ${file === '-' ? 'standard input' : file}`,
      () => performance.now(),
      (show) => {
        let read = 0;
        return importUsers(services, {
          chunks: counted(chunks, (more) => {
            read += more;
          }),
          format,
          onProgress: ({ lines, failed }) =>
            show(
              `${lines} lines done, ${failed} failed`,
              bytes === undefined || bytes === 0 ? undefined : read / bytes,
            ),
        });
      },
    );
    if (options.json === true) sayJson(io, result);
    else say(io, `imported ${result.imported}, updated ${result.updated}, failed ${result.failedTotal}`);
    const printed = result.failed.slice(0, PRINTED_LINES);
    for (const { line, error } of printed) note(io, `line ${line}: ${error}`);
    if (result.failedTotal > printed.length) note(io, `… and ${result.failedTotal - printed.length} more`);
    return result.failedTotal === 0 ? EXIT.done : EXIT.failed;
  });
}
