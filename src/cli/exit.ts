import { type Problem, problemOf } from '../api/problem.js';
import { ConfigError, problemTable } from '../config.js';
import { DataDirError } from '../data-dir.js';

/** The exit codes of the program: done, failed, wrong usage, a service is unreachable, wrong configuration (the last three as in sysexits.h). */
export const EXIT = { done: 0, failed: 1, usage: 64, unavailable: 69, config: 78 } as const;

/** An end of a command that is no bug: what to print and the exit code. */
export class CommandError extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.name = 'CommandError';
    this.exitCode = exitCode;
  }
}

/** The exit code of a refusal: wrong input is wrong usage, 503 an unreachable service, a wrong SECRET_KEY wrong configuration. */
function exitCodeOf({ status, code }: Problem): number {
  if (code === 'PH_SECRET_KEY_WRONG') return EXIT.config;
  if (status === 503) return EXIT.unavailable;
  return status === 400 || status === 413 ? EXIT.usage : EXIT.failed;
}

/** Codes whose fields say why they are refused, not what belongs there. */
const SAYS_WHY = new Set(['PH_TEXT_MALFORMED', 'PH_TEXT_UNSPLITTABLE']);

/** A sentence with the code of its error, as every refusal of the program has it, where there is a code of ours. Never throws. */
export function withCode(message: string, error: unknown): string {
  const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
  return typeof code === 'string' && code.startsWith('PH_') ? `${message} (${code})` : message;
}

/** How a command that threw ends: the text for standard error (with its line end) and the exit code. Never throws. */
export function ending(error: unknown): { readonly text: string; readonly exitCode: number } {
  if (error instanceof CommandError) return { text: `posthorn: ${error.message}\n`, exitCode: error.exitCode };
  if (error instanceof ConfigError) {
    const text = `posthorn: ${withCode('wrong configuration', error)}\n${problemTable(error.problems)}`;
    return { text, exitCode: EXIT.config };
  }
  if (error instanceof DataDirError)
    return { text: `posthorn: ${withCode(error.message, error)}\n`, exitCode: EXIT.config };
  const problem = problemOf(error);
  if (problem !== undefined) {
    const words = SAYS_WHY.has(problem.code) ? '' : 'expected ';
    const fields = (problem.errors ?? []).map(({ field, expected }) => `  ${field || 'input'}: ${words}${expected}\n`);
    return {
      text: `posthorn: ${problem.detail ?? problem.message} (${problem.code})\n${fields.join('')}`,
      exitCode: exitCodeOf(problem),
    };
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { text: `posthorn: failed (PH_INTERNAL)\n${text}\n`, exitCode: EXIT.failed };
}
