import { performance } from 'node:perf_hooks';
import { scattered } from './store-documents.js';
import type { Prepared, Subject } from './store-subject.js';
import { cpuSeconds, median } from './support.js';

/** What takes part in the comparison. */
export interface Contender {
  readonly subject: Subject;
  /** How many documents it is measured with. */
  readonly documents: number;
  /** The server's process; undefined: there is none beside ours. */
  readonly pid: number | undefined;
  /** Share of the number of operations that it is asked for: less for a slow one. */
  readonly share: number;
}

/** What one contender came to in one row: medians. */
export interface Measured {
  readonly perSecond: number;
  readonly milliseconds: number;
  /** Operations in each second of CPU that the server used, both user and system. */
  readonly perCpuSecond: number | undefined;
  /** Operations measured at once. */
  readonly operations: number;
}

/** One piece of work that is measured in three rounds, all contenders in each. */
export interface Row {
  readonly name: string;
  /** The peer takes no part: with so many writers at one place it makes no headway (not 240 documents in three minutes). */
  readonly withoutPeer?: true;
  operations(contender: Contender): number;
  prepare(contender: Contender, operations: number, round: number): Prepared;
}

const ROUNDS = 3;
const BULK = 1_000;

/** The value that `share` of all are not above. Throws on none. */
export function quantile(list: readonly number[], share: number): number {
  const sorted = [...list].sort((a, b) => a - b);
  const found = sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)];
  if (found === undefined) throw new Error('a quantile of nothing');
  return found;
}

const some = (wanted: number, { share }: Contender, atMost: number): number =>
  Math.max(1, Math.min(Math.round(wanted * share), Math.floor(atMost)));

// The lower half of the documents is claimed, in their order, the upper half is updated.
const half = ({ documents }: Contender): number => Math.floor(documents / 2);

function bulkUpdates(contender: Contender, operations: number, round: number): Prepared {
  const size = Math.min(BULK, half(contender));
  const bulks: Prepared[] = [];
  for (let at = 0; at < operations; at += size) {
    const order = round * Math.ceil(operations / size) + at / size;
    bulks.push(
      contender.subject.update(
        scattered(size, contender.documents - half(contender), contender.documents, order),
        `state-${order}`,
      ),
    );
  }
  return async () => {
    for (const bulk of bulks) await bulk();
  };
}

/** The rows of reads and changes, in the order in which they are measured. */
export const ROWS: readonly Row[] = [
  {
    name: 'find by _id, one after another',
    operations: (contender) => some(2_000, contender, contender.documents),
    prepare: ({ subject, documents }, operations, round) =>
      subject.findById(scattered(operations, 0, documents, round), 1),
  },
  {
    name: 'find by _id, 32 in flight',
    operations: (contender) => some(10_000, contender, contender.documents),
    prepare: ({ subject, documents }, operations, round) =>
      subject.findById(scattered(operations, 0, documents, round), 32),
  },
  {
    name: 'findOneAndUpdate by index, sorted',
    operations: (contender) => some(400, contender, half(contender) / ROUNDS / 3),
    prepare: ({ subject }, operations) => subject.claim(operations, 1),
  },
  {
    name: 'findOneAndUpdate, 32 in flight',
    withoutPeer: true,
    operations: (contender) => some(4_000, contender, half(contender) / ROUNDS / 2),
    prepare: ({ subject }, operations) => subject.claim(operations, 32),
  },
  {
    name: 'bulkWrite of 1,000 updates, unordered',
    operations: (contender) =>
      Math.ceil(some(10_000, contender, 10_000) / Math.min(BULK, half(contender))) * Math.min(BULK, half(contender)),
    prepare: bulkUpdates,
  },
  {
    name: '$group over all documents',
    operations: ({ documents }) => documents,
    prepare: ({ subject }, operations) => subject.group(operations),
  },
];

/** Does the work once; the seconds that passed, and those of CPU that the server used. */
export async function timed(
  work: Prepared,
  pid: number | undefined,
): Promise<{ seconds: number; cpu: number | undefined }> {
  const cpuBefore = pid === undefined ? 0 : cpuSeconds([pid]);
  const began = performance.now();
  await work();
  const seconds = (performance.now() - began) / 1_000;
  return { seconds, cpu: pid === undefined ? undefined : cpuSeconds([pid]) - cpuBefore };
}

/** The medians of some rounds. Throws on none. */
export function summary(
  rounds: readonly { readonly seconds: number; readonly cpu: number | undefined }[],
  operations: number,
): Measured {
  const seconds = median(rounds.map((one) => one.seconds));
  // /proc counts CPU in hundredths of a second: the sum of the rounds is surer than the median of one.
  const cpu = rounds.reduce((sum, one) => sum + (one.cpu ?? 0), 0);
  return {
    perSecond: operations / seconds,
    milliseconds: seconds * 1_000,
    perCpuSecond: cpu > 0 ? (operations * rounds.length) / cpu : undefined,
    operations,
  };
}

/** Measures one row for all contenders, in turn, three times; answers in their order. */
export async function measureRow(row: Row, contenders: readonly Contender[]): Promise<Measured[]> {
  const rounds = contenders.map((): Awaited<ReturnType<typeof timed>>[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, contender] of contenders.entries()) {
      rounds[i]?.push(await timed(row.prepare(contender, row.operations(contender), round), contender.pid));
    }
  }
  return contenders.map((contender, i) => summary(rounds[i] ?? [], row.operations(contender)));
}
