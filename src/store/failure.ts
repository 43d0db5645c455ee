/** True for the store's refusal to write because it is full (OutOfDiskSpace, 14031), or because its disk failed (the embedded store's FileStreamFailed, 39). */
export const isFull = (error: unknown): boolean =>
  [14031, 39].includes((error as { code?: number } | null)?.code ?? -1);

/** True for what a socket to the store said when it broke while a command waited to be written: there, and only there, the driver passes it on as it is (7.8, Connection.writeCommand). */
export const isSocketError = (error: unknown): boolean =>
  ['EPIPE', 'ECONNRESET'].includes(String((error as { code?: unknown } | null)?.code));
