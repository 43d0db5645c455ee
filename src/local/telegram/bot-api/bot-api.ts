import type { LocalClock } from '../clock.js';
import type { LiveFeed } from '../control/live-feed.js';
import type { Exchange } from '../http/listener.js';
import type { Bot } from '../world/bot.js';
import { countCall } from '../world/counters.js';
import type { World } from '../world/world.js';
import {
  type BotArguments,
  flagArgument,
  integerArgument,
  jsonArgument,
  readArguments,
  textArgument,
} from './arguments.js';
import { getChatAdministrators, getChatMember, getChatMemberCount } from './chat-members.js';
import { deleteMyCommands, getMyCommands, setMyCommands } from './commands.js';
import { deleteManyMessages, deleteMessage, pinChatMessage } from './delete-messages.js';
import { editMessageReplyMarkup, editMessageText } from './edit-message.js';
import { findChat } from './find-chat.js';
import { getChat } from './get-chat.js';
import { banChatMember, leaveChat, promoteChatMember, restrictChatMember, unbanChatMember } from './govern-members.js';
import {
  approveChatJoinRequest,
  createChatInviteLink,
  declineChatJoinRequest,
  editChatInviteLink,
  exportChatInviteLink,
  revokeChatInviteLink,
} from './invite-links.js';
import { countUnknownArguments } from './known-arguments.js';
import { BotRefusal, badRequest, REFUSALS } from './refusal.js';
import { sendMessage } from './send-message.js';
import type { Sending, SendMethod } from './sending.js';
import type { UpdatePolls } from './update-polls.js';

const UPDATES_LIMIT = 100;
const POLL_MAX_S = 50;
const ACTIONS = new Set(
  'typing upload_photo record_video upload_video record_voice upload_voice upload_document choose_sticker find_location record_video_note upload_video_note'.split(
    ' ',
  ),
);

/** What the Bot API's methods work on. */
export interface BotApiDeps {
  readonly world: World;
  readonly clock: LocalClock;
  readonly polls: UpdatePolls;
  readonly sending: Sending;
  /** Hears of each call before it is carried out. */
  readonly feed: Pick<LiveFeed, 'called'>;
}

type PlainMethod = (world: World, bot: Bot, args: BotArguments, now: number) => string | BotRefusal;
type Method =
  | { readonly name: string; readonly kind: 'plain'; readonly run: PlainMethod }
  | { readonly name: string; readonly kind: 'send'; readonly run: SendMethod }
  | { readonly name: string; readonly kind: 'poll' };

const METHODS: ReadonlyMap<string, Method> = new Map(
  (
    [
      { name: 'getUpdates', kind: 'poll' },
      { name: 'sendMessage', kind: 'send', run: sendMessage },
      { name: 'getMe', kind: 'plain', run: getMe },
      { name: 'logOut', kind: 'plain', run: () => REFUSALS.logOut },
      { name: 'close', kind: 'plain', run: () => REFUSALS.close },
      { name: 'getChat', kind: 'plain', run: getChat },
      { name: 'getChatMember', kind: 'plain', run: getChatMember },
      { name: 'getChatMemberCount', kind: 'plain', run: getChatMemberCount },
      { name: 'getChatMembersCount', kind: 'plain', run: getChatMemberCount },
      { name: 'getChatAdministrators', kind: 'plain', run: getChatAdministrators },
      { name: 'banChatMember', kind: 'plain', run: banChatMember },
      { name: 'kickChatMember', kind: 'plain', run: banChatMember },
      { name: 'unbanChatMember', kind: 'plain', run: unbanChatMember },
      { name: 'restrictChatMember', kind: 'plain', run: restrictChatMember },
      { name: 'promoteChatMember', kind: 'plain', run: promoteChatMember },
      { name: 'leaveChat', kind: 'plain', run: leaveChat },
      { name: 'createChatInviteLink', kind: 'plain', run: createChatInviteLink },
      { name: 'editChatInviteLink', kind: 'plain', run: editChatInviteLink },
      { name: 'revokeChatInviteLink', kind: 'plain', run: revokeChatInviteLink },
      { name: 'exportChatInviteLink', kind: 'plain', run: exportChatInviteLink },
      { name: 'approveChatJoinRequest', kind: 'plain', run: approveChatJoinRequest },
      { name: 'declineChatJoinRequest', kind: 'plain', run: declineChatJoinRequest },
      { name: 'sendChatAction', kind: 'plain', run: sendChatAction },
      { name: 'editMessageText', kind: 'plain', run: editMessageText },
      { name: 'editMessageReplyMarkup', kind: 'plain', run: editMessageReplyMarkup },
      { name: 'deleteMessage', kind: 'plain', run: deleteMessage },
      { name: 'deleteMessages', kind: 'plain', run: deleteManyMessages },
      { name: 'pinChatMessage', kind: 'plain', run: pinChatMessage },
      { name: 'setMyCommands', kind: 'plain', run: setMyCommands },
      { name: 'getMyCommands', kind: 'plain', run: getMyCommands },
      { name: 'deleteMyCommands', kind: 'plain', run: deleteMyCommands },
      { name: 'setWebhook', kind: 'plain', run: setWebhook },
      { name: 'deleteWebhook', kind: 'plain', run: deleteWebhook },
      { name: 'getWebhookInfo', kind: 'plain', run: getWebhookInfo },
    ] satisfies Method[]
  ).map((method) => [method.name.toLowerCase(), method]),
);

/** The Bot API: returns what takes a request whose path begins with `/bot` or `/file/bot`. That never throws; a broken request is a Bot API error. */
export function createBotApi({ world, clock, polls, sending, feed }: BotApiDeps): (exchange: Exchange) => void {
  const begin = (exchange: Exchange): BotRefusal | undefined => {
    const { request, connection } = exchange;
    connection.botApiAt = clock.now();
    if (request.method !== 'POST' && request.method !== 'GET') return REFUSALS.methodNotAllowed;
    const isFile = request.path.startsWith('/file/bot');
    const rest = request.path.slice(isFile ? 9 : 4);
    const slash = rest.indexOf('/');
    if (slash < 1 || slash === rest.length - 1) return REFUSALS.notFound;
    const token = decode(rest.slice(0, slash));
    const bot = world.state.byToken.get(token);
    if (bot === undefined) return /^\d+:[\w-]+$/.test(token) ? REFUSALS.unauthorized : REFUSALS.tokenMalformed;
    if (isFile) return REFUSALS.notFound;
    const method = METHODS.get(decode(rest.slice(slash + 1)).toLowerCase());
    if (method === undefined) return REFUSALS.methodNotFound;
    const args = readArguments(request);
    // Calls that write to a chat are counted where they are decided, with what they came to.
    if (method.kind !== 'send') {
      countCall(world.state.counters, method.name);
      world.touchCounters();
    }
    feed.called(bot, method.name, args instanceof BotRefusal ? {} : args, exchange);
    if (args instanceof BotRefusal) return args;
    countUnknownArguments(world, method.name, args);
    if (method.kind === 'send') sending.begin(method.name, method.run, bot, args, exchange);
    else if (method.kind === 'poll') return getUpdates(world, polls, bot, args, exchange);
    else {
      const result = method.run(world, bot, args, clock.now());
      if (result instanceof BotRefusal) return result;
      exchange.answer(200, `{"ok":true,"result":${result}}`);
    }
    return undefined;
  };
  return (exchange) => {
    const refusal = begin(exchange);
    if (refusal !== undefined) exchange.answer(refusal.code, refusal.body(), undefined, refusal.headers());
  };
}

function decode(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function getUpdates(
  world: World,
  polls: UpdatePolls,
  bot: Bot,
  args: BotArguments,
  exchange: Exchange,
): BotRefusal | undefined {
  const allowed = jsonArgument(args, 'allowed_updates');
  if (allowed !== undefined) {
    if (!Array.isArray(allowed) || !allowed.every((kind) => typeof kind === 'string')) {
      return badRequest("can't parse allowed_updates: expected an Array of String");
    }
    if (JSON.stringify(allowed) !== JSON.stringify(bot.settings.allowed ?? [])) {
      world.configure(bot, { ...bot.settings, allowed: allowed as string[] });
    }
  }
  const offset = integerArgument(args, 'offset') ?? 0;
  const limit = integerArgument(args, 'limit') ?? UPDATES_LIMIT;
  const timeout = Math.min(POLL_MAX_S, Math.max(0, integerArgument(args, 'timeout') ?? 0));
  if (offset > 0) world.confirm(bot, Math.min(offset, bot.queue.nextId));
  else if (offset < 0) world.confirm(bot, bot.queue.nextId + Math.max(offset, -bot.queue.length));
  polls.begin(bot, exchange, limit < 1 || limit > UPDATES_LIMIT ? UPDATES_LIMIT : limit, timeout * 1000);
  return undefined;
}

function getMe(_world: World, bot: Bot): string {
  return (
    `${bot.userJson.slice(0, -1)},"can_join_groups":true,"can_read_all_group_messages":${bot.making.readsAll === true},"supports_inline_queries":false,` +
    '"can_connect_to_business":false,"has_main_web_app":false}'
  );
}

function sendChatAction(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  if (!ACTIONS.has(textArgument(args, 'action').toLowerCase())) return badRequest('wrong parameter action in request');
  const chat = findChat(world, bot, args, 'act', now);
  return chat instanceof BotRefusal ? chat : 'true';
}

function setWebhook(world: World, bot: Bot, args: BotArguments): string | BotRefusal {
  if (textArgument(args, 'url') === '') return deleteWebhook(world, bot, args);
  return badRequest('bad webhook: webhooks are not built yet in the local Telegram, use getUpdates');
}

function deleteWebhook(world: World, bot: Bot, args: BotArguments): string {
  if (flagArgument(args, 'drop_pending_updates')) world.confirm(bot, bot.queue.nextId);
  return 'true';
}

function getWebhookInfo(_world: World, bot: Bot): string {
  const { allowed } = bot.settings;
  const asked = allowed === undefined || allowed.length === 0 ? '' : `,"allowed_updates":${JSON.stringify(allowed)}`;
  return `{"url":"","has_custom_certificate":false,"pending_update_count":${bot.queue.length}${asked}}`;
}
