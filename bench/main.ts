/**
 * The benchmarks of the delivery engine, each row with its goal: `npm run bench -- [--row NAME]… [--list] [--json]`.
 * Prints one table in Markdown, as it stands in docs/performance.md. Exit code: 0 all goals held, 1 one did not or a row failed, 64 wrong usage.
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { say } from './command.js';
import type { Measure } from './row.js';
import { ROWS } from './rows.js';

interface Answer {
  readonly row: string;
  readonly measures: readonly Measure[];
  readonly failed?: string;
}

/** The rows that were asked for; throws on a name that is none. */
function rowsOf(names: readonly string[]) {
  const unknown = names.find((name) => !ROWS.some((row) => row.name === name));
  if (unknown !== undefined)
    throw new Error(`--row ${unknown}: expected one of ${ROWS.map(({ name }) => name).join(', ')}`);
  return names.length === 0 ? ROWS : ROWS.filter(({ name }) => names.includes(name));
}

/** The table of docs/performance.md. */
function markdown(answers: readonly Answer[]): string {
  const lines = answers.flatMap(({ row, measures, failed }) => [
    ...measures.map(({ what, value, goal, held }) => [row, what, value, goal, held ? 'yes' : '**no**']),
    ...(failed === undefined ? [] : [[row, 'failed', failed, '', '**no**']]),
  ]);
  const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
  return [['row', 'measure', 'value', 'goal', 'held'], ['---', '---', '---', '---', '---'], ...lines]
    .map((cells) => `| ${cells.map(cell).join(' | ')} |\n`)
    .join('');
}

async function main(): Promise<number> {
  let rows: typeof ROWS;
  let options: { json: boolean; list: boolean };
  try {
    const { values } = parseArgs({
      args: process.argv.slice(2),
      options: {
        row: { type: 'string', multiple: true, default: [] },
        list: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
      },
    });
    options = values;
    rows = rowsOf(values.row);
  } catch (error) {
    say((error as Error).message);
    return 64;
  }
  if (options.list) {
    process.stdout.write(rows.map(({ name, about }) => `${name.padEnd(16)} ${about}\n`).join(''));
    return 0;
  }
  const answers: Answer[] = [];
  for (const { name, about, run } of rows) {
    say(`${name}: ${about}`);
    try {
      answers.push({ row: name, measures: await run((progress) => say(`${name}: ${progress}`)) });
    } catch (error) {
      answers.push({ row: name, measures: [], failed: (error as Error).message });
      say(`${name} failed: ${(error as Error).message}`);
    }
  }
  const machine = `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`;
  if (options.json) process.stdout.write(`${JSON.stringify({ machine, rows: answers }, undefined, 2)}\n`);
  else process.stdout.write(`${machine}\n\n${markdown(answers)}`);
  return answers.every(({ measures, failed }) => failed === undefined && measures.every(({ held }) => held)) ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
process.exitCode = await main();
process.exit();
