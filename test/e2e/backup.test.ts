import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { open } from 'lmdb';
import t from 'tap';
import { eventually } from '../support/eventually.js';
import { GIVEN_SERVER } from '../support/given-server.js';
import { localTelegramControl } from '../support/local-telegram.js';
import { posthornApi } from '../support/posthorn-api.js';
import { startProcess } from '../support/posthorn-process.js';
import { broadcastDone, serverEnv, startServer } from '../support/posthorn-server.js';

t.setTimeout(180_000);

t.test('a backup made under load starts; doctor --store walks store and copy, and says what is wrong', async (t) => {
  if (GIVEN_SERVER !== undefined) {
    t.comment('SKIP the embedded store is not used here');
    return;
  }
  const dir = t.testdir({ first: {}, second: { data: {} } });
  const [first, second] = [join(dir, 'first'), join(dir, 'second')];
  const run = async (cwd: string, env: Record<string, string>, ...args: string[]) => {
    const child = startProcess(t, { args, cwd, env: { ...serverEnv(t, cwd), ...env } });
    const { code } = await child.ended();
    return { code, stdout: child.stdout(), stderr: child.stderr() };
  };

  const server = startServer(t, first, { SEND_RATE: '0', SEND_CHAT_RATE: '0' });
  const api = await server.api;
  const telegram = localTelegramControl(await server.process.line('local telegram '));
  const people = await telegram.people(300);
  await api.importPeople(people);
  const id = await api.broadcast({ text: '#1 before the copy' });
  await eventually('some of it is sent', 30_000, async () => (await api.showBroadcast(id)).sent > 20);
  mkdirSync(join(second, 'data/.partial/store'), { recursive: true });
  writeFileSync(join(second, 'data/.partial/store/data.mdb'), 'of a copy that was interrupted');
  const copied = await run(first, {}, 'backup', join(second, 'data'), '--json');
  t.equal(copied.code, 0, copied.stderr);
  t.same(JSON.parse(copied.stdout), { directory: join(second, 'data') });
  t.equal(statSync(join(second, 'data/secret-key')).mode & 0o777, 0o600);
  t.notOk(existsSync(join(second, 'data/.partial')), 'the remains of an interrupted copy were replaced');
  await broadcastDone(api, id, 60_000);

  t.match(await run(first, {}, 'backup', join(second, 'data')), { code: 64, stderr: /not empty/ });
  t.match(await run(first, { MONGODB_URI: 'mongodb://127.0.0.1:9/x' }, 'backup', join(dir, 'third')), {
    code: 64,
    stderr: /mongodump/,
  });
  const empty = join(dir, 'empty');
  mkdirSync(empty);
  t.match(await run(empty, {}, 'backup', join(dir, 'third')), { code: 69, stderr: /no embedded store/ });
  t.match(await run(first, {}, 'doctor', '--store'), { code: 0, stdout: /\d+ documents, \d+ index entries agree/ });
  t.equal((await server.process.end('SIGTERM')).code, 0);

  t.match(await run(second, {}, 'doctor', '--store'), { code: 0, stdout: /\d+ documents, \d+ index entries agree/ });
  const again = startServer(t, second, { SEND_RATE: '0', SEND_CHAT_RATE: '0' });
  const copy = posthornApi((await again.process.ready()) || '');
  const done = await broadcastDone(copy, id, 60_000);
  t.equal(done.sent, 300, 'the copy goes on where it was made');
  t.equal((await again.process.end('SIGTERM')).code, 0);

  const root = open<Buffer, Buffer>({ path: join(second, 'data/store'), noSubdir: false, maxDbs: 8 });
  const index = root.openDB<Buffer, Buffer>('index', { encoding: 'binary', keyEncoding: 'binary' });
  const [key] = [...index.getKeys({ limit: 1 })] as Buffer[];
  await index.remove(key as Buffer);
  await root.close();
  t.match(await run(second, {}, 'doctor', '--store', '--json'), { code: 1, stdout: /is missing in index/ });
  writeFileSync(join(second, 'data/store/data.mdb'), readFileSync(join(second, 'data/secret-key')));
  t.match(await run(second, {}, 'doctor', '--store'), { code: /1|78/, stdout: /no file of this store/ });
  t.match(await run(second, {}, 'backup', join(dir, 'fourth')), { code: /1|78/, stderr: /no file of this store/ });
  t.strictSame(readdirSync(join(dir, 'fourth')), [], 'what could not be copied in full leaves nothing');
});
