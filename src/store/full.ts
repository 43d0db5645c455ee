/** True for the store's refusal to write because it is full (OutOfDiskSpace, 14031), or because its disk failed (the embedded store's FileStreamFailed, 39). */
export const isFull = (error: unknown): boolean =>
  [14031, 39].includes((error as { code?: number } | null)?.code ?? -1);
