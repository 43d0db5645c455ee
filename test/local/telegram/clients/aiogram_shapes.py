"""Reads lines of {"method", "result"} and says of each whether aiogram's own types take it: nothing missing, of another type, or unknown."""

import json
import sys

from aiogram import methods
from aiogram.types.base import TelegramObject
from pydantic import TypeAdapter, ValidationError


# Telegram still sends the old names beside new_chat_members and left_chat_member.
OLD_NAMES = {"new_chat_participant", "new_chat_member", "left_chat_participant"}


def unknown(value, path):
    """Names of fields that aiogram does not know, wherever they are."""
    if isinstance(value, TelegramObject):
        for name in set(value.model_extra or {}) - OLD_NAMES:
            yield f"{path}.{name}"
        for name in value.model_fields_set:
            yield from unknown(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from unknown(item, f"{path}[{place}]")


def verdict(method, result):
    name = method[0].upper() + method[1:]
    try:
        value = TypeAdapter(getattr(methods, name).__returning__).validate_python(result)
    except ValidationError as error:
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    strange = list(unknown(value, method))
    return f"unknown: {', '.join(strange)}" if strange else "fits"


for line in sys.stdin:
    call = json.loads(line)
    print(f"{call['method']}: {verdict(call['method'], call['result'])}", flush=True)
