/** An error of this program's own making: `code` is stable and never reused. */
export interface Bug extends Error {
  readonly code: string;
}

/** Makes (does not throw) the error for a call that breaks the contract of the delivery core; a crash means a bug. Never throws. */
export function bug(code: `PH_${string}`, message: string): Bug {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}
