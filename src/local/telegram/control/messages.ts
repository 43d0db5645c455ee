import { findEntities } from '../text/text-entities.js';
import { contentMessage, deleteMessages, editMessage, type LocatedMessage } from '../world/chat-messages.js';
import { type Chat, hasRight, isPermitted, isPresent, standing } from '../world/chats.js';
import type { Place } from '../world/place.js';
import type { MessageExtra } from '../world/record.js';
import type { World } from '../world/world.js';
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
const TEXT_EXPECTED = `text: expected a text of 1 to ${TEXT_MAX} characters`;

/** POST messages: a person writes, in answer to another message or not. */
export function postMessage({ world, clock }: LocalRoutesDeps, { body }: Call): Reply {
  const strange = strangeField(body, ['from', 'chat', 'text', 'replyTo']);
  if (strange !== undefined) return refuse(strange);
  const person = findPerson(world, 'from', body.from);
  if (typeof person === 'string') return refuse(person);
  const place = findPlace(world, 'chat', body.chat, person);
  if (typeof place === 'string') return refuse(place);
  const text = readText(body.text);
  if (text === undefined) return refuse(TEXT_EXPECTED);
  const replyId = body.replyTo === undefined ? 0 : readId(body.replyTo);
  const reply = replyId === undefined ? undefined : world.messages.find(place, replyId);
  if (replyId !== 0 && reply === undefined) return refuse('replyTo: expected the id of a message in that chat');
  const extra = entitiesOf(text);
  const now = clock.now();
  if (place.chat !== undefined) {
    const fault = writeFault(place.chat, person, now);
    if (fault !== undefined) return refuse(fault);
    const message = contentMessage(place, person, { text, extra }, reply, now);
    world.happen(now, { kind: 'written', message });
    return done({ messageId: message.id });
  }
  // As the clients' button "restart": who writes to a bot that he blocks lets it in again.
  world.setBlocked(place.bot, person, false, now);
  const all = reply === undefined ? extra : { ...extra, reply_to: reply.id };
  return done({ messageId: world.write(place.bot, person, text, all, now) });
}

/** PUT messages: a person edits what he wrote. */
export function putMessage({ world, clock }: LocalRoutesDeps, { body }: Call): Reply {
  const strange = strangeField(body, ['from', 'chat', 'messageId', 'text']);
  if (strange !== undefined) return refuse(strange);
  const found = findWritten(world, body, clock.now());
  if (typeof found === 'string') return refuse(found);
  const { person, located } = found;
  if (located.message.from !== person || located.message.service === true) {
    return refuse('messageId: expected a message that the person wrote');
  }
  const text = readText(body.text);
  if (text === undefined) return refuse(TEXT_EXPECTED);
  editMessage(world, located, { text, extra: entitiesOf(text) }, clock.now(), clock.now());
  return done({ messageId: located.message.id });
}

/** DELETE messages: a person deletes a message for everyone: his own, any in a private chat, any where he has the right to. */
export function deleteMessage({ world, clock }: LocalRoutesDeps, { body }: Call): Reply {
  const strange = strangeField(body, ['from', 'chat', 'messageId']);
  if (strange !== undefined) return refuse(strange);
  const now = clock.now();
  const found = findWritten(world, body, now);
  if (typeof found === 'string') return refuse(found);
  const { person, place, located } = found;
  const isOwn = located.message.from === person;
  if (place.chat !== undefined && !isOwn && !hasRight(standing(place.chat, person, now), 'can_delete_messages')) {
    return refuse(`from: person ${person} may not delete that message`);
  }
  deleteMessages(world, place, [located], now);
  return done({ messageId: located.message.id });
}

/** The message that a request names, and the person who names it, or the error's text. Never throws. */
export function findWritten(
  world: World,
  body: Record<string, unknown>,
  now: number,
): { person: number; place: Place; located: LocatedMessage } | string {
  const person = findPerson(world, 'from', body.from);
  if (typeof person === 'string') return person;
  const place = findPlace(world, 'chat', body.chat, person);
  if (typeof place === 'string') return place;
  if (place.chat !== undefined && !isPresent(standing(place.chat, person, now))) {
    return `from: person ${person} is not a member of chat ${place.id}`;
  }
  const located = world.messages.locate(place, readId(body.messageId) ?? 0);
  return located === undefined ? 'messageId: expected the id of a message in that chat' : { person, place, located };
}

function readText(value: unknown): string | undefined {
  const text = typeof value === 'string' ? value.trim() : '';
  return text === '' || text.length > TEXT_MAX ? undefined : text;
}

function entitiesOf(text: string): MessageExtra {
  const entities = findEntities(text);
  return entities.length > 0 ? { entities } : {};
}

/** Why a person cannot write in a chat, if so. Never throws. */
export function writeFault(chat: Chat, person: number, now: number): string | undefined {
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
  const member = place.chat && standing(place.chat, person, clock.now());
  if (member !== undefined && !isPresent(member) && member.seesBelow === undefined) {
    return refuse(`user: person ${person} is not a member of chat ${place.id}`);
  }
  return done(messagesSeen(world, place, after, member));
}
