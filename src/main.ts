#!/usr/bin/env node
import { config as readDotenv } from 'dotenv';
import { runProgram } from './cli/program.js';
import { features } from './features.js';
import { startServer } from './server-process.js';

// The only reader of the environment and of signals.
readDotenv({ quiet: true });
const stopping = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stopping.abort(signal));
for (const stream of [process.stdout, process.stderr]) {
  // Whoever read the output has gone: that is no reason to stop serving.
  stream.on('error', () => undefined);
}

const io = { stdout: process.stdout, stderr: process.stderr, stdin: process.stdin };
process.exitCode = await runProgram(process.argv.slice(2), process.env, io, {
  start: (config, roles, streams) => startServer(config, roles, features, streams, stopping.signal),
  features: features.map(({ name }) => name),
});
if (stopping.signal.aborted || process.argv[2] === 'start') process.exit();
