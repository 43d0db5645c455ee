import type { OwnerRow } from './models.js';

/** What of a document of `owners` can be relied on; what cannot is left out, or as in a new one. */
export interface SoundOwner {
  readonly epoch: number;
  readonly begun: string[];
  readonly handling: number[];
  readonly rate?: number;
  readonly waitUntil?: number;
}

const whole = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const text = (value: unknown): value is string => typeof value === 'string';

function listOf<T>(value: unknown, is: (item: unknown) => item is T): { sound: T[]; right: boolean } {
  if (!Array.isArray(value)) return { sound: [], right: false };
  const sound = value.filter(is);
  return { sound, right: sound.length === value.length };
}

/** A process, or nobody. */
function isOwner(value: unknown): boolean {
  if (value === null) return true;
  if (typeof value !== 'object') return false;
  const { host, bootId, pidNamespace, pid, started } = value as Record<string, unknown>;
  return [host, bootId, pidNamespace, started].every(text) && whole(pid);
}

/**
 * Reads a document of `owners` that anybody may have edited: what of it is sound, and the names of the fields that are not as an owner writes them.
 * Fields that only figures are made of (waiting, ready) are never wrong: their owner writes them anew. Never throws.
 */
export function soundOwner(row: OwnerRow): { readonly sound: SoundOwner; readonly wrong: readonly string[] } {
  const { owner, epoch, beat, begun, handling, rate, waitUntil } = row as unknown as Record<string, unknown>;
  const calls = listOf(begun, text);
  const updates = listOf(handling, (item): item is number => Number.isSafeInteger(item));
  const fits = (value: unknown) =>
    value === undefined || value === null || (typeof value === 'number' && value >= 0 && value < Infinity);
  const right = {
    owner: isOwner(owner),
    epoch: whole(epoch),
    beat: whole(beat),
    begun: calls.right,
    handling: updates.right,
    rate: fits(rate),
    waitUntil: fits(waitUntil),
  };
  return {
    sound: {
      epoch: whole(epoch) ? epoch : 0,
      begun: calls.sound,
      handling: updates.sound,
      ...(fits(rate) && typeof rate === 'number' ? { rate } : {}),
      ...(fits(waitUntil) && typeof waitUntil === 'number' ? { waitUntil } : {}),
    },
    wrong: Object.entries(right)
      .filter(([, isRight]) => !isRight)
      .map(([field]) => field),
  };
}
