import { MongoBackend } from '@agendajs/mongo-backend';
import { Agenda } from 'agenda';
import { MongoClient } from 'mongodb';

// Runs the jobs `once` of the store at argv[2] under the name argv[3], noting each run as a row of its own, until its input ends.
const [, , uri = '', name = ''] = process.argv;
const client = await new MongoClient(uri).connect();
const runs = client.db().collection('runs');
const agenda = new Agenda({
  backend: new MongoBackend({ mongo: client.db() }),
  processEvery: 100,
  defaultConcurrency: 5,
});
agenda.define('once', async (job: { attrs: { data?: unknown } }) => {
  await runs.insertOne({ n: (job.attrs.data as { n: number }).n, by: name });
});
await agenda.start();
process.stdout.write('started\n');
process.stdin.on('end', () => process.exit(0)).resume();
