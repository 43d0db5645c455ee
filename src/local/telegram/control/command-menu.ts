import type { WireCommand } from '../page/browser/wire.js';
import type { Bot } from '../world/bot.js';
import { isAdministrator, isPresent, standing } from '../world/chats.js';
import type { Place } from '../world/place.js';
import {
  type Call,
  done,
  findPerson,
  findPlace,
  type LocalRoutesDeps,
  type Reply,
  refuse,
  strangeField,
} from './call.js';

/** GET commands: those that a chat's menu shows to a person, of each bot that is there. */
export function getCommands({ world, clock }: LocalRoutesDeps, { query }: Call): Reply {
  const strange = strangeField(Object.fromEntries(query), ['chat', 'user']);
  if (strange !== undefined) return refuse(strange);
  const person = findPerson(world, 'user', query.get('user') ?? undefined);
  if (typeof person === 'string') return refuse(person);
  const place = findPlace(world, 'chat', query.get('chat') ?? undefined, person);
  if (typeof place === 'string') return refuse(place);
  const range = world.state.people.find(person);
  const language = range && world.state.people.person(range, person).languageCode;
  const scopes = scopesOf(place, person, clock.now());
  const { chat } = place;
  const bots =
    chat === undefined
      ? [place.bot]
      : world.bots().filter(({ making }) => isPresent(standing(chat, making.id, clock.now())));
  return done(bots.flatMap((bot) => commandsOf(bot, scopes, language ?? '')));
}

/** The scopes whose commands a person is shown in a place, the narrowest first: https://core.telegram.org/bots/api#determining-list-of-commands. */
function scopesOf(place: Place, person: number, now: number): string[] {
  if (place.chat === undefined) return [`chat:${person}:`, 'all_private_chats::', 'default::'];
  const { id } = place.chat;
  const isAdmin = isAdministrator(standing(place.chat, person, now));
  return [
    `chat_member:${id}:${person}`,
    ...(isAdmin ? [`chat_administrators:${id}:`] : []),
    `chat:${id}:`,
    ...(isAdmin ? ['all_chat_administrators::'] : []),
    'all_group_chats::',
    'default::',
  ];
}

/** The commands of the narrowest scope that has any, in the person's language before those for all. */
function commandsOf({ making, settings }: Bot, scopes: readonly string[], languageCode: string): WireCommand[] {
  const language = languageCode.slice(0, 2).toLowerCase();
  const lists = scopes.flatMap((scope) => [settings.commands[`${scope}:${language}`], settings.commands[`${scope}:`]]);
  const found = (lists.find((list) => list !== undefined && list.length > 0) ?? []) as readonly {
    command: string;
    description: string;
  }[];
  return found.map(({ command, description }) => ({
    botId: making.id,
    botUsername: making.username,
    command,
    description,
  }));
}
