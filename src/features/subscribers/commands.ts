import { Composer } from 'telegraf';
import type { FeatureCommand, FeaturePorts, Handler, HandlerContext } from '../../feature.js';
import { helpText, STOP_TEXT, startText, statusText, UNKNOWN_COMMAND_TEXT } from './rules.js';

/** The commands of this feature, in the order of /help. */
export const commands: readonly FeatureCommand[] = [
  { name: 'start', description: 'subscribe to the messages of this bot' },
  { name: 'stop', description: 'unsubscribe' },
  { name: 'status', description: 'see whether you are subscribed' },
  { name: 'help', description: 'see what you can ask for' },
];

/** Handles /start, /stop and /status in private chats, /help everywhere. */
export function handlers({ subscribers, commandsFor }: FeaturePorts): Handler {
  const personal = new Composer<HandlerContext>();
  personal.command('start', async (ctx) => {
    await subscribers.subscribe(ctx.chat.id, 'active', occasionOf(ctx));
    await ctx.reply(startText(ctx.from.first_name));
  });
  personal.command('stop', async (ctx) => {
    await subscribers.subscribe(ctx.chat.id, 'stopped', occasionOf(ctx));
    await ctx.reply(STOP_TEXT);
  });
  personal.command('status', async (ctx) => {
    const person = await subscribers.find(ctx.chat.id);
    await ctx.reply(statusText(person?.subscription, person?.since ?? ctx.receivedAt));
  });
  const composer = new Composer<HandlerContext>();
  composer.command('help', async (ctx) => {
    await ctx.reply(helpText(commandsFor(ctx.from.id)));
  });
  composer.use(Composer.optional((ctx) => ctx.chat?.type === 'private', personal.middleware()));
  return composer.middleware();
}

/** Answers a command that no feature took, in private chats only: in a group it may be meant for another bot. */
export function fallback(): Handler {
  return async (ctx, next) => {
    const message = ctx.message;
    const command =
      message !== undefined &&
      message.chat.type === 'private' &&
      'text' in message &&
      message.entities?.some(({ type, offset }) => type === 'bot_command' && offset === 0) === true;
    if (command) await ctx.reply(UNKNOWN_COMMAND_TEXT);
    else await next();
  };
}

function occasionOf(ctx: HandlerContext): { updateId: number; at: Date } {
  return { updateId: ctx.update.update_id, at: ctx.receivedAt };
}
