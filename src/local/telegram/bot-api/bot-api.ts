import type { LocalClock } from '../clock.js';
import type { LiveFeed } from '../control/live-feed.js';
import type { AnswerPlace, Exchange } from '../http/listener.js';
import type { WebhookAnswer } from '../webhooks/webhook-client.js';
import type { Bot } from '../world/bot.js';
import { countCall } from '../world/counters.js';
import type { World } from '../world/world.js';
import { type BotArguments, readArguments, textArgument } from './arguments.js';
import { answerCallbackQuery, type CallbackDeps } from './callback-answers.js';
import { getChatAdministrators, getChatMember, getChatMemberCount } from './chat-members.js';
import { deleteMyCommands, getMyCommands, setMyCommands } from './commands.js';
import { copyMessage } from './copy-message.js';
import { deleteManyMessages, deleteMessage, pinChatMessage } from './delete-messages.js';
import { editMessageCaption, editMessageMedia } from './edit-media.js';
import { editMessageReplyMarkup, editMessageText } from './edit-message.js';
import { findChat } from './find-chat.js';
import { getChat } from './get-chat.js';
import { downloadFile, getFile } from './get-file.js';
import { getUpdates } from './get-updates.js';
import { banChatMember, leaveChat, promoteChatMember, restrictChatMember, unbanChatMember } from './govern-members.js';
import {
  approveChatJoinRequest,
  createChatInviteLink,
  declineChatJoinRequest,
  editChatInviteLink,
  exportChatInviteLink,
  revokeChatInviteLink,
} from './invite-links.js';
import { countUnknownArguments, type MethodName } from './known-arguments.js';
import { BotRefusal, badRequest, REFUSALS } from './refusal.js';
import { sendDocument, sendPhoto } from './send-media.js';
import { sendMessage } from './send-message.js';
import type { Sending, SendMethod } from './sending.js';
import { deleteWebhook, getWebhookInfo, setWebhook, type WebhookDeps } from './webhook.js';

const ACTIONS = new Set(
  'typing upload_photo record_video upload_video record_voice upload_voice upload_document choose_sticker find_location record_video_note upload_video_note'.split(
    ' ',
  ),
);

/** What the Bot API's methods work on. */
export interface BotApiDeps extends WebhookDeps, CallbackDeps {
  readonly clock: LocalClock;
  readonly sending: Sending;
  /** Hears of each call before it is carried out. */
  readonly feed: Pick<LiveFeed, 'called'>;
}

/** The Bot API's two entrances. Neither throws; a broken request is a Bot API error. */
export interface BotApi {
  /** Takes a request whose path begins with `/bot` or `/file/bot`. */
  readonly take: (exchange: Exchange) => void;
  /** Carries out the method call that an answer to a webhook may hold; what it comes to is told to nobody. */
  readonly carryOut: (bot: Bot, answer: WebhookAnswer) => void;
}

type PlainMethod = (world: World, bot: Bot, args: BotArguments, now: number) => string | BotRefusal;
type WiredMethod = (deps: BotApiDeps, bot: Bot, args: BotArguments, now: number) => string | BotRefusal;
type Method =
  | { readonly name: MethodName; readonly kind: 'plain'; readonly run: PlainMethod }
  | { readonly name: MethodName; readonly kind: 'send'; readonly run: SendMethod }
  /** Works on more than the world. */
  | { readonly name: MethodName; readonly kind: 'wired'; readonly run: WiredMethod }
  | { readonly name: MethodName; readonly kind: 'poll' };

const METHODS: ReadonlyMap<string, Method> = new Map(
  (
    [
      { name: 'getUpdates', kind: 'poll' },
      { name: 'sendMessage', kind: 'send', run: sendMessage },
      { name: 'sendPhoto', kind: 'send', run: sendPhoto },
      { name: 'sendDocument', kind: 'send', run: sendDocument },
      { name: 'copyMessage', kind: 'send', run: copyMessage },
      { name: 'editMessageCaption', kind: 'plain', run: editMessageCaption },
      { name: 'editMessageMedia', kind: 'plain', run: editMessageMedia },
      { name: 'getFile', kind: 'plain', run: getFile },
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
      { name: 'answerCallbackQuery', kind: 'wired', run: answerCallbackQuery },
      { name: 'setWebhook', kind: 'wired', run: setWebhook },
      { name: 'deleteWebhook', kind: 'wired', run: deleteWebhook },
      { name: 'getWebhookInfo', kind: 'wired', run: getWebhookInfo },
    ] satisfies Method[]
  ).map((method) => [method.name.toLowerCase(), method]),
);

/** The Bot API over a world. */
export function createBotApi(deps: BotApiDeps): BotApi {
  const { world, clock, polls, sending, feed } = deps;
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
    if (isFile) return downloadFile(world, bot, decode(rest.slice(slash + 1)), exchange);
    const name = decode(rest.slice(slash + 1));
    const method = METHODS.get(name.toLowerCase());
    if (method === undefined) {
      feed.called(bot, name, {}, exchange);
      return REFUSALS.methodNotFound;
    }
    return call(bot, method, readArguments(request), exchange);
  };
  const call = (
    bot: Bot,
    method: Method,
    args: BotArguments | BotRefusal,
    exchange: AnswerPlace,
  ): BotRefusal | undefined => {
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
      const now = clock.now();
      const result = method.kind === 'plain' ? method.run(world, bot, args, now) : method.run(deps, bot, args, now);
      if (result instanceof BotRefusal) return result;
      exchange.answer(200, `{"ok":true,"result":${result}}`);
    }
    return undefined;
  };
  const refuse = (exchange: AnswerPlace, refusal: BotRefusal | undefined): void => {
    if (refusal !== undefined) exchange.answer(refusal.code, refusal.body(), undefined, refusal.headers());
  };
  return {
    take: (exchange) => refuse(exchange, begin(exchange)),
    carryOut(bot, answer) {
      const given = readArguments({ method: 'POST', query: '', ...answer });
      if (given instanceof BotRefusal) return;
      const { method: _name, ...args } = given;
      const name = textArgument(given, 'method').toLowerCase();
      const method = NOT_IN_ANSWERS.test(name) ? undefined : METHODS.get(name);
      if (method === undefined) return;
      const place = nowhere();
      refuse(place, call(bot, method, args, place));
    },
  };
}

/** Methods that an answer to a webhook cannot call, by their names in lower case. */
const NOT_IN_ANSWERS = /^(get.*|setwebhook|deletewebhook|close|logout)$/;

/** Where the answers go that nobody waits for. */
function nowhere(): AnswerPlace {
  return { answer: () => undefined, cut: () => undefined, onClosed: undefined };
}

function decode(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function getMe(_world: World, bot: Bot): string {
  return (
    `${bot.userJson.slice(0, -1)},"can_join_groups":true,"can_read_all_group_messages":${bot.settings.readsAll === true},"supports_inline_queries":false,` +
    '"can_connect_to_business":false,"has_main_web_app":false}'
  );
}

function sendChatAction(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  if (!ACTIONS.has(textArgument(args, 'action').toLowerCase())) return badRequest('wrong parameter action in request');
  const chat = findChat(world, bot, args, 'act', now);
  return chat instanceof BotRefusal ? chat : 'true';
}
