import type { World } from '../world/world.js';
import type { BotArguments } from './arguments.js';

/** Most kinds of unknown arguments that are told apart, and the most characters of a name that are kept. */
const KINDS_MAX = 1000;
const NAME_MAX = 64;

const CHAT_MEMBER = 'chat_id user_id';
const SENDING =
  'business_connection_id chat_id message_thread_id direct_messages_topic_id disable_notification protect_content allow_paid_broadcast ' +
  'message_effect_id suggested_post_parameters reply_parameters reply_markup reply_to_message_id allow_sending_without_reply';
const CAPTION = 'caption parse_mode caption_entities show_caption_above_media';
const EDITING = 'business_connection_id chat_id message_id inline_message_id reply_markup';
const PREVIEW = 'link_preview_options disable_web_page_preview';
const PERMISSIONS = 'can_send_messages can_send_media_messages can_send_other_messages can_add_web_page_previews';
const RIGHTS =
  'can_manage_chat can_delete_messages can_manage_video_chats can_manage_voice_chats can_restrict_members can_promote_members can_change_info ' +
  'can_invite_users can_post_stories can_edit_stories can_delete_stories can_post_messages can_edit_messages can_pin_messages can_manage_topics ' +
  'can_manage_direct_messages';
const INVITE_LINK = 'name expire_date member_limit creates_join_request';
const WEBHOOK = 'url certificate ip_address max_connections allowed_updates drop_pending_updates secret_token';

/** The arguments that the Bot API documents for a method, and older ones that its server still reads, by the method's name. */
const ARGUMENTS = {
  getMe: '',
  logOut: '',
  close: '',
  getUpdates: 'offset limit timeout allowed_updates',
  setWebhook: WEBHOOK,
  deleteWebhook: 'drop_pending_updates',
  getWebhookInfo: '',
  sendMessage: `${SENDING} text parse_mode entities ${PREVIEW}`,
  sendPhoto: `${SENDING} photo ${CAPTION} has_spoiler`,
  sendDocument: `${SENDING} document thumbnail thumb ${CAPTION} disable_content_type_detection`,
  copyMessage: `${SENDING} from_chat_id message_id video_start_timestamp ${CAPTION}`,
  sendChatAction: 'business_connection_id chat_id message_thread_id action',
  editMessageText: `${EDITING} text parse_mode entities ${PREVIEW}`,
  editMessageCaption: `${EDITING} ${CAPTION}`,
  editMessageMedia: `${EDITING} media`,
  editMessageReplyMarkup: EDITING,
  deleteMessage: 'chat_id message_id',
  deleteMessages: 'chat_id message_ids',
  pinChatMessage: 'business_connection_id chat_id message_id disable_notification',
  answerCallbackQuery: 'callback_query_id text show_alert url cache_time',
  setMyCommands: 'commands scope language_code',
  getMyCommands: 'scope language_code',
  deleteMyCommands: 'scope language_code',
  getChat: 'chat_id',
  getChatMember: CHAT_MEMBER,
  getChatMemberCount: 'chat_id',
  getChatMembersCount: 'chat_id',
  getChatAdministrators: 'chat_id',
  banChatMember: `${CHAT_MEMBER} until_date revoke_messages`,
  kickChatMember: `${CHAT_MEMBER} until_date revoke_messages`,
  unbanChatMember: `${CHAT_MEMBER} only_if_banned`,
  restrictChatMember: `${CHAT_MEMBER} permissions use_independent_chat_permissions until_date ${PERMISSIONS}`,
  promoteChatMember: `${CHAT_MEMBER} is_anonymous ${RIGHTS}`,
  leaveChat: 'chat_id',
  createChatInviteLink: `chat_id ${INVITE_LINK}`,
  editChatInviteLink: `chat_id invite_link ${INVITE_LINK}`,
  revokeChatInviteLink: 'chat_id invite_link',
  exportChatInviteLink: 'chat_id',
  approveChatJoinRequest: CHAT_MEMBER,
  declineChatJoinRequest: CHAT_MEMBER,
  getFile: 'file_id',
} satisfies Record<string, string>;

/** A method by the Bot API's name. */
export type MethodName = keyof typeof ARGUMENTS;

// A call in a webhook's answer names its method among the arguments.
const KNOWN: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  Object.entries(ARGUMENTS).map(([method, names]) => [method, new Set(['method', ...names.split(' ')])]),
);

/**
 * Counts the arguments of a call that its method does not know, as `method.argument` in the figures: Telegram passes over them, and so a misspelt one
 * goes unnoticed. Beyond 1,000 kinds they count as `method.*`. Never throws.
 */
export function countUnknownArguments(world: World, method: MethodName, args: BotArguments): void {
  const known = KNOWN.get(method);
  if (known === undefined) return;
  for (const name of Object.keys(args)) if (!known.has(name)) countUnknown(world, method, name);
}

function countUnknown(world: World, method: string, name: string): void {
  const { unknownArguments: counts } = world.state.counters;
  let key = `${method}.${name.slice(0, NAME_MAX)}`;
  if (counts[key] === undefined && Object.keys(counts).length >= KINDS_MAX) key = `${method}.*`;
  counts[key] = (counts[key] ?? 0) + 1;
  world.touchCounters();
}
