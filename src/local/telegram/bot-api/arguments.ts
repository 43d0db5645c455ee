import { parse as parseQuery } from 'node:querystring';
import { readForm, type UploadedFile } from '../http/multipart.js';
import type { HttpRequest } from '../http/reader.js';
import { BotRefusal, badRequest } from './refusal.js';

/** Most bytes of arguments in a body, files not counted. */
const ARGUMENTS_MAX_BYTES = 1024 * 1024;
/** Most bytes of one file that a bot may upload. */
const FILE_MAX_BYTES = 50 * 1024 * 1024;

/** Where the files of a call are among its arguments. */
export const FILES: unique symbol = Symbol('files');

/** The arguments of one Bot API call by name, from the query and the body (which wins), values as sent; and the files that came with them. */
export type BotArguments = Readonly<Record<string, unknown>> & {
  readonly [FILES]?: ReadonlyMap<string, UploadedFile>;
};

/** A JSON argument that is there but can't be read. */
export const UNREADABLE_JSON: unique symbol = Symbol('unreadable JSON');

/**
 * Reads a call's arguments: query, then JSON, urlencoded or multipart by the content type; a body of another type is left alone, as Telegram does.
 * Never throws; a body that can't be read is a refusal.
 */
export function readArguments(
  request: Pick<HttpRequest, 'method' | 'query' | 'contentType' | 'body'>,
): BotArguments | BotRefusal {
  const { body, contentType } = request;
  if (body.length === 0 || request.method === 'GET') return readPairs(request.query);
  const values = readBody(body, contentType);
  return request.query === '' || values instanceof BotRefusal ? values : { ...readPairs(request.query), ...values };
}

function readBody(body: Buffer, contentType: string): BotArguments | BotRefusal {
  const kind = contentType.toLowerCase();
  if (kind.startsWith('multipart/form-data')) return readMultipart(body, contentType);
  const isJson = kind.startsWith('application/json');
  if (!isJson && !kind.startsWith('application/x-www-form-urlencoded')) return {};
  if (body.length > ARGUMENTS_MAX_BYTES) return tooLarge('too much parameters');
  const text = body.toString('utf8');
  if (!isJson) return readPairs(text);
  const value = parseJson(text);
  return isObject(value) ? value : badRequest("can't parse JSON object");
}

function tooLarge(what?: string): BotRefusal {
  return new BotRefusal(413, `Request Entity Too Large${what === undefined ? '' : `: ${what}`}`);
}

/** A text argument; numbers, null and the rest as their JSON text, an absent one as ''. Never throws. */
export function textArgument(args: BotArguments, name: string): string {
  const value = args[name];
  if (typeof value === 'string') return value;
  if (value === undefined) return '';
  if (typeof value === 'object') return JSON.stringify(value);
  return String(value);
}

/** A whole number, clamped to a safe integer as Telegram's own reader does; undefined when absent or no number. Never throws. */
export function integerArgument(args: BotArguments, name: string): number | undefined {
  const text = textArgument(args, name).trim();
  if (!/^[+-]?\d+$/.test(text)) return undefined;
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Number(text)));
}

/** A yes-or-no argument: true, 1, "true", "yes", "1" are yes. Never throws. */
export function flagArgument(args: BotArguments, name: string): boolean {
  return /^(true|yes|1)$/i.test(textArgument(args, name).trim());
}

/** A nested argument, given as a value or as JSON text; undefined when absent or empty. Never throws. */
export function jsonArgument(args: BotArguments, name: string): unknown {
  const value = args[name];
  if (value === undefined || value === '') return undefined;
  return typeof value === 'string' ? parseJson(value) : value;
}

const DEPTH_MAX = 256;

/** Parses JSON of at most 256 levels, which is safe to write again; else UNREADABLE_JSON. Never throws. */
export function parseJson(text: string): unknown {
  if (text.length > DEPTH_MAX && depthOf(text) > DEPTH_MAX) return UNREADABLE_JSON;
  try {
    return JSON.parse(text);
  } catch {
    return UNREADABLE_JSON;
  }
}

function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    if (quoted) {
      if (unit === 92) i += 1;
      else if (unit === 34) quoted = false;
    } else if (unit === 34) quoted = true;
    else if (unit === 91 || unit === 123) {
      depth += 1;
      if (depth > deepest) deepest = depth;
    } else if (unit === 93 || unit === 125) depth -= 1;
  }
  return deepest;
}

/** Whether a value is a JSON object. Never throws. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readPairs(text: string): Record<string, unknown> {
  if (text === '') return {};
  const values: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(parseQuery(text)))
    values[name] = Array.isArray(value) ? value.at(-1) : value;
  return values;
}

const FAULTS = { 400: 'Bad Request', 413: 'Request Entity Too Large', 431: 'Request Header Fields Too Large' } as const;

function readMultipart(body: Buffer, contentType: string): BotArguments | BotRefusal {
  const form = readForm(body, contentType, ARGUMENTS_MAX_BYTES);
  if ('status' in form) return new BotRefusal(form.status, `${FAULTS[form.status]}: ${form.what}`);
  for (const { bytes } of form.files.values()) if (bytes.length > FILE_MAX_BYTES) return tooLarge();
  return { ...Object.fromEntries(form.fields), [FILES]: form.files };
}
