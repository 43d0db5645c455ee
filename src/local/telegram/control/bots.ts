import { randomBytes } from 'node:crypto';
import type { Bot } from '../world/bot.js';
import type { World } from '../world/world.js';
import {
  type Call,
  done,
  findBot,
  isName,
  isUsername,
  type LocalRoutesDeps,
  NAME_MAX,
  type Reply,
  refuse,
  strangeField,
} from './call.js';

/** GET bots: the made-up one first. */
export function getBots({ world }: LocalRoutesDeps): Reply {
  return done(world.bots().map(showBot));
}

/** POST bots: makes one. */
export function postBot({ world, random }: LocalRoutesDeps, { body }: Call): Reply {
  const strange = strangeField(body, ['username', 'name']);
  if (strange !== undefined) return refuse(strange);
  const { username, name } = body;
  if (!isUsername(username)) return refuse('username: expected 1 to 32 of A-Z a-z 0-9 _');
  if (!isName(name)) return refuse(`name: expected a text of 1 to ${NAME_MAX} characters`);
  const taken = world.bots().some(({ making }) => making.username.toLowerCase() === username?.toLowerCase());
  if (taken) return refuse('username: taken by another bot');
  return done(showBot(makeBot(world, random, { username, name, first: false })));
}

/** PUT bots/:id: `privacy` false has it get all messages of people in groups, as BotFather's setprivacy does. */
export function putBot({ world }: LocalRoutesDeps, { path, body }: Call): Reply {
  const strange = strangeField(body, ['privacy']);
  if (strange !== undefined) return refuse(strange);
  const bot = findBot(world, 'id', path[0]);
  if (typeof bot === 'string') return refuse(bot);
  const { privacy } = body;
  if (typeof privacy !== 'boolean') return refuse('privacy: expected true or false');
  world.configure(bot, { ...bot.settings, readsAll: !privacy });
  return done({ ...showBot(bot), privacy });
}

/** Makes a bot with a token of its own; names are made up where none is wished. Never throws. */
export function makeBot(
  world: World,
  random: () => number,
  wish: { username?: string | undefined; name?: string | undefined; first: boolean },
): Bot {
  const id = world.state.nextBotId;
  return world.makeBot({
    id,
    token: `${id}:${randomBytes(26).toString('base64url').slice(0, 35)}`,
    username: wish.username ?? (wish.first ? 'posthorn_local_bot' : `local_${id % 1_000_000}_bot`),
    name: wish.name ?? (wish.first ? 'Posthorn' : `Bot ${id % 1_000_000}`),
    firstUpdateId: 100_000_000 + Math.floor(random() * 800_000_000),
    first: wish.first,
  });
}

function showBot({ making: { id, token, username, name } }: Bot): Record<string, unknown> {
  return { id, token, username, name };
}
