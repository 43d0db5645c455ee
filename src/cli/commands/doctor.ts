import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { secretsOf } from '../../config.js';
import { openDataDir, readStandIns } from '../../data-dir.js';
import { checkStore } from '../../local/mongo/storage/check.js';
import { openSnapshot } from '../../local/mongo/storage/engine.js';
import { redactor } from '../../logger.js';
import { EXIT, ending } from '../exit.js';
import { say, sayJson, table } from '../io.js';
import type { Session } from '../session.js';
import { type CommandStore, withStore } from '../with-store.js';

/** The oldest Node that is tested. */
const MIN_NODE = [20, 19] as const;
/** Free disk below which it warns, and below which it fails, bytes. */
const LOW_DISK = 1_073_741_824;
const NO_DISK = 104_857_600;
/** Difference of clocks above which it warns, ms: dates of HTTP are whole seconds. */
const MAX_SKEW_MS = 3_000;
const ANSWER_MS = 10_000;

/** What one look found. `unreachable` marks a service that did not answer. */
export interface Finding {
  readonly check: string;
  readonly status: 'ok' | 'notice' | 'failed' | 'unreachable';
  readonly detail: string;
}

/** The Node version, as numbers, against the oldest that is tested. Never throws. */
export function nodeFinding(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const fits = major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1]);
  return { check: 'node', status: fits ? 'ok' : 'failed', detail: `${version} (${MIN_NODE.join('.')} or newer)` };
}

async function dataDirFindings(dir: string): Promise<Finding[]> {
  try {
    await openDataDir(dir);
  } catch (error) {
    return [{ check: 'data directory', status: 'failed', detail: (error as Error).message }];
  }
  const { bavail, bsize } = await statfs(dir);
  const free = bavail * bsize;
  const low = free < LOW_DISK ? 'notice' : 'ok';
  const detail = `${Math.floor(free / 1_048_576)} MB free at ${dir}`;
  return [
    { check: 'data directory', status: 'ok', detail: dir },
    { check: 'disk', status: free < NO_DISK ? 'failed' : low, detail },
  ];
}

/** A difference of clocks as a finding; `theirs` is epoch ms of the other side. Never throws. */
export function skewFinding(check: string, theirs: number, ours: number): Finding {
  const skew = Math.round(ours - theirs);
  const fits = Math.abs(skew) <= MAX_SKEW_MS;
  return { check, status: fits ? 'ok' : 'notice', detail: `this machine is ${skew} ms ahead` };
}

async function probe({ store, place }: CommandStore): Promise<Finding[]> {
  const { db } = store.connection;
  if (db === undefined) return [{ check: 'store', status: 'unreachable', detail: 'not connected' }];
  const before = Date.now();
  const hello = await db.admin().command({ hello: 1 });
  const middle = (before + Date.now()) / 2;
  const rows = db.collection<{ at: Date }>('doctor');
  const { insertedId } = await rows.insertOne({ at: new Date() }, { writeConcern: { w: 'majority', j: true } });
  const read = await rows.findOne({ _id: insertedId });
  await rows.drop();
  const findings: Finding[] = [
    read === null
      ? { check: 'store', status: 'failed', detail: 'a row that was written could not be read' }
      : { check: 'store', status: 'ok', detail: `written and read (${place})` },
  ];
  if (place !== 'mongodb') {
    const detail = 'the embedded store is for trying out and for small installations; production wants MongoDB';
    findings.push({ check: 'replica set', status: 'notice', detail });
  } else if (typeof hello.setName === 'string') {
    findings.push({ check: 'replica set', status: 'ok', detail: hello.setName });
  } else if (hello.msg !== 'isdbgrid') {
    const detail = 'this is a stand-alone MongoDB; production wants a replica set (one member is enough)';
    findings.push({ check: 'replica set', status: 'notice', detail });
  }
  const time: unknown = hello.localTime;
  if (time instanceof Date) findings.push(skewFinding('clock of the store', time.getTime(), middle));
  return findings;
}

/** Why a check of the store could not be made. */
function storeFailure(check: string, error: unknown): Finding {
  const { text, exitCode } = ending(error);
  const status = exitCode === EXIT.unavailable ? 'unreachable' : 'failed';
  return { check, status, detail: (text.split('\n')[0] ?? '').replace(/^posthorn: /, '') };
}

async function storeFindings(session: Session): Promise<Finding[]> {
  try {
    return await withStore(session, probe);
  } catch (error) {
    return [storeFailure('store', error)];
  }
}

const WALK = 'store, all of it';

/** Each problem as a finding of its own; `total` counts those that are not shown, too. */
function walked(problems: readonly string[], total: number, detail: string): Finding[] {
  if (total === 0) return [{ check: WALK, status: 'ok', detail }];
  const more = total > problems.length ? [`${total - problems.length} more`] : [];
  return [...problems, ...more].map((problem): Finding => ({ check: WALK, status: 'failed', detail: problem }));
}

/** Walks the file of the embedded store in one state of it, beside the process that may serve it. */
async function embeddedWalk(dataDir: string): Promise<Finding[]> {
  const directory = join(dataDir, 'store');
  if (!existsSync(directory)) return walked([], 0, 'there is no embedded store yet');
  try {
    const snapshot = openSnapshot(directory);
    try {
      const { collections, documents, indexEntries, problems, problemsTotal } = checkStore(snapshot);
      const detail = `${collections} collections, ${documents} documents, ${indexEntries} index entries agree`;
      return walked(problems, problemsTotal, detail);
    } finally {
      await snapshot.close();
    }
  } catch (error) {
    return walked([(error as Error).message], 1, '');
  }
}

/** Lets a MongoDB walk each of its collections. */
async function mongodbWalk(session: Session): Promise<Finding[]> {
  try {
    return await withStore(session, async ({ store }) => {
      const problems: string[] = [];
      const collections = (await store.connection.db?.listCollections({ type: 'collection' }).toArray()) ?? [];
      for (const { name } of collections) {
        const found = await store.connection.db?.command({ validate: name, full: true });
        if (found?.valid !== true) problems.push(`${name}: ${JSON.stringify(found?.errors ?? 'not valid')}`);
      }
      return walked(problems, problems.length, `${collections.length} collections are valid`);
    });
  } catch (error) {
    return [storeFailure(WALK, error)];
  }
}

async function telegramFindings({ config }: Session): Promise<Finding[]> {
  const check = 'telegram';
  if (config.bot === undefined) {
    const port = (await readStandIns(config.dataDir))?.telegramPort;
    const running =
      port !== undefined && (await fetch(`http://127.0.0.1:${port}/local/bots`).catch(() => undefined))?.ok;
    const detail = running === true ? `at port ${port}` : 'not running; posthorn start brings it';
    return [
      { check, status: running === true ? 'ok' : 'notice', detail: `no BOT_TOKEN: the local Telegram, ${detail}` },
    ];
  }
  try {
    const url = `${config.telegram.apiRoot}/bot${config.bot.token}/getMe`;
    const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS) });
    const theirs = Date.parse(response.headers.get('date') ?? '');
    const skew = Number.isNaN(theirs) ? [] : [skewFinding('clock of telegram', theirs, Date.now())];
    const body = (await response.json()) as { ok?: unknown; result?: { username?: unknown }; description?: unknown };
    if (body.ok === true) return [{ check, status: 'ok', detail: `getMe: @${String(body.result?.username)}` }, ...skew];
    return [{ check, status: 'failed', detail: `getMe: ${response.status} ${String(body.description)}` }, ...skew];
  } catch (error) {
    const cause: unknown = error instanceof Error ? error.cause : undefined;
    const why = cause instanceof Error ? cause.message : String(error);
    return [{ check, status: 'unreachable', detail: `${config.telegram.apiRoot}: ${why}` }];
  }
}

/** `posthorn doctor`: looks at all that must be right, with `walks` at every document and index entry of the store, too. Resolves with the exit code: 0, 1 when a check failed, 69 when a service is unreachable. */
export async function doctor(session: Session, json: boolean, walks = false): Promise<number> {
  const { config, io } = session;
  const set = config.production ? 'production' : 'not production (NODE_ENV)';
  const looked: Finding[] = [
    nodeFinding(process.versions.node),
    { check: 'configuration', status: 'ok', detail: set },
    ...(await dataDirFindings(config.dataDir)),
    ...(await storeFindings(session)),
    ...(walks ? await (config.mongoUri === undefined ? embeddedWalk(config.dataDir) : mongodbWalk(session)) : []),
    ...(await telegramFindings(session)),
  ];
  const redact = redactor(secretsOf(config));
  const findings = looked.map((finding) => ({ ...finding, detail: redact(finding.detail) }));
  const has = (status: Finding['status']): boolean => findings.some((finding) => finding.status === status);
  if (json) sayJson(io, { ok: !has('failed') && !has('unreachable'), checks: findings });
  else say(io, table(findings.map(({ check, status, detail }) => [check, status, detail])));
  if (has('unreachable')) return EXIT.unavailable;
  return has('failed') ? EXIT.failed : EXIT.done;
}
