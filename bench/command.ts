import { type Program, withPrograms } from './support.js';

/** Tells on standard error how far a benchmark is. */
export const say = (text: string): void => {
  process.stderr.write(`bench: ${text}\n`);
};

/** One benchmark as a command. */
export interface BenchCommand<Options extends { readonly json: boolean }, Figures> {
  /** Throws with words for the user when the arguments are wrong. */
  optionsOf(argv: readonly string[]): Options;
  /** Measures in a directory of its own, which goes afterwards; of the `programs` that it starts the first of the list is the first to be stopped. */
  run(options: Options, dir: string, programs: Program[]): Promise<Figures>;
  table(figures: Figures, options: Options): string;
}

/** Runs a benchmark on the arguments of this process and ends it, with 0 measured, 1 failed, 64 wrong usage. Prints the table, or the figures with `--json`. */
export async function benchCommand<Options extends { readonly json: boolean }, Figures>(
  command: BenchCommand<Options, Figures>,
): Promise<never> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  process.exit(await measured(command));
}

async function measured<Options extends { readonly json: boolean }, Figures>({
  optionsOf,
  run,
  table,
}: BenchCommand<Options, Figures>): Promise<number> {
  let options: Options;
  try {
    options = optionsOf(process.argv.slice(2));
  } catch (error) {
    say((error as Error).message);
    return 64;
  }
  try {
    const figures = await withPrograms((dir, programs) => run(options, dir, programs));
    process.stdout.write(options.json ? `${JSON.stringify(figures, undefined, 2)}\n` : table(figures, options));
    return 0;
  } catch (error) {
    say(`failed: ${(error as Error).message}`);
    return 1;
  }
}
