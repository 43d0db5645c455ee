/**
 * What the embedded store does in a second: `npm run bench:store -- [--documents N] [--no-peer] [--json]`.
 * The store has a process of its own (`posthorn start local` with nothing else to host) and is asked by the unmodified driver over TCP; a write counts when it is
 * acknowledged, and it is acknowledged when it is flushed. In the same run, row by row in turn: lmdb itself inside of the bench, as the limit, and SecantusDB, an
 * independent server that does not flush, as the peer. Of three rounds the median.
 */
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { calculateObjectSize } from 'bson';
import { benchCommand, say } from './command.js';
import { rawLmdb } from './raw-lmdb.js';
import { documentOf } from './store-documents.js';
import { measurePings, type Pings } from './store-pings.js';
import { type Contender, type Measured, measureRow, ROWS, summary, timed } from './store-rows.js';
import { openHere, type Ready, restarted, type Server, type Start, startPeer, startStore } from './store-servers.js';
import { type ServerSubject, serverSubject } from './store-subject.js';
import { columns, memoryOf, watchMemory } from './support.js';

/** The peer does 500 to 2,300 writes a second: it is asked for less. */
const PEER_DOCUMENTS = 5_000;
const PEER_SHARE = 0.02;
const INSERT = 10_000;
/** Rest after the load, ms for each document, and at most. */
const REST_MS_EACH = 0.1;
const REST_MS = 10_000;
const MB = 1_048_576;
const LEAST_DOCUMENTS = 100;

interface Options {
  readonly documents: number;
  readonly peer: boolean;
  readonly json: boolean;
}

/** Private memory of a server, RssAnon in bytes. */
interface Memory {
  readonly empty: number;
  readonly loaded: number;
  readonly atRest: number;
  readonly peakOfLoading: number;
  readonly peak: number;
  readonly restarted: number;
}

interface Row {
  readonly name: string;
  readonly store: Measured;
  readonly raw: Measured;
  readonly peer: Measured | undefined;
}

/** What is measured of a server beside the rows. */
interface Whole {
  readonly documents: number;
  readonly pings: readonly Pings[];
  readonly ready: Ready;
  readonly memory: Memory;
}

interface Figures {
  readonly node: string;
  readonly cpus: string;
  readonly documentBytes: number;
  readonly rows: readonly Row[];
  readonly store: Whole;
  readonly openMs: number;
  /** Why there is none, or its figures. */
  readonly peer: Whole | 'left out' | 'not installed';
}

function optionsOf(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      documents: { type: 'string', default: '100000' },
      'no-peer': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const documents = Number(values.documents);
  if (!Number.isInteger(documents) || documents < LEAST_DOCUMENTS)
    throw new Error(`--documents: expected a whole number from ${LEAST_DOCUMENTS}`);
  return { documents, peer: !values['no-peer'], json: values.json };
}

const rssAnon = (pid: number): number => memoryOf('RssAnon', [pid]);

/** A server that takes part, with what was seen of its memory so far. */
interface Entrant extends Contender {
  readonly start: Start;
  readonly server: Server;
  readonly subject: ServerSubject;
  readonly watch: ReturnType<typeof watchMemory>;
  readonly empty: number;
}

async function enter(start: Start, documents: number, share: number): Promise<Entrant> {
  const server = await start();
  const { pid, uri } = server;
  const subject = await serverSubject(uri);
  return { start, server, subject, documents, share, pid, watch: watchMemory([pid]), empty: rssAnon(pid) };
}

/** Loads all contenders in turn, a batch each; the medians of the batches. */
async function load(contenders: readonly Contender[]): Promise<Measured[]> {
  const rounds = contenders.map((): Awaited<ReturnType<typeof timed>>[] => []);
  const most = Math.max(...contenders.map(({ documents }) => documents));
  for (let from = 0; from < most; from += INSERT) {
    for (const [i, { subject, documents, pid }] of contenders.entries()) {
      const count = Math.min(INSERT, documents - from);
      if (count > 0) rounds[i]?.push(await timed(subject.insert(from, count), pid));
    }
  }
  return contenders.map(({ documents }, i) => summary(rounds[i] ?? [], Math.min(INSERT, documents)));
}

/** Pings, restarts and memory of one server; it is killed in the end. */
async function wholeOf(entrant: Entrant, loaded: Pick<Memory, 'loaded' | 'atRest' | 'peakOfLoading'>): Promise<Whole> {
  const { documents, subject, server, start, watch, empty } = entrant;
  const pings = await measurePings(server.uri, subject, documents);
  await subject.close();
  const { peak } = watch;
  watch.stop();
  const after = await restarted(start, server);
  const memory = { empty, ...loaded, peak, restarted: rssAnon(after.server.pid) };
  await after.server.kill();
  return { documents, pings, ready: after.ready, memory };
}

async function run({ documents, peer }: Options, dir: string): Promise<Figures> {
  const raw: Contender = { subject: rawLmdb(join(dir, 'raw')), documents, share: 1, pid: undefined };
  const startOfPeer = peer ? startPeer(dir) : undefined;
  const store = await enter(startStore(dir), documents, 1);
  const other =
    startOfPeer === undefined ? undefined : await enter(startOfPeer, Math.min(documents, PEER_DOCUMENTS), PEER_SHARE);
  const entrants = other === undefined ? [store] : [store, other];
  const contenders = [raw, ...entrants];
  const rowOf = (name: string, [ofRaw, ofStore, ofPeer]: readonly Measured[]): Row => {
    if (ofRaw === undefined || ofStore === undefined) throw new Error(`'${name}' was not measured`);
    return { name, raw: ofRaw, store: ofStore, peer: ofPeer };
  };

  say(`insertMany, to ${documents} documents`);
  const rows = [rowOf(`insertMany of ${Math.min(INSERT, documents)}`, await load(contenders))];
  const afterLoad = entrants.map(({ pid, watch }) => ({ loaded: rssAnon(pid ?? 0), peakOfLoading: watch.peak }));
  await sleep(Math.min(REST_MS, documents * REST_MS_EACH));
  const memories = entrants.map(({ pid }, i) => ({
    loaded: 0,
    peakOfLoading: 0,
    ...afterLoad[i],
    atRest: rssAnon(pid ?? 0),
  }));
  for (const row of ROWS) {
    say(row.name);
    rows.push(rowOf(row.name, await measureRow(row, row.withoutPeer ? [raw, store] : contenders)));
  }
  await raw.subject.close();

  say('pings and restarts');
  const wholes: Whole[] = [];
  for (const [i, entrant] of entrants.entries()) {
    const memory = memories[i];
    if (memory !== undefined) wholes.push(await wholeOf(entrant, memory));
  }
  const [ofStore, ofPeer] = wholes;
  if (ofStore === undefined) throw new Error('the store was not measured');
  return {
    node: process.version,
    cpus: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
    documentBytes: calculateObjectSize(documentOf(documents - 1)),
    rows,
    store: ofStore,
    openMs: await openHere(dir),
    peer: ofPeer ?? (peer ? 'not installed' : 'left out'),
  };
}

const whole = (number: number): string => Math.round(number).toLocaleString('en-US');
const ratio = (a: number, b: number | undefined): string => (b === undefined ? '–' : (a / b).toFixed(2));
const mb = (bytes: number): string => `${(bytes / MB).toFixed(0)} MB`;

function memoryRows(name: string, { memory, documents }: Whole): string[][] {
  const each = (memory.atRest - memory.empty) / documents;
  return [
    [
      name,
      mb(memory.empty),
      mb(memory.loaded),
      mb(memory.atRest),
      mb(memory.peakOfLoading),
      mb(memory.peak),
      mb(memory.restarted),
      `${each.toFixed(0)} B`,
    ],
  ];
}

function table({ node, cpus: machine, documentBytes, rows, store, openMs, peer }: Figures): string {
  const other = typeof peer === 'string' ? undefined : peer;
  const rates = [
    ['a second', 'store', 'per CPU second', 'raw lmdb', 'ratio', 'SecantusDB', 'ratio', 'its count'],
    ...rows.map(({ name, store: ours, raw, peer: its }) => [
      name,
      whole(ours.perSecond),
      ours.perCpuSecond === undefined ? '–' : whole(ours.perCpuSecond),
      whole(raw.perSecond),
      ratio(ours.perSecond, raw.perSecond),
      its === undefined ? '–' : whole(its.perSecond),
      ratio(ours.perSecond, its?.perSecond),
      its === undefined ? '–' : whole(its.operations),
    ]),
  ];
  const ready = [
    ['ready again after kill -9', 'store', 'SecantusDB'],
    ['first query answered', ms(store.ready.answersMs), ms(other?.ready.answersMs)],
    ['of these, until it says where it serves', ms(store.ready.servesMs), ms(other?.ready.servesMs)],
    ['open and first query, in a process that runs', ms(openMs), '–'],
  ];
  const memory = [
    ['private memory', 'empty', 'loaded', 'at rest', 'peak of loading', 'peak', 'restarted', 'each document'],
    ...memoryRows(`store, ${store.documents}`, store),
    ...(other === undefined ? [] : memoryRows(`SecantusDB, ${other.documents}`, other)),
  ];
  const pings = [
    ['ping of another client during', 'seconds', 'pings', 'p99', 'most'],
    ...[...store.pings, ...(other?.pings ?? []).map((one) => ({ ...one, name: `SecantusDB: ${one.name}` }))].map(
      ({ name, seconds, pings: count, p99Ms, mostMs }) => [
        name,
        seconds.toFixed(1),
        String(count),
        ms(p99Ms),
        ms(mostMs),
      ],
    ),
  ];
  const head = `${store.documents} documents of about ${documentBytes} bytes, two indexes beside that of _id; the store flushes before it acknowledges, SecantusDB (${
    other === undefined ? peer : `${other.documents} documents`
  }) does not flush\nNode ${node}, ${machine}`;
  return `${head}\n\n${[rates, ready, memory, pings].map(columns).join('\n')}`;
}

const ms = (number: number | undefined): string =>
  number === undefined ? '–' : `${number < 10 ? number.toFixed(1) : number.toFixed(0)} ms`;

await benchCommand({ optionsOf, run, table });
