/**
 * What every part of the program logs to: a subset of pino's logger.
 * `obj` holds the fields (an error under `err`), `msg` one short sentence. Never throws.
 */
export interface Log {
  debug(obj: object, msg: string): void;
  info(obj: object, msg: string): void;
  warn(obj: object, msg: string): void;
  error(obj: object, msg: string): void;
}

const nothing = (): void => undefined;

/** A log that says nothing, for tests and for tools. Never throws. */
export const silentLog: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing };
