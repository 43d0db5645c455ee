import { GROUP_LIMIT, newPace, type Pace } from '../limits/rate-limits.js';
import type { Bot } from './bot.js';
import { MessageLog } from './message-log.js';

/** The kinds of chats that are no private ones. */
export type ChatType = 'group' | 'supergroup' | 'channel';

/** All of them. */
export const CHAT_TYPES: readonly ChatType[] = ['group', 'supergroup', 'channel'];

/** The statuses of the Bot API's ChatMember. */
export type MemberStatus = 'creator' | 'administrator' | 'member' | 'restricted' | 'left' | 'kicked';

/** Rights of administrators by the Bot API's names, in its order; those of one type of chat are `rightsOf` it. */
export const ADMIN_RIGHTS = [
  'can_manage_chat',
  'can_change_info',
  'can_delete_messages',
  'can_invite_users',
  'can_restrict_members',
  'can_pin_messages',
  'can_promote_members',
  'can_manage_video_chats',
  'can_post_messages',
  'can_edit_messages',
  'can_post_stories',
  'can_edit_stories',
  'can_delete_stories',
  'can_send_welcome_messages',
  'can_manage_topics',
  'can_manage_tags',
  'can_manage_direct_messages',
  'is_anonymous',
] as const;

/** One right of an administrator. */
export type AdminRight = (typeof ADMIN_RIGHTS)[number];

const NOT_IN_CHANNELS = new Set<AdminRight>(['can_pin_messages', 'can_manage_topics', 'can_manage_tags']);
const NOT_IN_GROUPS = new Set<AdminRight>(['can_post_messages', 'can_edit_messages', 'can_manage_direct_messages']);

/** The rights that an administrator can have in a type of chat. Never throws. */
export function rightsOf(type: ChatType): AdminRight[] {
  return ADMIN_RIGHTS.filter((right) => !(type === 'channel' ? NOT_IN_CHANNELS : NOT_IN_GROUPS).has(right));
}

/** Permissions of members by the Bot API's names (ChatPermissions), in its order. */
export const PERMISSIONS = [
  'can_send_messages',
  'can_send_audios',
  'can_send_documents',
  'can_send_photos',
  'can_send_videos',
  'can_send_video_notes',
  'can_send_voice_notes',
  'can_send_polls',
  'can_send_other_messages',
  'can_add_web_page_previews',
  'can_react_to_messages',
  'can_edit_tag',
  'can_change_info',
  'can_invite_users',
  'can_pin_messages',
  'can_manage_topics',
] as const;

/** One permission of a member. */
export type Permission = (typeof PERMISSIONS)[number];

/** Someone's standing in a chat. Absent fields: no rights, all permissions of the chat, for ever. */
export interface Member {
  readonly status: MemberStatus;
  /** Of an administrator. */
  readonly rights?: readonly AdminRight[];
  /** The administrator who promoted this one. */
  readonly promotedBy?: number;
  /** Of a restricted one: what remains allowed. */
  readonly permissions?: readonly Permission[];
  /** Of a restricted one: whether he is in the chat. */
  readonly present?: boolean;
  /** Until when a restriction or a ban holds (s since the epoch), 0 for ever. */
  readonly until?: number;
  /** The invite link that he came by, while he is in. */
  readonly link?: string;
  /** Of one who left a basic group: messages below this id are still his to read. */
  readonly seesBelow?: number;
}

/** A link that people come in by, or ask to. */
export interface InviteLink {
  readonly link: string;
  /** The bot that made it. */
  readonly creator: number;
  /** '' for none. */
  readonly name: string;
  /** Until when it holds (s since the epoch), 0 for ever. */
  readonly expireDate: number;
  /** How many may be in the chat who came by it, 0 for any number. */
  readonly memberLimit: number;
  readonly createsJoinRequest: boolean;
  readonly isPrimary: boolean;
  readonly isRevoked: boolean;
}

/** Someone who waits to be let in. */
export interface JoinRequest {
  readonly user: number;
  /** When he asked (ms since the epoch). */
  readonly at: number;
  readonly link: string;
}

/** A plain member; shared, since a chat may have very many. */
export const PLAIN_MEMBER: Member = { status: 'member' };

/** Someone who is not in the chat. */
export const LEFT: Member = { status: 'left' };

/** What a chat is told to be at its making; `index` is its place in the bots' tables. */
export interface ChatMaking {
  readonly id: number;
  readonly index: number;
  readonly type: ChatType;
  readonly title: string;
  readonly username?: string;
  readonly ownerId: number;
}

/** A group, supergroup or channel, and all that belongs to it. */
export interface Chat {
  readonly making: ChatMaking;
  readonly id: number;
  readonly type: ChatType;
  title: string;
  username: string | undefined;
  /** Everyone who has or had a standing here, by id, people and bots; who is absent never was here. */
  readonly members: Map<number, Member>;
  /** The bots among them. */
  readonly bots: Map<number, Bot>;
  /** What members may do who are not restricted. */
  permissions: readonly Permission[];
  /** All that were ever made, by the link itself. */
  readonly links: Map<string, InviteLink>;
  /** Those who wait to be let in, by id. */
  readonly requests: Map<number, JoinRequest>;
  /** Messages pinned, the newest pin last. */
  pinned: readonly number[];
  nextMessageId: number;
  /** Journal offset of the newest message, 0 for none. */
  newest: number;
  readonly log: MessageLog;
  /** Limits of the bots that wrote here. */
  readonly paces: Map<number, Pace>;
  /** The supergroup that this group became, 0 for none. */
  upgradedTo: number;
  deleted: boolean;
}

/** A chat with its owner alone. Never throws. */
export function newChat(making: ChatMaking): Chat {
  return {
    making,
    id: making.id,
    type: making.type,
    title: making.title,
    username: making.username,
    members: new Map([[making.ownerId, { status: 'creator' }]]),
    bots: new Map(),
    permissions: PERMISSIONS,
    links: new Map(),
    requests: new Map(),
    pinned: [],
    nextMessageId: 1,
    newest: 0,
    log: new MessageLog(),
    paces: new Map(),
    upgradedTo: 0,
    deleted: false,
  };
}

/** Someone's standing at a time (ms): a ban or a restriction that has run out is none. Never throws. */
export function standing(chat: Chat, user: number, now: number): Member {
  const member = chat.members.get(user);
  if (member === undefined) return LEFT;
  const { until = 0 } = member;
  if (until === 0 || until * 1000 > now) return member;
  return isPresent(member) ? PLAIN_MEMBER : LEFT;
}

/** Whether a standing is that of a plain member of whom nothing else is known. Never throws. */
export function isPlain({ status, link }: Member): boolean {
  return status === 'member' && link === undefined;
}

/** Whether someone with that standing is in the chat. Never throws. */
export function isPresent({ status, present }: Member): boolean {
  return status === 'restricted' ? present === true : status !== 'left' && status !== 'kicked';
}

/** Whether someone with that standing may read a message. Never throws. */
export function mayRead(member: Member, messageId: number): boolean {
  return isPresent(member) || messageId < (member.seesBelow ?? 0);
}

/** The standings of all who are or were in a chat, at a time (ms). Never throws. */
export function* standings(chat: Chat, now: number): Generator<readonly [number, Member]> {
  for (const user of chat.members.keys()) yield [user, standing(chat, user, now)];
}

/** How many are in a chat. Never throws. */
export function memberCount(chat: Chat, now: number): number {
  let count = 0;
  for (const [, member] of standings(chat, now)) count += Number(isPresent(member));
  return count;
}

/** Whether someone with that standing runs the chat. Never throws. */
export function isAdministrator({ status }: Member): boolean {
  return status === 'creator' || status === 'administrator';
}

/** Whether an administrator has a right; the owner has all. Never throws. */
export function hasRight(member: Member, right: AdminRight): boolean {
  return member.status === 'creator' || (member.status === 'administrator' && member.rights?.includes(right) === true);
}

/** Whether someone with that standing writes in the name of the group. Never throws. */
export function isAnonymous({ status, rights }: Member): boolean {
  return status === 'administrator' && rights?.includes('is_anonymous') === true;
}

/** Whether someone may do what members may; administrators may, where no right of theirs is asked for. Never throws. */
export function isPermitted(chat: Chat, member: Member, permission: Permission): boolean {
  if (isAdministrator(member)) return true;
  if (!isPresent(member)) return false;
  const own = member.status === 'restricted' ? (member.permissions ?? []) : PERMISSIONS;
  return own.includes(permission) && chat.permissions.includes(permission);
}

/** A bot's limit in a chat. Never throws. */
export function paceOf(chat: Chat, bot: number): Pace {
  let pace = chat.paces.get(bot);
  if (pace === undefined) {
    pace = newPace(GROUP_LIMIT.calls, GROUP_LIMIT.periodMs);
    chat.paces.set(bot, pace);
  }
  return pace;
}

/**
 * The id of a chat's next message. Telegram numbers an account's messages over its private chats and basic groups together; here a group's
 * messages have one id for all, above what each of its bots has seen. Never throws.
 */
export function nextMessageId(chat: Chat, now: number): number {
  let next = chat.nextMessageId;
  if (chat.type !== 'group') return next;
  for (const bot of presentBots(chat, now)) next = Math.max(next, bot.nextMessageId);
  return next;
}

/** The bots that are in a chat. Never throws. */
export function* presentBots(chat: Chat, now: number): Generator<Bot> {
  for (const [id, bot] of chat.bots) if (isPresent(standing(chat, id, now))) yield bot;
}

/** A chat as the Bot API's Chat, in JSON. Never throws. */
export function groupJson({ id, type, title, username }: Chat): string {
  const name = username === undefined ? '' : `,"username":${JSON.stringify(username)}`;
  return `{"id":${id},"title":${JSON.stringify(title)}${name},"type":"${type}"}`;
}
