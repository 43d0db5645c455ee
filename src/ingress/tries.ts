/** How often an update is tried in all before it goes to the dead letters (FEATURES I4, D8). */
export const MAX_TRIES = 3;

/** How often the process may die while it handles an update before the update counts as poison (docs/protocol.md, "Ends of a call"). */
export const MAX_CRASHES = 3;

/** From this many crashes on an update is handled alone, so that its bystanders are not taken for poison too. */
export const SUSPECT_CRASHES = 2;

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
const JITTER = 0.2;

/** What becomes of an update whose handling failed for the `tries`-th time: again after 1 s, then 2 s, then dead. Never throws. */
export function afterFailure(tries: number): { kind: 'again'; delayMs: number } | { kind: 'dead' } {
  if (tries >= MAX_TRIES) return { kind: 'dead' };
  return { kind: 'again', delayMs: FIRST_PAUSE_MS * 2 ** (Math.max(tries, 1) - 1) };
}

/** What becomes of an update that was being handled when its process died, after `crashes` such deaths. Never throws. */
export function afterCrash(crashes: number): 'queued' | 'dead' {
  return crashes >= MAX_CRASHES ? 'dead' : 'queued';
}

/**
 * The pause before attempt `attempt` + 1 at something outside that failed (Telegram, the store), ms: 1 s doubling to 30 s, ± 20 %.
 * `attempt` counts failures in a row from 1; `random` is in [0, 1). Never throws.
 */
export function pauseMs(attempt: number, random: number): number {
  const base = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(Math.max(attempt, 1) - 1, 16), LONGEST_PAUSE_MS);
  return Math.round(base * (1 - JITTER + 2 * JITTER * random));
}
