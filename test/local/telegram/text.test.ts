import { deepEqual, ok } from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { compareEntities, type EntityType, type TextEntity } from '../../../src/local/telegram/text/entity.js';
import { fixText } from '../../../src/local/telegram/text/formatted-text.js';
import { parseHtml } from '../../../src/local/telegram/text/html.js';
import { checkLink } from '../../../src/local/telegram/text/links.js';
import { parseMarkdown } from '../../../src/local/telegram/text/markdown.js';
import { parseMarkdownV2 } from '../../../src/local/telegram/text/markdown-v2.js';
import { findEntities } from '../../../src/local/telegram/text/text-entities.js';

type Parser = typeof parseHtml;

/** A result in one line: the text, then each entity with what it holds and its place. */
function shown(result: ReturnType<Parser>): string {
  if (typeof result === 'string') return result;
  const entities = result.entities.map(({ type, offset, length, ...more }) => {
    const [detail] = Object.values(more);
    return ` ${type}${detail === undefined ? '' : `(${detail})`}@${offset}+${length}`;
  });
  return `${result.text} |${entities.join('')}`;
}

const reserved = (sign: string): string =>
  `Character '${sign}' is reserved and must be escaped with the preceding '\\'`;

const TABLES: readonly [string, Parser, readonly (readonly [source: string, result: string])[]][] = [
  [
    'HTML',
    parseHtml,
    [
      ['plain & simple &copy;', 'plain & simple &copy; |'],
      ['1 &lt; 2 &gt; 0 &amp;&quot; &#65;&#x42 &#x1F600;', '1 < 2 > 0 &" AB 😀 |'],
      ['😀<b>one</b><STRONG>two</strong>', '😀onetwo | bold@2+3 bold@5+3'],
      ['<i>a</i><em>b</em><u>c</u><ins>d</ins>', 'abcd | italic@0+1 italic@1+1 underline@2+1 underline@3+1'],
      ['<s>a</s><strike>b</strike><del>c</del>', 'abc | strikethrough@0+1 strikethrough@1+1 strikethrough@2+1'],
      ['<tg-spoiler>a</tg-spoiler><span class="tg-spoiler">b</span>', 'ab | spoiler@0+1 spoiler@1+1'],
      ['<b>x<i>y</i>z</b>', 'xyz | bold@0+3 italic@1+1'],
      ['<b>closed by any name</>', 'closed by any name | bold@0+18'],
      ['<b></b>empty', 'empty |'],
      ['<code>a</code><pre>b</pre>', 'ab | code@0+1 pre@1+1'],
      ['<pre><code class="language-ts">let a</code></pre>', 'let a | pre(ts)@0+5'],
      ['<code class="language-ts"><pre>let a</pre></code>', 'let a | pre(ts)@0+5'],
      ['<pre><code class="language-ts">a</code>b</pre>', 'ab | pre@0+2 code@0+1'],
      ['<a href="HTTP://Example.COM/a?b&amp;c">x</a>', 'x | text_link(http://example.com/a?b&c)@0+1'],
      ['<a href=example.com>x</a>', 'x | text_link(http://example.com/)@0+1'],
      ['<a>example.com</a>', 'example.com | text_link(http://example.com/)@0+11'],
      ['<a href="nowhere">x</a>', 'x |'],
      ['<a href="tg://user?id=123">x</a>', 'x | text_mention(123)@0+1'],
      [
        '<blockquote>a</blockquote><blockquote expandable>b</blockquote>',
        'ab | blockquote@0+1 expandable_blockquote@1+1',
      ],
      ['<tg-emoji emoji-id="5368324170671202286">👍</tg-emoji>', '👍 | custom_emoji(5368324170671202286)@0+2'],
      ['é<x>', 'Unsupported start tag "x" at byte offset 2'],
      ['a < b', 'Unsupported start tag "" at byte offset 2'],
      ['a <b', 'Unclosed start tag at byte offset 2'],
      ['<b x="1>', 'Unclosed start tag at byte offset 0'],
      ['<a href', 'Unclosed start tag "a" at byte offset 0'],
      ['<b ="x">', 'Empty attribute name in the tag "b" at byte offset 0'],
      ['<a href=a/b>', 'Unexpected end of name token at byte offset 8'],
      ['<span>x</span>', 'Tag "span" must have class "tg-spoiler" at byte offset 0'],
      ['x</b>', 'Unexpected end tag at byte offset 1'],
      ['<b>x</i>', 'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"'],
      ['<b>x</b', 'Unclosed end tag at byte offset 4'],
      ['<b><i>x</i>', 'Can\'t find end tag corresponding to start tag "b"'],
      ['<tg-emoji emoji-id="x">👍</tg-emoji>', 'Invalid custom emoji identifier specified'],
      ['a\0b', 'Text must not contain null bytes'],
      [
        '&#xD83D;',
        'Text contains invalid Unicode characters after decoding HTML entities, check for unmatched surrogate code units',
      ],
    ],
  ],
  [
    'MarkdownV2',
    parseMarkdownV2,
    [
      ['plain \\. text', 'plain . text |'],
      ['😀*bold* _italic_ __under__', '😀bold italic under | bold@2+4 italic@7+6 underline@14+5'],
      ['~gone~ ||hidden||', 'gone hidden | strikethrough@0+4 spoiler@5+6'],
      ['___both_ under__', 'both under | underline@0+10 italic@0+4'],
      ['___a___', "Can't find end of Italic entity at byte offset 6"],
      ['*a _b __c___ d*', 'a b c d | bold@0+7 italic@2+3 underline@4+1'],
      ['`a*\\``', 'a*` | code@0+3'],
      ['```\na\n```', 'a\n | pre@0+2'],
      ['```ts\nlet a```', 'let a | pre(ts)@0+5'],
      ['[a\\.b](http://a.bc/\\)x)', 'a.b | text_link(http://a.bc/)x)@0+3'],
      ['[a](tg://user?id=7)', 'a | text_mention(7)@0+1'],
      ['![👍](tg://emoji?id=5)', '👍 | custom_emoji(5)@0+2'],
      ['>a\n>b\nc', 'a\nb\nc | blockquote@0+4'],
      ['>a\n>b||\nc', 'a\nb\nc | expandable_blockquote@0+4'],
      ['>a||', 'a | expandable_blockquote@0+1'],
      ['>a||b||', 'ab | blockquote@0+2 spoiler@1+1'],
      ['>a\n**>b', 'a\nb | blockquote@0+2 blockquote@2+1'],
      ['`a\n`>b', reserved('>')],
      ['a>b', reserved('>')],
      ['1.', reserved('.')],
      ['a|b', reserved('|')],
      ['hi!', reserved('!')],
      ['é*a', "Can't find end of Bold entity at byte offset 2"],
      ['_a', "Can't find end of Italic entity at byte offset 0"],
      ['__a_', "Can't find end of Italic entity at byte offset 3"],
      ['```ts ', "Can't find end of PreCode entity at byte offset 0"],
      ['>*a\nb', "Can't find end of Bold entity at byte offset 1"],
      ['*>a', "Can't find end of Bold entity at byte offset 0"],
      ['[a](b', "Can't find end of a URL at byte offset 4"],
      ['![a]', 'Custom emoji entity must contain a tg://emoji URL'],
      ['![a](tg://emoji?id=5', "Can't find end of a custom emoji URL at byte offset 5"],
      ['![a](tg://emoji?id=x)', 'Invalid custom emoji identifier specified'],
      ['![a](http://a.bc)', 'Custom emoji URL must have scheme tg'],
    ],
  ],
  [
    'Markdown',
    parseMarkdown,
    [
      ['plain. text! \\_ \\*', 'plain. text! _ * |'],
      ['😀*bold* _italic_ `code`', '😀bold italic code | bold@2+4 italic@7+6 code@14+4'],
      ['*a _b* c_', "Can't find end of the entity starting at byte offset 8"],
      ['```ts\nlet a```', 'let a | pre(ts)@0+5'],
      ['[a](example.com) [b.cd]', 'a b.cd | text_link(http://example.com/)@0+1 text_link(http://b.cd/)@2+4'],
      ['[a](tg://user?id=7)', 'a | text_mention(7)@0+1'],
      ['[](example.com)', '(example.com) |'],
      ['é*a', "Can't find end of the entity starting at byte offset 2"],
      ['[a', "Can't find end of the entity starting at byte offset 0"],
      ['```a``', "Can't find end of the entity starting at byte offset 0"],
    ],
  ],
];

for (const [name, parse, rows] of TABLES) {
  t.test(`${name} is read as Telegram reads it`, (t) => {
    for (const [source, result] of rows) t.equal(shown(parse(source)), result, JSON.stringify(source));
    t.end();
  });
}

const entity = (type: EntityType, offset: number, length: number): TextEntity => ({ offset, length, type });

t.test('a text is cleaned, trimmed, and its entities cut, joined, split and sorted', (t) => {
  const rows: [string, TextEntity[], string][] = [
    [' \n a \t\n', [], 'a |'],
    ['a\r\nb\u2028c\u0333', [], 'a\nbc |'],
    ['  ', [], ' |'],
    ['\u200b\u00a0\u3000', [], ' |'],
    [' a b ', [entity('bold', 0, 5)], ' a b | bold@0+4'],
    [' a b ', [entity('bold', 3, 2)], 'a b | bold@2+1'],
    ['a  ', [entity('bold', 1, 2)], 'a |'],
    ['a\rb c', [entity('bold', 0, 3), entity('italic', 3, 2)], 'ab c | bold@0+2 italic@2+2'],
    ['abc', [entity('italic', 2, 1), entity('italic', 0, 2)], 'abc | italic@0+3'],
    ['abcd', [entity('bold', 0, 3), entity('italic', 1, 3)], 'abcd | bold@0+1 italic@1+3 bold@1+2'],
    ['abc', [entity('code', 1, 1), entity('bold', 0, 3)], 'abc | bold@0+1 code@1+1 bold@2+1'],
    ['abc', [entity('code', 0, 2), entity('pre', 1, 2)], 'abc | code@0+2'],
    ['abcd', [entity('blockquote', 0, 3), entity('code', 2, 2)], 'abcd | blockquote@0+3'],
    ['abcd', [entity('blockquote', 0, 4), entity('code', 1, 2)], 'abcd | blockquote@0+4 code@1+2'],
    ['@name a', [entity('bold', 0, 7)], '@name a | mention@0+5 bold@0+5 bold@5+2'],
    ['@name', [entity('code', 1, 2)], '@name | code@1+2'],
    ['ab', [entity('bold', 0, 0)], 'ab |'],
    ['ab', [entity('bold', -1, 1)], 'Receive an entity with incorrect offset -1'],
    ['ab', [entity('bold', 0, 1_000_001)], 'Receive an entity with incorrect length 1000001'],
    ['ab', [entity('bold', 3, 1)], 'Entity begins after the end of the text at UTF-16 offset 3'],
    [
      'ab',
      [entity('bold', 1, 5)],
      'Entity beginning at UTF-16 offset 1 ends after the end of the text at UTF-16 offset 6',
    ],
    ['é😀', [entity('bold', 2, 1)], 'Entity begins in a middle of a UTF-16 symbol at byte offset 6'],
    [
      'é😀',
      [entity('bold', 0, 2)],
      'Entity beginning at UTF-16 offset 0 ends in a middle of a UTF-16 symbol at byte offset 6',
    ],
    ['a\ud83d', [], 'Strings must be encoded in UTF-8'],
  ];
  for (const [text, own, result] of rows) {
    t.equal(shown(fixText(text, own)), result, JSON.stringify([text, own]).replace(/[^ -~]/g, '?'));
  }
  const many = Array.from({ length: 120 }, (_, i) => entity('bold', i * 2, 1));
  const kept = fixText('a '.repeat(120), many);
  t.equal(typeof kept === 'string' ? 0 : kept.entities.length, 100, 'Telegram keeps 100 entities of the sender');
  t.end();
});

t.test('entities that nobody marked are found as Telegram finds them', (t) => {
  const rows: [string, string[]][] = [
    ['plain words only', []],
    ['/start abc', ['bot_command /start']],
    ['hi /help@some_bot, a/b /a@b /c/d </e>', ['bot_command /help@some_bot']],
    ['😀 @durov! @ab a@b @gif @@name', ['mention @durov', 'mention @gif', 'mention @name']],
    ['#1 hello #tag #1a #tag@chat a#b ##c #x#', ['hashtag #tag', 'hashtag #1a', 'hashtag #tag@chat', 'hashtag #c']],
    [`#${'é'.repeat(300)}`, [`hashtag #${'é'.repeat(256)}`]],
    ['$USD $usd $ABCDEFGHI $1INCH a$B', ['cashtag $USD', 'cashtag $1INCH']],
    ['call +1 (234) 567-89-01 or +12', ['phone_number +1 (234) 567-89-01']],
    ['mail me@example.com, mailto:a.b@d.org or @x.yz', ['email me@example.com', 'email a.b@d.org']],
    ['see https://a.example/x?y=#z, (http://b.org/c) end', ['url https://a.example/x?y=#z', 'url http://b.org/c']],
    ['en.wikipedia.org/wiki/A_(b)) «ya.ru» a.com.', ['url en.wikipedia.org/wiki/A_(b)', 'url ya.ru', 'url a.com']],
    ['example.com, x.y, file.txt, node.js, Com.Com, A.COM', ['url example.com', 'url A.COM']],
    [
      'http://localhost http://inner.host https://u:p@h.st:8080/x',
      ['url http://inner.host', 'url https://u:p@h.st:8080/x'],
    ],
    ['1.1.1.1 1.2.3 256.1.1.1 1.1.1.1:80/x', ['url 1.1.1.1', 'url 1.1.1.1:80/x']],
    [
      'sftp://a.com ftp://b.com tg://resolve?domain=x ton://y',
      ['url ftp://b.com', 'url tg://resolve?domain=x', 'url ton://y'],
    ],
    ['пример.рф a_b.com a-.com a..com b@c@d.com', ['url пример.рф']],
  ];
  for (const [text, expected] of rows) {
    const found = findEntities(text).map(
      ({ type, offset, length }) => `${type} ${text.slice(offset, offset + length)}`,
    );
    t.same(found, expected, JSON.stringify(text).replace(/[^ -~]/g, '?'));
  }
  t.end();
});

t.test('links in their canonical form', (t) => {
  const rows: [string, string][] = [
    ['example.com', 'http://example.com/'],
    ['HTTPS://User:p@Example.com:8080?q', 'https://User:p@example.com:8080/?q'],
    ['http://[::1]/x', 'http://[::1]/x'],
    ['tg:resolve?domain=a', 'tg://resolve?domain=a'],
    ['TON://transfer/x', 'ton://transfer/x'],
    ['', 'URL host is empty'],
    ['nodots', 'Wrong HTTP URL'],
    ['ftp://a.bc', 'Unsupported URL protocol'],
    ['http://a.bc:99999', 'Wrong port number specified in the URL'],
    ['http://a b.cd', 'Disallowed character in URL host'],
    ['http://a%2.cd', 'Wrong percent-encoded symbol in URL host'],
    ['tg://a:1', 'Wrong tg URL'],
    ['tg://a.b', 'Unallowed characters in URL host'],
  ];
  for (const [link, result] of rows) {
    const checked = checkLink(link);
    t.equal('url' in checked ? checked.url : checked.fault, result, link);
  }
  t.same(checkLink('http://a.bc', 'https'), { fault: 'Only HTTPS links are allowed' });
  t.end();
});

const escapeHtml = (text: string): string =>
  text.replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[sign] ?? '&quot;');
const escapeMarkdown = (text: string): string => text.replace(/[_*[\]()~`>#+\-=|{}.!\\]/g, '\\$&');

// Whole signs of every sort: letters, marks of both languages, blanks, pairs, and families joined by ZWJ.
const someText = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ...'ab_*[]()~`>#+-=|{}.!\\&<>"\'/;@$ \n'.split(''),
        '👨‍👩‍👧',
        '🏳️‍🌈',
        'é',
        '&lt;',
        '||',
        '__',
        '```',
      ),
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }),
    ),
    { maxLength: 40 },
  )
  .map((parts) => parts.join('').replaceAll('\0', ''));

t.test('any text that is escaped comes back as it was, without entities', (t) => {
  fc.assert(
    fc.property(someText, (text) => {
      deepEqual(parseHtml(escapeHtml(text)), { text, entities: [] });
      deepEqual(parseMarkdownV2(escapeMarkdown(text)), { text, entities: [] });
    }),
    { numRuns: 2000 },
  );
  t.end();
});

/** A piece of a formatted text: plain, or a mark around pieces. */
type Piece = string | { readonly type: EntityType; readonly pieces: readonly Piece[] };

const SIMPLE: Readonly<Partial<Record<EntityType, readonly [html: string, markdown: string]>>> = {
  bold: ['b', '*'],
  italic: ['i', '_'],
  underline: ['u', '__'],
  strikethrough: ['s', '~'],
  spoiler: ['tg-spoiler', '||'],
};

const plain = fc
  .array(fc.constantFrom('a', 'Ж', '*', '_', '`', '<', '&', '.', ' ', '😀', '👩‍👧', '\\'), {
    minLength: 1,
    maxLength: 5,
  })
  .map((signs) => `x${signs.join('')}x`);

/** Pieces that Telegram keeps as they are: no kind within itself, nothing within code, a link or an emoji at most once on the way in. */
const pieces: fc.Arbitrary<Piece[]> = fc.letrec<{ pieces: Piece[]; piece: Piece }>((tie) => ({
  pieces: fc.array(tie('piece'), { minLength: 1, maxLength: 4 }),
  piece: fc.oneof(
    { maxDepth: 4 },
    plain,
    fc.record({
      type: fc.constantFrom<EntityType>(
        ...(Object.keys(SIMPLE) as EntityType[]),
        'code',
        'pre',
        'text_link',
        'custom_emoji',
      ),
      pieces: tie('pieces'),
    }),
  ),
})).pieces;

const WITH_DETAIL: Partial<Record<EntityType, Partial<TextEntity>>> = {
  pre: { language: 'ts' },
  text_link: { url: 'https://example.com/a_b(c)' },
  custom_emoji: { custom_emoji_id: '5368324170671202286' },
};

/** The pieces as text and entities, less what could not stand where it is. */
function place(parts: readonly Piece[], around: readonly EntityType[], entities: TextEntity[], from: number): string {
  let text = '';
  for (const part of parts) {
    const at = from + text.length;
    if (typeof part === 'string') {
      text += part;
      continue;
    }
    const { type } = part;
    const isWhole = !(type in SIMPLE);
    const isCode = type === 'code' || type === 'pre';
    const inCode = around.includes('code') || around.includes('pre');
    const stands =
      !inCode &&
      !around.includes(type) &&
      !(isWhole && around.some((other) => !(other in SIMPLE))) &&
      !(isCode && around.length > 0);
    const inner = place(part.pieces, stands ? [...around, type] : around, entities, at);
    if (stands) entities.push({ offset: at, length: inner.length, type, ...WITH_DETAIL[type] });
    text += inner;
  }
  return text;
}

/** Marks a text with entities that nest, by what opens and closes each. */
function marked(
  text: string,
  entities: readonly TextEntity[],
  escapePart: (text: string, inCode: boolean) => string,
  marks: (entity: TextEntity) => readonly [string, string],
): string {
  const open: TextEntity[] = [];
  let result = '';
  let done = 0;
  const writeTo = (to: number): void => {
    result += escapePart(
      text.slice(done, to),
      open.some(({ type }) => type === 'code' || type === 'pre'),
    );
    done = to;
  };
  const closeTo = (to: number): void => {
    for (let last = open.at(-1); last !== undefined && last.offset + last.length <= to; last = open.at(-1)) {
      writeTo(last.offset + last.length);
      result += marks(last)[1];
      open.pop();
    }
  };
  for (const next of entities) {
    closeTo(next.offset);
    writeTo(next.offset);
    result += marks(next)[0];
    open.push(next);
  }
  closeTo(text.length);
  writeTo(text.length);
  return result;
}

function asHtml(text: string, entities: readonly TextEntity[]): string {
  return marked(text, entities, escapeHtml, ({ type, url, custom_emoji_id }) => {
    const simple = SIMPLE[type]?.[0];
    if (simple !== undefined) return [`<${simple}>`, `</${simple}>`];
    if (type === 'text_link') return [`<a href="${escapeHtml(url ?? '')}">`, '</a>'];
    if (type === 'custom_emoji') return [`<tg-emoji emoji-id="${custom_emoji_id}">`, '</tg-emoji>'];
    return type === 'code' ? ['<code>', '</code>'] : ['<pre><code class="language-ts">', '</code></pre>'];
  });
}

function asMarkdown(text: string, entities: readonly TextEntity[]): string {
  const escapePart = (part: string, inCode: boolean): string =>
    inCode ? part.replace(/[`\\]/g, '\\$&') : escapeMarkdown(part);
  return marked(text, entities, escapePart, ({ type, url, custom_emoji_id }) => {
    const simple = SIMPLE[type]?.[1];
    // A link without text is nothing, and tells marks of underscores apart.
    const apart = simple?.startsWith('_') ? `[](x)${simple}[](x)` : simple;
    if (apart !== undefined) return [apart, apart];
    if (type === 'text_link') return ['[', `](${(url ?? '').replace(/[)\\]/g, '\\$&')})`];
    if (type === 'custom_emoji') return ['![', `](tg://emoji?id=${custom_emoji_id})`];
    return type === 'code' ? ['`', '`'] : ['```ts\n', '```'];
  });
}

/** A line of a text, in a quotation or not. */
interface Line {
  readonly quote: 'blockquote' | 'expandable_blockquote' | undefined;
  readonly pieces: readonly Piece[];
}

const lines: fc.Arbitrary<Line[]> = fc.array(
  fc.record({ quote: fc.constantFrom(undefined, 'blockquote', 'expandable_blockquote'), pieces }),
  { minLength: 1, maxLength: 3 },
);

/** Lines as text and entities, and the same in HTML and MarkdownV2. */
function written(all: readonly Line[]): { text: string; entities: TextEntity[]; html: string; markdown: string } {
  const whole = { text: '', entities: [] as TextEntity[], html: '', markdown: '' };
  for (const [i, line] of all.entries()) {
    const own: TextEntity[] = [];
    const text = place(line.pieces, [], own, 0);
    own.sort(compareEntities);
    const lineBreak = i < all.length - 1 ? '\n' : '';
    const from = whole.text.length;
    const html = `${asHtml(text, own)}${lineBreak}`;
    const markdown = asMarkdown(text, own);
    whole.text += text + lineBreak;
    whole.entities.push(...own.map((entity) => ({ ...entity, offset: entity.offset + from })));
    if (line.quote === undefined) {
      whole.html += html;
      whole.markdown += markdown + lineBreak;
      continue;
    }
    const isExpandable = line.quote === 'expandable_blockquote';
    whole.entities.push({ offset: from, length: whole.text.length - from, type: line.quote });
    whole.html += `<blockquote${isExpandable ? ' expandable' : ''}>${html}</blockquote>`;
    // An empty bold tells that this quotation is not the one before.
    whole.markdown += `**>${markdown}${isExpandable ? '||' : ''}${lineBreak}`;
  }
  return { ...whole, entities: whole.entities.sort(compareEntities) };
}

t.test('entities that nest come back through HTML and MarkdownV2, and are what Telegram keeps', (t) => {
  fc.assert(
    fc.property(lines, (all) => {
      const { text, entities, html, markdown } = written(all);
      deepEqual(parseHtml(html), { text, entities });
      deepEqual(parseMarkdownV2(markdown), { text, entities });
      const fixed = fixText(text, entities);
      if (typeof fixed === 'string') throw new Error(fixed);
      deepEqual(fixText(fixed.text, fixed.entities), fixed, 'what Telegram keeps it keeps as it is');
      deepEqual(fixText(text, [...entities].reverse()), fixed, 'in whatever order they come');
    }),
    { numRuns: 2000 },
  );
  t.end();
});

t.test('nothing that is sent makes a parser throw, and all entities lie in the text, whole signs each', (t) => {
  const soup = fc
    .array(
      fc.oneof(
        fc.constantFrom(
          '<b>',
          '</b>',
          '<a href="x.yz">',
          '</a>',
          '<pre>',
          '<code class="language-',
          '"',
          '>',
          '</',
          '<',
        ),
        fc.constantFrom('*', '_', '__', '||', '~', '`', '```', '[', '](', ')', '![', '\\', '\n', '\n>', '>', '**'),
        fc.constantFrom(
          'tg://emoji?id=1',
          'tg://user?id=1',
          'a',
          'ts\n',
          '😀',
          '\ud83d',
          '&lt;',
          '&#x',
          '&#65;',
          ' ',
          '\r',
          '\0',
        ),
        fc.constantFrom('@name', '/cmd', '#tag', '$USD', '+12345678', 'x.com/(a)', 'a@b.cd', '.', '@', ':', '/'),
      ),
      { maxLength: 30 },
    )
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(
      soup,
      fc.array(fc.tuple(fc.integer({ min: -1, max: 40 }), fc.integer({ min: -1, max: 40 }))),
      (text, places) => {
        const types: EntityType[] = ['bold', 'italic', 'code', 'blockquote', 'text_link', 'spoiler'];
        const own = places.map(([offset, length], i) => entity(types[i % types.length] ?? 'bold', offset, length));
        const results = [fixText(text), fixText(text, own)];
        for (const parse of [parseHtml, parseMarkdownV2, parseMarkdown]) {
          const parsed = parse(text);
          if (typeof parsed === 'string') continue;
          results.push(parsed, fixText(parsed.text, parsed.entities));
        }
        for (const result of results) {
          if (typeof result === 'string') continue;
          for (const { offset, length } of result.entities) {
            ok(offset >= 0 && length > 0 && offset + length <= result.text.length);
            for (const at of [offset, offset + length]) ok(!/^[\udc00-\udfff]/.test(result.text.slice(at)));
          }
        }
      },
    ),
    { numRuns: 3000 },
  );
  t.end();
});
