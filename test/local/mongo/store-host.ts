import { startEmbeddedStore } from '../../../src/local/mongo/server.js';

// A process that hosts the store in the directory it is given, to be killed: it prints its port when it serves.
const [dataDir] = process.argv.slice(2);
if (dataDir === undefined) throw new Error('a directory is needed');
const store = await startEmbeddedStore({ dataDir });
process.stdout.write(`port ${store.port}\n`);
