import { fileIdOf, readFileId } from '../files/file-ids.js';
import { extensionOf } from '../files/mime-types.js';
import type { StoredFile } from '../files/stored-file.js';
import { FileAnswer } from '../http/file-answer.js';
import type { Exchange } from '../http/listener.js';
import type { Bot } from '../world/bot.js';
import type { World } from '../world/world.js';
import { type BotArguments, textArgument } from './arguments.js';
import { type BotRefusal, badRequest, REFUSALS } from './refusal.js';

const DOWNLOAD_MAX_BYTES = 20 * 1024 * 1024;
/** Nothing that a file holds is run, whatever it says to be. */
const HEADERS = "X-Content-Type-Options: nosniff\r\nContent-Security-Policy: default-src 'none'; sandbox\r\n";

/** getFile: the Bot API's File, with a path to download from that holds as long as the file is kept. Never throws. */
export function getFile(world: World, bot: Bot, args: BotArguments): string | BotRefusal {
  const id = textArgument(args, 'file_id');
  if (id === '') return badRequest('file_id not specified');
  const parts = readFileId(bot, id);
  if (typeof parts === 'string') return badRequest('invalid file_id');
  const file = parts && world.findFile(parts.unique);
  if (file === undefined) return REFUSALS.fileUnavailable;
  if (file.size > DOWNLOAD_MAX_BYTES) return badRequest('file is too big');
  return JSON.stringify({
    file_id: fileIdOf(bot, file),
    file_unique_id: file.unique,
    file_size: file.size,
    file_path: pathFor(bot, file),
  });
}

/** Answers a download with the file that getFile gave this path for, or returns why not. Never throws. */
export function downloadFile(world: World, bot: Bot, path: string, exchange: Exchange): BotRefusal | undefined {
  const id = /^\w+\/([\w-]+)/.exec(path)?.[1] ?? '';
  const parts = readFileId(bot, id);
  const file = parts === undefined || typeof parts === 'string' ? undefined : world.findFile(parts.unique);
  if (file === undefined || file.size > DOWNLOAD_MAX_BYTES || pathFor(bot, file) !== path) return REFUSALS.notFound;
  const answer = FileAnswer.open(world.pathOfFile(file));
  if (answer === undefined) return REFUSALS.notFound;
  exchange.answerFile(answer, file.kind === 'photo' ? file.mime : 'application/octet-stream', HEADERS);
  return undefined;
}

/** The path is the file's id with an ending: no other bot has the same. */
function pathFor(bot: Bot, file: StoredFile): string {
  const ending = file.kind === 'photo' ? file.mime.slice('image/'.length) : extensionOf(file.name ?? '');
  return `${file.kind}s/${fileIdOf(bot, file)}${ending === '' ? '' : `.${ending.replace('jpeg', 'jpg')}`}`;
}
