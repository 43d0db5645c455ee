import { AGGREGATION_CASES } from './aggregation-cases.js';
import type { ManualCase } from './case.js';
import { ERROR_CASES } from './error-cases.js';
import { INDEX_CASES } from './index-cases.js';
import { COMPARISON_CASES, SORT_CASES } from './order-cases.js';
import { QUERY_CASES } from './query-cases.js';
import { UPDATE_CASES } from './update-cases.js';

/** The whole table. */
export const MANUAL_CASES: readonly ManualCase[] = [
  ...QUERY_CASES,
  ...UPDATE_CASES,
  ...COMPARISON_CASES,
  ...SORT_CASES,
  ...AGGREGATION_CASES,
  ...INDEX_CASES,
  ...ERROR_CASES,
];

/** How a case is called: its page and its title. */
export function caseName({ page, title }: ManualCase): string {
  return `${page}: ${title}`;
}
