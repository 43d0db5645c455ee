import { randomBytes } from 'node:crypto';
import type { ChatEvent } from './chat-events.js';
import { type Chat, type InviteLink, isPresent, standing, standings } from './chats.js';
import { enteredStanding, setStanding } from './membership.js';
import type { World } from './world.js';

/** What a link is to be; see `InviteLink`. */
export type LinkWish = Pick<InviteLink, 'name' | 'expireDate' | 'memberLimit' | 'createsJoinRequest'>;

const PRIMARY: LinkWish = { name: '', expireDate: 0, memberLimit: 0, createsJoinRequest: false };

/** Makes an invite link of a bot. Never throws. */
export function makeLink(world: World, chat: Chat, creator: number, wish: LinkWish, now: number): InviteLink {
  const link = newLink(creator, wish, false);
  world.happen(now, { kind: 'linked', chat: chat.id, link });
  return link;
}

/** Changes what a link is. Returns it as it is now. Never throws. */
export function changeLink(world: World, chat: Chat, old: InviteLink, wish: LinkWish, now: number): InviteLink {
  const link = { ...old, ...wish };
  world.happen(now, { kind: 'linked', chat: chat.id, link });
  return link;
}

/** Makes a bot's primary link anew; the one before is revoked. Returns the new one. Never throws. */
export function replacePrimaryLink(world: World, chat: Chat, creator: number, now: number): InviteLink {
  const link = newLink(creator, PRIMARY, true);
  const old = primaryLink(chat, creator);
  const events: ChatEvent[] = [{ kind: 'linked', chat: chat.id, link }];
  if (old !== undefined) events.unshift({ kind: 'linked', chat: chat.id, link: { ...old, isRevoked: true } });
  world.happen(now, ...events);
  return link;
}

/** Revokes a link; in the place of a primary one a new one is made. Returns the one revoked. Never throws. */
export function revokeLink(world: World, chat: Chat, old: InviteLink, now: number): InviteLink {
  if (old.isPrimary && !old.isRevoked) replacePrimaryLink(world, chat, old.creator, now);
  else world.happen(now, { kind: 'linked', chat: chat.id, link: { ...old, isRevoked: true } });
  return { ...old, isRevoked: true };
}

/** A bot's primary link, if it has made one. Never throws. */
export function primaryLink(chat: Chat, creator: number): InviteLink | undefined {
  for (const link of chat.links.values()) {
    if (link.creator === creator && link.isPrimary && !link.isRevoked) return link;
  }
  return undefined;
}

/** How many wait to be let in who came by a link. Never throws. */
export function pendingOf(chat: Chat, { link }: InviteLink): number {
  let count = 0;
  for (const request of chat.requests.values()) if (request.link === link) count += 1;
  return count;
}

/** What came of someone's following a link: he is in, or asks to be let in, or why he can't. */
export type Entry = { readonly status: 'member' | 'requested' } | { readonly fault: string };

/** Someone follows an invite link. Never throws. */
export function enterByLink(world: World, chat: Chat, person: number, text: string, now: number): Entry {
  const link = chat.links.get(text);
  if (link === undefined) return { fault: 'there is no such link' };
  if (link.isRevoked) return { fault: 'the link is revoked' };
  if (link.expireDate !== 0 && link.expireDate * 1000 <= now) return { fault: 'the link has expired' };
  const { status } = standing(chat, person, now);
  if (status === 'kicked') return { fault: 'the person is banned from the chat' };
  if (isPresent(standing(chat, person, now))) return { status: 'member' };
  if (link.createsJoinRequest) {
    if (!chat.requests.has(person)) {
      world.happen(now, { kind: 'requested', chat: chat.id, request: { user: person, at: now, link: text } });
    }
    return { status: 'requested' };
  }
  if (link.memberLimit !== 0 && membersBy(chat, text, now) >= link.memberLimit) {
    return { fault: 'as many have come by the link as it lets in' };
  }
  setStanding(world, chat, person, person, enteredStanding(chat, person, now, text), now, { link: text });
  return { status: 'member' };
}

/** Lets someone in who asked to be, or not. `by`: the administrator. Never throws. */
export function answerRequest(
  world: World,
  chat: Chat,
  person: number,
  by: number,
  isApproved: boolean,
  now: number,
): void {
  const request = chat.requests.get(person);
  if (request === undefined) return;
  if (!isApproved) world.happen(now, { kind: 'answered', chat: chat.id, user: person });
  else {
    const way = { link: request.link, viaRequest: true };
    setStanding(world, chat, person, by, enteredStanding(chat, person, now, request.link), now, way);
  }
}

function membersBy(chat: Chat, link: string, now: number): number {
  let count = 0;
  for (const [, member] of standings(chat, now)) count += Number(member.link === link && isPresent(member));
  return count;
}

function newLink(creator: number, wish: LinkWish, isPrimary: boolean): InviteLink {
  const link = `https://t.me/+${randomBytes(12).toString('base64url')}`;
  return { link, creator, ...wish, isPrimary, isRevoked: false };
}
