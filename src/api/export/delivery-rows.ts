import type { DeliveryView } from '../../store/deliveries.js';

/** The forms of an export. */
export type ExportFormat = 'csv' | 'ndjson';

interface Format {
  /** The content type of all of it. */
  readonly type: string;
  readonly header: string;
  /** A delivery as one line, with its end. */
  readonly row: (delivery: DeliveryView) => string;
}

/** The columns of the CSV, in their order. */
const COLUMNS: readonly (readonly [name: string, value: (delivery: DeliveryView) => unknown])[] = [
  ['id', ({ id }) => id],
  ['botId', (delivery) => delivery.botId],
  ['chatId', ({ chatId }) => chatId],
  ['lane', ({ lane }) => lane],
  ['class', (delivery) => delivery.class],
  ['state', ({ state }) => state],
  ['attempts', ({ attempts }) => attempts],
  ['messageIds', ({ messageIds }) => messageIds?.join(';')],
  ['errorCode', ({ error }) => error?.code],
  ['errorDescription', ({ error }) => error?.description],
  ['createdAt', ({ createdAt }) => createdAt],
  ['sentAt', ({ sentAt }) => sentAt],
];

/** A field of a CSV record (RFC 4180): in quotes when it holds a comma, a quote or a line end; nothing else of it changes. Never throws. */
function field(value: unknown): string {
  const text = value === undefined ? '' : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A record of CSV with its line end. Never throws. */
const record = (values: readonly unknown[]): string => `${values.map(field).join(',')}\r\n`;

/** How each form writes deliveries: CSV with a header and several message ids parted by `;`, or the objects of the API, one a line. */
export const deliveryFormats: Readonly<Record<ExportFormat, Format>> = {
  csv: {
    type: 'text/csv; charset=utf-8; header=present',
    header: record(COLUMNS.map(([name]) => name)),
    row: (delivery) => record(COLUMNS.map(([, value]) => value(delivery))),
  },
  ndjson: {
    type: 'application/x-ndjson; charset=utf-8',
    header: '',
    row: (delivery) => `${JSON.stringify(delivery)}\n`,
  },
};
