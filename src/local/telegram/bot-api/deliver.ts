import { isBlockedByFault } from '../limits/faults.js';
import { paceWait, privateChatWait } from '../limits/rate-limits.js';
import type { Bot } from '../world/bot.js';
import type { ChatMessage } from '../world/chat-events.js';
import { contentMessage } from '../world/chat-messages.js';
import { type Chat, hasRight, isPermitted, type Permission, paceOf, standing } from '../world/chats.js';
import { FIRST_PERSON_ID } from '../world/people.js';
import type { MessageExtra } from '../world/record.js';
import type { World } from '../world/world.js';
import {
  type BotArguments,
  flagArgument,
  integerArgument,
  isObject,
  jsonArgument,
  UNREADABLE_JSON,
} from './arguments.js';
import type { Upload } from './file-argument.js';
import { findChat, type PrivateTarget, type Target } from './find-chat.js';
import { messageJson, placeJson } from './message-json.js';
import { BotRefusal, badRequest, noRightToSend, REFUSALS, tooManyRequests } from './refusal.js';
import type { ReplyMarkup } from './reply-markup.js';

const SECOND_MS = 1000;

/** A message whose content is checked. JSON is given as text, for speed. */
export interface Draft {
  /** The method's own name, for the counters. */
  readonly method: string;
  /** The text or caption; '' for none. */
  readonly text: string;
  readonly textJson: string;
  /** What the answer shows of the content: members, at least one. */
  readonly content: string;
  /** Members of the record's extra object, each `"name":value`. */
  readonly kept: readonly string[];
  /** Those of them that the answer shows, joined by commas. */
  readonly shown: string;
  /** What members must be allowed to do for it. */
  readonly permission: Permission;
  /** Its reply markup, which not every chat takes. */
  readonly markup?: ReplyMarkup | undefined;
  /** The file that came with it, to be kept when the message is accepted. */
  readonly upload?: Upload | undefined;
  /** Whether the answer is a MessageId instead of the Message. */
  readonly answersId?: boolean;
}

/**
 * Sends a message whose content is checked to the chat that the arguments name: finds chat and message replied to, looks at rights, blocks and the chat's
 * limit, in the order in which Telegram does. The Message (or MessageId) in JSON, or why not; a refusal takes nothing of the chat's limit. Never throws.
 */
export function deliver(world: World, bot: Bot, args: BotArguments, draft: Draft, now: number): string | BotRefusal {
  const target = findChat(world, bot, args, 'act', now);
  if (target instanceof BotRefusal) return target;
  return target.chat === undefined
    ? deliverToPerson(world, bot, target, args, draft, now)
    : deliverToChat(world, bot, target.chat, args, draft, now);
}

function deliverToPerson(
  world: World,
  bot: Bot,
  target: PrivateTarget,
  args: BotArguments,
  draft: Draft,
  now: number,
): string | BotRefusal {
  const { id, range } = target;
  const index = id - FIRST_PERSON_ID;
  const { faults } = world.state;
  if (!range.started && !bot.dialogs.started(index) && (bot.openUntil.get(id) ?? 0) <= now) return REFUSALS.notStarted;
  if (bot.dialogs.blocked(index) || isBlockedByFault(faults.blockedShare, id)) return REFUSALS.blocked;
  const reply = readReply(world, target, args);
  if (reply instanceof BotRefusal) return reply;

  const wait = privateChatWait(faults.limits, bot.dialogs.acceptedAt(index), bot.shutChats.get(index) ?? 0, now);
  if (wait > 0) {
    if (faults.limits === 'strict') shutChat(bot, index, now, wait);
    return tooManyRequests(wait);
  }
  if (!keepUpload(world, draft)) return REFUSALS.internal;
  const { text, textJson, method, content } = draft;
  const kept = reply === undefined ? draft.kept : [...draft.kept, `"reply_to":${reply.id}`];
  const extraJson = kept.length === 0 ? '' : `{${kept.join(',')}}`;
  const messageId = world.accept(bot, id, text, textJson, extraJson, now, method);
  if (draft.answersId === true) return `{"message_id":${messageId}}`;
  const shown = draft.shown === '' ? '' : `,${draft.shown}`;
  const answered = reply === undefined ? '' : `,"reply_to_message":${messageJson(world, bot, target, reply, 1)}`;
  return (
    `{"message_id":${messageId},"from":${bot.userJson},"chat":${placeJson(world, target)},"date":${Math.floor(now / SECOND_MS)}` +
    `${answered},${content}${shown}}`
  );
}

function deliverToChat(
  world: World,
  bot: Bot,
  chat: Chat,
  args: BotArguments,
  draft: Draft,
  now: number,
): string | BotRefusal {
  const { method, text, kept, permission, markup } = draft;
  const { faults } = world.state;
  const botId = bot.making.id;
  const place = { id: chat.id, chat };
  const member = standing(chat, botId, now);
  if (chat.type === 'channel') {
    if (!hasRight(member, 'can_post_messages')) return REFUSALS.needAdministrator;
  } else if (!isPermitted(chat, member, permission)) return noRightToSend(permission);
  const unfit = markup?.unfitFor(chat.type);
  if (unfit !== undefined) return unfit;
  if (isBlockedByFault(faults.blockedShare, chat.id)) return REFUSALS.kickedFrom[chat.type];
  const reply = readReply(world, place, args);
  if (reply instanceof BotRefusal) return reply;

  const wait = paceWait(faults.limits, paceOf(chat, botId), now);
  if (wait > 0) return tooManyRequests(wait);
  if (!keepUpload(world, draft)) return REFUSALS.internal;
  const extra = JSON.parse(`{${kept.join(',')}}`) as MessageExtra;
  const message = contentMessage(place, botId, { text, extra }, reply, now);
  world.happen(now, { kind: 'written', message, method });
  return draft.answersId === true ? `{"message_id":${message.id}}` : messageJson(world, bot, place, message);
}

/** Keeps the file of a message that is about to be accepted; false when the disk refuses it. */
function keepUpload(world: World, { upload }: Draft): boolean {
  return upload === undefined || world.keepFile(upload.file, upload.bytes);
}

/** The message to reply to; undefined for none, or for one that is gone where that is allowed. */
function readReply(world: World, target: Target, args: BotArguments): ChatMessage | undefined | BotRefusal {
  const given = jsonArgument(args, 'reply_parameters');
  if (given === UNREADABLE_JSON) return badRequest("can't parse reply parameters JSON object");
  if (given !== undefined && !isObject(given)) return badRequest("can't parse reply parameters: expected an Object");
  const id = integerArgument(given ?? args, given === undefined ? 'reply_to_message_id' : 'message_id');
  if (id === undefined || id === 0) return undefined;
  const original = world.messages.find(target, id);
  if (original !== undefined) return original;
  return flagArgument(given ?? args, 'allow_sending_without_reply') ? undefined : REFUSALS.replyNotFound;
}

const SHUT_CHATS_SWEEP = 10_000;

function shutChat(bot: Bot, index: number, now: number, seconds: number): void {
  if ((bot.shutChats.get(index) ?? 0) > now) return;
  if (bot.shutChats.size >= SHUT_CHATS_SWEEP) {
    for (const [other, until] of bot.shutChats) if (until <= now) bot.shutChats.delete(other);
  }
  bot.shutChats.set(index, now + seconds * SECOND_MS);
}
