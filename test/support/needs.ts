import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';

const INSTALLED = join(import.meta.dirname, '../../.test-needs');

/** What `npm run test:needs` installs. */
const PATHS = {
  secantusdb: join(INSTALLED, 'venv/bin/secantusd-py'),
  'telegram-clients': join(INSTALLED, 'venv/telegram-clients.txt'),
  'driver-specs': join(INSTALLED, 'driver-specs/crud/unified'),
  chromium: '/usr/bin/chromium',
  foreman: '/usr/bin/foreman',
} as const;

/** Something that a test needs beyond npm. */
export type Need = keyof typeof PATHS;

/** Where an installed need lies, or undefined. */
export const installed = (need: Need): string | undefined => (existsSync(PATHS[need]) ? PATHS[need] : undefined);

/** Where an installed need lies. Where it is missing the test `t` is skipped with a line that says what to run, and undefined comes back; with CI=true that is a failure. */
export function needed(t: Test, need: Need): string | undefined {
  const path = installed(need);
  if (path !== undefined) return path;
  const line = `${need} is not installed: npm run test:needs`;
  if (process.env.CI === 'true') t.fail(line);
  else t.comment(`SKIP ${line}`);
  return undefined;
}

/** The drivers' specification tests as JSON files, by path. Throws when they are not installed. */
export function driverSpecFiles(): string[] {
  return readdirSync(PATHS['driver-specs'])
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => join(PATHS['driver-specs'], name));
}
