import type { Bot } from '../world/bot.js';
import { pinnedIn } from '../world/chat-messages.js';
import { type Chat, hasRight, PERMISSIONS, standing } from '../world/chats.js';
import { primaryLink } from '../world/invite-links.js';
import { chatJson } from '../world/people.js';
import type { Place } from '../world/place.js';
import type { World } from '../world/world.js';
import type { BotArguments } from './arguments.js';
import { findChat, type PrivateTarget } from './find-chat.js';
import { messageJson, placeJson } from './message-json.js';
import { BotRefusal } from './refusal.js';

const ALWAYS =
  '"accent_color_id":0,"max_reaction_count":11,' +
  '"accepted_gift_types":{"unlimited_gifts":true,"limited_gifts":true,"unique_gifts":true,"premium_subscription":true,"gifts_from_channels":true}';

/** getChat: the Bot API's ChatFullInfo, with what exists here. Never throws. */
export function getChat(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const target = findChat(world, bot, args, 'look', now);
  if (target instanceof BotRefusal) return target;
  return target.chat === undefined ? personInfo(world, target) : chatInfo(world, target.chat, bot, now);
}

function personInfo(world: World, target: PrivateTarget): string {
  const person = world.state.people.person(target.range, target.id);
  return `${chatJson(person).slice(0, -1)}${usernames(person.username)}${pinnedJson(world, target.bot, target)},${ALWAYS}}`;
}

function chatInfo(world: World, chat: Chat, bot: Bot, now: number): string {
  const place = { id: chat.id, chat };
  const permissions = Object.fromEntries(PERMISSIONS.map((name) => [name, chat.permissions.includes(name)]));
  const primary = primaryLink(chat, bot.making.id);
  const maySee = hasRight(standing(chat, bot.making.id, now), 'can_invite_users');
  const inviteLink = primary === undefined || !maySee ? '' : `,"invite_link":${JSON.stringify(primary.link)}`;
  return (
    `${placeJson(world, place).slice(0, -1)}${usernames(chat.username)}` +
    `${chat.type === 'channel' ? '' : `,"permissions":${JSON.stringify(permissions)}`}` +
    `${inviteLink}${pinnedJson(world, bot, place)},${ALWAYS}}`
  );
}

/** The message pinned last that still exists. */
function pinnedJson(world: World, viewer: Bot, place: Place): string {
  for (const id of [...pinnedIn(place)].reverse()) {
    const pinned = world.messages.find(place, id);
    if (pinned !== undefined) return `,"pinned_message":${messageJson(world, viewer, place, pinned, 1)}`;
  }
  return '';
}

function usernames(username: string | undefined): string {
  return username === undefined ? '' : `,"active_usernames":[${JSON.stringify(username)}]`;
}
