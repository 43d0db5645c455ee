import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { FileTable } from '../../../src/local/telegram/files/file-table.js';
import { readImageSize } from '../../../src/local/telegram/files/image-size.js';
import { mimeTypeOf } from '../../../src/local/telegram/files/mime-types.js';
import { documentOf, type StoredFile } from '../../../src/local/telegram/files/stored-file.js';
import { Journal } from '../../../src/local/telegram/world/journal.js';
import { World } from '../../../src/local/telegram/world/world.js';
import { pngImage } from '../../support/images.js';
import { seededRandom } from '../../support/seeded-random.js';
import { type Answer, ask, type Bench, bench } from './telegram-bench.js';

const MEGABYTE = 1024 * 1024;
const PNG = pngImage(40, 30);

/** A call with its arguments as a form; a Buffer or a Blob is a file, named as the list says or `x.bin`. */
function upload(
  { telegram, token }: Bench,
  method: string,
  args: Record<string, string | number | Buffer | Blob>,
  names: Record<string, string> = {},
  as = token,
): Promise<Answer> {
  const form = new FormData();
  for (const [name, value] of Object.entries(args)) {
    if (typeof value === 'string' || typeof value === 'number') form.set(name, String(value));
    else form.set(name, value instanceof Blob ? value : new Blob([value]), names[name] ?? 'x.bin');
  }
  return ask(`${telegram.url}/bot${as}/${method}`, { method: 'POST', body: form });
}

/** The bytes that a bot downloads by a file id, and the answer's head. */
async function download(bench: Bench, fileId: string, as = bench.token): Promise<{ bytes: Buffer; headers: Headers }> {
  const { body } = await bench.call('getFile', { file_id: fileId }, as);
  const response = await fetch(`${bench.telegram.url}/file/bot${as}/${body.result.file_path}`);
  return { bytes: Buffer.from(await response.arrayBuffer()), headers: response.headers };
}

/** One with no limits, a person who talks to its bot, and a second bot. */
async function start(t: Test): Promise<Bench & { chat: number; otherToken: string }> {
  const made = await bench(t);
  await made.local('PUT', 'faults', { limits: 'off' });
  const [chat = 0] = await made.people(1);
  const other = (await made.local('POST', 'bots', {})).body;
  return { ...made, chat, otherToken: other.token };
}

t.test('photos and documents are sent, told, asked for and downloaded', async (t) => {
  const bench = await start(t);
  const { chat, call, local, telegram, token, otherToken, botId } = bench;
  const sent = await upload(bench, 'SENDPHOTO', {
    chat_id: chat,
    photo: new Blob([PNG], { type: 'image/jpeg' }),
    caption: 'the *grey* one',
    parse_mode: 'MarkdownV2',
    has_spoiler: 'true',
    show_caption_above_media: 1,
    reply_markup: JSON.stringify({ inline_keyboard: [[{ text: 'go', callback_data: 'go' }]] }),
  });
  t.equal(sent.status, 200);
  const message = sent.body.result;
  t.match(message, {
    message_id: 1,
    from: { id: botId },
    chat: { id: chat },
    caption: 'the grey one',
    caption_entities: [{ type: 'bold', offset: 4, length: 4 }],
    photo: [{ width: 40, height: 30, file_size: PNG.length }],
    has_media_spoiler: true,
    show_caption_above_media: true,
    reply_markup: { inline_keyboard: [[{ text: 'go' }]] },
  });
  t.notOk('text' in message || 'media' in message || 'entities' in message);
  const [photo] = message.photo;
  t.match(photo.file_id, /^AgAC[\w-]{36}$/);
  t.match(photo.file_unique_id, /^AQAD[\w-]{12}$/);

  const file = await call('getFile', { file_id: photo.file_id });
  t.match(file.body.result, {
    file_id: photo.file_id,
    file_unique_id: photo.file_unique_id,
    file_size: PNG.length,
    file_path: /^photos\/.*\.png$/,
  });
  const { bytes, headers } = await download(bench, photo.file_id);
  t.ok(bytes.equals(PNG));
  t.match(
    ['content-type', 'content-length', 'x-content-type-options'].map((name) => headers.get(name)),
    ['image/png', String(PNG.length), 'nosniff'],
  );
  const path = file.body.result.file_path;
  for (const [url, code, description] of [
    [`bot${token}/${path}x`, 404, 'Not Found'],
    [`bot${token}/photos/file_1.jpg`, 404, 'Not Found'],
    [`bot${token}/../telegram/port`, 404, 'Not Found'],
    [`bot${otherToken}/${path}`, 404, 'Not Found'],
    [`bot${token}x/${path}`, 401, 'Unauthorized'],
    [`botx/${path}`, 401, 'Unauthorized: invalid token specified'],
  ] as const) {
    const answer = await ask(`${telegram.url}/file/${url}`, {});
    t.match(answer, { status: code, body: { ok: false, error_code: code, description } }, url);
  }

  const again = await call('sendPhoto', { chat_id: chat, photo: photo.file_id });
  t.same(again.body.result.photo, [photo], 'the same file by its id');
  const twice = await upload(bench, 'sendPhoto', { chat_id: chat, photo: PNG });
  t.same(twice.body.result.photo, [photo], 'and when it is brought again');

  const paper = Buffer.from('%PDF-1.4 …');
  const sentPaper = await upload(
    bench,
    'sendDocument',
    { chat_id: chat, document: new Blob([paper], { type: 'text/html' }), thumbnail: PNG },
    { document: '../a "b".PDF' },
  );
  const { document } = sentPaper.body.result;
  t.match(document, { file_name: 'a %22b%22.PDF', mime_type: 'application/pdf', file_size: paper.length });
  t.match(document.file_id, /^BQAC/);
  const paperBack = await download(bench, document.file_id);
  t.ok(paperBack.bytes.equals(paper));
  t.equal(paperBack.headers.get('content-type'), 'application/octet-stream');
  t.match((await call('getFile', { file_id: document.file_id })).body.result.file_path, /^documents\/.*\.pdf$/);
  const imageAsDocument = await upload(bench, 'sendDocument', { chat_id: chat, document: PNG }, { document: 'a.png' });
  t.match(imageAsDocument.body.result, { photo: undefined, document: { mime_type: 'image/png' } });
  t.not(imageAsDocument.body.result.document.file_unique_id, photo.file_unique_id);

  const seen = (await local('GET', `messages?chat=${botId}&user=${chat}`)).body;
  t.match(seen[0], {
    messageId: 1,
    caption: 'the grey one',
    captionEntities: [{ type: 'bold' }],
    photo: [photo],
    text: undefined,
  });
  t.match(seen[3], { document, caption: undefined });
  t.match((await local('GET', 'stats')).body, {
    accepted: 5,
    calls: { sendPhoto: 3, sendDocument: 2, getFile: 4 },
  });
  t.equal(readdirSync(join(t.testdirName, 'telegram', 'files')).length, 2, 'the same bytes are kept once');
});

t.test('files are given as parts, by attach://, by id; in forms, in JSON and within arguments', async (t) => {
  const bench = await start(t);
  const { chat, call, telegram, token } = bench;
  const one = await upload(bench, 'sendPhoto', { chat_id: chat, photo: 'attach://any name', 'any name': PNG });
  t.match(one.body.result.photo, [{ width: 40 }]);
  const [{ file_id: fileId }] = one.body.result.photo;
  const form = new URLSearchParams({ chat_id: String(chat), photo: fileId, caption: 'by form' });
  t.match((await ask(`${telegram.url}/bot${token}/sendPhoto`, { method: 'POST', body: form })).body.result, {
    caption: 'by form',
    photo: [{ file_id: fileId }],
  });
  t.match((await ask(`${telegram.url}/bot${token}/sendPhoto?${form}`, {})).body.result.photo, [{ file_id: fileId }]);

  const { message_id: id } = (await call('sendMessage', { chat_id: chat, text: 'to be a picture' })).body.result;
  const media = { type: 'photo', media: 'attach://p', caption: '<b>new</b>', parse_mode: 'HTML', has_spoiler: true };
  const edited = await upload(bench, 'editMessageMedia', {
    chat_id: chat,
    message_id: id,
    media: JSON.stringify(media),
    p: pngImage(7, 5),
  });
  t.match(edited.body.result, {
    message_id: id,
    photo: [{ width: 7, height: 5 }],
    caption: 'new',
    caption_entities: [{ type: 'bold' }],
    has_media_spoiler: true,
    text: undefined,
    edit_date: Number,
  });
  const back = await call('editMessageMedia', {
    chat_id: chat,
    message_id: id,
    media: { type: 'photo', media: fileId },
  });
  t.match(back.body.result, { photo: [{ file_id: fileId }], caption: undefined, has_media_spoiler: undefined });

  const edit = { chat_id: chat, message_id: id };
  for (const [args, description] of [
    [{}, 'parameter "media" is required'],
    [{ media: '{' }, "can't parse input media JSON object"],
    [{ media: '[]' }, "can't parse InputMedia: expected an Object"],
    [{ media: { type: 'photo' } }, "can't parse InputMedia: media not found"],
    [{ media: { media: fileId } }, 'can\'t parse InputMedia: can\'t find field "type"'],
    [{ media: { type: 'photo', media: 'attach://q' } }, "can't parse InputMedia: media not found"],
    [{ media: { type: 'hologram', media: fileId } }, 'can\'t parse InputMedia: type "hologram" is unsupported'],
    [{ media: { type: 'document', media: fileId } }, "can't use file of type Photo as Document"],
    [
      { media: { type: 'photo', media: fileId } },
      'message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message',
    ],
  ] as const) {
    const answer = await call('editMessageMedia', { ...edit, ...args });
    t.match(answer, { status: 400, body: { description: RegExp(`^Bad Request: ${literal(description)}`, 'i') } });
  }
});

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

// The errors that docs/telegram.md names have their rows in errors.test.ts.
t.test('what else cannot be sent or asked for, in Telegram’s words', async (t) => {
  const bench = await start(t);
  const { chat, otherToken } = bench;
  const sent = await upload(bench, 'sendPhoto', { chat_id: chat, photo: PNG });
  const [{ file_id: photoId }] = sent.body.result.photo;
  const sentDocument = await upload(bench, 'sendDocument', { chat_id: chat, document: PNG });
  const documentId = sentDocument.body.result.document.file_id;
  const { id: theirs } = (await bench.local('GET', 'bots')).body[1];
  await bench.local('POST', 'messages', { from: chat, chat: theirs, text: '/start' });
  const ours = await upload(bench, 'sendPhoto', { chat_id: chat, photo: PNG }, {}, otherToken);
  const [{ file_id: foreignId, file_unique_id: foreignUnique }] = ours.body.result.photo;
  t.not(foreignId, photoId, 'each bot has its own id of the same file');
  t.equal(foreignUnique, sent.body.result.photo[0].file_unique_id);

  type Case = readonly [string, Record<string, string | number | Buffer>, string];
  const cases: readonly Case[] = [
    ['sendPhoto', { photo: 'attach://nothing' }, 'there is no photo in the request'],
    ['sendDocument', { photo: PNG }, 'there is no document in the request'],
    ['sendPhoto', { photo: PNG, caption: 'x'.repeat(1025) }, 'message caption is too long'],
    ['sendPhoto', { photo: PNG, caption: '<b>', parse_mode: 'HTML' }, "can't parse entities: "],
    ['sendPhoto', { photo: PNG, chat_id: 5 }, 'chat not found'],
    ['sendPhoto', { photo: Buffer.from('not an image'), chat_id: 5 }, 'chat not found'],
    ['sendDocument', { document: Buffer.alloc(0) }, 'file must be non-empty'],
    ['sendPhoto', { photo: pngImage(9990, 11) }, 'PHOTO_INVALID_DIMENSIONS'],
    [
      'sendPhoto',
      { photo: 'https://example.org/a.jpg' },
      'failed to get HTTP URL content: the local Telegram fetches nothing',
    ],
    [
      'sendDocument',
      { document: 'example.org/a' },
      'failed to get HTTP URL content: the local Telegram fetches nothing',
    ],
    ['sendPhoto', { photo: 'AgAC!' }, 'wrong remote file identifier specified: Wrong character in the string'],
    ['sendPhoto', { photo: 'AgACA' }, 'wrong remote file identifier specified: Wrong string length'],
    ['sendPhoto', { photo: documentId }, "can't use file of type Document as Photo"],
    ['copyMessage', {}, 'parameter "from_chat_id" is required'],
    ['copyMessage', { from_chat_id: 5 }, 'chat not found'],
    ['editMessageCaption', { message_id: 99 }, 'message to edit not found'],
  ];
  for (const [method, args, description] of cases) {
    const answer = await upload(bench, method, { chat_id: chat, ...args });
    const starts = RegExp(`^Bad Request: ${literal(description)}`);
    t.match(
      answer,
      { status: 400, body: { ok: false, error_code: 400, description: starts } },
      `${method}: ${description}`,
    );
  }
  const full = { chat_id: chat, photo: PNG, caption: `<i>${'x'.repeat(1024)}</i>`, parse_mode: 'HTML' };
  t.equal((await upload(bench, 'sendPhoto', full)).status, 200, 'captions are measured after parsing');
  t.equal((await upload(bench, 'sendPhoto', { chat_id: chat, photo: pngImage(40, 2) })).status, 200);

  t.match(await upload(bench, 'sendDocument', { chat_id: chat, document: Buffer.alloc(50 * MEGABYTE + 1) }), {
    status: 413,
    body: { description: 'Request Entity Too Large' },
  });
  await bench.local('PUT', `blocks/${chat}/${bench.botId}`);
  t.match(await upload(bench, 'sendPhoto', { chat_id: chat, photo: PNG }), {
    status: 403,
    body: { description: 'Forbidden: bot was blocked by the user' },
  });
});

t.test('limits and faults hold for files as for texts', async (t) => {
  const made = await bench(t);
  const { local, call, people } = made;
  const [chat = 0] = await people(1);
  t.equal((await upload(made, 'sendPhoto', { chat_id: chat, photo: PNG, caption: '#1 x' })).status, 200);
  const refused = await upload(made, 'sendDocument', { chat_id: chat, document: PNG });
  t.match(refused, { status: 429, body: { parameters: { retry_after: 1 } } });
  t.equal((await call('copyMessage', { chat_id: chat, from_chat_id: chat, message_id: 1 })).status, 429);
  await local('PUT', 'faults', { errorShare: 1 });
  t.equal((await upload(made, 'sendPhoto', { chat_id: chat, photo: PNG })).status, 500);
  t.match((await local('GET', 'stats')).body, {
    accepted: 1,
    distinct: 1,
    tooMany: 2,
    calls: { sendPhoto: 2, sendDocument: 1, copyMessage: 1 },
  });
  t.equal(readdirSync(join(t.testdirName, 'telegram', 'files')).length, 1, 'nothing is kept of what is refused');
});

t.test('captions are edited, messages copied', async (t) => {
  const bench = await start(t);
  const { chat, call, local, botId } = bench;
  const markup = { inline_keyboard: [[{ text: 'go', callback_data: 'go' }]] };
  const text = (await call('sendMessage', { chat_id: chat, text: 'plain /go', reply_markup: markup })).body.result;
  const { result: photo } = (
    await upload(bench, 'sendPhoto', {
      chat_id: chat,
      photo: PNG,
      caption: 'one',
      has_spoiler: 1,
      reply_markup: JSON.stringify(markup),
    })
  ).body;
  const { result: paper } = (await upload(bench, 'sendDocument', { chat_id: chat, document: PNG, caption: 'two' }))
    .body;

  const wrong = [
    [await call('editMessageCaption', { chat_id: chat, message_id: text.message_id, caption: 'x' }), 'caption'],
    [await call('editMessageText', { chat_id: chat, message_id: photo.message_id, text: 'x' }), 'text'],
    [await call('editMessageText', { chat_id: chat, message_id: paper.message_id, text: 'x' }), 'text'],
  ] as const;
  for (const [answer, what] of wrong) {
    t.match(answer, { status: 400, body: { description: `Bad Request: there is no ${what} in the message to edit` } });
  }
  const edit = { chat_id: chat, message_id: photo.message_id };
  const edited = await call('editMessageCaption', {
    ...edit,
    caption: '<u>three</u>',
    parse_mode: 'HTML',
    reply_markup: markup,
  });
  t.match(edited.body.result, {
    message_id: photo.message_id,
    photo: photo.photo,
    caption: 'three',
    caption_entities: [{ type: 'underline', offset: 0, length: 5 }],
    has_media_spoiler: true,
    reply_markup: markup,
    edit_date: Number,
  });
  const same = await call('editMessageCaption', {
    ...edit,
    caption: '<u>three</u>',
    parse_mode: 'HTML',
    reply_markup: markup,
  });
  t.match(same.body.description, /^Bad Request: message is not modified/);
  t.match((await call('editMessageCaption', { ...edit, caption: 'x'.repeat(1025) })).body, {
    description: 'Bad Request: message caption is too long',
  });
  const bare = await call('editMessageCaption', edit);
  t.match(bare.body.result, { photo: photo.photo, caption: undefined, reply_markup: undefined });
  t.match((await call('editMessageReplyMarkup', { ...edit, reply_markup: markup })).body.result, {
    photo: photo.photo,
    reply_markup: markup,
  });
  const reply = await call('sendMessage', {
    chat_id: chat,
    text: 'see',
    reply_parameters: { message_id: paper.message_id },
  });
  t.match(reply.body.result.reply_to_message, { document: paper.document, caption: 'two' });

  const copy = async (message: number, more = {}): Promise<Answer> => {
    const { body } = await call('copyMessage', { chat_id: chat, from_chat_id: chat, message_id: message, ...more });
    t.same(Object.keys(body.result), ['message_id']);
    const seen = (await local('GET', `messages?chat=${botId}&user=${chat}&after=${body.result.message_id - 1}`)).body;
    return seen[0];
  };
  t.match(await copy(text.message_id, { caption: 'no place for it' }), {
    text: 'plain /go',
    entities: [{ type: 'bot_command' }],
    replyMarkup: undefined,
  });
  t.match(await copy(paper.message_id), { document: paper.document, caption: 'two' });
  t.match(await copy(paper.message_id, { caption: '' }), { document: paper.document, caption: undefined });
  t.match(await copy(photo.message_id, { caption: '`new`', parse_mode: 'MarkdownV2', reply_markup: markup }), {
    photo: photo.photo,
    caption: 'new',
    captionEntities: [{ type: 'code' }],
    replyMarkup: markup,
  });

  const group = (await local('POST', 'chats', { type: 'supergroup', title: 'G', ownerId: chat })).body.id;
  await local('PUT', `chats/${group}/members/${botId}`, { status: 'administrator' });
  const there = await call('copyMessage', { chat_id: group, from_chat_id: chat, message_id: photo.message_id });
  t.match((await local('GET', `messages?chat=${group}&user=${chat}&after=${there.body.result.message_id - 1}`)).body, [
    { photo: [{ file_unique_id: photo.photo[0].file_unique_id }] },
  ]);
  await call('pinChatMessage', { chat_id: group, message_id: there.body.result.message_id });
  const pinNotice = there.body.result.message_id + 1;
  t.match((await call('copyMessage', { chat_id: chat, from_chat_id: group, message_id: pinNotice })).body, {
    description: "Bad Request: message can't be copied",
  });
});

t.test('people send photos and documents, and get at those that they are sent', async (t) => {
  const bench = await start(t);
  const { chat, call, local, updates, telegram, botId, otherToken } = bench;
  const base64 = PNG.toString('base64');
  await updates();
  t.match(
    (await local('POST', 'messages', { from: chat, chat: botId, photo: { base64 }, caption: ' see /this ' })).body,
    {
      messageId: 1,
    },
  );
  const notes = Buffer.from('<script>alert(1)</script>');
  const document = { name: 'nötes "1".html', base64: notes.toString('base64') };
  await local('POST', 'messages', { from: chat, chat: botId, document, replyTo: 1 });
  const told = await updates();
  t.match(told, [
    {
      message: {
        from: { id: chat },
        photo: [{ width: 40, height: 30 }],
        caption: 'see /this',
        caption_entities: [{ type: 'bot_command', offset: 4, length: 5 }],
      },
    },
    {
      message: {
        document: { file_name: 'nötes "1".html', mime_type: 'text/html', file_size: notes.length },
        reply_to_message: { message_id: 1, photo: [{ width: 40 }] },
      },
    },
  ]);
  const [photo] = told[0].message.photo;
  t.ok((await download(bench, photo.file_id)).bytes.equals(PNG));
  t.equal((await call('sendPhoto', { chat_id: chat, photo: photo.file_id })).status, 200);

  const shown = await fetch(`${telegram.url}/local/files/${photo.file_unique_id}`);
  t.ok(Buffer.from(await shown.arrayBuffer()).equals(PNG));
  const kept = await fetch(`${telegram.url}/local/files/${told[1].message.document.file_unique_id}`);
  t.equal(await kept.text(), notes.toString());
  for (const { headers } of [shown, kept]) {
    t.equal(headers.get('x-content-type-options'), 'nosniff');
    t.match(headers.get('content-security-policy'), /default-src 'none'; sandbox/);
  }
  t.equal(shown.headers.get('content-type'), 'image/png');
  t.equal(shown.headers.get('content-disposition'), null);
  t.equal(kept.headers.get('content-type'), 'application/octet-stream');
  t.equal(kept.headers.get('content-disposition'), "attachment; filename*=UTF-8''n%C3%B6tes%20%221%22.html");
  t.equal((await local('GET', 'files/AQADnothing')).status, 404);
  t.equal((await local('DELETE', `files/${photo.file_unique_id}`)).status, 404);

  const group = (await local('POST', 'chats', { type: 'group', title: 'G', ownerId: chat })).body.id;
  const otherId = (await local('GET', 'bots')).body[1].id;
  for (const bot of [botId, otherId]) {
    await local('PUT', `chats/${group}/members/${bot}`, { status: 'administrator' });
    await updates();
    await updates(otherToken);
  }
  await local('POST', 'messages', { from: chat, chat: group, photo: { base64 } });
  const [mine] = (await updates())[0].message.photo;
  const [theirs] = (await updates(otherToken))[0].message.photo;
  t.equal(mine.file_id, photo.file_id, 'a bot has one id of a file, wherever it sees it');
  t.not(theirs.file_id, mine.file_id);
  t.ok((await download(bench, theirs.file_id, otherToken)).bytes.equals(PNG));
  const [seen] = (await local('GET', `messages?chat=${group}&user=${chat}`)).body.slice(-1);
  t.match(seen.photo, [{ file_unique_id: photo.file_unique_id }]);
  t.match((await call('getFile', { file_id: seen.photo[0].file_id })).body, { ok: false }, "people's ids are no bot's");

  t.equal((await local('PUT', 'messages', { from: chat, chat: botId, messageId: 1, caption: 'other' })).status, 200);
  t.match(await updates(), [{ edited_message: { message_id: 1, caption: 'other', photo: [photo] } }]);
  const from = { from: chat, chat: botId };
  for (const [method, body, field] of [
    ['POST', { ...from, photo: { base64 }, text: 'x' }, /^photo: expected no more than one/],
    ['POST', { ...from, text: 'x', caption: 'y' }, /^caption: expected only with/],
    ['POST', { ...from, photo: base64 }, /^photo: expected an object with base64/],
    ['POST', { ...from, photo: { base64, name: 'x' } }, /^photo\.name: no such field/],
    ['POST', { ...from, photo: { base64: 'x' } }, /^photo\.base64: expected bytes/],
    ['POST', { ...from, photo: { base64: 'AAAA' } }, /^photo\.base64: .*IMAGE_PROCESS_FAILED/],
    ['POST', { ...from, document: { name: 5, base64 } }, /^document\.name:/],
    ['POST', { ...from, document: { name: 'x', base64: '' } }, /^document\.base64: .*non-empty/],
    ['POST', { ...from, photo: { base64 }, caption: 'x'.repeat(1025) }, /^caption: expected a text of at most 1024/],
    ['PUT', { ...from, messageId: 1, text: 'x' }, /^text: expected none/],
  ] as const) {
    const answer = await local(method, 'messages', body);
    t.equal(answer.status, 400);
    t.match(answer.body.error, field);
  }
});

t.test('files outlive the process; what a death left half-done is cleared away', async (t) => {
  const dir = t.testdir({});
  const [dataDir, copy] = [join(dir, 'first'), join(dir, 'copy')];
  const first = await bench(t, { dataDir });
  await first.local('PUT', 'faults', { limits: 'off' });
  const [chat = 0] = await first.people(1);
  const sent = (await upload(first, 'sendPhoto', { chat_id: chat, photo: PNG, caption: 'kept' })).body.result;
  const paper = (await upload(first, 'sendDocument', { chat_id: chat, document: Buffer.from('gone') })).body.result;
  // As the files lie after a kill: the process has no say in it.
  cpSync(dataDir, copy, { recursive: true, filter: (path) => !path.endsWith('lock') });
  const files = join(copy, 'telegram', 'files');
  writeFileSync(join(files, 'f'.repeat(64)), 'nobody knows these bytes');
  writeFileSync(join(files, `${'e'.repeat(64)}.draft`), 'half');
  const names = readdirSync(files).filter((name) => readFileSync(join(files, name), 'utf8') === 'gone');
  t.equal(names.length, 1);
  rmSync(join(files, names[0] ?? ''));

  for (let round = 0; round < 2; round += 1) {
    const again = await bench(t, { dataDir: copy });
    t.equal(readdirSync(files).length, 1, 'only what is needed is left');
    t.ok((await download(again, sent.photo[0].file_id)).bytes.equals(PNG));
    t.match((await again.local('GET', `messages?chat=${again.botId}&user=${chat}`)).body, [
      { photo: sent.photo, caption: 'kept' },
      { document: paper.document },
    ]);
    const lost = { file_id: paper.document.file_id };
    t.match((await again.call('getFile', lost)).body, {
      description: 'Bad Request: wrong file_id or the file is temporarily unavailable',
    });
    t.match((await again.call('sendDocument', { chat_id: chat, document: lost.file_id })).body, {
      description: 'Bad Request: wrong file identifier/HTTP URL specified',
    });
    if (round === 1) {
      await upload(again, 'sendDocument', { chat_id: chat, document: Buffer.from('gone') });
      t.equal((await download(again, paper.document.file_id)).bytes.toString(), 'gone', 'brought again, it is back');
      await again.local('POST', 'reset', { world: true });
      t.same(readdirSync(files), [], 'a reset of the world takes the files along');
      t.match((await again.call('getFile', { file_id: sent.photo[0].file_id })).status, 400);
    }
    await again.telegram.stop();
  }
});

const stored = (number: number, content = `content ${number}`): [StoredFile, Buffer] => {
  const bytes = Buffer.from(content.padEnd(100, '.'));
  return [documentOf({ name: `${number}.txt`, type: '', bytes }), bytes];
};

t.test('the oldest files are given up beyond the bounds, and their bytes once that is durable', (t) => {
  const table = new FileTable(350, 5);
  const [a, b, c, d] = [stored(1)[0], stored(2)[0], stored(3)[0], stored(4, 'content 2')[0]];
  t.same(
    [a, b, c, d, a].map((file) => table.add(file)),
    [[], [], [], [], []],
    'the same bytes count once',
  );
  t.same(table.all, [a, b, c, d]);
  t.same(table.add(stored(5)[0]), [a.hash]);
  t.equal(table.find(a.unique), undefined);
  t.same(table.add(stored(6)[0]), [c.hash], 'bytes that another file has too are kept');
  t.ok(table.has(d.hash) && table.find(b.unique) === undefined);
  for (const number of [7, 8, 9]) table.add(stored(number, 'the same')[0]);
  t.equal(table.all.length, 5, 'neither may there be too many');
  table.clear();
  t.same([table.all, table.has(d.hash)], [[], false]);

  const dir = t.testdir();
  const journal = Journal.open(dir, () => undefined);
  const world = World.open(dir, journal, t.fail);
  Object.assign(world.state, { files: new FileTable(250, 100) });
  const kept = (): number => readdirSync(join(dir, 'files')).length;
  for (const number of [1, 2, 3]) t.ok(world.keepFile(...stored(number)));
  t.equal(kept(), 3);
  t.equal(world.findFile(a.unique), undefined);
  t.ok(world.flush());
  t.equal(kept(), 2);
  t.ok(world.findFile(b.unique));
  journal.close();
  t.end();
});

/** Heads of images, each with the size 300 × 200. */
const IMAGES: Readonly<Record<string, Buffer>> = {
  png: pngImage(300, 200),
  gif: Buffer.concat([Buffer.from('GIF89a'), Buffer.from([44, 1, 200, 0, 0, 0, 0])]),
  jpg: Buffer.from('ffd8ffe000104a46494600010100000100010000fffffe0004aabbffc200110800c8012c03012200', 'hex'),
  'webp VP8': Buffer.concat([
    Buffer.from('RIFF\x1e\0\0\0WEBPVP8 \x12\0\0\0\x30\x01\0\x9d\x01\x2a', 'latin1'),
    Buffer.from([44, 1, 200, 0, 0, 0]),
  ]),
  'webp VP8L': Buffer.concat([
    Buffer.from('RIFF\x1e\0\0\0WEBPVP8L\x12\0\0\0\x2f', 'latin1'),
    Buffer.from([43, 193, 49, 0, 0, 0, 0, 0, 0]),
  ]),
  'webp VP8X': Buffer.concat([
    Buffer.from('RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0', 'latin1'),
    Buffer.from([43, 1, 0, 199, 0, 0]),
  ]),
};

t.test('the size of an image is read from its head', (t) => {
  for (const [name, bytes] of Object.entries(IMAGES)) {
    t.same(readImageSize(bytes), { kind: name.split(' ')[0], width: 300, height: 200 }, name);
    t.equal(readImageSize(bytes.subarray(0, 9)), undefined, `${name}, cut off`);
  }
  t.equal(readImageSize(pngImage(0, 5)), undefined, 'no image has no pixels');
  t.equal(readImageSize(Buffer.from('ffd8ffda00020000000000000000', 'hex')), undefined, 'data without a frame');
  const heads = fc.constantFrom(...Object.values(IMAGES));
  fc.assert(
    fc.property(heads, fc.nat(40), fc.uint8Array({ maxLength: 40 }), (head, at, noise) => {
      const bytes = Buffer.from(Buffer.concat([head.subarray(0, at), noise]));
      const size = readImageSize(bytes);
      if (size !== undefined) t.ok(size.width > 0 && size.height > 0);
    }),
    { numRuns: 1000 },
  );
  t.end();
});

t.test('the type of a document is told from its name, else taken from the sender', (t) => {
  t.equal(mimeTypeOf('A.JPEG', 'text/html'), 'image/jpeg');
  t.equal(mimeTypeOf('a.unknown', 'Application/X-Thing; charset=x'), 'application/x-thing');
  t.equal(mimeTypeOf('a', 'text/html\r\nX: y'), 'application/octet-stream');
  t.equal(mimeTypeOf('', ''), 'application/octet-stream');
  for (const [name, kept] of [
    ['C:\\dir\\a.txt', 'a.txt'],
    ['../../etc/passwd', 'passwd'],
    ['a\u0000\r\nb\ud800', 'ab'],
    ['  ', undefined],
  ] as const) {
    t.equal(documentOf({ name, type: '', bytes: Buffer.from('x') }).name, kept);
  }
  t.end();
});

t.test('malformed forms and arguments with files: a Bot API error each, never 5xx', async (t) => {
  const bench = await start(t);
  const { telegram, token, chat, call } = bench;
  const random = seededRandom(t);
  const sent = (await upload(bench, 'sendPhoto', { chat_id: chat, photo: PNG })).body.result;
  const [{ file_id: fileId }] = sent.photo;
  const texts = [
    'attach://photo',
    'attach://',
    'attach://media',
    fileId,
    fileId.slice(0, 9),
    'http://x',
    '.',
    '-',
    '\0',
    '{}',
    '[]',
    '5',
  ];
  const inputs = [
    ...texts,
    `{"type":"photo","media":"attach://photo"}`,
    '{"type":"document","media":5}',
    '{"type":[]}',
    'null',
  ];
  const rounds = process.env.POSTHORN_TEST_LONG === undefined ? 400 : 10_000;
  const statuses = new Map<number, number>();
  for (let round = 0; round < rounds; round += 1) {
    const method = random.pick([
      'sendPhoto',
      'sendDocument',
      'editMessageMedia',
      'editMessageCaption',
      'copyMessage',
      'getFile',
    ]);
    const form = new FormData();
    if (random.chance(0.9)) form.set('chat_id', String(chat));
    form.set('message_id', random.pick(['1', '2', '-1', 'x']));
    form.set('from_chat_id', random.pick([String(chat), '', '0']));
    for (const name of ['photo', 'document', 'media', 'file_id', 'caption', 'caption_entities', 'reply_markup']) {
      if (random.chance(0.4)) form.set(name, random.pick(inputs));
      if (random.chance(0.3))
        form.append(
          name,
          new Blob([random.pick([PNG, Buffer.from('x'), Buffer.alloc(0)])]),
          random.pick(['a.png', '', '"', '/']),
        );
    }
    const response = new Response(form);
    let body = Buffer.from(await response.arrayBuffer());
    for (let i = random.pick([0, 0, 1, 3]); i > 0; i -= 1) {
      const at = random.whole(0, body.length);
      const put = random.pick([[], [13, 10], [45, 45], [0], [34]]);
      body = Buffer.concat([body.subarray(0, at), Buffer.from(put), body.subarray(at + random.pick([0, 1, 30]))]);
    }
    const answer = await ask(`${telegram.url}/bot${token}/${method}`, {
      method: 'POST',
      headers: { 'content-type': response.headers.get('content-type') ?? '' },
      body,
    });
    const { status } = answer;
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    const fine =
      status === 200
        ? answer.body.ok === true
        : status < 500 && answer.body.error_code === status && typeof answer.body.description === 'string';
    if (!fine)
      t.fail(`${status} ${JSON.stringify(answer.body)}`, { method, body: body.toString('latin1').slice(0, 2000) });
  }
  t.ok((statuses.get(200) ?? 0) > 0, `some are taken: ${JSON.stringify([...statuses])}`);
  t.equal((await call('sendMessage', { chat_id: chat, text: 'still there' })).status, 200);
});
