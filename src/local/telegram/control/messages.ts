import { findEntities } from '../text/text-entities.js';
import { writeInChat } from '../world/chat-messages.js';
import { type Chat, hasRight, isPermitted, isPresent, standing } from '../world/chats.js';
import {
  type Call,
  done,
  findPerson,
  findPlace,
  type LocalRoutesDeps,
  type Reply,
  readId,
  refuse,
  strangeField,
} from './call.js';
import { messagesSeen } from './message-seen.js';

const TEXT_MAX = 4096;

/** POST messages: a person writes, in answer to another message or not. */
export function postMessage({ world, clock }: LocalRoutesDeps, { body }: Call): Reply {
  const strange = strangeField(body, ['from', 'chat', 'text', 'replyTo']);
  if (strange !== undefined) return refuse(strange);
  const person = findPerson(world, 'from', body.from);
  if (typeof person === 'string') return refuse(person);
  const place = findPlace(world, 'chat', body.chat, person);
  if (typeof place === 'string') return refuse(place);
  const text = typeof body.text === 'string' ? body.text.trim() : '';
  if (text === '' || text.length > TEXT_MAX) return refuse(`text: expected a text of 1 to ${TEXT_MAX} characters`);
  const replyId = body.replyTo === undefined ? 0 : readId(body.replyTo);
  const reply = replyId === undefined ? undefined : world.messages.find(place, replyId);
  if (replyId !== 0 && reply === undefined) return refuse('replyTo: expected the id of a message in that chat');
  const entities = findEntities(text);
  const extra = entities.length > 0 ? { entities } : {};
  const now = clock.now();
  if (place.chat !== undefined) {
    const fault = writeFault(place.chat, person, now);
    if (fault !== undefined) return refuse(fault);
    return done({ messageId: writeInChat(world, place.chat, person, { text, extra }, reply, now) });
  }
  // As the clients' button "restart": who writes to a bot that he blocks lets it in again.
  world.setBlocked(place.bot, person, false, now);
  const all = reply === undefined ? extra : { ...extra, reply_to: reply.id };
  return done({ messageId: world.write(place.bot, person, text, all, now) });
}

/** Why a person cannot write in a chat, if so. */
function writeFault(chat: Chat, person: number, now: number): string | undefined {
  const member = standing(chat, person, now);
  if (!isPresent(member)) return `from: person ${person} is not a member of chat ${chat.id}`;
  const may =
    chat.type === 'channel' ? hasRight(member, 'can_post_messages') : isPermitted(chat, member, 'can_send_messages');
  return may ? undefined : `from: person ${person} may not write in chat ${chat.id}`;
}

/** GET messages: what a person sees. */
export function getMessages({ world, clock }: LocalRoutesDeps, { query }: Call): Reply {
  const strange = strangeField(Object.fromEntries(query), ['chat', 'user', 'after']);
  if (strange !== undefined) return refuse(strange);
  const person = findPerson(world, 'user', query.get('user') ?? undefined);
  if (typeof person === 'string') return refuse(person);
  const place = findPlace(world, 'chat', query.get('chat') ?? undefined, person);
  if (typeof place === 'string') return refuse(place);
  const after = query.has('after') ? readId(query.get('after')) : 0;
  if (after === undefined) return refuse('after: expected a message id');
  if (place.chat !== undefined && !isPresent(standing(place.chat, person, clock.now()))) {
    return refuse(`user: person ${person} is not a member of chat ${place.id}`);
  }
  return done(messagesSeen(world, place, after));
}
