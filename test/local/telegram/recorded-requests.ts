/** A call as a client library sent it over the wire; bodies in latin1, an array is what came in chunks. `TOKEN` and `PERSON` stand for the bot's and the recipient. */
export interface RecordedRequest {
  readonly client: string;
  readonly method: string;
  readonly headers: readonly string[];
  readonly body: string | readonly string[];
}

const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg==',
  'base64',
).toString('latin1');

const NODE_FETCH = [
  'connection: keep-alive',
  'Accept: */*',
  'User-Agent: node-fetch/1.0 (+https://github.com/bitinn/node-fetch)',
  'Accept-Encoding: gzip,deflate',
  'Host: 127.0.0.1:8081',
];
const AIOHTTP = [
  'Host: 127.0.0.1:8081',
  'User-Agent: Python/3.11 aiohttp/3.14.5 aiogram/3.31.0',
  'Accept: */*',
  'Accept-Encoding: gzip, deflate',
];
const HTTPX = [
  'Host: 127.0.0.1:8081',
  'Accept: */*',
  'Accept-Encoding: gzip, deflate',
  'Connection: keep-alive',
  'User-Agent: python-telegram-bot v22.8 (https://python-telegram-bot.org)',
];
const TELEGRAF_BOUNDARY = '276b17c8083c2a0dbe0b76816989398f5ae004bfdda4f96f811c450f90357052';
const GRAMMY_BOUNDARY = '----------kfvqkxgahubsdtbg4m7td1o8vwl2pm4y';
const AIOGRAM_BOUNDARY = 'df4d0fad99fa4835854cdd74669b9313';
const PTB_BOUNDARY = 'd695c2f02beb0bb17c4531133137523a';

/** What the bots of clients/ sent, one of each kind: JSON, urlencoded, multipart with and without chunks. */
export const RECORDED: readonly RecordedRequest[] = [
  {
    client: 'telegraf',
    method: 'sendMessage',
    headers: ['content-type: application/json', ...NODE_FETCH],
    body: '{"chat_id":PERSON,"reply_markup":{"inline_keyboard":[[{"text":"Yes","callback_data":"agree:yes","hide":false},{"text":"No","callback_data":"agree:no","hide":false}]]},"text":"Hello, Ada. Do you agree?"}',
  },
  {
    client: 'telegraf',
    method: 'setMyCommands',
    headers: ['content-type: application/json', ...NODE_FETCH],
    body: '{"commands":[{"command":"start","description":"Begin"},{"command":"help","description":"What there is"}]}',
  },
  {
    client: 'telegraf',
    method: 'sendPhoto',
    headers: [`content-type: multipart/form-data; boundary=${TELEGRAF_BOUNDARY}`, ...NODE_FETCH],
    body: [
      `--${TELEGRAF_BOUNDARY}\r\n`,
      'content-disposition:form-data; name="method"\r\n\r\nsendPhoto',
      `\r\n--${TELEGRAF_BOUNDARY}\r\n`,
      'content-disposition:form-data; name="chat_id"\r\n\r\nPERSON',
      `\r\n--${TELEGRAF_BOUNDARY}\r\n`,
      'content-disposition:form-data; name="caption"\r\n\r\nAn upload',
      `\r\n--${TELEGRAF_BOUNDARY}\r\n`,
      'content-disposition:form-data; name="photo"; filename="photo.png"\r\n\r\n',
      PNG,
      `\r\n--${TELEGRAF_BOUNDARY}--`,
    ],
  },
  {
    client: 'grammy',
    method: 'sendMessage',
    headers: ['content-type: application/json', ...NODE_FETCH],
    body: '{"chat_id":PERSON,"text":"*Help*: [read](https://example.org/) & write `/start` ||now||","parse_mode":"MarkdownV2"}',
  },
  {
    client: 'grammy',
    method: 'sendPhoto',
    headers: [`content-type: multipart/form-data; boundary=${GRAMMY_BOUNDARY}`, ...NODE_FETCH],
    body: [
      `--${GRAMMY_BOUNDARY}\r\n`,
      'content-disposition:form-data;name="chat_id"\r\n\r\nPERSON',
      `\r\n--${GRAMMY_BOUNDARY}\r\n`,
      'content-disposition:form-data;name="photo"\r\n\r\nattach://14wz9egy2m00wybf',
      `\r\n--${GRAMMY_BOUNDARY}\r\n`,
      'content-disposition:form-data;name="14wz9egy2m00wybf";filename=photo.png\r\ncontent-type:application/octet-stream\r\n\r\n',
      PNG,
      `\r\n--${GRAMMY_BOUNDARY}--\r\n`,
    ],
  },
  {
    client: 'aiogram',
    method: 'sendMessage',
    headers: [...AIOHTTP, 'Content-Type: application/x-www-form-urlencoded'],
    body: 'chat_id=PERSON&text=Hello%2C+Ada.+Do+you+agree%3F&reply_markup=%7B%22inline_keyboard%22%3A+%5B%5B%7B%22text%22%3A+%22Yes%22%2C+%22callback_data%22%3A+%22agree%3Ayes%22%7D%5D%5D%7D',
  },
  {
    client: 'aiogram',
    method: 'sendPhoto',
    headers: [...AIOHTTP, `Content-Type: multipart/form-data; boundary=${AIOGRAM_BOUNDARY}`],
    body: [
      `--${AIOGRAM_BOUNDARY}\r\n`,
      'Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name="chat_id"\r\n\r\n',
      'PERSON',
      '\r\n',
      `--${AIOGRAM_BOUNDARY}\r\n`,
      'Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name="photo"\r\n\r\n',
      'attach://KXqpBaEN-P60bw',
      '\r\n',
      `--${AIOGRAM_BOUNDARY}\r\n`,
      'Content-Type: image/png\r\nContent-Disposition: form-data; name="KXqpBaEN-P60bw"; filename="photo.png"\r\n\r\n',
      PNG,
      '\r\n',
      `--${AIOGRAM_BOUNDARY}--\r\n`,
    ],
  },
  {
    client: 'python-telegram-bot',
    method: 'sendMessage',
    headers: [...HTTPX, 'Content-Type: application/x-www-form-urlencoded'],
    body: 'chat_id=PERSON&text=%2AHelp%2A%3A+%5Bread%5D%28https%3A%2F%2Fexample.org%2F%29+%26+write+%60%2Fstart%60+%7C%7Cnow%7C%7C&parse_mode=MarkdownV2',
  },
  {
    client: 'python-telegram-bot',
    method: 'sendPhoto',
    headers: [...HTTPX, `Content-Type: multipart/form-data; boundary=${PTB_BOUNDARY}`],
    body:
      `--${PTB_BOUNDARY}\r\nContent-Disposition: form-data; name="chat_id"\r\n\r\nPERSON\r\n` +
      `--${PTB_BOUNDARY}\r\nContent-Disposition: form-data; name="caption"\r\n\r\nAn upload\r\n` +
      `--${PTB_BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; filename="photo.png"\r\nContent-Type: image/png\r\n\r\n` +
      `${PNG}\r\n--${PTB_BOUNDARY}--\r\n`,
  },
];

/** The bytes of a recorded request, with a bot and a person of one's own in it. */
export function bytesOfRecorded(recorded: RecordedRequest, token: string, person: number): Buffer {
  const put = (text: string): string => text.replace('PERSON', String(person));
  const { body, method, headers } = recorded;
  const chunked = typeof body !== 'string';
  const content = chunked
    ? [...body.map((chunk) => `${put(chunk).length.toString(16)}\r\n${put(chunk)}\r\n`), '0\r\n\r\n'].join('')
    : put(body);
  const framing = chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${content.length}`;
  const head = [`POST /bot${token}/${method} HTTP/1.1`, ...headers, framing];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${content}`, 'latin1');
}
