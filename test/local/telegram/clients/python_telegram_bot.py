"""The bot of clients.test.ts as python-telegram-bot's documentation would have it."""

import asyncio
import os
from urllib.parse import urlsplit

from telegram import BotCommand, InlineKeyboardButton, InlineKeyboardMarkup, Update
from telegram.constants import ChatMemberStatus, ChatType, ParseMode
from telegram.error import Forbidden, RetryAfter
from telegram.ext import (
    Application,
    CallbackQueryHandler,
    ChatJoinRequestHandler,
    ChatMemberHandler,
    CommandHandler,
    ContextTypes,
    MessageHandler,
    filters,
)

WEBHOOK_URL = os.environ.get("WEBHOOK_URL")
WEBHOOK_SECRET = os.environ.get("WEBHOOK_SECRET")


def tell(line: str) -> None:
    print(line, flush=True)


async def start(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    keyboard = [
        [
            InlineKeyboardButton("Yes", callback_data="agree:yes"),
            InlineKeyboardButton("No", callback_data="agree:no"),
        ]
    ]
    await update.message.reply_text(
        f"Hello, {update.effective_user.first_name}. Do you agree?", reply_markup=InlineKeyboardMarkup(keyboard)
    )


async def agree(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    choice = context.match.group(1)
    await update.callback_query.answer(f"Noted: {choice}")
    await update.callback_query.edit_message_text(f"You said {choice}.")


async def show_help(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    await update.message.reply_text(
        '<b>Help</b>: <a href="https://example.org/">read</a> &amp; write <code>/start</code> <tg-spoiler>now</tg-spoiler>',
        parse_mode=ParseMode.HTML,
    )
    await update.message.reply_text(
        "*Help*: [read](https://example.org/) & write `/start` ||now||", parse_mode=ParseMode.MARKDOWN_V2
    )


async def photo(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    with open(os.environ["PHOTO"], "rb") as file:
        sent = await update.message.reply_photo(file, caption="An upload")
    await update.message.reply_photo(sent.photo[-1].file_id, caption="The same again")


async def document(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    with open(os.environ["DOCUMENT"], "rb") as file:
        sent = await update.message.reply_document(file, filename="notes.txt", caption="To keep")
    kept = await sent.document.get_file()
    content = await kept.download_as_bytearray()
    await update.message.reply_text(f"notes.txt says: {content.decode().strip()}")


async def burst(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    for n in (1, 2, 3):
        await obeying(lambda: update.message.reply_text(f"Burst {n}"))


async def obeying(call):
    """Calls until the answer is another than 429, waiting for as long as each 429 says."""
    while True:
        try:
            return await call()
        except RetryAfter as error:
            tell(f"429 {error.retry_after}")
            await asyncio.sleep(error.retry_after)


async def my_chat_member(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    event = update.my_chat_member
    if event.chat.type != ChatType.PRIVATE:
        if event.new_chat_member.status == ChatMemberStatus.ADMINISTRATOR:
            link = await event.chat.create_invite_link(name="On request", creates_join_request=True)
            tell(f"invite {link.invite_link}")
        return
    tell(f"my_chat_member {event.from_user.id} {event.new_chat_member.status}")
    try:
        await context.bot.send_message(event.from_user.id, "Welcome back.")
    except Forbidden as error:
        tell(f"403 {error.message}")


async def chat_join_request(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    request = update.chat_join_request
    await request.approve()
    await context.bot.send_message(
        request.user_chat_id, f"Welcome to {request.chat.title}, {request.from_user.first_name}."
    )


async def echo(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    await update.message.reply_text(update.message.text)


async def post_init(application: Application) -> None:
    await application.bot.set_my_commands([BotCommand("start", "Begin"), BotCommand("help", "What there is")])
    me = await application.bot.get_me()
    tell(f"ready @{me.username}")


def main() -> None:
    root = os.environ["TELEGRAM_API_ROOT"]
    application = (
        Application.builder()
        .token(os.environ["BOT_TOKEN"])
        .base_url(f"{root}/bot")
        .base_file_url(f"{root}/file/bot")
        .post_init(post_init)
        .build()
    )
    application.add_handler(CommandHandler("start", start))
    application.add_handler(CommandHandler("help", show_help))
    application.add_handler(CommandHandler("photo", photo))
    application.add_handler(CommandHandler("document", document))
    application.add_handler(CommandHandler("burst", burst))
    application.add_handler(CallbackQueryHandler(agree, pattern=r"^agree:(.+)$"))
    application.add_handler(ChatMemberHandler(my_chat_member, ChatMemberHandler.MY_CHAT_MEMBER))
    application.add_handler(ChatJoinRequestHandler(chat_join_request))
    application.add_handler(MessageHandler(filters.TEXT & ~filters.COMMAND, echo))
    if WEBHOOK_URL is None:
        application.run_polling(allowed_updates=Update.ALL_TYPES)
        return
    address = urlsplit(WEBHOOK_URL)
    application.run_webhook(
        listen="127.0.0.1",
        port=address.port,
        url_path=address.path,
        webhook_url=WEBHOOK_URL,
        secret_token=WEBHOOK_SECRET,
        allowed_updates=Update.ALL_TYPES,
    )


if __name__ == "__main__":
    main()
