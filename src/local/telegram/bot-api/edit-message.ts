import type { Bot } from '../world/bot.js';
import { editMessage, type MessageContent } from '../world/chat-messages.js';
import { hasRight, standing } from '../world/chats.js';
import type { MessageExtra } from '../world/record.js';
import type { World } from '../world/world.js';
import { type BotArguments, isObject, textArgument } from './arguments.js';
import { findMessage, type TargetMessage } from './find-message.js';
import { messageJson } from './message-json.js';
import { BotRefusal, badRequest, REFUSALS } from './refusal.js';
import { type ReplyMarkup, readReplyMarkup } from './reply-markup.js';
import { readTextMessage } from './send-message.js';

/** editMessageText: the Message as it is now, or why not. Without a markup the message has none from then on. Never throws. */
export function editMessageText(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const content = readTextMessage(world, args, false);
  if (content instanceof BotRefusal) return content;
  const found = findEditable(world, bot, args, now);
  if (found instanceof BotRefusal) return found;
  if (found.message.text === '' || found.message.extra.media !== undefined) return REFUSALS.noTextToEdit;
  const unfit = markupFault(content.markup, found);
  if (unfit !== undefined) return unfit;
  const { has_protected_content: isProtected } = found.message.extra;
  const extra = {
    ...(JSON.parse(`{${content.kept.join(',')}}`) as MessageExtra),
    ...(isProtected !== undefined && { has_protected_content: isProtected }),
  };
  return change(world, bot, found, { text: content.text, extra }, now, now);
}

/** editMessageReplyMarkup: sets or takes away the inline keyboard; the message does not count as edited. Never throws. */
export function editMessageReplyMarkup(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const markup = readReplyMarkup(args);
  if (markup instanceof BotRefusal) return markup;
  const found = findEditable(world, bot, args, now);
  if (found instanceof BotRefusal) return found;
  const unfit = markupFault(markup, found);
  if (unfit !== undefined) return unfit;
  const { text, extra } = found.message;
  const { reply_markup: _, ...rest } = extra;
  const next = markup === undefined ? rest : { ...rest, reply_markup: markup.value };
  return change(world, bot, found, { text, extra: next }, undefined, now);
}

/** Why a message that exists already can't get a markup, if so. Never throws. */
export function markupFault(markup: ReplyMarkup | undefined, { target }: TargetMessage): BotRefusal | undefined {
  if (markup === undefined) return undefined;
  return markup.isInline ? markup.unfitFor(target.chat?.type) : REFUSALS.inlineKeyboardExpected;
}

/** The message that a call may edit, or Telegram's refusal. Never throws. */
export function findEditable(world: World, bot: Bot, args: BotArguments, now: number): TargetMessage | BotRefusal {
  if (textArgument(args, 'chat_id') === '' && textArgument(args, 'message_id') === '') {
    return textArgument(args, 'inline_message_id') === ''
      ? REFUSALS.messageIdMissing
      : badRequest('MESSAGE_ID_INVALID');
  }
  const found = findMessage(world, bot, args, 'edit', 'message to edit', now);
  if (found instanceof BotRefusal) return found;
  return mayEdit(bot, found, now) ? found : REFUSALS.notEditable;
}

function mayEdit(bot: Bot, { target: { chat }, message }: TargetMessage, now: number): boolean {
  if (message.service === true) return false;
  const isOwn = message.from === bot.making.id;
  if (chat?.type !== 'channel') return isOwn;
  return hasRight(standing(chat, bot.making.id, now), isOwn ? 'can_post_messages' : 'can_edit_messages');
}

/** Carries out an edit whose content is checked: the Message as it is now, or that nothing would change. Never throws. */
export function change(
  world: World,
  bot: Bot,
  found: TargetMessage,
  content: MessageContent,
  editedAt: number | undefined,
  now: number,
): string | BotRefusal {
  if (shownOf(found.message) === shownOf(content)) return REFUSALS.notModified;
  return messageJson(world, bot, found.target, editMessage(world, found, content, editedAt, now));
}

/** All that an edit can change, to compare. An empty keyboard is none. */
function shownOf({ text, extra }: MessageContent): string {
  const { reply_to: _, reply_markup: markup, ...rest } = extra;
  const rows = isObject(markup) && Array.isArray(markup.inline_keyboard) ? (markup.inline_keyboard as unknown[]) : [];
  const fields = Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([text, fields, rows]);
}
