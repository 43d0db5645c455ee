import { type Config, secretsOf } from '../config.js';
import type { Log } from '../log.js';
import { createLogger } from '../logger.js';
import type { Io } from './io.js';

/** What each command works with. */
export interface Session {
  readonly config: Config;
  readonly io: Io;
  readonly log: Log;
}

/** A session whose log goes to standard error; unless LOG_LEVEL says otherwise it only warns. Never throws. */
export function session(config: Config, io: Io, levelIsSet: boolean): Session {
  const { level, format } = config.log;
  const log = createLogger({
    level: levelIsSet ? level : 'warn',
    format,
    sink: io.stderr,
    secrets: secretsOf(config),
  });
  return { config, io, log };
}
