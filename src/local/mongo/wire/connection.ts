import type { Socket } from 'node:net';
import type { Command } from './message.js';
import { MAX_MESSAGE_BYTES, parseRequest, replyHead } from './message.js';

/** What a connection is served with. */
export interface ConnectionDeps {
  /** Answers a command with a BSON document; never rejects. `signal` is aborted when the client has gone. */
  execute(command: Command, connectionId: number, signal: AbortSignal): Promise<Buffer>;
  /** The answer to a message that could not be read. */
  refuse(error: unknown): Buffer;
}

const PAUSE_BYTES = 64_000_000; // of whole messages that wait their turn

/** Serves one client: its messages one after another, each answered before the next begins. Malformed frames close this connection only. */
export function serveConnection(socket: Socket, connectionId: number, deps: ConnectionDeps): void {
  const aborted = new AbortController();
  let chunks: Buffer[] = [];
  let held = 0;
  let wanted = 16;
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let busy = false;
  let replies = 0;

  function send(requestId: number, legacy: boolean, document: Buffer): void {
    if (socket.destroyed || !socket.writable) return;
    socket.cork();
    socket.write(replyHead(requestId, legacy, document.length, ++replies));
    socket.write(document);
    socket.uncork();
  }

  async function answer(bytes: Buffer): Promise<void> {
    let request: ReturnType<typeof parseRequest>;
    try {
      request = parseRequest(bytes);
    } catch (error) {
      send(bytes.readInt32LE(4), bytes.readInt32LE(12) === 2004, deps.refuse(error));
      socket.end();
      return;
    }
    const document = await deps.execute(request.command, connectionId, aborted.signal);
    if (!request.silent) send(request.requestId, request.legacy, document);
  }

  async function work(): Promise<void> {
    busy = true;
    for (let next = waiting.shift(); next !== undefined && !aborted.signal.aborted; next = waiting.shift()) {
      waitingBytes -= next.length;
      if (waitingBytes < PAUSE_BYTES && socket.isPaused()) socket.resume();
      await answer(next);
      if (socket.writableLength > PAUSE_BYTES)
        await new Promise((resolve) => socket.once('drain', resolve).once('close', resolve));
    }
    busy = false;
  }

  function take(bytes: number): Buffer {
    const all = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, held);
    chunks = all.length > bytes ? [all.subarray(bytes)] : [];
    held -= bytes;
    return all.subarray(0, bytes);
  }

  function peekLength(): number {
    if ((chunks[0]?.length ?? 0) < 4) chunks = [Buffer.concat(chunks, held)];
    return (chunks[0] as Buffer).readInt32LE(0);
  }

  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    held += chunk.length;
    while (held >= wanted) {
      const length = peekLength();
      if (length < 16 || length > MAX_MESSAGE_BYTES) {
        socket.destroy();
        return;
      }
      wanted = length;
      if (held < length) return;
      const message = take(length);
      wanted = 16;
      waiting.push(message);
      waitingBytes += length;
    }
    if (waitingBytes > PAUSE_BYTES) socket.pause();
    if (!busy && waiting.length > 0) void work();
  });
  socket.on('error', () => socket.destroy());
  socket.on('close', () => {
    waiting = [];
    aborted.abort();
  });
}
