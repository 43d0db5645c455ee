import t, { type Test } from 'tap';
import { cutText, PART_UNITS, partCount, partText } from '../../../src/delivery/text/cut-text.js';
import { parseHtml } from '../../../src/delivery/text/html.js';
import { parseMarkdownV2 } from '../../../src/delivery/text/markdown-v2.js';
import type { FormattedText, TextEntity } from '../../../src/local/telegram/text/entity.js';
import { fixText } from '../../../src/local/telegram/text/formatted-text.js';
import { parseHtml as judgeHtml } from '../../../src/local/telegram/text/html.js';
import { parseMarkdownV2 as judgeMarkdownV2 } from '../../../src/local/telegram/text/markdown-v2.js';
import { type SeededRandom, seededRandom } from '../../support/seeded-random.js';

type Mode = 'HTML' | 'MarkdownV2' | undefined;

const PART_BYTES = 32_768;
const segmenter = new Intl.Segmenter('und', { granularity: 'grapheme' });

/** A text with its runs written short, so that a failure can be read. */
const squeezed = (text: string): string =>
  text.replace(/(.{1,3}?)\1{19,}/gsu, (run: string, unit: string) => `(${unit})×${run.length / unit.length}`);
const same = (t: Test, found: readonly string[], wanted: readonly string[], message = 'as wanted'): void => {
  t.same(found.map(squeezed), wanted.map(squeezed), message);
};

/** What the local Telegram makes of a source before it cleans and trims. */
function judged(source: string, mode: Mode): FormattedText | string {
  if (mode === 'HTML') return judgeHtml(source);
  return mode === 'MarkdownV2' ? judgeMarkdownV2(source) : { text: source, entities: [] };
}

/** The parts of a text as the local Telegram shows them; fails when it refuses one. */
function shownParts(t: Test, source: string, mode: Mode): FormattedText[] {
  const cut = cutText(source, mode);
  if (cut.kind === 'refused') throw new Error(cut.reason);
  const body = { text: source, ...(cut.kind === 'parts' ? { parts: cut.parts } : {}) };
  return Array.from({ length: partCount(body) }, (_, index) => {
    const raw = partText(body, index);
    if (Buffer.byteLength(raw) > PART_BYTES) t.fail(`part ${index} has ${Buffer.byteLength(raw)} bytes`);
    const parsed = judged(raw, mode);
    if (typeof parsed === 'string') throw new Error(`part ${index} is refused: ${parsed}\n${raw.slice(-200)}`);
    const shown = fixText(parsed.text, parsed.entities);
    if (typeof shown === 'string') throw new Error(`part ${index} is refused: ${shown}`);
    if (shown.text.length === 0 || shown.text.length > PART_UNITS) t.fail(`part ${index}: ${shown.text.length} units`);
    return { text: shown.text, entities: trimmedEntities(parsed, shown.text) };
  });
}

/** The sender's own entities, moved by what is trimmed at the begin. */
function trimmedEntities({ text, entities }: FormattedText, shown: string): TextEntity[] {
  const moved = text.indexOf(shown);
  return entities.map((entity) => ({ ...entity, offset: entity.offset - moved }));
}

/** By unit that is no blank: the unit, and all that marks it. */
function units({ text, entities }: FormattedText): string[] {
  const marks: Set<string>[] = Array.from({ length: text.length }, () => new Set());
  for (const { offset, length, type, url, language, custom_emoji_id } of entities) {
    const name = [type, url, language, custom_emoji_id].join(' ');
    for (let at = Math.max(0, offset); at < Math.min(text.length, offset + length); at += 1) marks[at]?.add(name);
  }
  return [...marks.keys()].flatMap((at) =>
    /\s/.test(text[at] ?? '') ? [] : [`${text[at]} ${[...(marks[at] ?? [])].sort().join()}`],
  );
}

/** Holds a text's parts against the whole, by the local Telegram. */
function holds(t: Test, source: string, mode: Mode): void {
  const whole = judged(source, mode);
  if (typeof whole === 'string') {
    const near = Buffer.from(source)
      .subarray(Math.max(0, Number(/\d+$/.exec(whole)?.[0]) - 100))
      .subarray(0, 200);
    throw new Error(`the test made what Telegram refuses: ${whole} near ${JSON.stringify(near.toString())}`);
  }
  const parts = shownParts(t, source, mode);
  const before = units(whole);
  const after = parts.flatMap(units);
  if (before.length !== after.length || before.some((unit, at) => unit !== after[at])) {
    const at = before.findIndex((unit, place) => unit !== after[place]);
    t.fail(
      `the text differs at ${at}: ${before.slice(at, at + 3).join('|')} became ${after.slice(at, at + 3).join('|')}`,
    );
  }
  const boundaries = new Set([...segmenter.segment(whole.text)].map(({ index }) => index));
  let place = 0;
  for (const [index, { text }] of parts.entries()) {
    const begin = whole.text.indexOf(text, place);
    if (begin < 0 || /\S/.test(whole.text.slice(place, begin))) t.fail(`part ${index} is not what follows`);
    if (index > 0 && !boundaries.has(begin)) t.fail(`part ${index} begins within a grapheme`);
    if (index > 0) {
      const torn = whole.entities.find(
        ({ offset, length }) =>
          length <= PART_UNITS &&
          offset < place &&
          offset + length > begin &&
          /\S/.test(whole.text.slice(offset, place)),
      );
      if (torn !== undefined) t.fail(`part ${index} begins within ${JSON.stringify(torn)}`);
    }
    place = begin + text.length;
  }
}

const WORDS = [
  'a',
  'der',
  'longer',
  'Straße',
  'слово',
  '日本語の文章。',
  '👩‍👩‍👧‍👦',
  '🇩🇪🇫🇷',
  'ñ',
  'क्षि',
  '#tag',
  '@someone',
  'https://example.com/a?b=c',
  '1.5',
  'x_y*z',
  '(a)',
  '<&>',
  'wait!',
  'end.',
];
const GAPS = [' ', ' ', ' ', ' ', '\n', '\n\n', '. ', '  \n '];

function plain(random: SeededRandom, words: number): string {
  let text = '';
  for (let i = 0; i < words; i += 1) text += `${random.pick(WORDS)}${random.pick(GAPS)}`;
  return text;
}

const escapeHtml = (text: string): string =>
  text.replace(/[<>&]/g, (sign) => ({ '<': '&lt;', '>': '&gt;' })[sign] ?? '&amp;');
const escapeMarkdown = (text: string): string => text.replace(/[_*[\]()~`>#+\-=|{}.!\\]/g, '\\$&');

/** Marks around content, as each mode writes them; `deep`: may hold others. */
const MARKS = {
  HTML: [
    ['<b>', '</b>'],
    ['<i>', '</i>'],
    ['<u>', '</u>'],
    ['<s>', '</s>'],
    ['<span class="tg-spoiler">', '</span>'],
    ['<blockquote>', '</blockquote>'],
    ['<blockquote expandable>', '</blockquote>'],
  ],
  MarkdownV2: [
    ['*', '*'],
    ['_', '_'],
    ['__', '__'],
    ['~', '~'],
    ['||', '||'],
  ],
} as const;
const WHOLES = {
  HTML: [
    ['<code>', '</code>'],
    ['<pre><code class="language-ts">', '</code></pre>'],
    ['<a href="https://example.org/x?y=1&amp;z=2">', '</a>'],
  ],
  MarkdownV2: [
    ['`', '`'],
    ['```ts\n', '```'],
    ['[', '](https://example.org/x?y=\\)1)'],
  ],
} as const;

/** What must not lie within its like; `_` beside `__` is ambiguous and has tests of its own. */
const alike = (mark: string): string => (mark.startsWith('<block') ? 'quote' : mark.replace('__', '_'));

/** A marked text of about `size` words, with marks from short ones to such as are longer than a part. */
function marked(
  random: SeededRandom,
  mode: 'HTML' | 'MarkdownV2',
  size: number,
  open: ReadonlySet<string> = new Set(),
): string {
  const escaped = mode === 'HTML' ? escapeHtml : escapeMarkdown;
  let text = '';
  for (let left = size; left > 0; ) {
    const words = Math.min(left, random.whole(1, Math.max(1, Math.floor(size / 2))));
    left -= words;
    const choice = random.next();
    const marks = MARKS[mode].filter(([mark]) => ![...open].some((outer) => alike(outer) === alike(mark)));
    if (choice < 0.45 && marks.length > 0) {
      const [from, to] = random.pick(marks);
      text += ` ${from}${marked(random, mode, words, new Set([...open, from]))}${to}`;
    } else if (choice < 0.6) {
      const [from, to] = random.pick<readonly [string, string]>(WHOLES[mode]);
      const inner = plain(random, Math.min(words, 200));
      const code = from.startsWith('`') || from.startsWith('<pre') || from.startsWith('<code');
      text += ` ${from}${mode === 'MarkdownV2' && code ? inner.replace(/[`\\]/g, '') : escaped(inner.trim() === '' ? 'x' : inner)}${to}`;
    } else text += escaped(plain(random, words));
    if (mode === 'MarkdownV2' && open.size === 0 && random.chance(0.2)) {
      const lines = escaped(plain(random, random.whole(1, 900))).split('\n');
      text += `\n>${lines.join('\n>')}${random.chance(0.5) ? '||' : ''}\n`;
    }
  }
  return text;
}

t.test('short texts stay whole', async (t) => {
  for (const mode of [undefined, 'HTML', 'MarkdownV2'] as const) t.same(cutText('hello', mode), { kind: 'whole' });
  t.same(cutText('x'.repeat(4_096), undefined), { kind: 'whole' });
  t.same(
    cutText(`<b>${'&amp;'.repeat(4_096)}</b>`, 'HTML'),
    { kind: 'whole' },
    'what counts is the text after parsing',
  );
  t.same(cutText('<b> \n </b>', 'HTML'), {
    kind: 'refused',
    code: 'PH_TEXT_MALFORMED',
    reason: 'message text is empty',
  });
  t.same(cutText(' \n', undefined), { kind: 'refused', code: 'PH_TEXT_MALFORMED', reason: 'message text is empty' });
});

t.test('where it cuts', async (t) => {
  const texts = (source: string, mode?: Mode) => shownParts(t, source, mode).map(({ text }) => text);
  const a = 'a'.repeat(2_500);
  same(
    t,
    texts(`${a}\n\n${'b '.repeat(500)}\n${a}`),
    [a, `${'b '.repeat(500)}\n${a}`],
    'a paragraph goes before a line',
  );
  same(
    t,
    texts(`${a} x\n${'b. '.repeat(400)}${a}`),
    [`${a} x`, `${'b. '.repeat(400)}${a}`],
    'a line before a sentence',
  );
  same(
    t,
    texts(`${a} End. ${'b '.repeat(400)}${a}`),
    [`${a} End.`, `${'b '.repeat(400)}${a}`],
    'a sentence before a word',
  );
  same(t, texts(`${a} ${a}`), [a, a]);
  same(t, texts('x'.repeat(4_097)), ['x'.repeat(4_096), 'x']);
  same(t, texts(`${'x'.repeat(4_095)}😀`), ['x'.repeat(4_095), '😀'], 'not within a surrogate pair');
  same(t, texts(`${'x'.repeat(4_090)}👩‍👩‍👧‍👦!`), ['x'.repeat(4_090), '👩‍👩‍👧‍👦!'], 'nor a grapheme');
  same(
    t,
    texts(`${'語'.repeat(4_080)}https://example.com/abc`),
    ['語'.repeat(4_080), 'https://example.com/abc'],
    'nor a link that Telegram finds',
  );
  same(
    t,
    texts(`${'x'.repeat(4_000)}<b>${'y'.repeat(200)}</b>`, 'HTML'),
    ['x'.repeat(4_000), 'y'.repeat(200)],
    'nor what fits a part',
  );
  t.equal(texts('x'.repeat(32_768)).length, 8);
});

t.test('marks longer than a part are closed and opened again', async (t) => {
  const parts = (source: string, mode: Mode) => {
    const cut = cutText(source, mode);
    const body = { text: source, ...(cut.kind === 'parts' ? { parts: cut.parts } : {}) };
    return Array.from({ length: partCount(body) }, (_, index) => partText(body, index));
  };
  const a = 'a'.repeat(4_000);
  same(t, parts(`<b><i>${a} ${a}</i></b>`, 'HTML'), [`<b><i>${a}</i></b>`, `<b><i>${a}</i></b>`]);
  same(t, parts(`<blockquote expandable>${a}\n${a}</blockquote> z`, 'HTML'), [
    `<blockquote expandable>${a}</blockquote>`,
    `<blockquote expandable>${a}</blockquote> z`,
  ]);
  same(t, parts(`>${a}\n>${a}||\nz`, 'MarkdownV2'), [`>${a}||`, `>${a}||\nz`]);
  same(t, parts(`*>${a} ${a}\nz*`, 'MarkdownV2'), [`*>${a}\n*`, `*>${a}\nz*`], 'a quotation ends with its line');
  same(t, parts(`__*_${a} ${a}_*__`, 'MarkdownV2'), [`__*_${a}_*__`, `__*_${a}_*__`]);
  same(
    t,
    parts(`__*x*_${a} ${a}_**__`, 'MarkdownV2'),
    [`__*x*_${a}_**__`, `__**_${a}_**__`],
    'never three that read otherwise',
  );
  for (const source of [`*>${a} ${a}\nz*`, `__*x*_${a} ${a}_**__`, `_**__${a} ${a}__**_`, `>||${a} ${a}||\n`])
    holds(t, source, 'MarkdownV2');
});

t.test('what cannot be cut is refused', async (t) => {
  const long = 'x '.repeat(2_100);
  for (const source of [`<a href="https://e.org">${long}</a>`, `<code>${long}</code>`, `<pre>${long}</pre>`])
    t.match(cutText(`a ${source}`, 'HTML'), { kind: 'refused', code: 'PH_TEXT_UNSPLITTABLE', reason: /at offset 2 / });
  t.match(cutText(`[${long}](https://e.org)`, 'MarkdownV2'), { code: 'PH_TEXT_UNSPLITTABLE' });
  t.match(cutText(`\`${long}\``, 'MarkdownV2'), { code: 'PH_TEXT_UNSPLITTABLE' });
  const deep = `${'<b>'.repeat(100)}${long}${'</b>'.repeat(100)}`;
  t.match(cutText(deep, 'HTML'), { code: 'PH_TEXT_UNSPLITTABLE', reason: /more than 64 marks/ });
  t.match(cutText(`a${'\u0301'.repeat(5_000)}`, undefined), { code: 'PH_TEXT_UNSPLITTABLE', reason: /one sign/ });
  t.match(cutText(`<a href="https://e.org/${'ж'.repeat(17_000)}">x</a>`, 'HTML'), { code: 'PH_TEXT_UNSPLITTABLE' });
});

t.test('markup that Telegram refuses is refused in its words', async (t) => {
  const reason = (source: string, mode: Mode) => {
    const cut = cutText(source, mode);
    return cut.kind === 'refused' ? `${cut.code} ${cut.reason}` : cut.kind;
  };
  t.equal(
    reason('<b>x', 'HTML'),
    `PH_TEXT_MALFORMED can't parse entities: Can't find end tag corresponding to start tag "b"`,
  );
  t.equal(
    reason('a.b', 'MarkdownV2'),
    `PH_TEXT_MALFORMED can't parse entities: Character '.' is reserved and must be escaped with the preceding '\\'`,
  );
  t.equal(
    reason('*x', 'MarkdownV2'),
    `PH_TEXT_MALFORMED can't parse entities: Can't find end of Bold entity at byte offset 0`,
  );
  const random = seededRandom(t);
  const pieces = {
    HTML: [
      '<b>',
      '</b>',
      '<i>',
      '</i>',
      '</>',
      '<a href="x">',
      '<a href=x.y>',
      "<a href='",
      '</a>',
      '<code class="language-x">',
      '</code>',
      '<pre>',
      '</pre>',
      '<span class="tg-spoiler">',
      '<span>',
      '</span>',
      '<tg-emoji emoji-id="5368324170671202286">',
      '<tg-emoji>',
      '</tg-emoji>',
      '<blockquote expandable>',
      '</blockquote>',
      '<B>',
      '< b>',
      '<b ',
      '>',
      '&lt;',
      '&amp',
      '&#128512;',
      '&#xd800;',
      '&#0;',
      '&bad;',
      'é',
      'x',
      ' ',
      '\n',
      '<br>',
    ],
    MarkdownV2: [
      '*',
      '_',
      '__',
      '~',
      '||',
      '|',
      '`',
      '```',
      '```ts\n',
      '[',
      '](https://e.org)',
      ']',
      '(',
      ')',
      '![',
      '](tg://emoji?id=5368324170671202286)',
      '](tg://emoji?id)',
      '>',
      '\n',
      '\n>',
      '\\',
      '\\.',
      '.',
      'é',
      'x',
      ' ',
      '\r',
      '😀',
      '||\n',
    ],
  };
  const seen = { taken: 0, refused: 0 };
  for (const mode of ['HTML', 'MarkdownV2'] as const) {
    for (let round = 0; round < 20_000; round += 1) {
      const source = Array.from({ length: random.whole(1, 9) }, () => random.pick(pieces[mode])).join('');
      const ours = mode === 'HTML' ? parseHtml(source) : parseMarkdownV2(source);
      const theirs = judged(source, mode);
      seen[typeof theirs === 'string' ? 'refused' : 'taken'] += 1;
      const agree =
        typeof ours === 'string' || typeof theirs === 'string' ? ours === theirs : ours.text === theirs.text;
      if (!agree) t.same(ours, theirs, JSON.stringify(source));
    }
  }
  t.ok(seen.taken > 1_000 && seen.refused > 1_000, `${seen.taken} taken, ${seen.refused} refused`);
});

t.test('property: parts are accepted, joined they are the text, nothing is torn', async (t) => {
  const random = seededRandom(t);
  let parts = 0;
  for (let round = 0; round < 18; round += 1) {
    const mode = [undefined, 'HTML', 'MarkdownV2'][round % 3] as Mode;
    const size = random.whole(600, 2_500);
    const source = (mode === undefined ? plain(random, size) : marked(random, mode, size)).slice(
      0,
      mode === undefined ? 32_768 : undefined,
    );
    try {
      holds(t, source, mode);
    } catch (error) {
      t.fail(`round ${round} ${mode}: ${error instanceof Error ? error.message : error}`);
      break;
    }
    parts += shownParts(t, source, mode).length;
  }
  t.ok(parts > 40, `${parts} parts`);
});
