import { checkLink, linkFault, userOfLink } from '../text/links.js';
import type { ChatType } from '../world/chats.js';
import { type BotArguments, isObject, jsonArgument, UNREADABLE_JSON } from './arguments.js';
import { JsonFields } from './json-fields.js';
import { type BotRefusal, badRequest, REFUSALS } from './refusal.js';

const BUTTONS_MAX = 100;
/** Telegram passes over what a row has beyond. */
const ROW_BUTTONS_MAX = 12;
const CALLBACK_DATA_MAX_BYTES = 64;
const COPY_TEXT_MAX = 256;
const URL_MAX = 2048;

/** A button as the Bot API shows it. */
type Button = Readonly<Record<string, unknown>>;

/** A reply markup as Telegram keeps it. */
export interface ReplyMarkup {
  /** The Bot API's InlineKeyboardMarkup, ReplyKeyboardMarkup, ReplyKeyboardRemove or ForceReply. */
  readonly value: Readonly<Record<string, unknown>>;
  /** Whether it belongs to the message; the others are the client's, and no Message shows them. */
  readonly isInline: boolean;
  /** Why some types of chats don't take it (undefined: a private chat), if so. */
  readonly unfitFor: (type: ChatType | undefined) => BotRefusal | undefined;
}

/**
 * The argument `reply_markup` as Telegram reads it, by its order of looking, or its refusal; undefined for none, and for a keyboard without buttons.
 * Never throws.
 */
export function readReplyMarkup(args: BotArguments): ReplyMarkup | undefined | BotRefusal {
  const given = jsonArgument(args, 'reply_markup');
  if (given === undefined) return undefined;
  if (given === UNREADABLE_JSON) return badRequest("Can't parse reply keyboard markup JSON object");
  if (!isObject(given)) return badRequest('Object expected as reply markup');
  const fields = new JsonFields(given);
  const reader = new ButtonReader();
  const keyboard = reader.rows(fields, 'keyboard');
  const inline = reader.rows(fields, 'inline_keyboard');
  const [hide, remove, personal, selective] = [
    'hide_keyboard',
    'remove_keyboard',
    'personal_keyboard',
    'selective',
  ].map((name) => fields.flag(name));
  const [oldForce, force] = ['force_reply_keyboard', 'force_reply'].map((name) => fields.flag(name));
  const placeholder = fields.text('input_field_placeholder');
  const [resize, oneTime, persistent] = ['resize_keyboard', 'one_time_keyboard', 'is_persistent'].map((name) =>
    fields.flag(name),
  );
  const fault = reader.refusal ?? (fields.fault === undefined ? undefined : badRequest(fields.fault));
  if (fault !== undefined) return fault;

  const isSelective = personal === true || selective === true;
  const common = {
    ...(placeholder !== '' && { input_field_placeholder: placeholder }),
    ...(isSelective && { selective: true }),
  };
  let value: Record<string, unknown>;
  if (keyboard.length > 0) {
    value = {
      keyboard,
      ...(persistent === true && { is_persistent: true }),
      ...(resize === true && { resize_keyboard: true }),
      ...(oneTime === true && { one_time_keyboard: true }),
      ...common,
    };
  } else if (inline.length > 0) value = { inline_keyboard: inline };
  else if (hide === true || remove === true) value = { remove_keyboard: true, ...(isSelective && { selective: true }) };
  else if (force === true || oldForce === true) value = { force_reply: true, ...common };
  else return undefined;
  const isInline = 'inline_keyboard' in value;
  const rows = keyboard.length > 0 ? keyboard : inline;
  if (rows.reduce((count, row) => count + row.length, 0) > BUTTONS_MAX) return REFUSALS.markupTooLong;
  const { privateOnly, noChannels } = reader;
  return {
    value,
    isInline,
    unfitFor: (type) =>
      type === undefined ? undefined : (privateOnly ?? (type === 'channel' ? noChannels : undefined)),
  };
}

/** Reads buttons and keeps the first refusal; what some types of chats do not take, it only notes. */
class ButtonReader {
  refusal: BotRefusal | undefined;
  privateOnly: BotRefusal | undefined;
  noChannels: BotRefusal | undefined;

  /** The rows of a keyboard, without empty ones and buttons without a text. */
  rows(fields: JsonFields, name: 'keyboard' | 'inline_keyboard'): Button[][] {
    const isInline = name === 'inline_keyboard';
    const rows: Button[][] = [];
    for (const row of fields.array(name) ?? []) {
      if (!Array.isArray(row)) {
        const whose = isInline ? ' of the InlineKeyboardMarkup' : '';
        this.#refuse(`Field "${name}"${whose} must be an Array of Arrays`);
        break;
      }
      const buttons: Button[] = [];
      for (const given of row as unknown[]) {
        const button = isInline ? this.#inlineButton(given) : this.#keyboardButton(given);
        if (button !== undefined && button.text !== '' && buttons.length < ROW_BUTTONS_MAX) buttons.push(button);
      }
      if (buttons.length > 0) rows.push(buttons);
    }
    return rows;
  }

  #refuse(fault: string): undefined {
    this.refusal ??= badRequest(fault);
    return undefined;
  }

  #inlineButton(given: unknown): Button | undefined {
    const prefix = "Can't parse inline keyboard button:";
    if (!isObject(given)) return this.#refuse(`${prefix} InlineKeyboardButton must be an Object`);
    const fields = new JsonFields(given);
    const text = fields.requiredText('text');
    const action = this.#action(fields);
    if (fields.fault !== undefined) return this.#refuse(`${prefix} ${fields.fault}`);
    if (action === undefined) return this.#refuse(`${prefix} Text buttons are unallowed in the inline keyboard`);
    return { text, ...action };
  }

  /** What an inline button does, by the first of its fields that Telegram looks at; undefined for nothing. */
  #action(fields: JsonFields): Button | undefined {
    const url = fields.text('url');
    if (url !== '') return { url: this.#url(url) };
    if (fields.has('callback_data')) {
      const data = fields.text('callback_data');
      const bytes = Buffer.byteLength(data);
      if (fields.fault === undefined && (bytes < 1 || bytes > CALLBACK_DATA_MAX_BYTES))
        this.refusal ??= REFUSALS.buttonData;
      return { callback_data: data };
    }
    if (fields.has('callback_game')) return { callback_game: {} };
    if (fields.has('pay')) return { pay: true };
    const query = switchQuery(fields);
    if (query !== undefined) {
      const [name = ''] = Object.keys(query);
      this.noChannels ??= badRequest(
        `Can't use ${name === 'switch_inline_query_current_chat' ? name : 'switch_inline_query'} button in a channel chat, ` +
          "because users will not be able to use the button without knowing bot's username",
      );
      return query;
    }
    if (fields.has('login_url')) return this.#login(fields);
    if (fields.has('web_app')) {
      this.privateOnly ??= REFUSALS.buttonType;
      return { web_app: { url: this.#webApp(fields, 'Inline keyboard button Web App') } };
    }
    if (fields.has('copy_text')) {
      const copy = fields.requiredObject('copy_text');
      const text = copy.requiredText('text');
      fields.adopt(copy);
      if (fields.fault === undefined && (text === '' || text.length > COPY_TEXT_MAX)) {
        this.refusal ??= REFUSALS.buttonCopyText;
      }
      return { copy_text: { text } };
    }
    return undefined;
  }

  /** The address of a button, in its canonical form. */
  #url(link: string): string {
    const user = userOfLink(link);
    if (user !== undefined) return `tg://user?id=${user}`;
    const checked = checkLink(link);
    if ('fault' in checked) {
      this.#refuse(`Inline keyboard button ${linkFault(link, checked.fault)}`);
      return link;
    }
    // What tdlib passes on, the server looks at again; that it counts the length is a guess.
    if (Buffer.byteLength(checked.url) > URL_MAX) this.refusal ??= REFUSALS.buttonUrl;
    return checked.url;
  }

  #login(fields: JsonFields): Button {
    const login = fields.requiredObject('login_url');
    const url = login.requiredText('url');
    const username = login.text('bot_username');
    const mayWrite = login.flag('request_write_access');
    const forward = login.text('forward_text');
    fields.adopt(login);
    if (fields.fault === undefined && !/^(?:@?\w+)?$/.test(username)) fields.fault = 'LoginUrl bot username is invalid';
    const checked = this.#https(fields, url, 'Inline keyboard button login', 'login');
    return {
      login_url: {
        url: checked,
        ...(forward !== '' && { forward_text: forward }),
        ...(username !== '' && { bot_username: username.replace('@', '') }),
        ...(mayWrite && { request_write_access: true }),
      },
    };
  }

  #webApp(fields: JsonFields, what: string): string {
    const app = fields.requiredObject('web_app');
    const url = app.requiredText('url');
    fields.adopt(app);
    return this.#https(fields, url, what, 'Web App');
  }

  #https(fields: JsonFields, link: string, what: string, kind: string): string {
    if (fields.fault !== undefined) return link;
    if (userOfLink(link) !== undefined) this.#refuse(`Link to a user can't be used in ${kind} URL buttons`);
    const checked = checkLink(link, 'https');
    if ('url' in checked) return checked.url;
    this.#refuse(`${what} ${linkFault(link, checked.fault)}`);
    return link;
  }

  #keyboardButton(given: unknown): Button | undefined {
    const prefix = "Can't parse keyboard button:";
    if (typeof given === 'string') return { text: given };
    if (!isObject(given)) return this.#refuse(`${prefix} KeyboardButton must be a String or an Object`);
    const fields = new JsonFields(given);
    const text = fields.requiredText('text');
    const request = this.#request(fields);
    return fields.fault === undefined ? { text, ...request } : this.#refuse(`${prefix} ${fields.fault}`);
  }

  /** What a button below the input field asks for, by the first of its fields that Telegram looks at; nothing for a plain one. */
  #request(fields: JsonFields): Button {
    const inPrivate = (what: string): void => {
      this.privateOnly ??= badRequest(`${what} in private chats only`);
    };
    const [phone, contact] = [fields.flag('request_phone_number'), fields.flag('request_contact')];
    if (phone || contact) {
      inPrivate('Phone number can be requested');
      return { request_contact: true };
    }
    if (fields.flag('request_location')) {
      inPrivate('Location can be requested');
      return { request_location: true };
    }
    if (fields.has('request_poll')) {
      inPrivate('Poll can be requested');
      const poll = fields.requiredObject('request_poll');
      const type = poll.text('type');
      fields.adopt(poll);
      return { request_poll: type === 'quiz' || type === 'regular' ? { type } : {} };
    }
    if (fields.has('web_app')) {
      inPrivate('Web App buttons can be used');
      return { web_app: { url: this.#webApp(fields, 'Keyboard button Web App') } };
    }
    for (const name of ['request_users', 'request_user', 'request_chat']) {
      if (!fields.has(name)) continue;
      inPrivate(`${name === 'request_chat' ? 'Chats' : 'Users'} can be requested`);
      return { [name === 'request_user' ? 'request_users' : name]: readRequest(fields, name) };
    }
    return {};
  }
}

const REQUEST_FLAGS: Readonly<Record<string, readonly string[]>> = {
  request_chat: [
    'chat_is_channel',
    'chat_is_forum',
    'chat_has_username',
    'chat_is_created',
    'bot_is_member',
    'request_title',
    'request_username',
    'request_photo',
  ],
  request_users: ['user_is_bot', 'user_is_premium', 'request_name', 'request_username', 'request_photo'],
};

/** A KeyboardButtonRequestUsers or KeyboardButtonRequestChat: its id, and the flags that are given. */
function readRequest(fields: JsonFields, name: string): Button {
  const request = fields.requiredObject(name);
  const value: Record<string, unknown> = { request_id: request.requiredInteger('request_id') };
  for (const flag of REQUEST_FLAGS[name] ?? REQUEST_FLAGS.request_users ?? []) {
    if (request.has(flag)) value[flag] = request.flag(flag);
  }
  if (name !== 'request_chat' && request.has('max_quantity'))
    value.max_quantity = request.requiredInteger('max_quantity');
  fields.adopt(request);
  return value;
}

function switchQuery(fields: JsonFields): Button | undefined {
  if (fields.has('switch_inline_query')) return { switch_inline_query: fields.text('switch_inline_query') };
  if (fields.has('switch_inline_query_chosen_chat')) {
    const chosen = fields.requiredObject('switch_inline_query_chosen_chat');
    const query = chosen.text('query');
    const kinds = ['allow_user_chats', 'allow_bot_chats', 'allow_group_chats', 'allow_channel_chats'].filter((name) =>
      chosen.flag(name),
    );
    fields.adopt(chosen);
    const allowed = Object.fromEntries(kinds.map((name) => [name, true]));
    return { switch_inline_query_chosen_chat: { ...(query !== '' && { query }), ...allowed } };
  }
  const here = 'switch_inline_query_current_chat';
  return fields.has(here) ? { [here]: fields.text(here) } : undefined;
}
