import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { MongoBackend } from '@agendajs/mongo-backend';
import { Agenda } from 'agenda';
import { MongoClient } from 'mongodb';
import t, { type Test } from 'tap';
import { anyServer } from '../../support/any-server.js';
import { eventually } from '../../support/eventually.js';

const JOBS = 100;
const DONE_MS = 90_000;

t.setTimeout(150_000);

function startWorker(t: Test, uri: string, name: string): Promise<ChildProcess> {
  const program = join(import.meta.dirname, 'agenda-worker.fixture.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', program, uri, name], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  return new Promise((resolve, reject) => {
    child.stdout.once('data', () => resolve(child));
    child.once('exit', (code) => reject(new Error(`worker ${name} ended with ${code}`)));
  });
}

t.test('Agenda as it is, in two processes on one store: 100 jobs, each once', async (t) => {
  const uri = await anyServer(t);
  const client = await new MongoClient(uri).connect();
  t.teardown(() => client.close());
  const agenda = new Agenda({ backend: new MongoBackend({ mongo: client.db() }) });
  await agenda.ready;
  for (let n = 0; n < JOBS; n++) await agenda.schedule(new Date(Date.now() + (n % 20) * 50), 'once', { n });

  const workers = await Promise.all(['first', 'second'].map((name) => startWorker(t, uri, name)));
  const runs = client.db().collection<{ n: number; by: string }>('runs');
  await eventually('all jobs have run', DONE_MS, async () => (await runs.countDocuments()) >= JOBS);
  const jobs = client.db().collection('agendaJobs');
  await eventually(
    'no job is locked or waits',
    DONE_MS,
    async () => (await jobs.countDocuments({ $or: [{ lockedAt: { $ne: null } }, { nextRunAt: { $ne: null } }] })) === 0,
  );
  const found = await runs.find({}, { sort: { n: 1 } }).toArray();
  t.same(
    found.map(({ n }) => n),
    Array.from({ length: JOBS }, (_, n) => n),
    'each once',
  );
  t.equal(new Set(found.map(({ by }) => by)).size, 2, 'both processes took part');
  for (const worker of workers) {
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    worker.stdin?.end();
    t.equal(await ended, 0);
  }
});
