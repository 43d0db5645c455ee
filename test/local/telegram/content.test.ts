import t from 'tap';
import { type Answer, bench } from './telegram-bench.js';

type Arguments = Record<string, unknown>;

t.test('texts: what is kept of them, and what is refused', async (t) => {
  const { call, local, people, botId } = await bench(t);
  await local('PUT', 'faults', { limits: 'off' });
  const [chat = 0, ann = 0] = await people(2, { firstName: 'Ann' });
  const user = { id: ann, is_bot: false, first_name: 'Ann' };
  const kept: [string, Arguments, Arguments][] = [
    ['plain', { text: ' a\r\nb\t ' }, { text: 'a\nb', entities: undefined }],
    [
      'HTML',
      { text: '<b>a <i>b</i></b> &lt;@name', parse_mode: 'HTML' },
      {
        text: 'a b <@name',
        entities: [
          { offset: 0, length: 2, type: 'bold' },
          { offset: 2, length: 1, type: 'bold' },
          { offset: 2, length: 1, type: 'italic' },
          { offset: 5, length: 5, type: 'mention' },
        ],
      },
    ],
    [
      'MarkdownV2',
      { text: '||a|| [b](example.com)', parse_mode: 'markdownv2' },
      {
        text: 'a b',
        entities: [
          { offset: 0, length: 1, type: 'spoiler' },
          { offset: 2, length: 1, type: 'text_link', url: 'http://example.com/' },
        ],
      },
    ],
    [
      'Markdown',
      { text: '*a*.', parse_mode: 'Markdown' },
      { text: 'a.', entities: [{ offset: 0, length: 1, type: 'bold' }] },
    ],
    ['no parse mode', { text: '<b>', parse_mode: 'None' }, { text: '<b>' }],
    [
      'a user by link',
      { text: `<a href="tg://user?id=${ann}">x</a>`, parse_mode: 'HTML' },
      { entities: [{ offset: 0, length: 1, type: 'text_mention', user }] },
    ],
    [
      'a user whom nobody made',
      { text: '<a href="tg://user?id=1">x</a>', parse_mode: 'HTML' },
      { text: 'x', entities: undefined },
    ],
    [
      'entities as JSON text',
      { text: 'a b', entities: JSON.stringify([{ type: 'italic', offset: '0', length: 2 }]) },
      { entities: [{ offset: 0, length: 2, type: 'italic' }] },
    ],
    [
      'entities of all kinds',
      {
        text: 'abcd',
        entities: [
          { type: 'text_mention', offset: 3, length: 1, user: { id: ann } },
          { type: 'pre', offset: 0, length: 1, language: 'ts' },
          { type: 'text_link', offset: 1, length: 1, url: 'HTTP://A.bc' },
          { type: 'custom_emoji', offset: 2, length: 1, custom_emoji_id: '7' },
          { type: 'url', offset: 0, length: 4 },
        ],
      },
      {
        entities: [
          { offset: 0, length: 1, type: 'pre', language: 'ts' },
          { offset: 1, length: 1, type: 'text_link', url: 'http://a.bc/' },
          { offset: 2, length: 1, type: 'custom_emoji', custom_emoji_id: '7' },
          { offset: 3, length: 1, type: 'text_mention', user },
        ],
      },
    ],
    [
      'entities beside a parse mode',
      { text: 'ab', parse_mode: 'HTML', entities: [{ type: 'x' }] },
      { entities: undefined },
    ],
    ['the longest text', { text: `<b>${'x'.repeat(4096)}</b>`, parse_mode: 'HTML' }, { text: 'x'.repeat(4096) }],
    [
      'what the Message shows beside',
      {
        text: 'a',
        protect_content: true,
        disable_notification: true,
        link_preview_options: { is_disabled: true, url: '' },
      },
      { has_protected_content: true, link_preview_options: { is_disabled: true }, disable_notification: undefined },
    ],
    [
      'the older preview argument',
      { text: 'a', disable_web_page_preview: 'true' },
      { link_preview_options: { is_disabled: true } },
    ],
    [
      'preview options that ask for nothing',
      { text: 'a', link_preview_options: '{"is_disabled":false}' },
      { link_preview_options: undefined },
    ],
  ];
  for (const [what, args, expected] of kept) {
    const { body } = await call('sendMessage', { chat_id: chat, ...args });
    t.match(body, { ok: true, result: expected }, what);
  }
  const seen = (await local('GET', `messages?chat=${botId}&user=${chat}`)).body;
  t.same(
    seen.map(({ entities }: Answer['body']) => entities?.length ?? 0),
    [0, 4, 2, 1, 0, 1, 0, 1, 4, 0, 1, 0, 0, 0],
  );

  const refused: [Arguments, string][] = [
    [{ text: '<b> </b>', parse_mode: 'HTML' }, 'message text is empty'],
    [{ text: '\u200b', parse_mode: 'x' }, 'unsupported parse_mode'],
    [{ text: '\u200b' }, 'message text is empty'],
    [{ text: `<b>${'x'.repeat(4097)}</b>`, parse_mode: 'HTML' }, 'message is too long'],
    [{ text: '<x>', parse_mode: 'HTML' }, 'can\'t parse entities: Unsupported start tag "x" at byte offset 0'],
    [
      { text: 'a.', parse_mode: 'MarkdownV2' },
      "can't parse entities: Character '.' is reserved and must be escaped with the preceding '\\'",
    ],
    [
      { text: 'é*', parse_mode: 'Markdown' },
      "can't parse entities: Can't find end of the entity starting at byte offset 2",
    ],
    [{ text: 'a', entities: '{"a":' }, "can't parse entities JSON object"],
    [{ text: 'a', entities: {} }, 'expected an Array of MessageEntity'],
    [{ text: 'a', entities: [1] }, "can't parse MessageEntity: expected an Object"],
    [{ text: 'a', entities: [{ type: 'bold', length: 1 }] }, 'can\'t parse MessageEntity: Can\'t find field "offset"'],
    [
      { text: 'a', entities: [{ type: 'bold', offset: 'x', length: 1 }] },
      'can\'t parse MessageEntity: Field "offset" must be a valid Number',
    ],
    [
      { text: 'a', entities: [{ offset: 0, length: true }] },
      'can\'t parse MessageEntity: Field "length" must be a Number',
    ],
    [{ text: 'a', entities: [{ type: '', offset: 0, length: 1 }] }, "can't parse MessageEntity: Type is not specified"],
    [
      { text: 'a', entities: [{ type: 'big', offset: 0, length: 1 }] },
      "can't parse MessageEntity: Unsupported type specified",
    ],
    [
      { text: 'a', entities: [{ type: 'text_link', offset: 0, length: 1 }] },
      'can\'t parse MessageEntity: Can\'t find field "url"',
    ],
    [
      { text: 'a', entities: [{ type: 'text_link', offset: 0, length: 1, url: 'x' }] },
      "entity URL 'x' is invalid: Wrong HTTP URL",
    ],
    [
      { text: 'a', entities: [{ type: 'text_mention', offset: 0, length: 1, user: 5 }] },
      'can\'t parse MessageEntity: Field "user" must be of type Object',
    ],
    [
      { text: 'a', entities: [{ type: 'custom_emoji', offset: 0, length: 1, custom_emoji_id: 0 }] },
      'invalid custom emoji identifier specified',
    ],
    [
      { text: 'a', entities: [{ type: 'bold', offset: 5, length: 1 }] },
      'entity begins after the end of the text at UTF-16 offset 5',
    ],
    [{ text: 'a', entities: [{ type: 'bold', offset: -1, length: 1 }] }, 'receive an entity with incorrect offset -1'],
    [{ text: 'a', link_preview_options: '[' }, "can't parse link preview options JSON object"],
    [{ text: 'a', link_preview_options: [] }, 'object expected as link preview options'],
    [{ text: 'a', link_preview_options: { is_disabled: 'yes' } }, 'field "is_disabled" must be of type Boolean'],
  ];
  for (const [args, fault] of refused) {
    const { status, body } = await call('sendMessage', { chat_id: chat, ...args });
    t.equal(status, 400, fault);
    t.same(body, { ok: false, error_code: 400, description: `Bad Request: ${fault}` });
  }
  const half = '{"chat_id":CHAT,"text":"a\\ud83d"}'.replace('CHAT', String(chat));
  t.equal(
    (await call('sendMessage', JSON.parse(half))).body.description,
    'Bad Request: strings must be encoded in UTF-8',
  );
});

t.test('reply markups: what is kept of them, and what is refused', async (t) => {
  const { call, local, people, botId } = await bench(t);
  await local('PUT', 'faults', { limits: 'off' });
  const [chat = 0, owner = 0] = await people(2);
  const inline = (...buttons: unknown[]): Arguments => ({ inline_keyboard: [buttons] });
  const button = (more: Arguments): Arguments => inline({ text: 'a', ...more });
  const all = [
    { text: 'a', url: 'http://example.com/' },
    { text: 'b', callback_data: 'x'.repeat(64) },
    { text: 'c', switch_inline_query: '' },
    { text: 'd', switch_inline_query_current_chat: 'q' },
    { text: 'e', switch_inline_query_chosen_chat: { query: 'q', allow_user_chats: true } },
    { text: 'f', login_url: { url: 'https://a.bc/x', bot_username: 'me', request_write_access: true } },
    { text: 'g', web_app: { url: 'https://a.bc/' } },
    { text: 'h', copy_text: { text: 'copied' } },
    { text: 'i', url: 'tg://user?id=5' },
    { text: 'j', pay: true },
  ];
  const shown = (await call('sendMessage', { chat_id: chat, text: 'x', reply_markup: inline(...all) })).body;
  t.same(shown.result?.reply_markup, { inline_keyboard: [all] }, shown.description);

  const kept: [string, unknown, unknown][] = [
    ['an address in its canonical form', button({ url: 'EXAMPLE.com' }), button({ url: 'http://example.com/' })],
    ['the first thing that a button does', button({ callback_data: 'x', pay: true }), button({ callback_data: 'x' })],
    ['as JSON text', JSON.stringify(button({ callback_data: 'x' })), button({ callback_data: 'x' })],
    ['a number for a text', inline({ text: 1, callback_data: 2 }), inline({ text: '1', callback_data: '2' })],
    [
      'no button without a text',
      inline({ text: '', callback_data: 'x' }, { text: 'b', callback_data: 'x' }),
      inline({ text: 'b', callback_data: 'x' }),
    ],
    ['no row of nothing', { inline_keyboard: [[], [{ text: 'b', pay: true }]] }, inline({ text: 'b', pay: true })],
    ['nothing', {}, undefined],
    ['a keyboard of nothing', { keyboard: [] }, undefined],
    [
      'a keyboard below the input field',
      {
        keyboard: [['yes', { text: 'no' }], [{ text: 'me', request_contact: true }]],
        resize_keyboard: true,
        is_persistent: false,
      },
      { keyboard: [[{ text: 'yes' }, { text: 'no' }], [{ text: 'me', request_contact: true }]], resize_keyboard: true },
    ],
    [
      'requests for people, chats and polls',
      {
        keyboard: [
          [
            { text: 'a', request_user: { request_id: 1 } },
            { text: 'b', request_chat: { request_id: '2', chat_is_channel: false } },
            { text: 'c', request_poll: { type: 'quiz' } },
          ],
        ],
      },
      {
        keyboard: [
          [
            { text: 'a', request_users: { request_id: 1 } },
            { text: 'b', request_chat: { request_id: 2, chat_is_channel: false } },
            { text: 'c', request_poll: { type: 'quiz' } },
          ],
        ],
      },
    ],
    ['a keyboard removed', { remove_keyboard: true, selective: true }, { remove_keyboard: true, selective: true }],
    [
      'a reply asked for',
      { force_reply: true, input_field_placeholder: 'p' },
      { force_reply: true, input_field_placeholder: 'p' },
    ],
  ];
  for (const [what, given, expected] of kept) {
    const { body } = await call('sendMessage', { chat_id: chat, text: 'x', reply_markup: given });
    t.ok(body.ok, `${what}: ${body.description}`);
    const isInline = typeof expected === 'object' && expected !== null && 'inline_keyboard' in expected;
    t.same(body.result.reply_markup, isInline ? expected : undefined, what);
    const after = body.result.message_id - 1;
    const [seen] = (await local('GET', `messages?chat=${botId}&user=${chat}&after=${after}`)).body;
    t.same(seen.replyMarkup, expected, what);
  }

  const cant = "can't parse inline keyboard button: ";
  const refused: [unknown, string][] = [
    ['{', "can't parse reply keyboard markup JSON object"],
    [[], 'object expected as reply markup'],
    [{ inline_keyboard: {} }, 'field "inline_keyboard" must be of type Array'],
    [{ inline_keyboard: [{}] }, 'field "inline_keyboard" of the InlineKeyboardMarkup must be an Array of Arrays'],
    [{ keyboard: ['a'] }, 'field "keyboard" must be an Array of Arrays'],
    [{ keyboard: [[1]] }, "can't parse keyboard button: KeyboardButton must be a String or an Object"],
    [{ keyboard: [[{}]] }, 'can\'t parse keyboard button: Can\'t find field "text"'],
    [
      { keyboard: [[{ text: 'a', request_contact: 1 }]] },
      'can\'t parse keyboard button: Field "request_contact" must be of type Boolean',
    ],
    [
      { keyboard: [[{ text: 'a', request_users: {} }]] },
      'can\'t parse keyboard button: Can\'t find field "request_id"',
    ],
    [
      { keyboard: [[{ text: 'a', web_app: { url: 'http://a.bc' } }]] },
      "keyboard button Web App URL 'http://a.bc' is invalid: Only HTTPS links are allowed",
    ],
    [{ remove_keyboard: 'true' }, 'field "remove_keyboard" must be of type Boolean'],
    [inline('a'), `${cant}InlineKeyboardButton must be an Object`],
    [inline({ callback_data: 'x' }), `${cant}Can't find field "text"`],
    [button({}), `${cant}Text buttons are unallowed in the inline keyboard`],
    [button({ url: [] }), `${cant}Field "url" must be of type String`],
    [button({ url: 'nowhere' }), "inline keyboard button URL 'nowhere' is invalid: Wrong HTTP URL"],
    [button({ url: `https://a.bc/${'x'.repeat(2048)}` }), 'BUTTON_URL_INVALID'],
    [button({ callback_data: '' }), 'BUTTON_DATA_INVALID'],
    [button({ callback_data: 'é'.repeat(33) }), 'BUTTON_DATA_INVALID'],
    [
      button({ login_url: { url: 'http://a.bc' } }),
      "inline keyboard button login URL 'http://a.bc' is invalid: Only HTTPS links are allowed",
    ],
    [button({ login_url: { url: 'https://a.bc', bot_username: 'a b' } }), `${cant}LoginUrl bot username is invalid`],
    [button({ login_url: 'https://a.bc' }), `${cant}Field "login_url" must be of type Object`],
    [button({ web_app: { url: 'tg://user?id=5' } }), "link to a user can't be used in Web App URL buttons"],
    [button({ copy_text: {} }), `${cant}Can't find field "text"`],
    [button({ copy_text: { text: 'x'.repeat(257) } }), 'BUTTON_COPY_TEXT_INVALID'],
    [
      { inline_keyboard: Array.from({ length: 101 }, () => [{ text: 'a', callback_data: 'x' }]) },
      'reply markup is too long',
    ],
  ];
  for (const [given, fault] of refused) {
    const { body } = await call('sendMessage', { chat_id: chat, text: 'x', reply_markup: given });
    t.same(body, { ok: false, error_code: 400, description: `Bad Request: ${fault}` }, fault);
  }

  const group = (await local('POST', 'chats', { type: 'supergroup', title: 'g', ownerId: owner })).body.id;
  const channel = (await local('POST', 'chats', { type: 'channel', title: 'c', ownerId: owner })).body.id;
  for (const id of [group, channel]) await local('PUT', `chats/${id}/members/${botId}`, { status: 'administrator' });
  const unfit: [number, unknown, string][] = [
    [
      group,
      { keyboard: [[{ text: 'a', request_contact: true }]] },
      'phone number can be requested in private chats only',
    ],
    [group, { keyboard: [[{ text: 'a', request_location: true }]] }, 'location can be requested in private chats only'],
    [group, button({ web_app: { url: 'https://a.bc' } }), 'BUTTON_TYPE_INVALID'],
    [
      channel,
      button({ switch_inline_query: 'x' }),
      "can't use switch_inline_query button in a channel chat, because users will not be able to use the button without knowing bot's username",
    ],
  ];
  for (const [id, given, fault] of unfit) {
    const { body } = await call('sendMessage', { chat_id: id, text: 'x', reply_markup: given });
    t.same(body, { ok: false, error_code: 400, description: `Bad Request: ${fault}` }, fault);
  }
  t.ok(
    (await call('sendMessage', { chat_id: group, text: 'x', reply_markup: button({ switch_inline_query: 'x' }) })).body
      .ok,
  );
});
