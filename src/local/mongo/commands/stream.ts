import type { RawValue } from '../bson/raw-value.js';
import { StoreError } from '../errors.js';
import { breathe, type Source } from './query.js';
import type { TimeLimit } from './time-limit.js';

const PIECE = 256;
const PIECE_BYTES = 8 * 1024 * 1024;
const SLICE_MS = 8;
const MAX_KEPT_BYTES = 100 * 1024 * 1024; // as MongoDB's for each stage

/** Gives the event loop a turn when the last one is long enough ago. */
function pacer(time: TimeLimit): () => Promise<void> | undefined {
  let end = performance.now() + SLICE_MS;
  return () => {
    if (performance.now() < end) return undefined;
    time.check();
    return breathe().then(() => {
      end = performance.now() + SLICE_MS;
    });
  };
}

/** Counts the bytes of documents that a stage keeps. The counter throws 292 beyond 100 MB. */
export function keptBytes(stage: string): (document: RawValue) => void {
  let bytes = 0;
  return (document) => {
    bytes += document.end - document.start;
    if (bytes > MAX_KEPT_BYTES) {
      throw new StoreError(
        292,
        'QueryExceededMemoryLimitNoDiskUseAllowed',
        `Exceeded memory limit for ${stage}: it keeps more than 100 MB`,
      );
    }
  };
}

/** Reads a source to its end. `visit` returns true to have no more. */
export async function drain(
  source: Source,
  time: TimeLimit,
  visit: (document: RawValue) => boolean | undefined,
): Promise<void> {
  const pause = pacer(time);
  while (!source.ended()) {
    for (const document of await source.pull(PIECE, PIECE_BYTES)) {
      if (visit(document) === true) return;
      const turn = pause();
      if (turn !== undefined) await turn;
    }
  }
}

/** A source whose documents each become none, one or several. `step` returns undefined to end it. */
export function expanded(
  source: Source,
  time: TimeLimit,
  step: (document: RawValue) => readonly RawValue[] | undefined | Promise<readonly RawValue[]>,
): Source {
  let input: readonly RawValue[] = [];
  let inputAt = 0;
  let output: readonly RawValue[] = [];
  let outputAt = 0;
  let stopped = false;
  const drained = (): boolean => outputAt >= output.length && (stopped || (inputAt >= input.length && source.ended()));
  return {
    ended: drained,
    async pull(max, maxBytes) {
      const pause = pacer(time);
      const batch: RawValue[] = [];
      let bytes = 0;
      while (batch.length < max && !drained()) {
        if (outputAt < output.length) {
          const document = output[outputAt] as RawValue;
          bytes += document.end - document.start;
          if (bytes > maxBytes && batch.length > 0) break;
          batch.push(document);
          outputAt++;
          continue;
        }
        if (inputAt >= input.length) {
          input = await source.pull(PIECE, PIECE_BYTES);
          inputAt = 0;
          continue;
        }
        const made = step(input[inputAt++] as RawValue);
        const next = made instanceof Promise ? await made : made;
        if (next === undefined) stopped = true;
        else {
          output = next;
          outputAt = 0;
        }
        const turn = pause();
        if (turn !== undefined) await turn;
      }
      return batch;
    },
  };
}

/** A source that is opened when something is pulled from it: what must be read whole first. */
export function deferred(open: () => Promise<Source>): Source {
  let opened: Source | undefined;
  return {
    ended: () => opened?.ended() ?? false,
    async pull(max, maxBytes) {
      opened ??= await open();
      return await opened.pull(max, maxBytes);
    },
  };
}

/** One source after another. */
export function concatenated(sources: readonly Source[]): Source {
  let at = 0;
  const advance = (): Source | undefined => {
    while (at < sources.length && sources[at]?.ended() === true) at++;
    return sources[at];
  };
  return {
    ended: () => advance() === undefined,
    async pull(max, maxBytes) {
      const batch: RawValue[] = [];
      for (let source = advance(); source !== undefined && batch.length === 0; source = advance())
        batch.push(...(await source.pull(max, maxBytes)));
      return batch;
    },
  };
}

/** Hands the documents of one source to several readers at once, each of which must read to its end or be `left`: the next piece is read when all have had this one. */
export function shared(source: Source, readers: number): { readonly source: Source; leave(): void }[] {
  let piece: readonly RawValue[] = [];
  let turn = 0;
  let present = readers;
  let waiting: (() => void)[] = [];
  let failure: unknown;

  /** Reads on once every reader that is still there waits for it. */
  function readOn(): void {
    if (waiting.length === 0 || waiting.length < present) return;
    const woken = waiting;
    waiting = [];
    const next = source.ended() ? Promise.resolve([]) : source.pull(PIECE, PIECE_BYTES);
    next
      .then(
        (documents) => {
          piece = documents;
          turn++;
        },
        (error: unknown) => {
          failure = { error };
        },
      )
      .finally(() => {
        for (const wake of woken) wake();
      });
  }

  return Array.from({ length: readers }, () => {
    let seen = 0;
    let at = 0;
    let gone = false;
    const ended = (): boolean => at >= piece.length && seen === turn && source.ended();
    return {
      source: {
        ended,
        async pull(max) {
          if (seen !== turn) {
            seen = turn;
            at = 0;
          }
          if (at >= piece.length && !source.ended()) {
            await new Promise<void>((resolve) => {
              waiting.push(resolve);
              readOn();
            });
            if (failure !== undefined) throw (failure as { error: unknown }).error;
            seen = turn;
            at = 0;
          }
          const batch = piece.slice(at, at + max);
          at += batch.length;
          return batch;
        },
      },
      leave() {
        if (gone) return;
        gone = true;
        present--;
        readOn();
      },
    };
  });
}
