import type { Bot } from '../world/bot.js';
import type { World } from '../world/world.js';
import { type BotArguments, isObject, jsonArgument, textArgument } from './arguments.js';
import { type BotRefusal, badRequest } from './refusal.js';

const COMMANDS_MAX = 100;
const DESCRIPTION_MAX = 256;
const SCOPES = new Set([
  'default',
  'all_private_chats',
  'all_group_chats',
  'all_chat_administrators',
  'chat',
  'chat_administrators',
  'chat_member',
]);

/** setMyCommands: keeps the list for its scope and language. Never throws. */
export function setMyCommands(world: World, bot: Bot, args: BotArguments): string | BotRefusal {
  const key = scopeKey(args);
  if (typeof key !== 'string') return key;
  const commands = jsonArgument(args, 'commands');
  if (!Array.isArray(commands)) return badRequest("can't parse commands: expected an Array of BotCommand");
  if (commands.length > COMMANDS_MAX) return badRequest('BOT_COMMANDS_TOO_MUCH');
  const kept: unknown[] = [];
  for (const entry of commands as unknown[]) {
    if (!isObject(entry)) return badRequest("can't parse BotCommand: expected an Object");
    const command = typeof entry.command === 'string' ? entry.command.trim().replace(/^\//, '') : '';
    const description = typeof entry.description === 'string' ? entry.description.trim() : '';
    if (!/^[a-z0-9_]{1,32}$/.test(command)) return badRequest('BOT_COMMAND_INVALID');
    if (description === '' || description.length > DESCRIPTION_MAX)
      return badRequest('BOT_COMMAND_DESCRIPTION_INVALID');
    kept.push({ command, description });
  }
  world.configure(bot, { ...bot.settings, commands: { ...bot.settings.commands, [key]: kept } });
  return 'true';
}

/** getMyCommands: the list of exactly that scope and language. Never throws. */
export function getMyCommands(_world: World, bot: Bot, args: BotArguments): string | BotRefusal {
  const key = scopeKey(args);
  return typeof key === 'string' ? JSON.stringify(bot.settings.commands[key] ?? []) : key;
}

/** deleteMyCommands: of exactly that scope and language. Never throws. */
export function deleteMyCommands(world: World, bot: Bot, args: BotArguments): string | BotRefusal {
  const key = scopeKey(args);
  if (typeof key !== 'string') return key;
  const { [key]: _gone, ...commands } = bot.settings.commands;
  world.configure(bot, { ...bot.settings, commands });
  return 'true';
}

function scopeKey(args: BotArguments): string | BotRefusal {
  const scope = jsonArgument(args, 'scope') ?? { type: 'default' };
  const language = textArgument(args, 'language_code');
  if (!isObject(scope) || typeof scope.type !== 'string' || !SCOPES.has(scope.type)) {
    return badRequest("can't parse BotCommandScope: unsupported type specified");
  }
  if (language !== '' && !/^[a-z]{2}$/.test(language)) return badRequest('invalid language code specified');
  return `${scope.type}:${textArgument(scope, 'chat_id')}:${textArgument(scope, 'user_id')}:${language}`;
}
