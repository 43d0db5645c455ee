/** What can go wrong with the local Telegram as a whole: its port, its data directory's lock, its files; and wrong input to its control functions. */
export type LocalTelegramErrorCode =
  | 'PH_LOCAL_TELEGRAM_PORT_TAKEN'
  | 'PH_LOCAL_TELEGRAM_LOCKED'
  | 'PH_LOCAL_TELEGRAM_DATA'
  | 'PH_LOCAL_TELEGRAM_INPUT';

/** An error of the local Telegram as a whole, with a stable code. */
export class LocalTelegramError extends Error {
  readonly code: LocalTelegramErrorCode;

  constructor(code: LocalTelegramErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'LocalTelegramError';
    this.code = code;
  }
}
