import { userJsonOf } from '../bot-api/message-json.js';
import type { WireInvite, WireLink, WireMember, WireUser } from '../page/browser/wire.js';
import { type Chat, isAdministrator, isPresent, standing } from '../world/chats.js';
import {
  type Call,
  done,
  findGroup,
  findPerson,
  type LocalRoutesDeps,
  type Reply,
  refuse,
  strangeField,
} from './call.js';

const MEMBERS_MAX = 200;

/** GET chats/:id/members: those who are in a chat that the person is in, those who run it first, at most 200. */
export function getMembers(deps: LocalRoutesDeps, call: Call): Reply {
  const found = findSeen(deps, call);
  if (typeof found === 'string') return refuse(found);
  const now = deps.clock.now();
  const members: WireMember[] = [];
  for (const wish of [true, false]) {
    for (const id of found.chat.members.keys()) {
      if (members.length === MEMBERS_MAX) break;
      const member = standing(found.chat, id, now);
      if (!isPresent(member) || isAdministrator(member) !== wish) continue;
      members.push({ user: JSON.parse(userJsonOf(deps.world, id)) as WireUser, status: member.status });
    }
  }
  return done(members);
}

/** GET chats/:id/links: the invite links that hold, for those who run the chat. */
export function getLinks(deps: LocalRoutesDeps, call: Call): Reply {
  const found = findSeen(deps, call);
  if (typeof found === 'string') return refuse(found);
  const { chat, person } = found;
  if (!isAdministrator(standing(chat, person, deps.clock.now()))) {
    return refuse(`user: person ${person} does not run chat ${chat.id}`);
  }
  const links = [...chat.links.values()].filter(({ isRevoked }) => !isRevoked);
  return done(links.map(({ link, name, createsJoinRequest }): WireLink => ({ link, name, createsJoinRequest })));
}

/** GET invites: the chat that an invite link leads to. */
export function getInvite({ world }: LocalRoutesDeps, { query }: Call): Reply {
  const strange = strangeField(Object.fromEntries(query), ['link']);
  if (strange !== undefined) return refuse(strange);
  const wish = query.get('link') ?? '';
  for (const chat of world.state.chats.byId.values()) {
    const link = chat.links.get(wish);
    if (link === undefined || chat.deleted || chat.upgradedTo !== 0) continue;
    const { id, type, title } = chat;
    const invite: WireInvite = { id, type, title, createsJoinRequest: link.createsJoinRequest };
    return done(invite);
  }
  return refuse('link: expected an invite link');
}

/** The chat that a path names, and the person who looks into it, or the error's text. */
function findSeen(
  { world, clock }: LocalRoutesDeps,
  { path, query }: Call,
): { readonly chat: Chat; readonly person: number } | string {
  const strange = strangeField(Object.fromEntries(query), ['user']);
  if (strange !== undefined) return strange;
  const chat = findGroup(world, 'id', path[0]);
  if (typeof chat === 'string') return chat;
  const person = findPerson(world, 'user', query.get('user') ?? undefined);
  if (typeof person === 'string') return person;
  if (!isPresent(standing(chat, person, clock.now())))
    return `user: person ${person} is not a member of chat ${chat.id}`;
  return { chat, person };
}
