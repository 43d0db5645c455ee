import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { BOT } from './store-documents.js';
import { quantile } from './store-rows.js';
import type { ServerSubject } from './store-subject.js';

/** What another client saw of a server that was busy with one long piece of work. */
export interface Pings {
  readonly name: string;
  /** How long the work took. */
  readonly seconds: number;
  readonly pings: number;
  readonly p99Ms: number;
  readonly mostMs: number;
}

const IDLE_MS = 1_000;
const INSERTS = 10_000;

/** How long a ping takes while the server does nothing, and while it does each of the long pieces of work; the collection is as before, but 10,000 documents larger. Rejects
 * when one of them fails. */
export async function measurePings(uri: string, subject: ServerSubject, documents: number): Promise<Pings[]> {
  const worker = new Worker(new URL('./store-ping.worker.mjs', import.meta.url), { workerData: uri });
  await once(worker, 'message');
  const during = async (name: string, work: () => Promise<unknown>): Promise<Pings> => {
    worker.postMessage('start');
    const began = performance.now();
    await work();
    const seconds = (performance.now() - began) / 1_000;
    worker.postMessage('stop');
    const [took] = (await once(worker, 'message')) as [number[]];
    return { name, seconds, pings: took.length, p99Ms: quantile(took, 0.99), mostMs: Math.max(...took) };
  };
  const { collection } = subject;
  const inserts = subject.insert(documents, Math.min(INSERTS, documents));
  const all = [
    await during('nothing', () => sleep(IDLE_MS)),
    await during(`createIndexes of ${documents}`, () => collection.createIndex({ chat: 1, at: -1 }, { name: 'third' })),
    await during('dropIndex and the removal of its keys', async () => {
      await collection.dropIndex('third');
      await sleep(IDLE_MS);
    }),
    await during(`find that reads ${documents} and matches none`, () => collection.findOne({ crashes: { $gt: 5 } })),
    await during(`$group of ${documents}`, subject.group(documents)),
    await during(`updateMany of ${documents}`, () => collection.updateMany({ bot: BOT }, { $inc: { crashes: 1 } })),
    await during(`insertMany of ${Math.min(INSERTS, documents)}`, inserts),
  ];
  worker.postMessage('end');
  await once(worker, 'exit');
  return all;
}
