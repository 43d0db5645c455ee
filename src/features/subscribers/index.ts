import type { Feature } from '../../feature.js';
import { commands, fallback, handlers } from './commands.js';

/** People come and go by /start and /stop, and see where they stand by /status and /help. */
export const subscribers: Feature = { name: 'subscribers', commands, handlers, fallback };
