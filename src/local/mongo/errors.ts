/** An error that a client is told: MongoDB's code and name, a text, and what else the answer carries (keyPattern, keyValue). */
export class StoreError extends Error {
  readonly code: number;
  readonly codeName: string;
  readonly extra: Readonly<Record<string, unknown>>;

  constructor(code: number, codeName: string, message: string, extra: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.name = 'StoreError';
    this.code = code;
    this.codeName = codeName;
    this.extra = extra;
  }
}

/** The refusal of what this store does not implement, by name: code 238 NotImplemented. Never throws. */
export function notImplemented(what: string): StoreError {
  return new StoreError(238, 'NotImplemented', `the embedded store does not implement ${what}`);
}

/** Wrong arguments: code 2 BadValue. Never throws. */
export function badValue(message: string): StoreError {
  return new StoreError(2, 'BadValue', message);
}

/** A document of a command that cannot be read as what it should be: code 9 FailedToParse. Never throws. */
export function failedToParse(message: string): StoreError {
  return new StoreError(9, 'FailedToParse', message);
}

/** A value of the wrong type: code 14 TypeMismatch. Never throws. */
export function typeMismatch(message: string): StoreError {
  return new StoreError(14, 'TypeMismatch', message);
}

/** Bytes that are not BSON: code 22 InvalidBSON. Never throws. */
export function invalidBson(message: string): StoreError {
  return new StoreError(22, 'InvalidBSON', message);
}

/** No room for a write: code 14031 OutOfDiskSpace. Reads go on. Never throws. */
export function outOfSpace(message: string): StoreError {
  return new StoreError(14031, 'OutOfDiskSpace', message);
}

/** The disk did not do what it was told, for another reason than a lack of room: code 39 FileStreamFailed. Reads go on, nothing more is written. Never throws. */
export function diskFailed(message: string): StoreError {
  return new StoreError(39, 'FileStreamFailed', message);
}

/** What the start of the store throws: a stable code (PH_STORE_LOCKED, PH_STORE_PORT_TAKEN, PH_STORE_FORMAT) and a text for an operator. */
export class StoreStartError extends Error {
  readonly code: 'PH_STORE_LOCKED' | 'PH_STORE_PORT_TAKEN' | 'PH_STORE_FORMAT';

  constructor(code: StoreStartError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StoreStartError';
    this.code = code;
  }
}
