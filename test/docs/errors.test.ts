import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { REPOSITORY } from '../support/posthorn-process.js';

const read = (path: string): string => readFileSync(join(REPOSITORY, path), 'utf8');

/** Whole codes in a text; the head of one that is put together (`PH_STORE_`) is none. */
const codesIn = (text: string): string[] => text.match(/\bPH_[A-Z]+(?:_[A-Z]+)*\b(?!_)/g) ?? [];

const sources = readdirSync(join(REPOSITORY, 'src'), { recursive: true, encoding: 'utf8' }).filter((name) =>
  /\.(ts|mjs|js)$/.test(name),
);
const used = new Set(sources.flatMap((name) => codesIn(read(join('src', name)))));

/** The rows of the tables: their codes and their further cells. */
const rows = read('docs/errors.md')
  .split('\n')
  .filter((line) => line.startsWith('| PH_'))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
  .map(([codes = '', ...cells]) => ({ codes: codesIn(codes), cells }));
const listed = rows.flatMap(({ codes }) => codes);

t.test('docs/errors.md lists each code of the sources, and no other', async (t) => {
  t.ok(used.size > 80, `${used.size} codes in src`);
  t.same(
    [...used].filter((code) => !listed.includes(code)),
    [],
    'codes that the page lacks',
  );
  t.same(
    listed.filter((code) => !used.has(code)),
    [],
    'codes that nothing uses',
  );
  t.same(
    listed.filter((code, index) => listed.indexOf(code) !== index),
    [],
    'codes that are listed twice',
  );
  t.same(
    rows.filter(({ cells }) => cells.some((cell) => cell === '')).map(({ codes }) => codes),
    [],
    'rows with an empty cell',
  );
});

t.test('codes that other pages name exist', async (t) => {
  const pages = readdirSync(join(REPOSITORY, 'docs'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.md'),
  );
  for (const name of pages)
    t.same(
      codesIn(read(join('docs', name))).filter((code) => !used.has(code)),
      [],
      name,
    );
});
