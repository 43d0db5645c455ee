/** The parts that a process can play; `local` hosts the stand-ins for what is not configured. */
export const ROLES = ['web', 'bot', 'sender', 'scheduler', 'local'] as const;

/** One of ROLES. */
export type Role = (typeof ROLES)[number];
