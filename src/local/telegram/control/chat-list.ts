import type { WireChat, WireCommand, WirePerson } from '../page/browser/wire.js';
import type { Bot } from '../world/bot.js';
import { type Chat, isPresent, standing } from '../world/chats.js';
import { FIRST_PERSON_ID, type Person } from '../world/people.js';
import type { Place } from '../world/place.js';
import type { World } from '../world/world.js';
import {
  type Call,
  done,
  findBot,
  findPerson,
  type LocalRoutesDeps,
  type Reply,
  readId,
  refuse,
  strangeField,
} from './call.js';
import { messageSeen } from './message-seen.js';
import { writeFault } from './messages.js';

const PAGE_DEFAULT = 50;
const PAGE_MAX = 1000;

/** GET people: the newest first, without deleted accounts; `after` is the id that the last page ended with. */
export function getPeople({ world }: LocalRoutesDeps, { query }: Call): Reply {
  const strange = strangeField(Object.fromEntries(query), ['limit', 'after']);
  if (strange !== undefined) return refuse(strange);
  const limit = query.has('limit') ? readId(query.get('limit')) : PAGE_DEFAULT;
  if (limit === undefined || limit < 1 || limit > PAGE_MAX)
    return refuse(`limit: expected a whole number of 1 to ${PAGE_MAX}`);
  const after = query.has('after') ? readId(query.get('after')) : world.state.people.nextId;
  if (after === undefined) return refuse('after: expected the id of a person');
  const { people } = world.state;
  const found: WirePerson[] = [];
  for (const range of people.ranges.toReversed()) {
    const last = Math.min(after, range.first + range.count) - 1;
    for (let id = last; id >= range.first && found.length < limit; id -= 1) {
      if (!people.deactivated.has(id)) found.push({ ...people.person(range, id), started: range.started });
    }
    if (found.length === limit) break;
  }
  return done(found);
}

/** GET chats: those that a person sees: every bot, and the groups and channels where the person is. */
export function getChats({ world, clock }: LocalRoutesDeps, { query }: Call): Reply {
  const strange = strangeField(Object.fromEntries(query), ['user']);
  if (strange !== undefined) return refuse(strange);
  const person = findPerson(world, 'user', query.get('user') ?? undefined);
  if (typeof person === 'string') return refuse(person);
  const now = clock.now();
  const groups = [...world.state.chats.byId.values()].filter(
    (chat) => chat.upgradedTo === 0 && !chat.deleted && isPresent(standing(chat, person, now)),
  );
  return done([
    ...world.bots().map((bot) => privateChat(world, bot, person)),
    ...groups.map((chat) => groupChat(world, chat, person, now)),
  ]);
}

function privateChat(world: World, bot: Bot, person: number): WireChat {
  return {
    id: bot.making.id,
    type: 'private',
    title: bot.making.name,
    username: bot.making.username,
    blocked: bot.dialogs.blocked(person - FIRST_PERSON_ID),
    ...newestSeen(world, { bot, id: person }),
  };
}

function groupChat(world: World, chat: Chat, person: number, now: number): WireChat {
  const member = standing(chat, person, now);
  return {
    id: chat.id,
    type: chat.type,
    title: chat.title,
    ...(chat.username !== undefined && { username: chat.username }),
    blocked: false,
    status: member.status,
    canWrite: writeFault(chat, person, now) === undefined,
    members: [...chat.members.values()].filter(isPresent).length,
    ...newestSeen(world, { chat, id: chat.id }),
  };
}

function newestSeen(world: World, place: Place): Pick<WireChat, 'last'> {
  const [last] = world.messages.history(place);
  return last === undefined ? {} : { last: messageSeen(world, place, last) };
}

/** GET commands: those that a chat's menu shows to a person. */
export function getCommands({ world }: LocalRoutesDeps, { query }: Call): Reply {
  const strange = strangeField(Object.fromEntries(query), ['chat', 'user']);
  if (strange !== undefined) return refuse(strange);
  const bot = findBot(world, 'chat', query.get('chat') ?? undefined);
  if (typeof bot === 'string') return refuse(bot);
  const id = findPerson(world, 'user', query.get('user') ?? undefined);
  if (typeof id === 'string') return refuse(id);
  const range = world.state.people.find(id);
  if (range === undefined) return refuse(`user: nobody made person ${id}`);
  return done(privateCommands(bot, world.state.people.person(range, id)));
}

/** The narrowest scope that has commands, in the person's language first: https://core.telegram.org/bots/api#determining-list-of-commands. */
function privateCommands(bot: Bot, { id, languageCode = '' }: Person): WireCommand[] {
  const scopes = [`chat:${id}:`, 'all_private_chats::', 'default::'];
  const language = languageCode.slice(0, 2).toLowerCase();
  const keys = scopes.flatMap((scope) => [`${scope}:${language}`, `${scope}:`]);
  const found = keys
    .map((key) => bot.settings.commands[key])
    .find((commands) => commands !== undefined && commands.length > 0);
  const { id: botId, username: botUsername } = bot.making;
  return ((found ?? []) as { command: string; description: string }[]).map(({ command, description }) => ({
    botId,
    botUsername,
    command,
    description,
  }));
}
