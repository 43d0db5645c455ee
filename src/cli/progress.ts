import { Writable } from 'node:stream';
import { Listr, ListrLogger, ProcessOutput } from 'listr2';
import type { Io, Output } from './io.js';

/** Without a terminal a line is printed after this time or this part of the work, whichever comes first. */
const LINE_MS = 5_000;
const LINE_SHARES = 10;
const BAR_CELLS = 24;

/** Shows how far a piece of work is: `share` from 0 to 1, undefined when the end is not known. */
export type Show = (text: string, share: number | undefined) => void;

/** A bar of 24 cells with percents, '' when the end is not known. Never throws. */
export function bar(share: number | undefined): string {
  if (share === undefined) return '';
  const part = Math.min(1, Math.max(0, share));
  const cells = Math.round(part * BAR_CELLS);
  return `${'█'.repeat(cells)}${'░'.repeat(BAR_CELLS - cells)} ${Math.floor(part * 100)} % `;
}

/** Minutes and seconds of a span, such as `0:23`; hours are put before them when there are any. Never throws. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  const parts = [Math.floor(seconds / 60) % 60, seconds % 60].map((part) => String(part).padStart(2, '0'));
  const hours = Math.floor(seconds / 3_600);
  return hours > 0 ? `${hours}:${parts.join(':')}` : parts.join(':').replace(/^0/, '');
}

/** Lines for who reads no terminal: the first, then each few seconds or tenth of the work. */
export function lines(output: Output, now: () => number): Show {
  let [lastAt, lastTenth] = [Number.NEGATIVE_INFINITY, 0];
  return (text, share) => {
    const at = now();
    const tenth = Math.floor((share ?? 0) * LINE_SHARES);
    if (at - lastAt < LINE_MS && tenth <= lastTenth) return;
    [lastAt, lastTenth] = [at, tenth];
    output.write(`${text}${share === undefined ? '' : ` (${Math.floor(Math.min(1, share) * 100)} %)`}\n`);
  };
}

const HIDE_CURSOR = '\u001b[?25l';

/** The terminal as listr2 may write to it: the cursor is never hidden, so a command that is interrupted leaves it in place. */
function screen(output: Output): NodeJS.WriteStream {
  const write = (chunk: unknown): boolean => Boolean(output.write(String(chunk).replaceAll(HIDE_CURSOR, '')));
  return Object.create(output as object, { write: { value: write, writable: true } }) as NodeJS.WriteStream;
}

/**
 * Does `work` and shows on standard error how far it is: a bar with listr2 on a terminal, plain lines without one.
 * `now` is monotonic ms. Throws what `work` throws.
 */
export async function withProgress<T>(
  io: Io,
  title: string,
  now: () => number,
  work: (show: Show) => Promise<T>,
): Promise<T> {
  if (io.stderr.isTTY !== true) return work(lines(io.stderr, now));
  let answer: { value: T } | { error: unknown } | undefined;
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() }) as unknown as NodeJS.WriteStream;
  const logger = new ListrLogger({ processOutput: new ProcessOutput(screen(io.stderr), nowhere) });
  const options = { logger, formatOutput: 'truncate' } as const;
  const task = {
    title,
    rendererOptions: { persistentOutput: true },
    task: async (_context: unknown, shown: { output: string }): Promise<void> => {
      const show: Show = (text, share) => {
        shown.output = `${bar(share)}${text}`;
      };
      answer = await work(show).then(
        (value) => ({ value }),
        (error: unknown) => ({ error }),
      );
    },
  };
  const settings = { rendererOptions: options, fallbackRenderer: 'default', fallbackRendererOptions: options } as const;
  await new Listr([task], { renderer: 'default', registerSignalListeners: false, ...settings }).run();
  if (answer === undefined) throw new Error('the progress display ended before the work');
  if ('error' in answer) throw answer.error;
  return answer.value;
}
