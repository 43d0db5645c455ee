import { deepStrictEqual } from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { documentOf } from '../../../src/local/telegram/files/stored-file.js';
import type { Bot } from '../../../src/local/telegram/world/bot.js';
import {
  contentMessage,
  deleteMessages,
  editMessage,
  pinMessage,
} from '../../../src/local/telegram/world/chat-messages.js';
import { type Chat, LEFT, PLAIN_MEMBER } from '../../../src/local/telegram/world/chats.js';
import { answerRequest, enterByLink, makeLink, revokeLink } from '../../../src/local/telegram/world/invite-links.js';
import { Journal } from '../../../src/local/telegram/world/journal.js';
import { deleteChat, makeChat, setStanding, upgradeChat } from '../../../src/local/telegram/world/membership.js';
import { FIRST_PERSON_ID } from '../../../src/local/telegram/world/people.js';
import type { Place } from '../../../src/local/telegram/world/place.js';
import { World } from '../../../src/local/telegram/world/world.js';
import { packWorld } from '../../../src/local/telegram/world/world-snapshot.js';

const UPDATES = ['message', 'edited_message', 'callback_query', 'chat_member', 'chat_join_request'];
const START = 1_800_000_000_000;
const PEOPLE = 4;

interface Opened {
  readonly world: World;
  readonly journal: Journal;
  readonly damage: string[];
}

function open(dir: string): Opened {
  const journal = Journal.open(dir, () => undefined);
  const damage: string[] = [];
  return { journal, damage, world: World.open(dir, journal, (line) => damage.push(line)) };
}

/** All of a world that can be compared: what a snapshot of it would hold, and every message as it stands. */
function contents(world: World): unknown {
  const { header, sections } = packWorld(world.state, 0);
  const messages = placesIn(world).map((place) => [place.id, place.bot?.making.id, ...world.messages.history(place)]);
  const digests = sections.map((bytes) => createHash('sha256').update(bytes).digest('hex'));
  return [JSON.parse(JSON.stringify(header)), digests, messages];
}

function placesIn(world: World): Place[] {
  const people = Array.from({ length: PEOPLE }, (_, i) => FIRST_PERSON_ID + i);
  const own = world.bots().flatMap((bot) => people.map((id) => ({ id, bot })));
  return [...own, ...[...world.state.chats.byId.values()].map((chat) => ({ id: chat.id, chat }))];
}

function populate(world: World): void {
  world.makePeople({ first: FIRST_PERSON_ID, count: PEOPLE, started: true });
  for (const id of [7_000_000_001, 7_000_000_002]) {
    const bot = world.makeBot({ id, token: `${id}:a`, name: 'B', username: `b${id}`, firstUpdateId: 5, first: false });
    world.configure(bot, { commands: {}, allowed: UPDATES });
  }
  for (const type of ['group', 'supergroup', 'channel'] as const) {
    makeChat(world, { type, title: type, ownerId: FIRST_PERSON_ID }, START);
  }
}

/** One thing that happens, chosen and filled in by numbers. */
type Step = readonly [number, number, number, number];

/** Carries a step out as far as it makes sense in the world as it stands. */
function happen(world: World, [kind, a, b, c]: Step, now: number): void {
  const bots = world.bots();
  const bot = bots[a % bots.length] as Bot;
  const person = FIRST_PERSON_ID + (b % PEOPLE);
  const chats = [...world.state.chats.byId.values()].filter((chat) => !chat.deleted && chat.upgradedTo === 0);
  const chat = chats[c % Math.max(1, chats.length)] as Chat | undefined;
  if (chat === undefined) return;
  const places = placesIn(world).filter((place) => place.chat === undefined || chats.includes(place.chat));
  const place = places[c % places.length] as Place;
  const user = b % 2 === 0 ? bot.making.id : person;
  const found = world.messages.locate(place, 1 + (a % 12));
  const content = {
    text: `text ${a} "\n✓`,
    extra: b % 3 === 0 ? { entities: [{ type: 'bold', offset: 0, length: 1 }] } : {},
  };
  const steps: (() => void)[] = [
    () => world.write(bot, person, `#${a} hello`, {}, now),
    () => world.accept(bot, person, `#${a} x`, JSON.stringify(`#${a} x`), '', now),
    () => world.accept(bot, person, '', '""', '{"photo":[]}', now, 'sendPhoto'),
    () => world.happen(now, { kind: 'written', message: contentMessage(place, person, content, found?.message, now) }),
    () => {
      const message = contentMessage({ id: chat.id, chat }, bot.making.id, content, undefined, now);
      world.happen(now, { kind: 'written', message, method: 'sendMessage' });
    },
    () => found && editMessage(world, found, content, now, now),
    () => found && deleteMessages(world, place, [found], now),
    () => found && pinMessage(world, place, found.message.id, bot.making.id, now),
    () => setStanding(world, chat, user, person, PLAIN_MEMBER, now),
    () => setStanding(world, chat, user, person, { status: 'administrator', rights: ['can_invite_users'] }, now),
    () => setStanding(world, chat, user, person, LEFT, now),
    () => setStanding(world, chat, user, person, { status: 'kicked', until: Math.floor(now / 1000) + a }, now),
    () => {
      const wish = { name: 'n', expireDate: 0, memberLimit: a % 2, createsJoinRequest: b % 2 === 0 };
      makeLink(world, chat, bot.making.id, wish, now);
    },
    () => {
      const [link] = [...chat.links.values()].slice(-1);
      if (link !== undefined) enterByLink(world, chat, person, link.link, now);
    },
    () => {
      const [link] = [...chat.links.values()].slice(a % 3);
      if (link !== undefined) revokeLink(world, chat, link, now);
    },
    () => {
      for (const other of chats)
        for (const asking of other.requests.keys())
          answerRequest(world, other, asking, bot.making.id, a % 2 === 0, now);
    },
    () => chat.type === 'group' && a % 3 === 0 && upgradeChat(world, chat, now),
    () => a % 4 === 0 && deleteChat(world, chat, now),
    () => makeChat(world, { type: 'group', title: `G${a}`, ownerId: person }, now),
    () => world.setBlocked(bot, person, a % 2 === 0, now),
    () => {
      const bytes = Buffer.from(`content ${a % 7}`);
      world.keepFile(documentOf({ name: `${b % 5}.txt`, type: '', bytes }), bytes);
    },
    () => world.confirm(bot, bot.queue.firstId + (a % 3)),
    () => world.finish(bot, bot.queue.firstId + (a % 5)),
    () => {
      const id = world.press(bot, { from: person, chat: place.id, messageId: a, data: 'x' }, now);
      if (b % 3 === 0) world.answerQuery(bot, id);
    },
    () => world.setTime({ aheadMs: a, ...(b % 2 === 0 && { stoppedAt: now }) }),
    () => world.flush() && world.checkpoint(),
  ];
  steps[kind % steps.length]?.();
}

const STEPS: fc.Arbitrary<Step[]> = fc.array(fc.tuple(fc.nat(99), fc.nat(99), fc.nat(99), fc.nat(99)), {
  minLength: 60,
  maxLength: 160,
});

function check(steps: readonly Step[], root: string, seen: Set<string>): void {
  const first = open(root);
  populate(first.world);
  let now = START;
  for (const step of steps) {
    now += 250;
    happen(first.world, step, now);
  }
  deepStrictEqual(first.world.flush(), true);
  // As the files lie after a kill; and again after an orderly end.
  const copy = `${root}-copy`;
  cpSync(root, copy, { recursive: true });
  const expected = contents(first.world);
  const killed = open(copy);
  deepStrictEqual(contents(killed.world), expected);
  killed.world.checkpoint();
  killed.journal.close();
  const ended = open(copy);
  deepStrictEqual(contents(ended.world), expected);
  deepStrictEqual([...killed.damage, ...ended.damage], []);
  ended.journal.close();
  first.journal.replay(0, (line) => {
    for (const [, kind = ''] of line.matchAll(/\{"kind":"(\w+)"/g)) seen.add(kind);
  });
  first.journal.close();
}

t.test('a world that is read back equals the one that was flushed, whatever happened in it', (t) => {
  const dir = t.testdir();
  let round = 0;
  const seen = new Set<string>();
  fc.assert(
    fc.property(STEPS, (steps) => {
      round += 1;
      const root = join(dir, String(round));
      mkdirSync(root);
      check(steps, root, seen);
    }),
    { numRuns: process.env.POSTHORN_TEST_LONG === undefined ? 60 : 1000 },
  );
  const kinds = 'answered closed deleted document edited linked made member pinned requested upgraded written'.split(
    ' ',
  );
  t.same([...seen].sort(), kinds, 'every kind of event happened, and documents were brought');
  t.end();
});
