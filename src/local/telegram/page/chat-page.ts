import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Exchange } from '../http/listener.js';

const FOLDER = fileURLToPath(new URL('browser/', import.meta.url));
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};
/** Everything from here, nothing inline, nothing elsewhere; and no text ever becomes markup. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
const HEADERS =
  `Content-Security-Policy: ${POLICY}\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n` +
  'Cross-Origin-Opener-Policy: same-origin\r\nCache-Control: no-store\r\n';

interface PageFile {
  readonly type: string;
  readonly text: string;
}

let files: ReadonlyMap<string, PageFile> | undefined;

/** Answers a GET of `/local` or `/local/page/<file>` with a file of the chat page, 404 for none. The files are read once. Never throws for files that can be read. */
export function sendPage(exchange: Exchange): void {
  files ??= readFiles();
  const { path } = exchange.request;
  const file = files.get(path.startsWith('/local/page/') ? path.slice('/local/page/'.length) : 'index.html');
  if (file === undefined) exchange.answer(404, JSON.stringify({ error: `path: there is no ${path}` }));
  else exchange.answer(200, file.text, file.type, HEADERS);
}

function readFiles(): Map<string, PageFile> {
  const found = new Map<string, PageFile>();
  for (const name of readdirSync(FOLDER)) {
    const type = TYPES[extname(name)];
    if (type !== undefined) found.set(name, { type, text: readFileSync(join(FOLDER, name), 'utf8') });
  }
  return found;
}
