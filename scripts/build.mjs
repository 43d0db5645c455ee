// Builds dist/ from src/ with plain tsc: the program, then the chat page's modules, whose other files are copied.
//   (none)          build
//   --if-needed     build only when a source is newer than the last build, or there is none
//   --if-possible   for npm's prepare: as --if-needed, and without TypeScript keep the dist that is there, or say what to run when there is none
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const stamp = join(root, 'dist', '.built');
const mode = process.argv[2];

const newest = (folder) =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .reduce((latest, entry) => Math.max(latest, statSync(join(entry.parentPath, entry.name)).mtimeMs), 0);

const compiler = () => {
  try {
    return createRequire(join(root, 'package.json')).resolve('typescript/bin/tsc');
  } catch {
    return undefined;
  }
};

const hasSources = existsSync(join(root, 'src'));
const upToDate =
  existsSync(stamp) &&
  (!hasSources ||
    Math.max(newest(join(root, 'src')), statSync(join(root, 'tsconfig.json')).mtimeMs) <= statSync(stamp).mtimeMs);

if (mode === '--if-needed' && upToDate) process.exit(0);

const tsc = compiler();
if (tsc === undefined || !hasSources) {
  if (existsSync(stamp)) process.exit(0);
  process.stderr.write(
    'posthorn: dist is missing and TypeScript is not installed; run: npm install --include=dev && npm run build\n',
  );
  process.exit(mode === '--if-possible' ? 0 : 1);
}

// Compiled aside and swapped in, so that a server that starts meanwhile never sees half a build.
const fresh = join(root, `.dist-${process.pid}`);
const started = new Date();
const page = join('local', 'telegram', 'page', 'browser');
for (const [project, into] of [
  ['tsconfig.json', fresh],
  [join('src', page, 'tsconfig.json'), join(fresh, page)],
]) {
  const result = spawnSync(process.execPath, [tsc, '-p', join(root, project), '--outDir', into], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (result.status !== 0) {
    rmSync(fresh, { recursive: true, force: true });
    process.exit(result.status ?? 1);
  }
}
for (const name of readdirSync(join(root, 'src', page))) {
  if (/\.(html|css|svg)$/.test(name)) copyFileSync(join(root, 'src', page, name), join(fresh, page, name));
}
chmodSync(join(fresh, 'main.js'), 0o755);
writeFileSync(join(fresh, '.built'), `${started.toISOString()}\n`);
utimesSync(join(fresh, '.built'), started, started);
rmSync(join(root, 'dist'), { recursive: true, force: true });
renameSync(fresh, join(root, 'dist'));
