import type { FileKind, Media } from '../files/stored-file.js';
import type { Bot } from '../world/bot.js';
import type { MessageExtra } from '../world/record.js';
import type { World } from '../world/world.js';
import { type BotArguments, isObject, jsonArgument, textArgument, UNREADABLE_JSON } from './arguments.js';
import { type Content, readContent } from './content.js';
import { change, findEditable, markupFault } from './edit-message.js';
import { type FileToSend, namedFile, readFile } from './file-argument.js';
import type { TargetMessage } from './find-message.js';
import { JsonFields } from './json-fields.js';
import { BotRefusal, badRequest, REFUSALS } from './refusal.js';
import { type ReplyMarkup, readReplyMarkup } from './reply-markup.js';
import { mediaFields } from './send-media.js';

/** editMessageCaption: the Message as it is now, or why not. Without a caption or a markup the message has none from then on. Never throws. */
export function editMessageCaption(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const markup = readReplyMarkup(args);
  if (markup instanceof BotRefusal) return markup;
  const caption = readContent(world, args, 'caption');
  if (caption instanceof BotRefusal) return caption;
  const found = findEditable(world, bot, args, now);
  if (found instanceof BotRefusal) return found;
  const { media, has_media_spoiler: isSpoiler } = found.message.extra;
  if (media === undefined) return REFUSALS.noCaptionToEdit;
  const fields = { ...mediaFields(args, media.kind, caption), has_media_spoiler: isSpoiler };
  return replace(world, bot, found, { media, caption, fields, markup }, now);
}

/** editMessageMedia: puts a photo or document in the place of a message's text, photo or document. The Message as it is now, or why not. Never throws. */
export function editMessageMedia(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const markup = readReplyMarkup(args);
  if (markup instanceof BotRefusal) return markup;
  const input = readInputMedia(world, args);
  if (input instanceof BotRefusal) return input;
  const found = findEditable(world, bot, args, now);
  if (found instanceof BotRefusal) return found;
  const file = input.read(bot);
  if (file instanceof BotRefusal) return file;
  const { media, upload } = file;
  if (upload !== undefined && !world.keepFile(upload.file, upload.bytes)) return REFUSALS.internal;
  return replace(world, bot, found, { media, caption: input.caption, fields: input.fields, markup }, now);
}

interface Replacement {
  readonly media: Media;
  readonly caption: Content;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly markup: ReplyMarkup | undefined;
}

function replace(
  world: World,
  bot: Bot,
  found: TargetMessage,
  { media, caption, fields, markup }: Replacement,
  now: number,
): string | BotRefusal {
  const unfit = markupFault(markup, found);
  if (unfit !== undefined) return unfit;
  const all = {
    ...fields,
    has_protected_content: found.message.extra.has_protected_content,
    reply_markup: markup?.value,
  };
  const present = Object.entries(all).filter(([, value]) => value !== undefined);
  const extra: MessageExtra = { media, ...Object.fromEntries(present) };
  return change(world, bot, found, { text: caption.text, extra }, now, now);
}

interface InputMedia {
  readonly caption: Content;
  readonly fields: Readonly<Record<string, unknown>>;
  /** Looks at the file, which Telegram does after it has found the message. */
  readonly read: (bot: Bot) => FileToSend | BotRefusal;
}

function readInputMedia(world: World, args: BotArguments): InputMedia | BotRefusal {
  if (textArgument(args, 'media') === '') return badRequest('Parameter "media" is required');
  const given = jsonArgument(args, 'media');
  if (given === UNREADABLE_JSON) return badRequest("Can't parse input media JSON object");
  const fault = (what: string): BotRefusal => badRequest(`Can't parse InputMedia: ${what}`);
  if (!isObject(given)) return fault('expected an Object');
  const caption = readContent(world, given, 'caption');
  if (caption instanceof BotRefusal) return caption;
  const fields = new JsonFields(given);
  const text = fields.text('media');
  const type = fields.requiredText('type');
  if (fields.fault !== undefined) return fault(fields.fault);
  const file = namedFile(args, text, '');
  if (file === undefined) return fault('media not found');
  if (!isKind(type)) return fault(`type "${type}" is unsupported`);
  return {
    caption,
    fields: mediaFields(given, type, caption),
    read: (bot) => readFile(world, bot, type, file),
  };
}

function isKind(type: string): type is FileKind {
  return type === 'photo' || type === 'document';
}
