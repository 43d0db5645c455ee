import { startLocalTelegram } from '../../../src/local/telegram/server.js';

// A process that hosts a local Telegram until it is killed: arguments are the data directory and a port ('' for its own choice).
const [, , dataDir = '', port = ''] = process.argv;
const telegram = await startLocalTelegram({ dataDir, port: port === '' ? undefined : Number(port) });
process.stdout.write(`${telegram.url}\n`);
process.on('SIGTERM', () => {
  telegram.stop().catch(() => process.exit(1));
});
