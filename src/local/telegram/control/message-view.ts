import { isObject } from '../bot-api/arguments.js';
import type { Bot } from '../world/bot.js';
import { chatJson, FIRST_PERSON_ID, type Person, userJson } from '../world/people.js';
import {
  type BlockRecord,
  type JournalRecord,
  type MessageExtra,
  readRecord,
  type SentRecord,
  type WrittenRecord,
} from '../world/record.js';
import type { World } from '../world/world.js';

/** Most messages of one chat that can be read back. */
const HISTORY_MAX = 100;

const UPDATE_LIFE_MS = 24 * 3600 * 1000;

/** Who made what is shown, for one chat. */
interface Parties {
  readonly bot: Bot;
  readonly person: Person;
}

/** The records of a private chat, newest first, at most `HISTORY_MAX` and only above a message id. Never throws. */
export function history(world: World, bot: Bot, person: number, after = 0): (SentRecord | WrittenRecord)[] {
  const found: (SentRecord | WrittenRecord)[] = [];
  let offset = bot.dialogs.newest(person - FIRST_PERSON_ID);
  while (found.length < HISTORY_MAX) {
    const record = messageAt(world, offset);
    if (record === undefined || record[3] <= after) break;
    found.push(record);
    offset = record[5];
  }
  return found;
}

/** A message as the Bot API's Message, in JSON. Never throws. */
export function messageJson(world: World, parties: Parties, record: SentRecord | WrittenRecord, depth = 0): string {
  const { bot, person } = parties;
  const [kind, , , id, at, , text] = record;
  const from = kind === 's' ? bot.userJson : userJson(person);
  const extra = record[7];
  const head = `{"message_id":${id},"from":${from},"chat":${chatJson(person)},"date":${Math.floor(at / 1000)},"text":${JSON.stringify(text)}`;
  return `${head}${extra === undefined ? '' : extraJson(world, parties, extra, depth)}}`;
}

/** Fields beyond the text, each with a leading comma. The message replied to is shown without its own. Never throws. */
function extraJson(world: World, parties: Parties, extra: MessageExtra, depth: number): string {
  let json = '';
  for (const [name, value] of Object.entries(extra)) {
    if (name === 'parse_mode') continue;
    if (name !== 'reply_to') json += `,${JSON.stringify(name)}:${JSON.stringify(value)}`;
    else if (depth === 0) {
      const original = history(world, parties.bot, parties.person.id).find((record) => record[3] === value);
      if (original !== undefined) json += `,"reply_to_message":${messageJson(world, parties, original, 1)}`;
    }
  }
  return json;
}

/** What a person sees of a message, as docs/contract.md's `GET /local/messages` shows it. */
export function messageSeen({ bot, person }: Parties, record: SentRecord | WrittenRecord): Record<string, unknown> {
  const extra = record[7] ?? {};
  const markup = extra.reply_markup;
  return {
    messageId: record[3],
    from: JSON.parse(record[0] === 's' ? bot.userJson : userJson(person)) as unknown,
    text: record[6],
    ...(extra.entities !== undefined && { entities: extra.entities }),
    ...(isObject(markup) && { replyMarkup: markup }),
  };
}

/** A waiting update as the Bot API's Update, in JSON; undefined when it expired (24 h), its record was given up or its person is gone. Never throws. */
export function updateJson(world: World, bot: Bot, id: number, offset: number, now: number): string | undefined {
  const record = recordAt(world, offset);
  if (record === undefined || (record[0] !== 'm' && record[0] !== 'k')) return undefined;
  const range = world.state.people.find(record[2]);
  const at = record[0] === 'm' ? record[4] : record[3];
  if (range === undefined || now - at > UPDATE_LIFE_MS) return undefined;
  const person = world.state.people.person(range, record[2]);
  if (record[0] === 'm') return `{"update_id":${id},"message":${messageJson(world, { bot, person }, record)}}`;
  return `{"update_id":${id},"my_chat_member":${memberJson({ bot, person }, record)}}`;
}

function memberJson({ bot, person }: Parties, [, , , at, blocked]: BlockRecord): string {
  const member = `{"user":${bot.userJson},"status":"member"}`;
  const kicked = `{"user":${bot.userJson},"status":"kicked","until_date":0}`;
  const [before, after] = blocked === 1 ? [member, kicked] : [kicked, member];
  return (
    `{"chat":${chatJson(person)},"from":${userJson(person)},"date":${Math.floor(at / 1000)},` +
    `"old_chat_member":${before},"new_chat_member":${after}}`
  );
}

function messageAt(world: World, offset: number): SentRecord | WrittenRecord | undefined {
  const record = recordAt(world, offset);
  return record !== undefined && (record[0] === 's' || record[0] === 'm') ? record : undefined;
}

function recordAt(world: World, offset: number): JournalRecord | undefined {
  const line = world.line(offset);
  if (line === undefined) return undefined;
  try {
    return readRecord(line);
  } catch {
    return undefined;
  }
}
