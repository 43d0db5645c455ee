import { connect } from 'node:net';

const HEAD_END = '\r\n\r\n';
const OK = Buffer.from('HTTP/1.1 200');
const LENGTH = Buffer.from('Content-Length: ');

/** Counts the whole answers in the bytes that a server sends on one connection, however they are cut; each must have a Content-Length. */
export class AnswerCounter {
  /** How many had another status than 200. */
  refused = 0;
  #rest: Buffer = Buffer.alloc(0);

  /** Takes the next bytes and returns how many answers they complete. */
  feed(bytes: Buffer): number {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    let at = 0;
    let whole = 0;
    for (;;) {
      const headEnd = all.indexOf(HEAD_END, at, 'latin1');
      if (headEnd < 0) break;
      let digit = all.indexOf(LENGTH, at) + LENGTH.length;
      let length = 0;
      for (let byte = all[digit] ?? 0; byte >= 48 && byte <= 57; byte = all[digit] ?? 0) {
        length = length * 10 + byte - 48;
        digit += 1;
      }
      const end = headEnd + HEAD_END.length + length;
      if (end > all.length) break;
      if (all.compare(OK, 0, OK.length, at, at + OK.length) !== 0) this.refused += 1;
      whole += 1;
      at = end;
    }
    this.#rest = at === all.length ? Buffer.alloc(0) : all.subarray(at);
    return whole;
  }
}

/** The bytes of a POST of JSON. */
export function postOf(path: string, body: object): string {
  const json = JSON.stringify(body);
  return `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(json)}${HEAD_END}${json}`;
}

/** Sends requests on one connection without waiting for their answers, `window` at most under way. Rejects when one is answered by another status than 200, or the connection ends. */
export function pipeline(port: number, requests: Iterable<string>, window = 200): Promise<void> {
  return new Promise((resolve, reject) => {
    const rest = requests[Symbol.iterator]();
    const counter = new AnswerCounter();
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    let underWay = 0;
    const send = (): void => {
      let bytes = '';
      while (underWay < window) {
        const next = rest.next();
        if (next.done === true) break;
        bytes += next.value;
        underWay += 1;
      }
      if (bytes !== '') socket.write(bytes);
      else if (underWay === 0) {
        socket.destroy();
        resolve();
      }
    };
    socket.on('connect', send);
    socket.on('data', (bytes) => {
      underWay -= counter.feed(bytes);
      if (counter.refused > 0) socket.destroy(new Error(`refused: ${bytes.toString('utf8', 0, 500)}`));
      else send();
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the connection was closed')));
  });
}
