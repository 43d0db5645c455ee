#!/usr/bin/env node
import { config as readDotenv } from 'dotenv';
import { runProgram } from './cli/program.js';
import { features } from './features.js';

// The only reader of the environment and of signals.
readDotenv({ quiet: true });
const stopping = new AbortController();
const serves = process.argv[2] === 'start';
for (const [signal, exitCode] of [
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const) {
  // A server drains, once: a terminal, npm and foreman may each pass the same signal on. A command ends at once.
  process.on(signal, () => {
    if (!serves) process.exit(exitCode);
    stopping.abort(signal);
  });
}
for (const stream of [process.stdout, process.stderr]) {
  // Whoever read the output has gone: that is no reason to stop serving.
  stream.on('error', () => undefined);
}

const io = { stdout: process.stdout, stderr: process.stderr, stdin: process.stdin };
process.exitCode = await runProgram(process.argv.slice(2), process.env, io, {
  start: async (config, roles, streams) => {
    const { startServer } = await import('./server-process.js');
    return await startServer(config, roles, features, streams, stopping.signal);
  },
  features: features.map(({ name }) => name),
});
if (serves) process.exit();
