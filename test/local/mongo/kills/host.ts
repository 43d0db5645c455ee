import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { REPOSITORY } from '../../../support/posthorn-process.js';

/** Turns the store and its host program into JavaScript once, in the directory `into`: a process that is started many times must not compile it each time. Answers the
 * path of the program, whose argument is the data directory. */
export function compileHost(into: string): string {
  const sources = readdirSync(join(REPOSITORY, 'src/local'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.startsWith('telegram'))
    .map((name) => join('src/local', name));
  for (const name of sources) {
    const target = join(into, name.replace(/\.ts$/, '.js'));
    mkdirSync(dirname(target), { recursive: true });
    const { outputText } = ts.transpileModule(readFileSync(join(REPOSITORY, name), 'utf8'), {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
    });
    writeFileSync(target, outputText);
  }
  const program = join(into, 'host.js');
  writeFileSync(
    program,
    `import { startEmbeddedStore } from './src/local/mongo/server.js';
const store = await startEmbeddedStore({ dataDir: process.argv[2] });
process.stdout.write('port ' + store.port + '\\n');`,
  );
  return program;
}

/** A process that hosts the store. */
export interface Host {
  /** Resolves once it serves. Rejects when it ends before. */
  readonly port: Promise<number>;
  /** By SIGKILL; resolves when it has ended. */
  kill(): Promise<void>;
}

/** Starts the host of a data directory. */
export function startHost(program: string, dataDir: string): Host {
  const child = spawn(process.execPath, [program, dataDir], { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-2_000);
  });
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const port = new Promise<number>((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const found = /port (\d+)\n/.exec(text)?.[1];
      if (found !== undefined) resolve(Number(found));
    });
    child.once('close', (code, signal) => reject(new Error(`the host ended with ${code ?? signal}: ${said}`)));
  });
  port.catch(() => undefined); // who kills it before it serves does not wait for it
  return {
    port,
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
  };
}
