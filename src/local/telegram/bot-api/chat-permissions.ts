import { PERMISSIONS, type Permission } from '../world/chats.js';
import { type BotArguments, flagArgument, isObject, jsonArgument, UNREADABLE_JSON } from './arguments.js';
import { type BotRefusal, badRequest } from './refusal.js';

const MEDIA: readonly Permission[] = [
  'can_send_audios',
  'can_send_documents',
  'can_send_photos',
  'can_send_videos',
  'can_send_video_notes',
  'can_send_voice_notes',
];
const RICH: readonly Permission[] = ['can_send_other_messages', 'can_add_web_page_previews'];
const DEFAULTS: readonly (readonly [Permission, Permission])[] = [
  ['can_manage_topics', 'can_pin_messages'],
  ['can_edit_tag', 'can_pin_messages'],
  ['can_react_to_messages', 'can_send_messages'],
];
const LEGACY: readonly Permission[] = ['can_send_messages', ...MEDIA, ...RICH];

/** The permissions that are to hold, given those that held. */
type NextPermissions = (before: readonly Permission[]) => Permission[];

/**
 * The permissions that a call gives: the ChatPermissions in `permissions`, where one that is not given is not granted, or the older arguments of their own, which
 * leave the newer permissions as they were. Unless they are independent, richer messages imply media, these and polls imply texts. Never throws.
 */
export function readPermissions(args: BotArguments): NextPermissions | BotRefusal {
  const given = jsonArgument(args, 'permissions');
  const isIndependent = flagArgument(args, 'use_independent_chat_permissions');
  if (given === undefined) {
    const legacy = imply(
      new Set(granted((name) => flagArgument(args, name), flagArgument(args, 'can_send_media_messages'))),
    );
    return (before) => PERMISSIONS.filter((name) => (LEGACY.includes(name) ? legacy : new Set(before)).has(name));
  }
  if (given === UNREADABLE_JSON) return badRequest("can't parse permissions JSON object");
  if (!isObject(given)) return badRequest('object expected as permissions');
  for (const name of [...PERMISSIONS, 'can_send_media_messages']) {
    if (given[name] !== undefined && typeof given[name] !== 'boolean') {
      return badRequest(`can't parse chat permissions: field "${name}" must be of type Boolean`);
    }
  }
  const allowed = new Set(granted((name) => given[name] === true, given.can_send_media_messages === true));
  const next = isIndependent ? allowed : imply(allowed);
  // Unless it is said otherwise: who may pin may make topics and edit his tag, who may write may react.
  for (const [name, like] of DEFAULTS) if (given[name] === undefined && next.has(like)) next.add(name);
  return () => PERMISSIONS.filter((name) => next.has(name));
}

function granted(isGiven: (name: Permission) => boolean, withMedia: boolean): Permission[] {
  return PERMISSIONS.filter((name) => isGiven(name) || (withMedia && MEDIA.includes(name)));
}

function imply(allowed: Set<Permission>): Set<Permission> {
  if (RICH.some((name) => allowed.has(name))) for (const name of MEDIA) allowed.add(name);
  if (MEDIA.some((name) => allowed.has(name)) || allowed.has('can_send_polls')) allowed.add('can_send_messages');
  return allowed;
}
