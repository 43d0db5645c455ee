import type { WireEvents } from './wire.js';

/** How the page hears of what happens: not yet, at once, or not at the moment. */
export type Connection = 'connecting' | 'live' | 'lost';

/** Who takes what comes. */
export interface LiveOwner {
  onEvent<Name extends keyof WireEvents>(name: Name, data: WireEvents[Name]): void;
  onConnection(connection: Connection): void;
}

const NAMES = [
  'hello',
  'message',
  'deleted',
  'chats',
  'commands',
  'told',
  'flood',
  'resync',
] as const satisfies readonly (keyof WireEvents)[];
const AGAIN_MS = 1500;

/**
 * The events of one person, kept coming: a connection that ends is opened again. A tab that is not looked at lets go of its connection, since a browser
 * grants few to one server, and hears `hello` again when it is looked at.
 */
export class Live {
  readonly #owner: LiveOwner;
  #source: EventSource | undefined;
  #user: number | undefined;
  #again = 0;

  constructor(owner: LiveOwner) {
    this.#owner = owner;
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) this.#close();
      else if (this.#source === undefined) this.#open();
    });
  }

  /** Follows a person from now on, or nobody. */
  follow(user: number | undefined): void {
    if (user === this.#user) return;
    this.#user = user;
    this.#close();
    this.#open();
  }

  #open(): void {
    if (this.#user === undefined || document.hidden) return;
    const source = new EventSource(`/local/events?user=${this.#user}`);
    this.#source = source;
    this.#owner.onConnection('connecting');
    for (const name of NAMES) {
      source.addEventListener(name, (event) => {
        if (name === 'hello') this.#owner.onConnection('live');
        this.#owner.onEvent(name, JSON.parse((event as MessageEvent<string>).data));
      });
    }
    source.addEventListener('error', () => {
      this.#owner.onConnection('lost');
      // The browser tries again by itself, but not after an answer that was an error.
      if (source.readyState !== EventSource.CLOSED) return;
      this.#close();
      this.#again = setTimeout(() => this.#open(), AGAIN_MS);
    });
  }

  #close(): void {
    clearTimeout(this.#again);
    this.#source?.close();
    this.#source = undefined;
  }
}
