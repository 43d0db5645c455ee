import type { Upload } from '../bot-api/file-argument.js';
import type { Media } from '../files/stored-file.js';
import { findEntities } from '../text/text-entities.js';
import {
  contentMessage,
  deleteMessages,
  editMessage,
  type LocatedMessage,
  type MessageContent,
} from '../world/chat-messages.js';
import { type Chat, hasRight, isPermitted, isPresent, type Permission, standing } from '../world/chats.js';
import type { Place } from '../world/place.js';
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
import { readPersonsFile } from './files.js';
import { messagesSeen } from './message-seen.js';

const TEXT_MAX = 4096;
const CAPTION_MAX = 1024;
/** Most messages of one answer. */
const MESSAGES_MAX = 10_000;
const TEXT_EXPECTED = `text: expected a text of 1 to ${TEXT_MAX} characters`;

/** POST messages: a person writes, or sends a photo or a document, in answer to another message or not. */
export function postMessage({ world, clock }: LocalRoutesDeps, { body }: Call): Reply {
  const strange = strangeField(body, ['from', 'chat', 'text', 'photo', 'document', 'caption', 'replyTo']);
  if (strange !== undefined) return refuse(strange);
  const person = findPerson(world, 'from', body.from);
  if (typeof person === 'string') return refuse(person);
  const place = findPlace(world, 'chat', body.chat, person);
  if (typeof place === 'string') return refuse(place);
  const writing = readWriting(body);
  if (typeof writing === 'string') return refuse(writing);
  const replyId = body.replyTo === undefined ? 0 : readId(body.replyTo);
  const reply = replyId === undefined ? undefined : world.messages.find(place, replyId);
  if (replyId !== 0 && reply === undefined) return refuse('replyTo: expected the id of a message in that chat');
  const { text, extra, permission, upload } = writing;
  const now = clock.now();
  if (place.chat !== undefined) {
    const fault = writeFault(place.chat, person, now, permission);
    if (fault !== undefined) return refuse(fault);
  }
  if (upload !== undefined && !world.keepFile(upload.file, upload.bytes)) {
    return refuse(`${upload.file.kind}: cannot be kept, the disk refuses`, 500);
  }
  if (place.chat !== undefined) {
    const message = contentMessage(place, person, { text, extra }, reply, now);
    world.happen(now, { kind: 'written', message });
    return done({ messageId: message.id });
  }
  // As the clients' button "restart": who writes to a bot that he blocks lets it in again.
  world.setBlocked(place.bot, person, false, now);
  const all = reply === undefined ? extra : { ...extra, reply_to: reply.id };
  return done({ messageId: world.write(place.bot, person, text, all, now) });
}

/** PUT messages: a person edits the text, or the caption, of what he wrote. */
export function putMessage({ world, clock }: LocalRoutesDeps, { body }: Call): Reply {
  const strange = strangeField(body, ['from', 'chat', 'messageId', 'text', 'caption']);
  if (strange !== undefined) return refuse(strange);
  const found = findWritten(world, body, clock.now());
  if (typeof found === 'string') return refuse(found);
  const { person, located } = found;
  if (located.message.from !== person || located.message.service === true) {
    return refuse('messageId: expected a message that the person wrote');
  }
  const { media } = located.message.extra;
  const content = media === undefined ? readText(body) : readCaption(body, media);
  if (typeof content === 'string') return refuse(content);
  editMessage(world, located, content, clock.now(), clock.now());
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

interface Writing extends MessageContent {
  /** What members of a group must be allowed to do for it. */
  readonly permission: Permission;
  readonly upload?: Upload;
}

const WRITING_KINDS = ['text', 'photo', 'document'] as const;

/** What a person sends: exactly one of text, photo and document; or the error's text. */
function readWriting(body: Record<string, unknown>): Writing | string {
  const given = WRITING_KINDS.filter((kind) => body[kind] !== undefined);
  const kind = given[0] ?? 'text';
  if (given.length > 1) return `${given[1]}: expected no more than one of ${WRITING_KINDS.join(', ')}`;
  if (kind === 'text') {
    const content = readText(body);
    return typeof content === 'string' ? content : { ...content, permission: 'can_send_messages' };
  }
  const upload = readPersonsFile(kind, body[kind]);
  if (typeof upload === 'string') return upload;
  const content = readCaption(body, upload.media);
  if (typeof content === 'string') return content;
  return { ...content, upload, permission: kind === 'photo' ? 'can_send_photos' : 'can_send_documents' };
}

function readText({ text: value, caption }: Record<string, unknown>): MessageContent | string {
  if (caption !== undefined) return 'caption: expected only with a photo or a document';
  const text = typeof value === 'string' ? value.trim() : '';
  if (text === '' || text.length > TEXT_MAX) return TEXT_EXPECTED;
  const entities = findEntities(text);
  return { text, extra: entities.length > 0 ? { entities } : {} };
}

function readCaption({ text, caption = '' }: Record<string, unknown>, media: Media): MessageContent | string {
  if (text !== undefined) return 'text: expected none with a photo or a document, it may have a caption';
  if (typeof caption !== 'string' || caption.trim().length > CAPTION_MAX) {
    return `caption: expected a text of at most ${CAPTION_MAX} characters`;
  }
  const clean = caption.trim();
  const entities = findEntities(clean);
  return { text: clean, extra: { media, ...(entities.length > 0 && { caption_entities: entities }) } };
}

/** Why a person cannot write in a chat, if so. Never throws. */
export function writeFault(
  chat: Chat,
  person: number,
  now: number,
  permission: Permission = 'can_send_messages',
): string | undefined {
  const member = standing(chat, person, now);
  if (!isPresent(member)) return `from: person ${person} is not a member of chat ${chat.id}`;
  const may = chat.type === 'channel' ? hasRight(member, 'can_post_messages') : isPermitted(chat, member, permission);
  return may ? undefined : `from: person ${person} may not write in chat ${chat.id}`;
}

/** GET messages: what a person sees. */
export function getMessages({ world, clock }: LocalRoutesDeps, { query }: Call): Reply {
  const strange = strangeField(Object.fromEntries(query), ['chat', 'user', 'after', 'before', 'limit']);
  if (strange !== undefined) return refuse(strange);
  const person = findPerson(world, 'user', query.get('user') ?? undefined);
  if (typeof person === 'string') return refuse(person);
  const place = findPlace(world, 'chat', query.get('chat') ?? undefined, person);
  if (typeof place === 'string') return refuse(place);
  const after = query.has('after') ? readId(query.get('after')) : 0;
  if (after === undefined) return refuse('after: expected a message id');
  const before = query.has('before') ? readId(query.get('before')) : Number.POSITIVE_INFINITY;
  if (before === undefined) return refuse('before: expected a message id');
  const limit = query.has('limit') ? readId(query.get('limit')) : MESSAGES_MAX;
  if (limit === undefined || limit < 1 || limit > MESSAGES_MAX) {
    return refuse(`limit: expected a whole number of 1 to ${MESSAGES_MAX}`);
  }
  const member = place.chat && standing(place.chat, person, clock.now());
  if (member !== undefined && !isPresent(member) && member.seesBelow === undefined) {
    return refuse(`user: person ${person} is not a member of chat ${place.id}`);
  }
  return done(messagesSeen(world, place, { after, before, limit }, member));
}
