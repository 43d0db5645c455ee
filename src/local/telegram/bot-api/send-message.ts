import type { Bot } from '../world/bot.js';
import type { World } from '../world/world.js';
import { type BotArguments, flagArgument } from './arguments.js';
import { type Members, membersOf, readContent, readLinkPreview } from './content.js';
import { deliver } from './deliver.js';
import { BotRefusal } from './refusal.js';
import { type ReplyMarkup, readReplyMarkup } from './reply-markup.js';

/** sendMessage, from its check to its acceptance: the Message in JSON, or why not, in the order in which Telegram looks. Never throws. */
export function sendMessage(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const content = readTextMessage(world, args, flagArgument(args, 'protect_content'));
  if (content instanceof BotRefusal) return content;
  const { text, markup, kept, shown } = content;
  const textJson = JSON.stringify(text);
  const method = 'sendMessage';
  const permission = 'can_send_messages';
  // Named one by one: spreading an object takes longer than all the rest of this.
  const draft = { method, permission, text, textJson, content: `"text":${textJson}`, markup, kept, shown } as const;
  return deliver(world, bot, args, draft, now);
}

/** A text message whose content is checked, ready for `deliver` or for an edit. */
export interface TextMessage extends Members {
  readonly text: string;
  readonly markup: ReplyMarkup | undefined;
}

/** Reads and checks what makes a text message: text, entities, preview options and reply markup. Never throws. */
export function readTextMessage(world: World, args: BotArguments, isProtected: boolean): TextMessage | BotRefusal {
  const preview = readLinkPreview(args);
  if (preview instanceof BotRefusal) return preview;
  const content = readContent(world, args, 'text');
  if (content instanceof BotRefusal) return content;
  const markup = readReplyMarkup(args);
  if (markup instanceof BotRefusal) return markup;
  const fields = {
    entities: content.entities.length > 0 ? content.entities : undefined,
    link_preview_options: preview,
    has_protected_content: isProtected || undefined,
  };
  const { kept, shown } = membersOf(fields, markup);
  return { text: content.text, markup, kept, shown };
}
