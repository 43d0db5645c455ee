// The bot of clients.test.ts as Telegraf's documentation would have it.
import { createServer } from 'node:http';
import { Input, Markup, Telegraf, TelegramError } from 'telegraf';
import { message } from 'telegraf/filters';

const { BOT_TOKEN, TELEGRAM_API_ROOT, WEBHOOK_URL, WEBHOOK_SECRET, PHOTO, DOCUMENT } = process.env;
const bot = new Telegraf(BOT_TOKEN, { telegram: { apiRoot: TELEGRAM_API_ROOT } });
const tell = (line) => console.log(line);

bot.start((ctx) =>
  ctx.reply(
    `Hello, ${ctx.from.first_name}. Do you agree?`,
    Markup.inlineKeyboard([Markup.button.callback('Yes', 'agree:yes'), Markup.button.callback('No', 'agree:no')]),
  ),
);

bot.action(/^agree:(.+)$/, async (ctx) => {
  await ctx.answerCbQuery(`Noted: ${ctx.match[1]}`);
  await ctx.editMessageText(`You said ${ctx.match[1]}.`);
});

bot.help(async (ctx) => {
  await ctx.replyWithHTML(
    '<b>Help</b>: <a href="https://example.org/">read</a> &amp; write <code>/start</code> <tg-spoiler>now</tg-spoiler>',
  );
  await ctx.replyWithMarkdownV2('*Help*: [read](https://example.org/) & write `/start` ||now||');
});

bot.command('photo', async (ctx) => {
  const sent = await ctx.replyWithPhoto(Input.fromLocalFile(PHOTO), { caption: 'An upload' });
  await ctx.replyWithPhoto(sent.photo.at(-1).file_id, { caption: 'The same again' });
});

bot.command('document', async (ctx) => {
  const { document } = await ctx.replyWithDocument(Input.fromLocalFile(DOCUMENT, 'notes.txt'), { caption: 'To keep' });
  const answer = await fetch(await ctx.telegram.getFileLink(document.file_id));
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
      if (!(error instanceof TelegramError) || error.code !== 429) throw error;
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
    await ctx.telegram.sendMessage(from.id, 'Welcome back.');
  } catch (error) {
    if (!(error instanceof TelegramError) || error.code !== 403) throw error;
    tell(`403 ${error.description}`);
  }
});

bot.on('chat_join_request', async (ctx) => {
  const { chat, from, user_chat_id: userChatId } = ctx.chatJoinRequest;
  await ctx.approveChatJoinRequest(from.id);
  await ctx.telegram.sendMessage(userChatId, `Welcome to ${chat.title}, ${from.first_name}.`);
});

bot.on(message('text'), (ctx) => ctx.reply(ctx.message.text));

await bot.telegram.setMyCommands([
  { command: 'start', description: 'Begin' },
  { command: 'help', description: 'What there is' },
]);
if (WEBHOOK_URL === undefined) {
  bot.launch(() => tell(`ready @${bot.botInfo.username}`));
} else {
  // `launch` writes https:// before any domain: on loopback its handler goes on a server of one's own.
  bot.botInfo = await bot.telegram.getMe();
  const { pathname, port } = new URL(WEBHOOK_URL);
  const server = createServer(bot.webhookCallback(pathname, { secretToken: WEBHOOK_SECRET }));
  server.listen(Number(port), '127.0.0.1', async () => {
    await bot.telegram.setWebhook(WEBHOOK_URL, { secret_token: WEBHOOK_SECRET });
    tell(`ready @${bot.botInfo.username}`);
  });
  process.once('SIGTERM', () => server.close());
}
process.once('SIGTERM', () => WEBHOOK_URL === undefined && bot.stop('SIGTERM'));
