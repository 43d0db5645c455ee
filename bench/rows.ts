import { botRows } from './bot-rows.js';
import { killRows } from './kill-rows.js';
import { paceRows } from './pace-rows.js';
import type { Row } from './row.js';
import { throughputRows } from './throughput-rows.js';
import { wakesRows } from './wakes-rows.js';

/** All rows, in the order of the table. A new one is an entry here. */
export const ROWS: readonly Row[] = [...throughputRows, ...paceRows, ...botRows, ...wakesRows, ...killRows];
