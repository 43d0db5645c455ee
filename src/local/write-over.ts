import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs';

/** Writes a file over what it holds (made when missing): where there is one already, a full disk need not give room. Throws what the file system throws. */
export function writeOver(path: string, text: string): void {
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644);
  try {
    ftruncateSync(file, writeSync(file, text, 0));
  } finally {
    closeSync(file);
  }
}
