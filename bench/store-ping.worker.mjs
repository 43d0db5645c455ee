import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { MongoClient } from 'mongodb';

// In a thread of its own: what keeps the bench busy must not be taken for what keeps the server busy.
const PAUSE_MS = 1;

const client = new MongoClient(workerData, { maxPoolSize: 1 });
const database = client.db('admin');
await database.command({ ping: 1 });
let took = [];
let stopped = true;

async function pingUntilStopped() {
  do {
    const sent = performance.now();
    await database.command({ ping: 1 });
    took.push(performance.now() - sent);
    await sleep(PAUSE_MS);
  } while (!stopped);
  parentPort?.postMessage(took);
  took = [];
}

parentPort?.on('message', (word) => {
  if (word === 'end') void client.close().then(() => parentPort?.close());
  else if (word === 'stop') stopped = true;
  else {
    stopped = false;
    void pingUntilStopped();
  }
});
parentPort?.postMessage([]);
