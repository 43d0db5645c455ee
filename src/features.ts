import type { Feature } from './feature.js';
import { subscribers } from './features/subscribers/index.js';

/** Every feature that is built, in the order in which their handlers are asked. */
export const features: readonly Feature[] = [subscribers];
