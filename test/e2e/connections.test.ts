import t from 'tap';
import { eventually } from '../support/eventually.js';
import { startServer } from '../support/posthorn-server.js';
import { answerOf, type SeenRequest, scriptedServer } from '../support/scripted-server.js';

const WITHIN_MS = 30_000;
/** Of a bot that sends: so many, or as many as it may have calls in the air. */
const WARM = 32;
/** Of the receiver, which has four at most and uses one for sure. */
const RECEIVER_MOST = 3;
const BOT_ID = 4_711;

/** A Telegram that knows one bot and has no updates for it. */
function onRequest({ head, socket }: SeenRequest): void {
  if (head.includes('/getUpdates ')) return;
  const me = { id: BOT_ID, is_bot: true, first_name: 'Bot', username: 'the_bot' };
  socket.write(answerOf({ ok: true, result: head.includes('/getMe ') ? me : true }));
}

for (const [concurrency, most] of [
  [undefined, WARM],
  ['5', 5],
] as const) {
  t.test(`a sender has ${most} connections open before its first call, and calls nothing for that`, async (t) => {
    const telegram = await scriptedServer(t, onRequest);
    const { api, process } = startServer(t, t.testdir(), {
      BOT_TOKEN: `${BOT_ID}:${'a'.repeat(35)}`,
      TELEGRAM_API_ROOT: telegram.url,
      ...(concurrency === undefined ? {} : { SEND_CONCURRENCY: concurrency }),
    });
    await api;
    // Those that never carried a request are the sender's, or one of the receiver whose call went by another that was sooner free.
    const silent = () => {
      const used = new Set(telegram.requests.map(({ socket }) => socket));
      return telegram.sockets.filter((socket) => !used.has(socket)).length;
    };
    await eventually('the connections are open', WITHIN_MS, async () => silent() >= most);
    t.notMatch(telegram.requests.map(({ head }) => head).join('\n'), 'sendMessage');
    await process.end('SIGTERM');
    t.ok(silent() <= most + RECEIVER_MOST, 'no more were opened');
  });
}
