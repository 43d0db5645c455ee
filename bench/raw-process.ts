/** The raw loop in a process of its own: one parameter list of `rawLoop` in, its seconds out, until the parent goes. Started by `startRawProcess`. */
import { rawLoop } from './raw-loop.js';

process.on('message', (asked: Parameters<typeof rawLoop>) => {
  rawLoop(...asked).then(
    (seconds) => process.send?.({ seconds }),
    (error: Error) => process.send?.({ error: error.message }),
  );
});
process.on('disconnect', () => process.exit());
