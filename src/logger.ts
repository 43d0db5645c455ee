import { type Logger, pino } from 'pino';
import pretty from 'pino-pretty';
import type { LogLevel } from './config.js';
import type { Log } from './log.js';

/** What stands in a log where a secret was. */
const HIDDEN = '[hidden]';

/** Tokens of Telegram bots wherever they stand, in addresses too (`:` may be written %3A). */
const TOKEN = /\d+(?::|%3A)[A-Za-z0-9_-]{30,}/gi;

/** Takes tokens of bots and the given secrets out of any text. */
export type Redact = (text: string) => string;

/** Makes a Redact for these secrets, also as they look inside JSON and in addresses; texts under 4 characters are left alone. Never throws. */
export function redactor(secrets: readonly (string | undefined)[]): Redact {
  const forms = secrets
    .filter((secret) => secret !== undefined && secret.length >= 4)
    .flatMap((secret) => {
      const plain = String(secret);
      return [plain, encodeURIComponent(plain), JSON.stringify(plain).slice(1, -1)];
    });
  const known = [...new Set(forms)].sort((a, b) => b.length - a.length);
  return (text) => known.reduce((rest, form) => rest.replaceAll(form, HIDDEN), text.replace(TOKEN, HIDDEN));
}

/** Where lines of text go. */
export interface TextSink {
  write(text: string): unknown;
}

/** What a logger is made of; `format` undefined: pretty where the sink is a terminal (`isTTY`), else json. */
export interface LoggerOptions {
  readonly level: LogLevel;
  readonly format: 'pretty' | 'json' | undefined;
  readonly sink: TextSink & { readonly isTTY?: boolean };
  readonly secrets: readonly (string | undefined)[];
}

/** The program's log, whose level may be changed while it runs. */
export interface LeveledLog extends Log {
  level: string;
}

/**
 * A pino logger that writes to `sink`, a line of JSON or of readable text each; every finished line is freed of bot tokens and of the given secrets,
 * so that none slips through inside errors, addresses or nested fields. Never throws.
 */
export function createLogger({ level, format, sink, secrets }: LoggerOptions): LeveledLog {
  const redact = redactor(secrets);
  const guarded = { write: (line: string) => void sink.write(redact(line)) };
  const isPretty = (format ?? (sink.isTTY === true ? 'pretty' : 'json')) === 'pretty';
  const options = {
    level,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: pino.stdSerializers.err, error: pino.stdSerializers.err },
  };
  if (!isPretty) return pino(options, guarded) satisfies Logger;
  const readable = pretty.prettyFactory({
    colorize: sink.isTTY === true,
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  });
  return pino(options, { write: (line: string) => void guarded.write(readable(line)) }) satisfies Logger;
}
