/** The id of the first person ever made; the rest follow it without gaps. */
export const FIRST_PERSON_ID = 100_000_001;

/** People made by one request: `count` ids from `first` on, alike but for number and username. */
export interface PeopleRange {
  readonly first: number;
  readonly count: number;
  readonly firstName?: string;
  readonly username?: string;
  readonly languageCode?: string;
  readonly started: boolean;
}

/** One person as the control API shows it. */
export interface Person {
  readonly id: number;
  readonly firstName: string;
  readonly username?: string;
  readonly languageCode?: string;
}

/** All people, kept as ranges: a million made at once take one entry. */
export class People {
  #ranges: PeopleRange[] = [];
  #last: PeopleRange | undefined;
  #next = FIRST_PERSON_ID;
  /** Those who have deleted their accounts. */
  readonly deactivated = new Set<number>();

  /** The id that the next person gets. */
  get nextId(): number {
    return this.#next;
  }

  /** All ranges, ascending. */
  get ranges(): readonly PeopleRange[] {
    return this.#ranges;
  }

  /** Adds a range that begins at or above `nextId`. */
  add(range: PeopleRange): void {
    this.#ranges.push(range);
    this.#next = range.first + range.count;
  }

  /** Forgets everyone; ids go on, so that nobody inherits another's. */
  clear(): void {
    this.#ranges = [];
    this.#last = undefined;
    this.deactivated.clear();
  }

  /** Has ids go on from a higher one. */
  skipTo(id: number): void {
    this.#next = Math.max(this.#next, id);
  }

  /** The range that holds the id, undefined for an id that nobody made. */
  find(id: number): PeopleRange | undefined {
    const last = this.#last;
    if (last !== undefined && id >= last.first && id < last.first + last.count) return last;
    let low = 0;
    let high = this.#ranges.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const range = this.#ranges[middle];
      if (range === undefined) return undefined;
      if (id < range.first) high = middle - 1;
      else if (id >= range.first + range.count) low = middle + 1;
      else {
        this.#last = range;
        return range;
      }
    }
    return undefined;
  }

  /** The person of that id in that range (see `find`). */
  person(range: PeopleRange, id: number): Person {
    if (this.deactivated.has(id)) return { id, firstName: '' };
    const single = range.count === 1;
    return {
      id,
      firstName: range.firstName ?? `Person ${id - FIRST_PERSON_ID + 1}`,
      ...(range.username !== undefined && {
        username: single ? range.username : `${range.username}${id - range.first + 1}`,
      }),
      ...(range.languageCode !== undefined && { languageCode: range.languageCode }),
    };
  }
}

/** A person as the Bot API's User, in JSON. Never throws. */
export function userJson(person: Person): string {
  const language = person.languageCode === undefined ? '' : `,"language_code":${JSON.stringify(person.languageCode)}`;
  return `{"id":${person.id},"is_bot":false,${namesJson(person)}${language}}`;
}

/** A person's private chat as the Bot API's Chat, in JSON. Never throws. */
export function chatJson(person: Person): string {
  return `{"id":${person.id},${namesJson(person)},"type":"private"}`;
}

function namesJson(person: Person): string {
  const username = person.username === undefined ? '' : `,"username":${JSON.stringify(person.username)}`;
  return `"first_name":${JSON.stringify(person.firstName)}${username}`;
}
