import type { WireChat, WirePerson } from '../page/browser/wire.js';
import type { Bot } from '../world/bot.js';
import { type Chat, isPresent, standing } from '../world/chats.js';
import { FIRST_PERSON_ID } from '../world/people.js';
import type { Place } from '../world/place.js';
import type { World } from '../world/world.js';
import { type Call, done, findPerson, type LocalRoutesDeps, type Reply, readId, refuse, strangeField } from './call.js';
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

/** GET chats: those that a person sees: every bot, and the groups and channels where the person is; with `in=false` the ones where the person is not. */
export function getChats({ world, clock }: LocalRoutesDeps, { query }: Call): Reply {
  const strange = strangeField(Object.fromEntries(query), ['user', 'in']);
  if (strange !== undefined) return refuse(strange);
  const person = findPerson(world, 'user', query.get('user') ?? undefined);
  if (typeof person === 'string') return refuse(person);
  const within = query.get('in') ?? 'true';
  if (within !== 'true' && within !== 'false') return refuse('in: expected true or false');
  const now = clock.now();
  const groups = [...world.state.chats.byId.values()].filter(
    (chat) => chat.upgradedTo === 0 && !chat.deleted && isPresent(standing(chat, person, now)) === (within === 'true'),
  );
  return done([
    ...(within === 'true' ? world.bots().map((bot) => privateChat(world, bot, person)) : []),
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
    requested: chat.requests.has(person),
    members: [...chat.members.values()].filter(isPresent).length,
    // What is said in a chat is for those who are in it.
    ...(isPresent(member) ? newestSeen(world, { chat, id: chat.id }) : {}),
  };
}

function newestSeen(world: World, place: Place): Pick<WireChat, 'last'> {
  const [last] = world.messages.history(place);
  return last === undefined ? {} : { last: messageSeen(world, place, last) };
}
