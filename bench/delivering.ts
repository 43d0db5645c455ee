/** What rows of `npm run bench` do in their worlds. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Measure } from './row.js';
import type { World } from './world.js';

/** How often is looked, ms: the error of a measured time. */
const LOOK_MS = 20;
const LATENCY_MS = 20;
const STALL_MS = 60_000;

/** Resolves once `look` says so, with the time; throws when that takes longer than a minute more than `expectedS`. */
export async function once(
  what: string,
  expectedS: number,
  look: () => Promise<boolean>,
  everyMs = LOOK_MS,
): Promise<number> {
  const until = performance.now() + expectedS * 1_000 + STALL_MS;
  while (!(await look())) {
    if (performance.now() > until) throw new Error(`${what}: not within ${expectedS} s and a minute`);
    await sleep(everyMs);
  }
  return performance.now();
}

/** A time of so many ms, in words. */
export const seconds = (ms: number): string => `${(ms / 1_000).toFixed(2)} s`;

/** Counters to zero, and how the local Telegram is from now on. */
export async function weather({ telegram }: World, faults: object): Promise<void> {
  await telegram.reset();
  await telegram.faults({ latencyMs: LATENCY_MS, ...faults });
}

/** Posts something and waits until the local Telegram has accepted `count` messages; answers how long that took, ms, and what it counted. */
export async function delivered(world: World, count: number, expectedS: number, post: () => Promise<unknown>) {
  const began = performance.now();
  await post();
  const end = await once(`${count} messages`, expectedS, async () => (await world.telegram.stats()).accepted >= count);
  return { ms: end - began, stats: await world.telegram.stats() };
}

/** That Telegram never said 429. */
export const noTooMany = (what: string, tooMany: number): Measure => ({
  what: `${what}, answers 429`,
  value: String(tooMany),
  goal: '0',
  held: tooMany === 0,
});
