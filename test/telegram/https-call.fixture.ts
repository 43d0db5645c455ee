/** Calls getMe twice, after warming one connection, at the API root of its argument; prints both ends as JSON. */
import { telegramClient } from '../../src/telegram/client.js';

const client = telegramClient(process.argv[2] ?? '', '1:a', 1);
await client.warm(1);
const ends = [await client.call('getMe', {}), await client.call('getMe', { text: 'grüße' })];
await client.destroy();
process.stdout.write(`${JSON.stringify(ends)}\n`);
