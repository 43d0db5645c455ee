import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { eventually } from '../support/eventually.js';
import { startLocalTelegramProcess } from '../support/local-telegram.js';
import { needed } from '../support/needs.js';
import { childrenOf } from '../support/other-host.js';
import { posthornApi } from '../support/posthorn-api.js';
import { type Ended, freePort, type PosthornProcess, REPOSITORY, startProcess } from '../support/posthorn-process.js';
import { broadcastDone, serverEnv } from '../support/posthorn-server.js';

const PEOPLE = 150;
const MOMENT_MS = 90_000;
const ROLES = 5;

t.setTimeout(400_000);

/** A runner of Procfiles: how it is started, what it says of a process that ended with 0, and how it is stopped by a signal. */
interface Runner {
  readonly command: readonly [string, ...string[]];
  readonly args: (port: number) => string[];
  readonly endedWell: RegExp;
  /** Whether it hands a SIGTERM on; else only a signal to the whole group reaches the processes. */
  readonly passesSigterm: boolean;
  readonly endOf: Readonly<Record<'SIGTERM' | 'SIGINT', Ended>>;
}

const NF: Runner = {
  command: [process.execPath, join(REPOSITORY, 'node_modules/foreman/nf.js')],
  args: (port) => ['start', '--procfile', 'Procfile', '--port', String(port)],
  endedWell: /Exited Successfully/g,
  passesSigterm: false,
  endOf: { SIGTERM: { code: null, signal: 'SIGTERM' }, SIGINT: { code: 0, signal: null } },
};

const FOREMAN: Runner = {
  command: ['/usr/bin/foreman'],
  args: (port) => ['start', '--timeout', '30', '--port', String(port)],
  endedWell: /exited with code 0/g,
  passesSigterm: true,
  endOf: { SIGTERM: { code: 0, signal: null }, SIGINT: { code: 0, signal: null } },
};

async function byRunner(t: Test, { command, args, endedWell, passesSigterm, endOf }: Runner): Promise<void> {
  const dir = t.testdir();
  const telegram = await startLocalTelegramProcess(t, dir);
  const env = { ...serverEnv(t, dir), ...telegram.env };
  const started = async () => {
    const runner = startProcess(t, { command, args: args(await freePort()), cwd: REPOSITORY, env });
    const url = await eventually('all roles are ready', MOMENT_MS, async () => {
      if (!runner.running) throw new Error(`ended: ${runner.stdout()}${runner.stderr()}`);
      const ready = runner.stdout().match(/posthorn ready/g) ?? [];
      return ready.length === ROLES && /posthorn ready (http:\S+)/.exec(runner.stdout())?.[1];
    });
    return { runner, api: posthornApi(url) };
  };
  const stopped = async (runner: PosthornProcess, signal: 'SIGTERM' | 'SIGINT') => {
    const children = childrenOf(runner.pid);
    t.equal(children.length, ROLES);
    process.kill(signal === 'SIGTERM' && !passesSigterm ? -runner.pid : runner.pid, signal);
    t.same(await runner.ended(), endOf[signal], `the end of the runner by ${signal}`);
    await eventually('all processes have ended', MOMENT_MS, async () =>
      children.every((pid) => !existsSync(`/proc/${pid}`)),
    );
    if (endOf[signal].signal === null)
      t.equal((runner.stdout().match(endedWell) ?? []).length, ROLES, 'each role ended with 0');
  };
  const sent = (count: number) =>
    eventually(`${count} sent`, MOMENT_MS, async () => (await telegram.stats()).distinct >= count);

  const first = await started();
  await first.api.importPeople(await telegram.people(PEOPLE));
  const id = await first.api.broadcast({ text: '#1 by roles apart' });
  await sent(20);
  await stopped(first.runner, 'SIGTERM');
  const second = await started();
  await sent(60);
  await stopped(second.runner, 'SIGINT');
  const third = await started();
  t.match(await broadcastDone(third.api, id, MOMENT_MS), { sent: PEOPLE, dead: 0, unknown: 0 });
  const { distinct, duplicates, tooMany } = await telegram.stats();
  t.same({ distinct, duplicates, tooMany }, { distinct: PEOPLE, duplicates: 0, tooMany: 0 });
  await stopped(third.runner, 'SIGINT');
}

t.test('the Procfile by npx nf start', (t) => byRunner(t, NF));

t.test("the Procfile by Debian's foreman start", async (t) => {
  if (needed(t, 'foreman') === undefined) return;
  await byRunner(t, FOREMAN);
});
