import { findEntities } from '../text/text-entities.js';
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
import { history, messageSeen } from './message-view.js';

const TEXT_MAX = 4096;

/** POST messages: a person writes. */
export function postMessage({ world, clock }: LocalRoutesDeps, { body }: Call): Reply {
  const strange = strangeField(body, ['from', 'chat', 'text']);
  if (strange !== undefined) return refuse(strange);
  const person = findPerson(world, 'from', body.from);
  if (typeof person === 'string') return refuse(person);
  const bot = findBot(world, 'chat', body.chat);
  if (typeof bot === 'string') return refuse(bot);
  const text = typeof body.text === 'string' ? body.text.trim() : '';
  if (text === '' || text.length > TEXT_MAX) return refuse(`text: expected a text of 1 to ${TEXT_MAX} characters`);
  const entities = findEntities(text);
  // As the clients' button "restart": who writes to a bot that he blocks lets it in again.
  world.setBlocked(bot, person, false, clock.now());
  const messageId = world.write(bot, person, text, entities.length > 0 ? { entities } : {}, clock.now());
  return done({ messageId });
}

/** GET messages: what a person sees. */
export function getMessages({ world }: LocalRoutesDeps, { query }: Call): Reply {
  const strange = strangeField(Object.fromEntries(query), ['chat', 'user', 'after']);
  if (strange !== undefined) return refuse(strange);
  const bot = findBot(world, 'chat', query.get('chat') ?? undefined);
  if (typeof bot === 'string') return refuse(bot);
  const id = findPerson(world, 'user', query.get('user') ?? undefined);
  if (typeof id === 'string') return refuse(id);
  const after = query.has('after') ? readId(query.get('after')) : 0;
  if (after === undefined) return refuse('after: expected a message id');
  const range = world.state.people.find(id);
  if (range === undefined) return refuse(`user: nobody made person ${id}`);
  const parties = { bot, person: world.state.people.person(range, id) };
  return done(
    history(world, bot, id, after)
      .reverse()
      .map((record) => messageSeen(parties, record)),
  );
}
