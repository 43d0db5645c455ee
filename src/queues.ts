/** The queues whose items may die. `jobs` is empty until there are jobs. */
export const QUEUES = ['deliveries', 'updates', 'jobs'] as const;

/** One of the queues. */
export type Queue = (typeof QUEUES)[number];
