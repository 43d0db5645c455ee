import t from 'tap';
import { eventually } from '../support/eventually.js';
import { GIVEN_SERVER } from '../support/given-server.js';
import { localTelegramControl } from '../support/local-telegram.js';
import { freePort, type PosthornProcess, startProcess } from '../support/posthorn-process.js';
import { serverEnv } from '../support/posthorn-server.js';
import { missingMessages, postingClient } from '../support/posting-client.js';
import { seededRandom } from '../support/seeded-random.js';

const IS_LONG = process.env.POSTHORN_TEST_LONG !== undefined;
const KILLS = IS_LONG ? 20 : 2;
const CLIENTS_A_SERVER = 2;
const CONCURRENCY = 16;
const CHATS_A_CLIENT = IS_LONG ? 600 : 120;
const MOMENT_MS = 60_000;
const DELIVERED_MS = 120_000;

t.setTimeout(IS_LONG ? 1_800_000 : 240_000);

const skip = GIVEN_SERVER !== undefined && 'the store of this run has no host of ours to kill';

t.test('two processes share the store of a third, which is killed and started again', { skip }, async (t) => {
  const random = seededRandom(t);
  const dir = t.testdir();
  const env = {
    ...serverEnv(t, dir),
    LOCAL_TELEGRAM_PORT: String(await freePort()),
    SEND_RATE: '0',
    SEND_CHAT_RATE: '0',
    SEND_CONCURRENCY: String(CONCURRENCY),
  };
  const start = (...roles: string[]) => startProcess(t, { args: ['start', ...roles], cwd: dir, env });
  let host = start('local');
  const telegram = localTelegramControl(await host.line('local telegram '));
  const storeUri = await host.line('local store ');
  const sharing: PosthornProcess[] = [start('web', 'sender'), start('web', 'bot')];
  const urls = await Promise.all(sharing.map((one) => one.ready()));
  await telegram.faults({ limits: 'off' });
  const [{ id: botId } = { id: 0 }] = await telegram.bots();
  const chats = await telegram.people(urls.length * CLIENTS_A_SERVER * CHATS_A_CLIENT);
  const [person = 0] = await telegram.people(1);

  let over = false;
  const clients = urls.flatMap((url, server) =>
    Array.from({ length: CLIENTS_A_SERVER }, (_, i) => {
      const at = (server * CLIENTS_A_SERVER + i) * CHATS_A_CLIENT;
      return postingClient(
        `${'abcdefgh'[at / CHATS_A_CLIENT]}`,
        url,
        chats.slice(at, at + CHATS_A_CLIENT),
        random,
        () => over,
      );
    }),
  );
  const running = Promise.all(clients.map((one) => one.run()));
  const acceptedByEach = async (more: number) => {
    const before = clients.map(({ accepted }) => accepted.length);
    const isDone = () => clients.every(({ accepted }, i) => accepted.length >= (before[i] ?? 0) + more);
    await Promise.race([
      eventually(`${more} more messages of each client`, MOMENT_MS, async () => isDone()),
      running.then(() => Promise.reject(new Error('a client ended'))),
    ]);
  };

  for (let kill = 0; kill < KILLS; kill += 1) {
    await acceptedByEach(random.whole(20, 80));
    const refused = clients.map((one) => one.refused);
    await host.end('SIGKILL');
    await eventually('a 503 for each client while the host is away', MOMENT_MS, async () =>
      clients.every((one, i) => one.refused > (refused[i] ?? 0)),
    );
    host = start('local');
    t.equal(await host.line('local store '), storeUri, 'the host serves at the same address again');
    await acceptedByEach(20);
  }
  over = true;
  await running;

  t.same(
    clients.flatMap(({ wrong }) => wrong),
    [],
    'each request was answered with 202, or with 503 and Retry-After',
  );
  t.equal(
    clients.reduce((sum, one) => sum + one.unanswered, 0),
    0,
  );
  const accepted = clients.reduce((sum, one) => sum + one.accepted.length, 0);
  await eventually('everything accepted arrives', DELIVERED_MS, async () => {
    const missed = await missingMessages(telegram, botId, clients);
    if (missed > 0) throw new Error(`${missed} of ${accepted} have not`);
    return true;
  });
  const stats = await telegram.stats();
  t.same({ distinct: stats.distinct, outOfOrder: stats.outOfOrder }, { distinct: accepted, outOfOrder: 0 });
  t.ok(stats.duplicates <= KILLS * CONCURRENCY, `${stats.duplicates} repeated by ${KILLS} kills`);
  const refusals = clients.reduce((sum, one) => sum + one.refused, 0);
  t.comment(`${accepted} messages accepted and delivered, ${refusals} requests refused while the host was away`);

  await telegram.write(person, botId, '/status');
  await eventually('the bot answers', DELIVERED_MS, async () =>
    (await telegram.messages(botId, person)).some(({ text }) => /subscribed/i.test(text ?? '')),
  );
  t.ok(
    sharing.every((one) => one.running),
    'the processes that share the store have not ended',
  );
  const ends = await Promise.all([...sharing, host].map((one) => one.end('SIGTERM')));
  t.same(
    ends,
    Array.from({ length: 3 }, () => ({ code: 0, signal: null })),
  );
  t.notMatch(sharing.map((one) => one.stderr()).join(''), /unhandled/i);
});
