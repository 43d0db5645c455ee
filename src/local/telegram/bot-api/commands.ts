import type { Bot } from '../world/bot.js';
import type { World } from '../world/world.js';
import { type BotArguments, isObject, jsonArgument, textArgument, UNREADABLE_JSON } from './arguments.js';
import { findChat } from './find-chat.js';
import { JsonFields } from './json-fields.js';
import { BotRefusal, badRequest } from './refusal.js';

const COMMANDS_MAX = 100;
const COMMAND_MAX = 32;
const DESCRIPTION_MAX = 256;
const WIDE_SCOPES = new Set(['default', 'all_private_chats', 'all_group_chats', 'all_chat_administrators']);
const CHAT_SCOPES = new Set(['chat', 'chat_administrators', 'chat_member']);

/** The Bot API's BotCommand. */
interface Command {
  readonly command: string;
  readonly description: string;
}

/** setMyCommands: keeps the list for its scope and language; an empty one is none. Never throws. */
export function setMyCommands(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const given = readCommands(args);
  if (given instanceof BotRefusal) return given;
  const key = scopeKey(world, bot, args, now);
  if (key instanceof BotRefusal) return key;
  const fault = commandsFault(given);
  if (fault !== undefined) return badRequest(fault);
  configure(world, bot, key, given);
  return 'true';
}

/** getMyCommands: the list of exactly that scope and language. Never throws. */
export function getMyCommands(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const key = scopeKey(world, bot, args, now);
  return typeof key === 'string' ? JSON.stringify(bot.settings.commands[key] ?? []) : key;
}

/** deleteMyCommands: of exactly that scope and language. Never throws. */
export function deleteMyCommands(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const key = scopeKey(world, bot, args, now);
  if (key instanceof BotRefusal) return key;
  configure(world, bot, key, []);
  return 'true';
}

function configure(world: World, bot: Bot, key: string, list: readonly Command[]): void {
  const { [key]: _before, ...others } = bot.settings.commands;
  world.configure(bot, { ...bot.settings, commands: list.length === 0 ? others : { ...others, [key]: list } });
}

/** The argument `commands`, not yet checked but for its shape. */
function readCommands(args: BotArguments): Command[] | BotRefusal {
  const given = jsonArgument(args, 'commands');
  // Telegram takes none for an empty list, against its documentation; here it is refused, since nobody means that.
  if (given === undefined) return badRequest('Parameter "commands" is required');
  if (given === UNREADABLE_JSON) return badRequest("Can't parse commands JSON object");
  if (!Array.isArray(given)) return badRequest('Expected an Array of BotCommand');
  const commands: Command[] = [];
  for (const value of given as unknown[]) {
    if (!isObject(value)) return badRequest("Can't parse BotCommand: expected an Object");
    const fields = new JsonFields(value);
    const command = fields.requiredText('command').trim().replace(/^\//, '');
    const description = fields.requiredText('description').trim();
    if (fields.fault !== undefined) return badRequest(`Can't parse BotCommand: ${fields.fault}`);
    commands.push({ command, description });
  }
  return commands;
}

/** What is wrong with commands: first what tdlib looks at, then what the server does. Lengths count code points. */
function commandsFault(commands: readonly Command[]): string | undefined {
  for (const { command, description } of commands) {
    if (command === '') return 'Command must be non-empty';
    if ([...command].length > COMMAND_MAX) return `Command length must not exceed ${COMMAND_MAX}`;
    if (description === '') return 'Command description must be non-empty';
    if ([...description].length > DESCRIPTION_MAX)
      return `Command description length must not exceed ${DESCRIPTION_MAX}`;
  }
  if (commands.length > COMMANDS_MAX) return 'BOT_COMMANDS_TOO_MUCH';
  return commands.every(({ command }) => /^[a-z0-9_]+$/.test(command)) ? undefined : 'BOT_COMMAND_INVALID';
}

/** Under what the commands of a scope and language are kept, or why there is no such scope. */
function scopeKey(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const scope = readScope(world, bot, args, now);
  if (scope instanceof BotRefusal) return scope;
  const language = textArgument(args, 'language_code');
  if (language !== '' && !/^[a-z]{2}$/.test(language)) return badRequest('Invalid language code specified');
  return `${scope}:${language}`;
}

function readScope(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const given = jsonArgument(args, 'scope');
  if (given === undefined) return 'default::';
  if (given === UNREADABLE_JSON) return badRequest("Can't parse BotCommandScope JSON object");
  const cant = (fault: string): BotRefusal => badRequest(`Can't parse BotCommandScope: ${fault}`);
  if (!isObject(given)) return cant('BotCommandScope must be an Object');
  const fields = new JsonFields(given);
  const type = fields.requiredText('type');
  if (fields.fault !== undefined) return cant(fields.fault);
  if (WIDE_SCOPES.has(type)) return `${type}::`;
  if (!CHAT_SCOPES.has(type)) return cant('Unsupported type specified');
  const chatId = fields.requiredText('chat_id');
  const userId = type === 'chat_member' ? fields.requiredLong('user_id') : 0;
  if (fields.fault !== undefined) return cant(fields.fault);
  if (chatId === '') return cant('Empty chat_id specified');
  if (type === 'chat_member' && userId <= 0) return cant('Invalid user_id specified');

  const target = findChat(world, bot, { chat_id: chatId }, 'act', now);
  if (target instanceof BotRefusal) return target;
  if (target.chat === undefined && type !== 'chat') return badRequest("Can't use specified scope in private chats");
  if (target.chat?.type === 'channel') return badRequest("Can't change commands in channel chats");
  const { bots, people } = world.state;
  if (userId > 0 && !bots.has(userId) && people.find(userId) === undefined) return badRequest('user not found');
  return `${type}:${target.id}:${userId === 0 ? '' : userId}`;
}
