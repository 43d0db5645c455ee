/** A file as a form brings it; the type is the sender's word. */
export interface UploadedFile {
  readonly name: string;
  readonly type: string;
  readonly bytes: Buffer;
}

/** The parts of a form by their names; of several alike the first counts. */
export interface Form {
  readonly fields: ReadonlyMap<string, string>;
  readonly files: ReadonlyMap<string, UploadedFile>;
}

/** Why a body is no form: a status and the Bot API server's words. */
export interface FormFault {
  readonly status: 400 | 413 | 431;
  readonly what: string;
}

const BOUNDARY_MAX = 70;
const HEADS_MAX_BYTES = 256 * 1024;
const FILES_MAX = 50;
const USUAL_TYPE = 'application/octet-stream';
const HEAD_END = Buffer.from('\r\n\r\n');
// A quotation ends where a parameter may end: some clients do not escape those within a file's name, or leave the outer ones out. Sticky: from an unclosed one on
// nothing is looked for.
const PARAMETER = /\s*;\s*([^\s;=]+)\s*=\s*(?:"((?:[^"\\]|\\.|"(?!\s*(?:;|$)))*)"(?=\s*(?:;|$))|([^";\s][^;]*)?)/gsy;

interface Head {
  readonly name: string;
  /** Of a file, which may be ''; absent for a field. */
  readonly fileName?: string;
  readonly type: string;
}

/**
 * Reads a multipart/form-data body (RFC 7578) whose fields hold `fieldsMaxBytes` at most. Files are views of the body: they keep it in memory.
 * Never throws; a body that is no form is a fault.
 */
export function readForm(body: Buffer, contentType: string, fieldsMaxBytes: number): Form | FormFault {
  const boundary = boundaryOf(contentType);
  if (typeof boundary !== 'string') return boundary;
  const fields = new Map<string, string>();
  const files = new Map<string, UploadedFile>();
  let headBytes = 0;
  let fieldBytes = 0;
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
  // The first delimiter may lack the line break before it.
  let at = findDelimiter(body, delimiter.subarray(2), 0);
  while (at !== undefined && !at.last) {
    const from = at.end;
    // A part without headers has the empty line at once.
    const headEnd = body.indexOf(HEAD_END, from - 2);
    if (headEnd < 0) return CUT_SHORT;
    if (headEnd < from) return fault('headers in multipart/form-data are empty');
    headBytes += headEnd - from;
    if (headBytes > HEADS_MAX_BYTES) return TOO_LONG_HEADS;
    const head = readHead(body.toString('utf8', from, headEnd));
    if (typeof head === 'string') return fault(head);
    const start = headEnd + HEAD_END.length;
    const next = findDelimiter(body, delimiter, start);
    if (next === undefined) return CUT_SHORT;
    if (head.fileName === undefined) {
      fieldBytes += next.begin - start;
      if (fieldBytes > fieldsMaxBytes) return TOO_MUCH;
      if (!fields.has(head.name)) fields.set(head.name, body.toString('utf8', start, next.begin));
    } else {
      if (files.size === FILES_MAX) return TOO_MANY_FILES;
      const bytes = body.subarray(start, next.begin);
      if (!files.has(head.name)) files.set(head.name, { name: head.fileName, type: head.type, bytes });
    }
    at = next;
  }
  return at === undefined ? CUT_SHORT : { fields, files };
}

const fault = (what: string): FormFault => ({ status: 400, what });
const CUT_SHORT = fault("can't parse multipart body");
const TOO_LONG_HEADS: FormFault = { status: 431, what: 'total headers size exceeded' };
const TOO_MUCH: FormFault = { status: 413, what: 'too much parameters in form data' };
const TOO_MANY_FILES: FormFault = { status: 413, what: 'too much files attached' };

function boundaryOf(contentType: string): string | FormFault {
  const match = /;\s*boundary=(?:"([^"]*)"|([^;\s]*))/i.exec(contentType);
  if (match === null) return fault('boundary not found');
  const boundary = match[1] ?? match[2] ?? '';
  return boundary === '' || boundary.length > BOUNDARY_MAX ? fault('boundary too big or empty') : boundary;
}

interface Delimiter {
  readonly begin: number;
  /** Where the part after it begins. */
  readonly end: number;
  readonly last: boolean;
}

/** The next line that is the delimiter, and not merely begins with it. */
function findDelimiter(body: Buffer, delimiter: Buffer, from: number): Delimiter | undefined {
  for (let begin = body.indexOf(delimiter, from); begin >= 0; begin = body.indexOf(delimiter, begin + 1)) {
    let end = begin + delimiter.length;
    if (body[end] === 45 && body[end + 1] === 45) return { begin, end, last: true };
    while (body[end] === 32 || body[end] === 9) end += 1;
    if (body[end] === 13 && body[end + 1] === 10) return { begin, end: end + 2, last: false };
  }
  return undefined;
}

function readHead(text: string): Head | string {
  let name = '';
  let fileName: string | undefined;
  let type = USUAL_TYPE;
  for (const line of text.replace(/\r\n[ \t]+/g, ' ').split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon < 0) return "can't parse form data headers";
    const value = line.slice(colon + 1).trim();
    switch (line.slice(0, colon).trim().toLowerCase()) {
      case 'content-type':
        type = value;
        break;
      case 'content-disposition': {
        const kind = /^form-data(?=\s*;)/i.exec(value)?.[0];
        if (kind === undefined) return 'expected form-data content disposition';
        for (const [, key = '', quoted, bare = ''] of value.slice(kind.length).matchAll(PARAMETER)) {
          const given = quoted === undefined ? bare.trim() : quoted.replace(/\\(["\\])/g, '$1');
          if (key.toLowerCase() === 'name') name = given;
          else if (key.toLowerCase() === 'filename') fileName = given;
        }
        break;
      }
      default:
    }
  }
  if (name === '') return 'field name in multipart/form-data not found';
  return { name, type, ...(fileName !== undefined && { fileName }) };
}
