import type { Db } from 'mongodb';
import { DIFFERENCES, type Difference } from './differences.js';
import { carryOut, documentsOf, levelUp, outcomeText, stateOf } from './outcome.js';
import { COLLECTION, programOf, type Step } from './program.js';
import { smallerCommands } from './smaller.js';

/** The two servers' databases, each of its own for what runs at the same time. */
export interface Pair {
  readonly embedded: Db;
  readonly other: Db;
}

/** What was counted over many programs. */
export interface Tally {
  steps: number;
  failedAlike: number;
  /** Refusals by the embedded store, by what it refuses. */
  readonly refusals: Map<string, number>;
  /** Known differences by their name. */
  readonly known: Map<string, number>;
  /** Both failed, with different codes: `embedded/other` and the first messages. */
  readonly codes: Map<string, number>;
}

/** A tally of nothing. */
export function newTally(): Tally {
  return { steps: 0, failedAlike: 0, refusals: new Map(), known: new Map(), codes: new Map() };
}

const NOT_IMPLEMENTED = 238;

function count(map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1);
}

/** What differs at one step, before anything is said of what is known, and the embedded store's documents after it. */
async function differenceAt(
  pair: Pair,
  step: Step,
  at: number,
  before: string,
  tally: Tally,
): Promise<{ readonly difference: Difference | 'refused' | undefined; readonly after: string }> {
  const [embedded, other] = await Promise.all([carryOut(pair.embedded, step), carryOut(pair.other, step)]);
  tally.steps++;
  const after = step.writes ? await Promise.all([stateOf(pair.embedded), stateOf(pair.other)]) : [before, before];
  const [left, right] = after as [string, string];
  if (embedded.code === NOT_IMPLEMENTED) {
    count(tally.refusals, embedded.message.replace(/^.*does not implement /, ''));
    return { difference: 'refused', after: left };
  }
  const bothFailed = embedded.code !== undefined && other.code !== undefined;
  if (bothFailed) {
    tally.failedAlike++;
    if (embedded.code !== other.code) count(tally.codes, `${outcomeText(embedded)}  |  ${outcomeText(other)}`);
  }
  const alike = bothFailed || (embedded.code === other.code && embedded.answer === other.answer);
  if (alike && left === right) return { difference: undefined, after: left };
  const difference: Difference = {
    step,
    at,
    what: alike ? 'documents' : 'answer',
    embedded,
    other,
    after: [left, right],
    before: documentsOf(before),
  };
  return { difference, after: left };
}

/** Carries a program out on both, from empty collections; returns the first difference that nothing explains. */
export async function runProgram(pair: Pair, program: readonly Step[], tally: Tally): Promise<Difference | undefined> {
  await Promise.all([pair.embedded, pair.other].map((db) => db.command({ drop: COLLECTION }).catch(() => undefined)));
  let documents = '';
  for (const [at, step] of program.entries()) {
    const { difference, after } = await differenceAt(pair, step, at, documents, tally);
    documents = after;
    if (difference === undefined) continue;
    if (difference !== 'refused') {
      const known = DIFFERENCES.find((one) => one.applies(difference));
      if (known === undefined) return difference;
      count(tally.known, known.name);
    }
    if (step.writes) await levelUp(pair.embedded, pair.other, 'createIndexes' in step.command);
  }
  return undefined;
}

const MOST_TRIES = 600; // of smaller commands, a program

/** A failing program without the steps, and then the parts of the commands, that the difference does not need. */
async function shrunk(pair: Pair, program: readonly Step[], first: Difference): Promise<readonly Step[]> {
  let kept = [...program];
  let tries = 0;
  const fails = async (steps: readonly Step[]): Promise<boolean> => {
    const found = await runProgram(pair, steps, newTally());
    return (
      found !== undefined &&
      found.what === first.what &&
      found.embedded.code === first.embedded.code &&
      found.other.code === first.other.code
    );
  };
  for (let at = kept.length - 2; at >= 0; at--) {
    const without = kept.toSpliced(at, 1);
    if (await fails(without)) kept = without;
  }
  for (let at = kept.length - 1; at >= 0; at--) {
    for (let found = true; found; ) {
      found = false;
      const step = kept[at] as Step;
      for (const command of smallerCommands(step.command)) {
        if (++tries > MOST_TRIES) return kept;
        const smaller = kept.with(at, { ...step, command });
        if (!(await fails(smaller))) continue;
        kept = smaller;
        found = true;
        break;
      }
    }
  }
  return kept;
}

/** A seed whose program shows a difference that nothing explains. */
export interface Failure {
  readonly seed: number;
  readonly program: readonly Step[];
  readonly difference: Difference;
}

/** Compares the programs of some seeds, as many at a time as there are pairs; ends after `maxFailures`. */
export async function compareSeeds(
  pairs: readonly Pair[],
  seeds: { readonly first: number; readonly count: number },
  maxFailures: number,
  onSeed: (done: number) => void = () => undefined,
): Promise<{ readonly tally: Tally; readonly failures: readonly Failure[] }> {
  const tally = newTally();
  const failures: Failure[] = [];
  let next = 0;
  await Promise.all(
    pairs.map(async (pair) => {
      while (next < seeds.count && failures.length < maxFailures) {
        const seed = seeds.first + next++;
        const program = programOf(seed);
        const found = await runProgram(pair, program, tally);
        onSeed(next);
        if (found === undefined) continue;
        const small = await shrunk(pair, program.slice(0, found.at + 1), found);
        failures.push({ seed, program: small, difference: (await runProgram(pair, small, newTally())) ?? found });
      }
    }),
  );
  return { tally, failures };
}
