import { parse as parseForm } from 'node:querystring';
import type { HttpRequest } from '../http/reader.js';
import { type BotRefusal, badRequest } from './refusal.js';

/** The arguments of one Bot API call by name, from the query and the body (which wins); values as sent. */
export type BotArguments = Readonly<Record<string, unknown>>;

/** A JSON argument that is there but can't be read. */
export const UNREADABLE_JSON: unique symbol = Symbol('unreadable JSON');

/**
 * Reads a call's arguments: query, then JSON, urlencoded or multipart by the content type; a body of another type is left alone, as Telegram does.
 * Never throws; a body that can't be read is a refusal.
 */
export function readArguments(request: HttpRequest): BotArguments | BotRefusal {
  const { body, contentType } = request;
  if (body.length === 0 || request.method === 'GET') return readForm(request.query);
  const kind = contentType.toLowerCase();
  let values: Record<string, unknown> | undefined;
  if (kind.startsWith('application/json')) values = readObject(body);
  else if (kind.startsWith('application/x-www-form-urlencoded')) values = readForm(body.toString('utf8'));
  else if (kind.startsWith('multipart/form-data')) values = readMultipart(body, contentType);
  else values = {};
  if (values === undefined) {
    return badRequest(kind.startsWith('multipart') ? "can't parse multipart body" : "can't parse JSON object");
  }
  return request.query === '' ? values : { ...readForm(request.query), ...values };
}

/** A text argument; numbers and the rest as their JSON text, nothing as ''. Never throws. */
export function textArgument(args: BotArguments, name: string): string {
  const value = args[name];
  if (typeof value === 'string') return value;
  if (value === undefined || value === null) return '';
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
  if (value === undefined || value === null || value === '') return undefined;
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

function readObject(body: Buffer): Record<string, unknown> | undefined {
  const value = parseJson(body.toString('utf8'));
  return isObject(value) ? value : undefined;
}

/** Whether a value is a JSON object. Never throws. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readForm(text: string): Record<string, unknown> {
  if (text === '') return {};
  const values: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(parseForm(text)))
    values[name] = Array.isArray(value) ? value.at(-1) : value;
  return values;
}

function readMultipart(body: Buffer, contentType: string): Record<string, unknown> | undefined {
  const match = /boundary=(?:"([^"]{1,200})"|([^\s;]{1,200}))/i.exec(contentType);
  const boundary = match?.[1] ?? match?.[2];
  if (boundary === undefined) return undefined;
  const separator = Buffer.from(`--${boundary}`, 'latin1');
  const values: Record<string, unknown> = {};
  let at = body.indexOf(separator);
  while (at >= 0) {
    const from = at + separator.length;
    if (body[from] === 45 && body[from + 1] === 45) return values;
    const headEnd = body.indexOf('\r\n\r\n', from);
    const next = body.indexOf(separator, from);
    if (headEnd < 0 || next < 0 || headEnd > next) return undefined;
    const head = body.toString('utf8', from, headEnd);
    const name = /content-disposition:[^\r\n]*;\s*name="([^"\r\n]*)"/i.exec(head)?.[1];
    // A file part is no text argument; nothing built so far takes files.
    if (name !== undefined && !/;\s*filename\*?=/i.test(head))
      values[name] = body.toString('utf8', headEnd + 4, next - 2);
    at = next;
  }
  return undefined;
}
