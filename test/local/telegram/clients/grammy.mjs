// The bot of clients.test.ts as grammY's documentation would have it.
import { createServer } from 'node:http';
import { Bot, GrammyError, InlineKeyboard, InputFile, webhookCallback } from 'grammy';

const { BOT_TOKEN, TELEGRAM_API_ROOT, WEBHOOK_URL, WEBHOOK_SECRET, PHOTO, DOCUMENT } = process.env;
const bot = new Bot(BOT_TOKEN, { client: { apiRoot: TELEGRAM_API_ROOT } });
const tell = (line) => console.log(line);

bot.command('start', (ctx) =>
  ctx.reply(`Hello, ${ctx.from.first_name}. Do you agree?`, {
    reply_markup: new InlineKeyboard().text('Yes', 'agree:yes').text('No', 'agree:no'),
  }),
);

bot.callbackQuery(/^agree:(.+)$/, async (ctx) => {
  await ctx.answerCallbackQuery(`Noted: ${ctx.match[1]}`);
  await ctx.editMessageText(`You said ${ctx.match[1]}.`);
});

bot.command('help', async (ctx) => {
  await ctx.reply(
    '<b>Help</b>: <a href="https://example.org/">read</a> &amp; write <code>/start</code> <tg-spoiler>now</tg-spoiler>',
    { parse_mode: 'HTML' },
  );
  await ctx.reply('*Help*: [read](https://example.org/) & write `/start` ||now||', { parse_mode: 'MarkdownV2' });
});

bot.command('photo', async (ctx) => {
  const sent = await ctx.replyWithPhoto(new InputFile(PHOTO), { caption: 'An upload' });
  await ctx.replyWithPhoto(sent.photo.at(-1).file_id, { caption: 'The same again' });
});

bot.command('document', async (ctx) => {
  const { document } = await ctx.replyWithDocument(new InputFile(DOCUMENT, 'notes.txt'), { caption: 'To keep' });
  const file = await ctx.api.getFile(document.file_id);
  const answer = await fetch(`${TELEGRAM_API_ROOT}/file/bot${BOT_TOKEN}/${file.file_path}`);
  await ctx.reply(`notes.txt says: ${(await answer.text()).trim()}`);
});

bot.command('burst', async (ctx) => {
  for (const n of [1, 2, 3]) await obeying(() => ctx.reply(`Burst ${n}`));
});

/** Calls until the answer is another than 429, waiting for as long as each 429 says. */
async function obeying(call) {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof GrammyError) || error.error_code !== 429) throw error;
      tell(`429 ${error.parameters.retry_after}`);
      await new Promise((resolve) => setTimeout(resolve, error.parameters.retry_after * 1000));
    }
  }
}

bot.on('my_chat_member', async (ctx) => {
  const { from, chat, new_chat_member: now } = ctx.myChatMember;
  if (chat.type !== 'private') {
    if (now.status !== 'administrator') return;
    const link = await ctx.createChatInviteLink({ name: 'On request', creates_join_request: true });
    tell(`invite ${link.invite_link}`);
    return;
  }
  tell(`my_chat_member ${from.id} ${now.status}`);
  try {
    await ctx.api.sendMessage(from.id, 'Welcome back.');
  } catch (error) {
    if (!(error instanceof GrammyError) || error.error_code !== 403) throw error;
    tell(`403 ${error.description}`);
  }
});

bot.on('chat_join_request', async (ctx) => {
  const { chat, from, user_chat_id: userChatId } = ctx.chatJoinRequest;
  await ctx.approveChatJoinRequest(from.id);
  await ctx.api.sendMessage(userChatId, `Welcome to ${chat.title}, ${from.first_name}.`);
});

bot.on('message:text', (ctx) => ctx.reply(ctx.message.text));

await bot.api.setMyCommands([
  { command: 'start', description: 'Begin' },
  { command: 'help', description: 'What there is' },
]);
if (WEBHOOK_URL === undefined) {
  process.once('SIGTERM', () => bot.stop());
  await bot.start({ onStart: ({ username }) => tell(`ready @${username}`) });
} else {
  const handle = webhookCallback(bot, 'http', { secretToken: WEBHOOK_SECRET });
  const { pathname, port } = new URL(WEBHOOK_URL);
  const server = createServer((req, res) => {
    if (req.url === pathname) handle(req, res);
    else res.writeHead(404).end();
  });
  await bot.init();
  server.listen(Number(port), '127.0.0.1', async () => {
    await bot.api.setWebhook(WEBHOOK_URL, { secret_token: WEBHOOK_SECRET });
    tell(`ready @${bot.botInfo.username}`);
  });
  process.once('SIGTERM', () => server.close());
}
