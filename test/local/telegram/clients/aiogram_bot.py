"""The bot of clients.test.ts as aiogram's documentation would have it."""

import asyncio
import os
from urllib.parse import urlsplit

from aiogram import Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.enums import ChatType, ParseMode
from aiogram.exceptions import TelegramForbiddenError, TelegramRetryAfter
from aiogram.filters import PROMOTED_TRANSITION, ChatMemberUpdatedFilter, Command, CommandStart
from aiogram.types import (
    BotCommand,
    CallbackQuery,
    ChatJoinRequest,
    ChatMemberUpdated,
    FSInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
)
from aiogram.webhook.aiohttp_server import SimpleRequestHandler, setup_application
from aiohttp import web

WEBHOOK_URL = os.environ.get("WEBHOOK_URL")
WEBHOOK_SECRET = os.environ.get("WEBHOOK_SECRET")
router = Router()


def tell(line: str) -> None:
    print(line, flush=True)


@router.message(CommandStart())
async def start(message: Message) -> None:
    keyboard = InlineKeyboardMarkup(
        inline_keyboard=[
            [
                InlineKeyboardButton(text="Yes", callback_data="agree:yes"),
                InlineKeyboardButton(text="No", callback_data="agree:no"),
            ]
        ]
    )
    await message.answer(f"Hello, {message.from_user.first_name}. Do you agree?", reply_markup=keyboard)


@router.callback_query(F.data.startswith("agree:"))
async def agree(query: CallbackQuery) -> None:
    choice = query.data.removeprefix("agree:")
    await query.answer(f"Noted: {choice}")
    await query.message.edit_text(f"You said {choice}.")


@router.message(Command("help"))
async def show_help(message: Message) -> None:
    await message.answer(
        '<b>Help</b>: <a href="https://example.org/">read</a> &amp; write <code>/start</code> <tg-spoiler>now</tg-spoiler>',
        parse_mode=ParseMode.HTML,
    )
    await message.answer(
        "*Help*: [read](https://example.org/) & write `/start` ||now||", parse_mode=ParseMode.MARKDOWN_V2
    )


@router.message(Command("photo"))
async def photo(message: Message) -> None:
    sent = await message.answer_photo(FSInputFile(os.environ["PHOTO"]), caption="An upload")
    await message.answer_photo(sent.photo[-1].file_id, caption="The same again")


@router.message(Command("document"))
async def document(message: Message, bot: Bot) -> None:
    sent = await message.answer_document(FSInputFile(os.environ["DOCUMENT"], filename="notes.txt"), caption="To keep")
    content = await bot.download(sent.document)
    await message.answer(f"notes.txt says: {content.read().decode().strip()}")


@router.message(Command("burst"))
async def burst(message: Message) -> None:
    for n in (1, 2, 3):
        await obeying(lambda: message.answer(f"Burst {n}"))


async def obeying(call):
    """Calls until the answer is another than 429, waiting for as long as each 429 says."""
    while True:
        try:
            return await call()
        except TelegramRetryAfter as error:
            tell(f"429 {error.retry_after}")
            await asyncio.sleep(error.retry_after)


@router.my_chat_member(F.chat.type == ChatType.PRIVATE)
async def my_chat_member(event: ChatMemberUpdated, bot: Bot) -> None:
    tell(f"my_chat_member {event.from_user.id} {event.new_chat_member.status}")
    try:
        await bot.send_message(event.from_user.id, "Welcome back.")
    except TelegramForbiddenError as error:
        tell(f"403 {error.message}")


@router.my_chat_member(ChatMemberUpdatedFilter(PROMOTED_TRANSITION))
async def promoted(event: ChatMemberUpdated) -> None:
    link = await event.chat.create_invite_link(name="On request", creates_join_request=True)
    tell(f"invite {link.invite_link}")


@router.chat_join_request()
async def chat_join_request(request: ChatJoinRequest, bot: Bot) -> None:
    await request.approve()
    await bot.send_message(request.user_chat_id, f"Welcome to {request.chat.title}, {request.from_user.first_name}.")


@router.message(F.text)
async def echo(message: Message):
    # Returned, a call is made by the dispatcher: with a webhook, as the answer to it.
    return message.answer(message.text)


async def on_startup(bot: Bot) -> None:
    await bot.set_my_commands(
        [
            BotCommand(command="start", description="Begin"),
            BotCommand(command="help", description="What there is"),
        ]
    )
    if WEBHOOK_URL is not None:
        await bot.set_webhook(WEBHOOK_URL, secret_token=WEBHOOK_SECRET)
    me = await bot.get_me()
    tell(f"ready @{me.username}")


def main() -> None:
    server = TelegramAPIServer.from_base(os.environ["TELEGRAM_API_ROOT"])
    bot = Bot(os.environ["BOT_TOKEN"], session=AiohttpSession(api=server))
    dispatcher = Dispatcher()
    dispatcher.include_router(router)
    dispatcher.startup.register(on_startup)
    if WEBHOOK_URL is None:
        asyncio.run(dispatcher.start_polling(bot))
        return
    address = urlsplit(WEBHOOK_URL)
    app = web.Application()
    handler = SimpleRequestHandler(dispatcher, bot, handle_in_background=False, secret_token=WEBHOOK_SECRET)
    handler.register(app, path=address.path)
    setup_application(app, dispatcher, bot=bot)
    web.run_app(app, host="127.0.0.1", port=address.port, print=None)


if __name__ == "__main__":
    main()
