import { linkSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeOver } from '../../write-over.js';
import { LocalTelegramError } from '../local-telegram-error.js';

const TRIES = 5;

/** Ends the hold on a directory. Never throws. */
export type Release = () => void;

/**
 * Takes a directory for this process alone, made when missing. A hold outlives no process: one whose process is dead (by pid, its start and the boot) is taken over.
 * Throws PH_LOCAL_TELEGRAM_LOCKED when a live process has it, PH_LOCAL_TELEGRAM_DATA when it cannot be written.
 */
export function lockDirectory(dir: string): Release {
  const path = join(dir, 'lock');
  const own = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  const mark = JSON.stringify({ pid: process.pid, start: startOf(process.pid) });
  try {
    mkdirSync(dir, { recursive: true });
    for (let i = 0; i < TRIES; i += 1) {
      const holder = read(path);
      if (holder !== undefined) {
        if (isAlive(holder)) {
          throw new LocalTelegramError('PH_LOCAL_TELEGRAM_LOCKED', `${dir} is in use by another process: ${holder}`);
        }
        takeAway(path, holder, own);
      }
      writeOver(own, mark);
      if (tryLink(own, path)) return () => drop(path);
    }
    throw new LocalTelegramError('PH_LOCAL_TELEGRAM_LOCKED', `${dir} is being taken by other processes`);
  } catch (error) {
    if (error instanceof LocalTelegramError) throw error;
    throw new LocalTelegramError('PH_LOCAL_TELEGRAM_DATA', `cannot write to ${dir}: ${String(error)}`, error);
  } finally {
    drop(own);
  }
}

function drop(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // What cannot be removed was never made.
  }
}

/** Makes a dead process's hold the file `own`, to be written over; another's that came meanwhile is put back. */
function takeAway(path: string, holder: string, own: string): void {
  try {
    renameSync(path, own);
    if (read(own) === holder) return;
    tryLink(own, path);
  } catch {
    // Someone else was quicker.
  }
  drop(own);
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function isAlive(mark: string): boolean {
  try {
    const { pid, start } = JSON.parse(mark) as { pid: number; start: string };
    process.kill(pid, 0);
    return startOf(pid) === start;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** What tells a process from an earlier one with its pid: boot and start, where /proc shows them; else ''. A zombie counts as dead. */
function startOf(pid: number): string {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === undefined) return '';
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z') return 'zombie';
  return `${read('/proc/sys/kernel/random/boot_id')?.trim() ?? ''}/${fields[19] ?? ''}`;
}
