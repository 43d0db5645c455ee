import { inspect } from 'node:util';
import type { Failure, Tally } from './compare.js';
import { DIFFERENCES } from './differences.js';
import { outcomeText } from './outcome.js';

const INSPECT = { depth: null, breakLength: 160, maxArrayLength: null, maxStringLength: null } as const;

/** A failing seed as a list of commands, and what both servers say to the last. */
export function failureText({ seed, program, difference }: Failure): string {
  const { what, at, embedded, other, after } = difference;
  const commands = program.map(({ command }, i) => `${i + 1}. ${inspect(command, INSPECT)}`);
  const [left, right] = what === 'answer' ? [outcomeText(embedded), outcomeText(other)] : after;
  return [
    `seed ${seed}: ${what === 'answer' ? 'the answers' : 'the documents after it'} differ at command ${at + 1}`,
    ...commands,
    'embedded store:',
    left,
    'the other server:',
    right,
    '',
  ].join('\n');
}

function lines(counts: ReadonlyMap<string, number>): string[] {
  return [...counts].sort((a, b) => b[1] - a[1]).map(([name, times]) => `  ${String(times).padStart(6)}  ${name}`);
}

/** How many steps the embedded store refused. */
export function refused({ refusals }: Tally): number {
  return [...refusals.values()].reduce((sum, times) => sum + times, 0);
}

/** What a run counted. `verbose`: also where both failed with different codes. */
export function summaryText(tally: Tally, verbose: boolean): string {
  const share = ((refused(tally) * 100) / Math.max(1, tally.steps)).toFixed(1);
  const known = [...tally.known].map(([name, times]) => {
    const { page, explanation } = DIFFERENCES.find((one) => one.name === name) ?? { page: '', explanation: '' };
    return [`${name} (${page}): ${explanation}`, times] as const;
  });
  return [
    `${tally.steps} commands, ${tally.failedAlike} failed on both`,
    `${refused(tally)} refused by name by the embedded store (${share} %)`,
    ...lines(tally.refusals),
    "differences that MongoDB's manual explains:",
    ...lines(new Map(known)),
    ...(verbose ? ['failed on both with different codes (embedded | other):', ...lines(tally.codes)] : []),
  ].join('\n');
}
