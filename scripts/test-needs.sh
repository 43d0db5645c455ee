#!/usr/bin/env bash
# Installs into .test-needs/ what some tests need beyond npm, each only where it is missing (`npm run test:needs`):
#   venv/            a Python virtual environment with SecantusDB, the independent server that the embedded store is compared with, and with
#                    aiogram and python-telegram-bot, two of the foreign clients that talk to the local Telegram
#   driver-specs/    the drivers' public specification tests, as the source package of pymongo ships them
# and Debian's chromium and ruby-foreman, where there is no /usr/bin/chromium or /usr/bin/foreman: the test of the chat page drives the one, that of the Procfile the other.
# Needs python3 with venv and a PyPI index; python3-venv, chromium and ruby-foreman are installed on Debian, as root. Ends with 1 and says so when something cannot be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

SECANTUSDB=0.7.0b3
PYMONGO=4.15.4
TELEGRAM_CLIENTS='aiogram==3.31.0 python-telegram-bot[webhooks]==22.8'
into=.test-needs
mkdir -p "$into"

venv() {
  [ -x "$into/venv/bin/pip" ] && return
  if ! python3 -c 'import ensurepip' 2>/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -q && apt-get install -q -y python3-venv
  fi
  rm -rf "$into/venv"
  python3 -m venv "$into/venv"
}

secantusdb() {
  [ -x "$into/venv/bin/secantusd-py" ] && "$into/venv/bin/pip" show secantusdb 2>/dev/null | grep -qx "Version: $SECANTUSDB" && return
  "$into/venv/bin/pip" install --quiet --disable-pip-version-check "secantusdb==$SECANTUSDB"
}

telegram_clients() {
  [ "$(cat "$into/venv/telegram-clients.txt" 2>/dev/null)" = "$TELEGRAM_CLIENTS" ] && return
  rm -f "$into/venv/telegram-clients.txt"
  # shellcheck disable=SC2086 # one word a package
  "$into/venv/bin/pip" install --quiet --disable-pip-version-check $TELEGRAM_CLIENTS
  echo "$TELEGRAM_CLIENTS" >"$into/venv/telegram-clients.txt"
}

driver_specs() {
  [ -f "$into/driver-specs/$PYMONGO" ] && return
  rm -rf "$into/driver-specs" "$into/sdist"
  "$into/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary :all: --dest "$into/sdist" "pymongo==$PYMONGO"
  mkdir -p "$into/driver-specs"
  tar -xzf "$into/sdist/pymongo-$PYMONGO.tar.gz" -C "$into/driver-specs" --strip-components=2 "pymongo-$PYMONGO/test/crud"
  rm -rf "$into/sdist"
  touch "$into/driver-specs/$PYMONGO"
}

debian() { # command package
  [ -x "/usr/bin/$1" ] && return
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "$1 is missing: install it as /usr/bin/$1 (Debian: apt-get install $2)" >&2
    return 1
  fi
  apt-get update -q && apt-get install -q -y "$2"
}

venv
secantusdb
telegram_clients
driver_specs
debian chromium chromium
debian foreman ruby-foreman
