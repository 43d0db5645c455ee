import { isObject } from '../bot-api/arguments.js';
import type { MessageExtra } from '../world/record.js';
import { type Call, done, type LocalRoutesDeps, type Reply, refuse, strangeField } from './call.js';
import { findWritten } from './messages.js';

/** POST presses: a person presses a button; answered when the bot answers, or after 10 s. */
export async function postPress(deps: LocalRoutesDeps, { body }: Call): Promise<Reply> {
  const { world, clock, callbacks } = deps;
  const strange = strangeField(body, ['from', 'chat', 'messageId', 'data']);
  if (strange !== undefined) return refuse(strange);
  const now = clock.now();
  const found = findWritten(world, body, now);
  if (typeof found === 'string') return refuse(found);
  const { person, place, located } = found;
  const { message } = located;
  const bot = world.state.bots.get(message.from);
  const buttons = dataOf(message.extra);
  if (bot === undefined || buttons.length === 0) return refuse('messageId: expected a message with buttons');
  const { data } = body;
  if (typeof data !== 'string' || !buttons.includes(data)) {
    return refuse('data: expected the callback_data of a button of that message');
  }
  const press = { from: person, chat: place.id, messageId: message.id, data };
  const key = JSON.stringify([bot.making.id, press]);
  const answer = await callbacks.press(key, () => world.press(bot, press, now));
  return done(answer === undefined ? { answered: false } : { answered: true, ...answer });
}

/** The callback_data of a message's buttons. */
function dataOf({ reply_markup: markup }: MessageExtra): unknown[] {
  const rows = isObject(markup) ? markup.inline_keyboard : undefined;
  if (!Array.isArray(rows)) return [];
  return (rows as unknown[][]).flat().flatMap((button) => (isObject(button) ? [button.callback_data] : []));
}
