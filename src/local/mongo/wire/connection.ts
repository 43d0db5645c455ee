import type { Socket } from 'node:net';
import type { Command } from './message.js';
import { MAX_MESSAGE_BYTES, parseRequest, replyHead } from './message.js';

/** What a connection is served with. */
export interface ConnectionDeps {
  /** Answers a command with a BSON document; never rejects. `signal` is aborted when the client has gone. */
  execute(command: Command, connectionId: number, signal: AbortSignal): Promise<Buffer>;
  /** The answer to a message that could not be read. */
  refuse(error: unknown): Buffer;
  /** What all connections of a server hold together, in bytes: of messages that are not whole yet or wait their turn. */
  readonly held: { bytes: number };
}

const PAUSE_BYTES = 64_000_000; // of whole messages that wait their turn
const MOST_HELD_BYTES = 512_000_000; // of all connections: ten of the largest messages
const STALL_MS = 60_000;

/** Serves one client: its messages one after another, each answered before the next begins. Malformed frames close this connection only; so does a begun message
 * of which nothing comes for 60 s, or one that makes all connections hold more than 512 MB. */
export function serveConnection(socket: Socket, connectionId: number, deps: ConnectionDeps): void {
  const aborted = new AbortController();
  let chunks: Buffer[] = [];
  let held = 0;
  let wanted = 16;
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let busy = false;
  let refused = false;
  let replies = 0;

  function forget(): void {
    deps.held.bytes -= held + waitingBytes;
    [chunks, held, waiting, waitingBytes] = [[], 0, [], 0];
  }

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
      // What follows it cannot be trusted to begin where a message begins.
      forget();
      refused = true;
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
      deps.held.bytes -= next.length;
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
    if (socket.destroyed || refused) return;
    chunks.push(chunk);
    held += chunk.length;
    deps.held.bytes += chunk.length;
    while (held >= wanted) {
      const length = peekLength();
      if (length < 16 || length > MAX_MESSAGE_BYTES) {
        socket.destroy();
        return;
      }
      wanted = length;
      if (held < length) break;
      const message = take(length);
      wanted = 16;
      waiting.push(message);
      waitingBytes += length;
    }
    if (held > 0 && deps.held.bytes > MOST_HELD_BYTES) {
      socket.destroy();
      return;
    }
    if (waitingBytes > PAUSE_BYTES) socket.pause();
    // A socket that was paused here is not the client's fault.
    socket.setTimeout(held > 0 && !socket.isPaused() ? STALL_MS : 0);
    if (!busy && waiting.length > 0) void work();
  });
  socket.on('error', () => socket.destroy());
  socket.on('timeout', () => socket.destroy());
  socket.on('close', () => {
    forget();
    aborted.abort();
  });
}
