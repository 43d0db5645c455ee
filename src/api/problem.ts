import { STATUS_CODES } from 'node:http';
import { isFull, isSocketError } from '../store/failure.js';

/** One wrong field of a request: `field` is a path such as `messages[3].chatId` ('' is the whole body), `expected` says what belongs there. */
export interface FieldError {
  readonly field: string;
  readonly expected: string;
}

/** The document of RFC 9457 (`application/problem+json`) that a caller over HTTP receives. */
export interface ProblemDocument {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail?: string;
  readonly errors?: readonly FieldError[];
}

/** What a Problem is made of: an HTTP status, a stable `PH_…` code, a sentence without internals, wrong fields, seconds to wait. */
export interface ProblemParts {
  readonly status: number;
  readonly code: string;
  readonly detail?: string;
  readonly errors?: readonly FieldError[];
  /** Whole seconds; given with each 503. */
  readonly retryAfter?: number;
}

/** An expected refusal of an operation, the same for HTTP and CLI; its message holds nothing that a caller may not see. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly detail: string | undefined;
  readonly errors: readonly FieldError[] | undefined;
  readonly retryAfter: number | undefined;

  constructor(parts: ProblemParts) {
    super(parts.detail ?? STATUS_CODES[parts.status] ?? parts.code);
    this.name = 'Problem';
    this.status = parts.status;
    this.code = parts.code;
    this.detail = parts.detail;
    this.errors = parts.errors;
    this.retryAfter = parts.retryAfter;
  }

  /** The RFC 9457 document; `type` is about:blank, so `title` is the phrase of the status. Never throws. */
  document(): ProblemDocument {
    return {
      type: 'about:blank',
      title: STATUS_CODES[this.status] ?? 'Error',
      status: this.status,
      code: this.code,
      ...(this.detail === undefined ? {} : { detail: this.detail }),
      ...(this.errors === undefined ? {} : { errors: this.errors }),
    };
  }
}

/** What is said of wrong fields by code. */
const DETAILS: Readonly<Record<string, string>> = {
  PH_TEXT_MALFORMED: 'Telegram would refuse this text.',
  PH_TEXT_UNSPLITTABLE: 'This text is longer than a message, and cannot be cut.',
  PH_BOT_TOKEN_REFUSED: 'Telegram refuses this token.',
  PH_IMPORT_HEADER: 'The header row is not of the expected shape.',
};

/** A 400 that names wrong fields; `code` defaults to PH_INPUT_INVALID. Never throws. */
export function wrongInput(errors: readonly FieldError[], code = 'PH_INPUT_INVALID'): Problem {
  return new Problem({
    status: 400,
    code,
    detail: DETAILS[code] ?? 'The request is not of the expected shape.',
    errors,
  });
}

const STORE_AWAY = {
  status: 503,
  code: 'PH_STORE_AWAY',
  detail: 'The store cannot be reached; try again.',
  retryAfter: 1,
};

const STORE_FULL = {
  status: 503,
  code: 'PH_STORE_FULL',
  detail: 'The store is full; make room, then try again.',
  retryAfter: 30,
};

/** Codes of errors thrown below the operations, with what a caller sees of each. */
const KNOWN: Readonly<Record<string, ProblemParts>> = {
  PH_STORE_AWAY: STORE_AWAY,
  PH_IDEMPOTENCY_CONFLICT: {
    status: 409,
    code: 'PH_IDEMPOTENCY_CONFLICT',
    detail: 'This Idempotency-Key was used with another body.',
  },
  PH_TOO_MANY_WAITING: {
    status: 503,
    code: 'PH_TOO_MANY_WAITING',
    detail: 'Too many messages are waiting; try again later.',
    retryAfter: 10,
  },
  PH_STORE_FULL: STORE_FULL,
  PH_SECRET_KEY_WRONG: {
    status: 409,
    code: 'PH_SECRET_KEY_WRONG',
    detail: 'SECRET_KEY is not the one that sealed the tokens of the bots in this store; nothing was changed.',
  },
  PH_PAGE_TOO_LARGE: {
    status: 413,
    code: 'PH_PAGE_TOO_LARGE',
    detail: 'The request does not fit one document of the store; send it in parts.',
  },
};

/** Errors of the MongoDB driver and of Mongoose that mean "no answer from the store". */
const AWAY_NAMES = new Set([
  'MongoNetworkError',
  'MongoNetworkTimeoutError',
  'MongoServerSelectionError',
  'MongoNotConnectedError',
  'MongoTopologyClosedError',
  'MongoPoolClosedError',
  'MongoPoolClearedError',
  'PoolClearedOnNetworkError',
  'PoolClosedError',
  'MongoClientClosedError',
  'MongoExpiredSessionError',
  'MongoWaitQueueTimeoutError',
  'MongoOperationTimeoutError',
  'MongooseServerSelectionError',
  'DisconnectedError',
]);

/**
 * The Problem behind any error, or undefined when it is a bug (answered as 500 and logged by who asks).
 * Knows Problem itself, the codes of the store services, and the driver's errors of a store that is away or full. Never throws.
 */
export function problemOf(error: unknown): Problem | undefined {
  if (error instanceof Problem) return error;
  if (!(error instanceof Error)) return undefined;
  const code: unknown = Reflect.get(error, 'code');
  if (typeof code === 'string') {
    const known = KNOWN[code];
    const wait: unknown = Reflect.get(error, 'retryAfterS');
    if (known !== undefined) return new Problem(typeof wait === 'number' ? { ...known, retryAfter: wait } : known);
  }
  if (
    AWAY_NAMES.has(error.name) ||
    isSocketError(error) ||
    (error.name === 'MongooseError' && error.message.includes('buffering timed out'))
  ) {
    return new Problem(STORE_AWAY);
  }
  if (isFull(error)) return new Problem(STORE_FULL);
  return undefined;
}
