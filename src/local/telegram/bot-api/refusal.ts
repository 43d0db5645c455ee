import type { ChatType, Permission } from '../world/chats.js';

/** A Bot API error as a value: `code` is the HTTP status too; descriptions as in the Bot API server's own source. */
export class BotRefusal {
  readonly code: number;
  readonly description: string;
  readonly retryAfter: number | undefined;
  readonly migrateTo: number | undefined;

  constructor(code: number, description: string, retryAfter?: number, migrateTo?: number) {
    this.code = code;
    this.description = description;
    this.retryAfter = retryAfter;
    this.migrateTo = migrateTo;
  }

  /** The answer's body. Never throws. */
  body(): string {
    let parameters = '';
    if (this.migrateTo !== undefined) parameters = `,"parameters":{"migrate_to_chat_id":${this.migrateTo}}`;
    if (this.retryAfter !== undefined) parameters = `,"parameters":{"retry_after":${this.retryAfter}}`;
    return `{"ok":false,"error_code":${this.code},"description":${JSON.stringify(this.description)}${parameters}}`;
  }

  /** Header lines that belong to the answer, each ending in CRLF; mostly none. Never throws. */
  headers(): string {
    return this.retryAfter === undefined ? '' : `Retry-After: ${this.retryAfter}\r\n`;
  }
}

/** 400 `Bad Request: …`. Its words begin small, but for constants such as BUTTON_DATA_INVALID: tdlib's begin with a capital. Never throws. */
export const badRequest = (what: string): BotRefusal => {
  const isConstant = /^.[A-Z_]/.test(what);
  return new BotRefusal(400, `Bad Request: ${isConstant ? what : what.charAt(0).toLowerCase() + what.slice(1)}`);
};

/** 403 `Forbidden: …`. Never throws. */
const forbidden = (what: string): BotRefusal => new BotRefusal(403, `Forbidden: ${what}`);

/** 429 with `parameters.retry_after`, in whole seconds. Never throws. */
export const tooManyRequests = (retryAfter: number): BotRefusal =>
  new BotRefusal(429, `Too Many Requests: retry after ${retryAfter}`, retryAfter);

/** 400 of a call that acts in a group which became the supergroup of that id. Never throws. */
export const upgraded = (id: number): BotRefusal =>
  new BotRefusal(400, 'Bad Request: group chat was upgraded to a supergroup chat', undefined, id);

const CONTENTS: Partial<Record<Permission, string>> = {
  can_send_messages: 'text messages',
  can_send_documents: 'documents',
  can_send_photos: 'photos',
};

/** 400 of a bot that may not send what members need this permission for. Never throws. */
export const noRightToSend = (permission: Permission): BotRefusal =>
  badRequest(`not enough rights to send ${CONTENTS[permission] ?? 'messages'} to the chat`);

/** A refusal that differs by the type of chat. */
const byType = (refusal: (type: ChatType) => BotRefusal): Readonly<Record<ChatType, BotRefusal>> => ({
  group: refusal('group'),
  supergroup: refusal('supergroup'),
  channel: refusal('channel'),
});

/** The refusals without a variable part, by what they mean. */
export const REFUSALS = {
  notFound: new BotRefusal(404, 'Not Found'),
  methodNotFound: new BotRefusal(404, 'Not Found: method not found'),
  methodNotAllowed: new BotRefusal(405, 'Method Not Allowed'),
  unauthorized: new BotRefusal(401, 'Unauthorized'),
  tokenMalformed: new BotRefusal(401, 'Unauthorized: invalid token specified'),
  foreignHost: new BotRefusal(403, 'Forbidden: the Host header names another host'),
  internal: new BotRefusal(500, 'Internal Server Error'),
  otherPoller: new BotRefusal(
    409,
    'Conflict: terminated by other getUpdates request; make sure that only one bot instance is running',
  ),
  logOut: badRequest("can't log out: the local Telegram is the only server of its bots"),
  close: badRequest("can't close: the local Telegram keeps its bots at hand, and no other server can take them over"),
  webhookActive: new BotRefusal(
    409,
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
  ),
  webhookSet: new BotRefusal(409, 'Conflict: terminated by setWebhook request'),
  webhookUrl: badRequest('invalid webhook URL specified'),
  secretTooLong: badRequest('secret token is too long'),
  secretCharacters: badRequest('secret token contains unallowed characters'),
  messageTooLong: badRequest('MESSAGE_TOO_LONG'),
  urlInvalid: badRequest('URL_INVALID'),
  queryTooOld: badRequest('query is too old and response timeout expired or query ID is invalid'),
  textEmpty: badRequest('message text is empty'),
  textTooLong: badRequest('message is too long'),
  captionTooLong: badRequest('message caption is too long'),
  parseModeUnknown: badRequest('unsupported parse_mode'),
  chatEmpty: badRequest('chat_id is empty'),
  chatNotFound: badRequest('chat not found'),
  replyNotFound: badRequest('message to be replied not found'),
  blocked: forbidden('bot was blocked by the user'),
  notStarted: forbidden("bot can't initiate conversation with a user"),
  kickedFrom: byType((type) => forbidden(`bot was kicked from the ${type} chat`)),
  notMemberOf: byType((type) => forbidden(`bot is not a member of the ${type} chat`)),
  groupDeleted: forbidden('the group chat was deleted'),
  needAdministrator: badRequest('need administrator rights in the channel chat'),
  messageIdMissing: badRequest('message identifier is not specified'),
  notEditable: badRequest("message can't be edited"),
  notModified: badRequest(
    'message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message',
  ),
  noTextToEdit: badRequest('there is no text in the message to edit'),
  noCaptionToEdit: badRequest('there is no caption in the message to edit'),
  inlineKeyboardExpected: badRequest('inline keyboard expected'),
  notDeletable: badRequest("message can't be deleted"),
  notDeletableForAll: badRequest("message can't be deleted for everyone"),
  noRightToPin: badRequest('not enough rights to manage pinned messages in the chat'),
  userIdInvalid: badRequest('invalid user_id specified'),
  memberNotFound: badRequest('member not found'),
  ownerStays: badRequest("can't remove chat owner"),
  notSelf: badRequest("can't restrict self"),
  isAdministrator: badRequest('user is an administrator of the chat'),
  noRightToRestrict: badRequest('not enough rights to restrict/unrestrict chat member'),
  supergroupsOnly: badRequest('method is available only for supergroups'),
  supergroupsAndChannels: badRequest('method is available for supergroup and channel chats only'),
  noRightToLinks: badRequest('not enough rights to manage chat invite link'),
  noRightToRequests: badRequest('not enough rights to manage chat join requests'),
  linkUnknown: badRequest('INVITE_HASH_EXPIRED'),
  deactivated: forbidden('user is deactivated'),
  fileEmpty: badRequest('file must be non-empty'),
  imageFailed: badRequest('IMAGE_PROCESS_FAILED'),
  photoDimensions: badRequest('PHOTO_INVALID_DIMENSIONS'),
  wrongFile: badRequest('wrong file identifier/HTTP URL specified'),
  fileUnavailable: badRequest('wrong file_id or the file is temporarily unavailable'),
  // Telegram's own words end before the colon.
  urlNotFetched: badRequest(
    'failed to get HTTP URL content: the local Telegram fetches nothing, send the file itself or a file_id',
  ),
  toBot: forbidden("bot can't send messages to bots"),
  buttonData: badRequest('BUTTON_DATA_INVALID'),
  buttonUrl: badRequest('BUTTON_URL_INVALID'),
  buttonType: badRequest('BUTTON_TYPE_INVALID'),
  buttonCopyText: badRequest('BUTTON_COPY_TEXT_INVALID'),
  markupTooLong: badRequest('reply markup is too long'),
} as const;
