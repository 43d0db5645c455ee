import type { PeopleRange } from '../world/people.js';
import {
  type Call,
  done,
  findBot,
  findPerson,
  isName,
  isUsername,
  isWhole,
  type LocalRoutesDeps,
  NAME_MAX,
  type Reply,
  refuse,
  strangeField,
} from './call.js';

const PEOPLE_MAX = 1_000_000;

/** POST people: makes one, or many alike. */
export function postPeople({ world }: LocalRoutesDeps, { body }: Call): Reply {
  const strange = strangeField(body, ['firstName', 'username', 'languageCode', 'started', 'count']);
  if (strange !== undefined) return refuse(strange);
  const { firstName, username, languageCode, started = true, count } = body;
  if (!isName(firstName)) return refuse(`firstName: expected a text of 1 to ${NAME_MAX} characters`);
  if (!isUsername(username)) return refuse('username: expected 1 to 32 of A-Z a-z 0-9 _');
  if (languageCode !== undefined && (typeof languageCode !== 'string' || !/^[A-Za-z-]{2,35}$/.test(languageCode))) {
    return refuse('languageCode: expected a language code');
  }
  if (typeof started !== 'boolean') return refuse('started: expected true or false');
  if (count !== undefined && !isWhole(count, 1, PEOPLE_MAX)) {
    return refuse(`count: expected a whole number of 1 to ${PEOPLE_MAX}`);
  }
  const { people } = world.state;
  const first = people.nextId;
  const range: PeopleRange = {
    first,
    count: count ?? 1,
    ...(firstName !== undefined && { firstName }),
    ...(username !== undefined && { username }),
    ...(languageCode !== undefined && { languageCode }),
    started,
  };
  world.makePeople(range);
  if (count !== undefined) return done({ ids: Array.from({ length: count }, (_, i) => first + i) });
  return done({ ...people.person(range, first), started });
}

/** DELETE people/:userId: deletes the account; the person stays in chats as one without a name. */
export function deletePerson({ world }: LocalRoutesDeps, { path }: Call): Reply {
  const person = findPerson(world, 'userId', path[0]);
  if (typeof person === 'string') return refuse(person);
  world.deactivate(person);
  return done({ id: person });
}

/** PUT and DELETE blocks/:userId/:botId. */
export const putBlock = (deps: LocalRoutesDeps, call: Call): Reply => block(deps, call, true);
export const deleteBlock = (deps: LocalRoutesDeps, call: Call): Reply => block(deps, call, false);

function block({ world, clock }: LocalRoutesDeps, { path }: Call, blocked: boolean): Reply {
  const person = findPerson(world, 'userId', path[0]);
  if (typeof person === 'string') return refuse(person);
  const bot = findBot(world, 'botId', path[1]);
  if (typeof bot === 'string') return refuse(bot);
  world.setBlocked(bot, person, blocked, clock.now());
  return done({ blocked });
}

/** PUT blocks: many people block one bot. */
export function putBlocks({ world, clock }: LocalRoutesDeps, { body }: Call): Reply {
  const strange = strangeField(body, ['botId', 'userIds']);
  if (strange !== undefined) return refuse(strange);
  const bot = findBot(world, 'botId', body.botId);
  if (typeof bot === 'string') return refuse(bot);
  const { userIds } = body;
  if (!Array.isArray(userIds)) return refuse('userIds: expected an array of ids');
  const people: number[] = [];
  for (const [place, value] of (userIds as unknown[]).entries()) {
    const person = findPerson(world, `userIds[${place}]`, value);
    if (typeof person === 'string') return refuse(person);
    people.push(person);
  }
  for (const person of people) world.setBlocked(bot, person, true, clock.now());
  return done({ blocked: people.length });
}
