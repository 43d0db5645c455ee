const INT32_MAX = 2 ** 31 - 1;

/**
 * Reads the fields of a JSON object as Telegram's Bot API server does, with its words. The first fault is kept in `fault`, in tdlib's words; after it
 * the readers go on and give empty values, so that one look at `fault` after the last one is enough. Never throws.
 */
export class JsonFields {
  readonly #object: Readonly<Record<string, unknown>>;
  fault: string | undefined;

  constructor(object: Readonly<Record<string, unknown>>) {
    this.#object = object;
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#object, name);
  }

  /** A text, or a number as its text; '' when absent. */
  text(name: string): string {
    const value = this.#get(name);
    if (value === undefined || typeof value === 'string') return value ?? '';
    return typeof value === 'number' ? String(value) : this.#fail(`Field "${name}" must be of type String`, '');
  }

  /** The same, which must be there. */
  requiredText(name: string): string {
    return this.has(name) ? this.text(name) : this.#fail(missing(name), '');
  }

  /** True or false; false when absent. */
  flag(name: string): boolean {
    const value = this.#get(name);
    if (value === undefined || typeof value === 'boolean') return value ?? false;
    return this.#fail(`Field "${name}" must be of type Boolean`, false);
  }

  /** A whole number of 32 bits, or its digits, which must be there. */
  requiredInteger(name: string): number {
    return this.#integer(name, INT32_MAX);
  }

  /** A whole number, as far as JavaScript counts exactly, or its digits, which must be there. */
  requiredLong(name: string): number {
    return this.#integer(name, Number.MAX_SAFE_INTEGER);
  }

  /** An object; undefined when absent. */
  object(name: string): JsonFields | undefined {
    const value = this.#get(name);
    if (value === undefined) return undefined;
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return new JsonFields(value as Record<string, unknown>);
    }
    return this.#fail(`Field "${name}" must be of type Object`, undefined);
  }

  /** An object that must be there; on a fault an empty one, so that the reading goes on. */
  requiredObject(name: string): JsonFields {
    if (!this.has(name)) this.#fail(missing(name), undefined);
    return this.object(name) ?? new JsonFields({});
  }

  /** An array; undefined when absent. */
  array(name: string): readonly unknown[] | undefined {
    const value = this.#get(name);
    if (value === undefined || Array.isArray(value)) return value as unknown[] | undefined;
    return this.#fail(`Field "${name}" must be of type Array`, undefined);
  }

  /** Takes the fault of an inner object's reader for its own. */
  adopt({ fault }: JsonFields): void {
    this.fault ??= fault;
  }

  #get(name: string): unknown {
    return this.has(name) ? this.#object[name] : undefined;
  }

  #integer(name: string, max: number): number {
    if (!this.has(name)) return this.#fail(missing(name), 0);
    const value = this.#object[name];
    if (typeof value !== 'string' && typeof value !== 'number') {
      return this.#fail(`Field "${name}" must be a Number`, 0);
    }
    const number = /^(?:0|-?[1-9]\d{0,15})$/.test(String(value)) ? Number(value) : Number.NaN;
    return Math.abs(number) <= max ? number : this.#fail(`Field "${name}" must be a valid Number`, 0);
  }

  #fail<T>(fault: string, value: T): T {
    this.fault ??= fault;
    return value;
  }
}

function missing(name: string): string {
  return `Can't find field "${name}"`;
}
