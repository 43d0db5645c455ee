import type { Socket } from 'node:net';

/** What may wait for a client that does not read, in bytes; at most one piece more. */
const BACKLOG_MAX_BYTES = 256 * 1024;

/** An answer that goes on until either side ends it. It has its connection to itself. Never throws. */
export class AnswerStream {
  readonly #socket: Socket;
  /** What was written before the answers before this one had left. */
  #early: string | undefined = '';
  #ended: boolean;
  /** Whether a piece was refused since the backlog was read last. */
  #refused: boolean;
  /** Called when the client has read what waited, after a piece was refused. */
  onDrained: (() => void) | undefined;
  /** Called once when the connection has closed, whoever closed it. */
  onClosed: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#ended = false;
    this.#refused = false;
    socket.on('drain', () => this.#drained());
    socket.once('close', () => {
      this.#ended = true;
      this.onClosed?.();
    });
  }

  /** Sends a piece; false, and nothing is sent, while 256 KiB wait for the client, and after the end. */
  write(text: string): boolean {
    if (this.#ended) return false;
    const waiting = this.#early === undefined ? this.#socket.writableLength : this.#early.length;
    if (waiting >= BACKLOG_MAX_BYTES) {
      this.#refused = true;
      return false;
    }
    if (this.#early === undefined) this.#socket.write(text, 'utf8');
    else this.#early += text;
    return true;
  }

  /** For the listener: the head has been sent, what waits may follow. */
  begin(): void {
    const early = this.#early ?? '';
    this.#early = undefined;
    if (early !== '') this.#socket.write(early, 'utf8');
    this.#drained();
  }

  #drained(): void {
    if (!this.#refused || this.#ended || this.#socket.writableLength >= BACKLOG_MAX_BYTES) return;
    this.#refused = false;
    this.onDrained?.();
  }
}
