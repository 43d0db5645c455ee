/** One figure of a row: what was measured, its goal in words, and whether it held. */
export interface Measure {
  readonly what: string;
  readonly value: string;
  readonly goal: string;
  readonly held: boolean;
}

/** A row of `npm run bench`. `run` makes what it needs and cleans up after itself; it throws only when nothing could be measured. */
export interface Row {
  /** For `--row`. */
  readonly name: string;
  readonly about: string;
  run(say: (progress: string) => void): Promise<readonly Measure[]>;
}
