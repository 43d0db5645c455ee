import type { MessageExtra } from '../world/record.js';
import { flagArgument, integerArgument, textArgument } from './arguments.js';
import { membersOf, readContent } from './content.js';
import { deliver } from './deliver.js';
import { findChat } from './find-chat.js';
import { locateMessage } from './find-message.js';
import { BotRefusal, badRequest } from './refusal.js';
import { readReplyMarkup } from './reply-markup.js';
import { mediaFields } from './send-media.js';
import type { SendMethod } from './sending.js';

const PERMISSIONS = { photo: 'can_send_photos', document: 'can_send_documents' } as const;

/** copyMessage of a text, photo or document, whose caption is replaced by one that is given, be it '': the MessageId in JSON, or why not. A keyboard is not copied. Never throws. */
export const copyMessage: SendMethod = (world, bot, args, now) => {
  if (textArgument(args, 'from_chat_id') === '') return badRequest('Parameter "from_chat_id" is required');
  const caption = args.caption === undefined ? undefined : readContent(world, args, 'caption');
  if (caption instanceof BotRefusal) return caption;
  const source = findChat(world, bot, { chat_id: args.from_chat_id }, 'look', now);
  if (source instanceof BotRefusal) return source;
  const message = locateMessage(world, bot, source, integerArgument(args, 'message_id') ?? 0, now)?.message;
  if (message === undefined) return badRequest('message to copy not found');
  if (message.service === true) return badRequest("message can't be copied");
  const markup = readReplyMarkup(args);
  if (markup instanceof BotRefusal) return markup;

  const { media } = message.extra;
  const recaptioned = media !== undefined && caption !== undefined;
  const text = recaptioned ? caption.text : message.text;
  const { kept } = membersOf(
    {
      ...copied(message.extra),
      ...(recaptioned && {
        ...mediaFields(args, media.kind, caption),
        has_media_spoiler: message.extra.has_media_spoiler,
      }),
      has_protected_content: flagArgument(args, 'protect_content') || undefined,
    },
    markup,
  );
  const permission = media === undefined ? 'can_send_messages' : PERMISSIONS[media.kind];
  const textJson = JSON.stringify(text);
  return deliver(
    world,
    bot,
    args,
    { method: 'copyMessage', text, textJson, content: '', kept, shown: '', markup, permission, answersId: true },
    now,
  );
};

/** What a message says, without what belongs to it alone. */
function copied(extra: MessageExtra): Record<string, unknown> {
  const { entities, link_preview_options, media, caption_entities, has_media_spoiler, show_caption_above_media } =
    extra;
  return { entities, link_preview_options, media, caption_entities, has_media_spoiler, show_caption_above_media };
}
