/** Rows in which a process is killed (SIGKILL) while it has work in its hands: what is lost, what is repeated, and how soon another goes on. */
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { hostsCanBeApart } from '../test/support/other-host.js';
import { type PagingClient, pagesArrived, pagingClient } from '../test/support/paging-client.js';
import { posthornApi } from '../test/support/posthorn-api.js';
import { randomFrom } from '../test/support/seeded-random.js';
import { noTooMany, once, seconds, weather } from './delivering.js';
import type { Measure, Row } from './row.js';
import { API_KEY, inWorld, type World } from './world.js';

const none = (what: string, count: number): Measure => ({ what, value: String(count), goal: '0', held: count === 0 });

const IN_FLIGHT = 64;
const SECOND_HOST = 'second-host';
/** For calls that were in the air when their process was killed to arrive, ms. */
const IN_THE_AIR_MS = 300;

/** The host whose process sends for the bot. */
async function sendingHost({ api }: World): Promise<string | undefined> {
  const { body } = await api.call('GET', '/api/bots');
  return (body as { items: { sender?: { host: string } }[] }).items[0]?.sender?.host;
}

const owner: Row = {
  name: 'kill-owner',
  about: 'kill -9 of the sender in a broadcast to 1,500 at 30/s, a second sender on another host waiting',
  run: (say) =>
    inWorld({ processes: [['local'], ['web', 'bot', 'scheduler']] }, async (world) => {
      const people = 1_500;
      await world.api.importPeople(await world.telegram.people(people));
      const apart = hostsCanBeApart(world.dir);
      if (!apart) say('this system allows no pid namespaces (unshare): the second sender is on this host');
      const first = await world.start(['sender']);
      await world.start(['sender'], apart ? SECOND_HOST : undefined);
      const owns = await sendingHost(world);
      if (owns !== hostname()) throw new Error(`the first sender should own the bot, and ${owns} does`);
      await weather(world, {});
      const accepted = async () => (await world.telegram.stats()).accepted;
      await world.api.broadcast({ text: '#1 through a takeover' });
      await once('the broadcast runs', 20, async () => (await accepted()) >= 300);
      await first.program.kill();
      const killedAt = performance.now();
      await sleep(IN_THE_AIR_MS);
      const before = await accepted();
      const gapMs = (await once('sending again', 13, async () => (await accepted()) > before)) - killedAt;
      const then = await sendingHost(world);
      if (apart && then !== SECOND_HOST) throw new Error(`the second sender should own the bot, and ${then} does`);
      say('sending again');
      const distinct = async () => (await world.telegram.stats()).distinct;
      // What does not come is lost: the row says how much.
      await once('the rest', people / 30, async () => (await distinct()) >= people).catch(() => undefined);
      const stats = await world.telegram.stats();
      return [
        none('lost', people - stats.distinct),
        {
          what: 'repeated',
          value: String(stats.duplicates),
          goal: `≤ ${IN_FLIGHT} (SEND_CONCURRENCY)`,
          held: stats.duplicates <= IN_FLIGHT,
        },
        noTooMany('both', stats.tooMany),
        {
          what: apart ? 'sending again after' : 'sending again after (on the same host: no pid namespaces here)',
          value: seconds(gapMs),
          goal: '≤ 13 s, on another host',
          held: apart && gapMs <= 13_000,
        },
      ];
    }),
};

const MESSAGES = 50_000;
const CLIENTS = 8;
const KILLS = 5;
const SEED = 7;

const web: Row = {
  name: 'kill-web',
  about: `kill -9 of the web process, ${KILLS} times, while it accepts 50,000 by /api/send_messages from ${CLIENTS} clients`,
  run: (say) =>
    inWorld(
      {
        processes: [['local'], ['bot', 'sender', 'scheduler']],
        env: { SEND_RATE: '0', SEND_CHAT_RATE: '0', SEND_CONCURRENCY: String(IN_FLIGHT) },
      },
      async (world) => {
        const each = MESSAGES / CLIENTS / 5;
        const people = await world.telegram.people(CLIENTS * each);
        await weather(world, { limits: 'off' });
        let running = world.start(['web']);
        const clients: PagingClient[] = Array.from({ length: CLIENTS }, (_, i) =>
          pagingClient({
            name: `client${i}`,
            // Half of them cannot know whether a request without an answer was accepted.
            repeats: i % 2 === 0,
            chats: people.slice(i * each, (i + 1) * each),
            random: randomFrom(SEED + i),
            page: 100,
            pauseMs: 20,
            api: async () => posthornApi((await running).url, API_KEY),
            isOver: () => acceptedOf(clients) >= MESSAGES,
          }),
        );
        const posting = Promise.all(clients.map((one) => one.run()));
        for (let kill = 1; kill <= KILLS; kill += 1) {
          const moment = (kill * MESSAGES) / (KILLS + 1);
          await Promise.race([once(`${moment} accepted`, 60, async () => acceptedOf(clients) >= moment), posting]);
          const killed = running;
          running = killed.then(async ({ program }) => {
            await program.kill();
            return world.start(['web']);
          });
          await running;
          say(`killed ${kill} times, ${acceptedOf(clients)} accepted`);
        }
        await posting;
        await Promise.all(clients.map((one) => one.end()));
        const { requests, lost, missing, halves, disorder } = await pagesArrived(
          world.telegram,
          world.bot.id,
          clients,
          120_000,
        );
        return [
          {
            what: 'accepted',
            value: `${acceptedOf(clients)} in ${requests - lost} requests`,
            goal: '≥ 50,000',
            held: true,
          },
          none('messages of a 202 that did not arrive', missing),
          none(`requests without an answer (${lost}) of which a part arrived`, halves),
          none('out of order', disorder),
        ];
      },
    ),
};

const acceptedOf = (clients: readonly PagingClient[]): number =>
  clients
    .flatMap(({ posted }) => posted)
    .reduce((sum, { chats, outcome }) => sum + (outcome === 'accepted' ? chats.length : 0), 0);

/** The rows of kills. */
export const killRows: readonly Row[] = [owner, web];
