import type { FileKind } from '../files/stored-file.js';
import type { Bot } from '../world/bot.js';
import type { World } from '../world/world.js';
import { type BotArguments, flagArgument } from './arguments.js';
import { type Content, membersOf, readContent } from './content.js';
import { deliver } from './deliver.js';
import { fileArgument, readFile } from './file-argument.js';
import { findChat } from './find-chat.js';
import { mediaJson } from './media-json.js';
import { BotRefusal, badRequest } from './refusal.js';
import { readReplyMarkup } from './reply-markup.js';
import type { SendMethod } from './sending.js';

/** sendPhoto: the Message in JSON, or why not, in the order in which Telegram looks. The photo is kept as it was sent, in its one size. Never throws. */
export const sendPhoto: SendMethod = (world, bot, args, now) => sendMedia(world, bot, args, 'photo', now);

/** sendDocument: the same; a thumbnail is passed over. Never throws. */
export const sendDocument: SendMethod = (world, bot, args, now) => sendMedia(world, bot, args, 'document', now);

/** Fields of a message with a photo or document beyond that, from its caption and the arguments `show_caption_above_media` and `has_spoiler`. Never throws. */
export function mediaFields(args: BotArguments, kind: FileKind, { entities }: Content): Record<string, unknown> {
  const isPhoto = kind === 'photo';
  return {
    caption_entities: entities.length > 0 ? entities : undefined,
    show_caption_above_media: (isPhoto && flagArgument(args, 'show_caption_above_media')) || undefined,
    has_media_spoiler: (isPhoto && flagArgument(args, 'has_spoiler')) || undefined,
  };
}

function sendMedia(world: World, bot: Bot, args: BotArguments, kind: FileKind, now: number): string | BotRefusal {
  const given = fileArgument(args, kind);
  if (given === undefined) return badRequest(`There is no ${kind} in the request`);
  const caption = readContent(world, args, 'caption');
  if (caption instanceof BotRefusal) return caption;
  const markup = readReplyMarkup(args);
  if (markup instanceof BotRefusal) return markup;
  // Telegram finds the chat before it looks at the file.
  const target = findChat(world, bot, args, 'act', now);
  if (target instanceof BotRefusal) return target;
  const file = readFile(world, bot, kind, given);
  if (file instanceof BotRefusal) return file;
  const { media, upload } = file;
  const { text } = caption;
  const { kept, shown } = membersOf(
    { ...mediaFields(args, kind, caption), has_protected_content: flagArgument(args, 'protect_content') || undefined },
    markup,
  );
  return deliver(
    world,
    bot,
    args,
    {
      method: kind === 'photo' ? 'sendPhoto' : 'sendDocument',
      text,
      textJson: JSON.stringify(text),
      content: mediaJson(bot, media, text),
      kept: [`"media":${JSON.stringify(media)}`, ...kept],
      shown,
      markup,
      permission: kind === 'photo' ? 'can_send_photos' : 'can_send_documents',
      upload,
    },
    now,
  );
}
