import { closeSync, createReadStream, fstatSync, openSync } from 'node:fs';
import type { Socket } from 'node:net';

/** A file that is open to be sent as the body of an answer; it is sent as it was when it was opened, even if it is given up meanwhile. */
export class FileAnswer {
  readonly size: number;
  readonly #fd: number;

  private constructor(fd: number, size: number) {
    this.#fd = fd;
    this.size = size;
  }

  /** Opens a file; undefined when it is not there or cannot be read. Never throws. */
  static open(path: string): FileAnswer | undefined {
    try {
      const fd = openSync(path, 'r');
      try {
        return new FileAnswer(fd, fstatSync(fd).size);
      } catch {
        closeSync(fd);
        return undefined;
      }
    } catch {
      return undefined;
    }
  }

  /** Sends all of it as fast as the client reads, then calls back; a file that cannot be read to its end ends the connection. To be called once, or `drop`. */
  send(socket: Socket, sent: () => void): void {
    if (this.size === 0) {
      this.drop();
      sent();
      return;
    }
    const stream = createReadStream('', { fd: this.#fd, start: 0, end: this.size - 1 });
    let left = this.size;
    const stop = (): void => {
      stream.destroy();
    };
    const goOn = (): void => {
      stream.resume();
    };
    socket.on('close', stop);
    socket.on('drain', goOn);
    stream.on('data', (bytes) => {
      left -= bytes.length;
      if (!socket.write(bytes)) stream.pause();
    });
    stream.on('error', () => socket.destroy());
    stream.on('close', () => {
      socket.off('close', stop);
      socket.off('drain', goOn);
      if (left > 0) socket.destroy();
      else sent();
    });
  }

  /** Closes the file, unsent. */
  drop(): void {
    closeSync(this.#fd);
  }
}
