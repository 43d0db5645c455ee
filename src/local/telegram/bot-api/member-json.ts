import { type Chat, type Member, PERMISSIONS, rightsOf } from '../world/chats.js';
import type { World } from '../world/world.js';
import { userJsonOf } from './message-json.js';

/** Someone's standing as the Bot API's ChatMember, in JSON, as it is shown to a bot. Never throws. */
export function memberJson(world: World, chat: Chat, user: number, member: Member, viewer: number): string {
  const fields = memberFields(chat, member, viewer);
  return `{"user":${userJsonOf(world, user)},"status":"${member.status}"${fields.map(([name, value]) => `,"${name}":${value}`).join('')}}`;
}

function memberFields(chat: Chat, member: Member, viewer: number): (readonly [string, boolean | number])[] {
  const { status, rights = [], permissions = [], until = 0, present = false, promotedBy } = member;
  switch (status) {
    case 'creator':
      return [['is_anonymous', false]];
    case 'administrator':
      return [
        ['can_be_edited', promotedBy === viewer],
        ...rightsOf(chat.type).map((right) => [right, rights.includes(right)] as const),
      ];
    case 'restricted':
      return [
        ['until_date', until],
        ['is_member', present],
        ...PERMISSIONS.map((name) => [name, permissions.includes(name) && chat.permissions.includes(name)] as const),
      ];
    case 'kicked':
      return [['until_date', until]];
    default:
      return [];
  }
}
