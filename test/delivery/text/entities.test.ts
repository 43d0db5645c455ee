import fc from 'fast-check';
import t from 'tap';
import { cutText, partText } from '../../../src/delivery/text/cut-text.js';
import { type Entity, entitiesAsHtml } from '../../../src/delivery/text/entities.js';
import { parseHtml } from '../../../src/delivery/text/html.js';

const numRuns = process.env.POSTHORN_TEST_LONG ? 20_000 : 500;

const html = (text: string, ...entities: Entity[]): unknown => {
  const found = entitiesAsHtml(text, entities);
  return 'html' in found ? found.html : found;
};

t.test('each kind as Telegram’s HTML', async (t) => {
  const marked = (type: string, more: object = {}) => html('a b', { type, offset: 2, length: 1, ...more });
  t.equal(marked('bold'), 'a <b>b</b>');
  t.equal(marked('italic'), 'a <i>b</i>');
  t.equal(marked('underline'), 'a <u>b</u>');
  t.equal(marked('strikethrough'), 'a <s>b</s>');
  t.equal(marked('spoiler'), 'a <tg-spoiler>b</tg-spoiler>');
  t.equal(marked('code'), 'a <code>b</code>');
  t.equal(marked('pre'), 'a <pre>b</pre>');
  t.equal(marked('pre', { language: 'c<"' }), 'a <pre><code class="language-c&lt;&quot;">b</code></pre>');
  t.equal(marked('text_link', { url: 'http://a/?b&"c' }), 'a <a href="http://a/?b&amp;&quot;c">b</a>');
  t.equal(marked('text_mention', { user: { id: 7 } }), 'a <a href="tg://user?id=7">b</a>');
  t.equal(marked('custom_emoji', { custom_emoji_id: '5368' }), 'a <tg-emoji emoji-id="5368">b</tg-emoji>');
  t.equal(marked('blockquote'), 'a <blockquote>b</blockquote>');
  t.equal(marked('expandable_blockquote'), 'a <blockquote expandable>b</blockquote>');
  t.equal(marked('url'), 'a b', 'what Telegram finds by itself');
  t.equal(html('<a> & "b"'), '&lt;a&gt; &amp; &quot;b&quot;');
});

t.test('nested, side by side, and crossing', async (t) => {
  const bold = { type: 'bold', offset: 0, length: 4 };
  t.equal(html('abcdef', { type: 'italic', offset: 1, length: 2 }, bold), '<b>a<i>bc</i>d</b>ef');
  t.equal(html('abcdef', bold, { type: 'italic', offset: 4, length: 2 }), '<b>abcd</b><i>ef</i>');
  t.equal(html('abcdef', bold, { type: 'italic', offset: 2, length: 4 }), '<b>ab<i>cd</i></b><i>ef</i>');
});

t.test('a fault names the entity, its field and what was expected', async (t) => {
  const good = { type: 'bold', offset: 0, length: 1 };
  const fault = (entity: object) => {
    const found = entitiesAsHtml('a😀b', [good, entity as Entity]);
    return 'html' in found ? found.html : `${found.index}.${found.field}`;
  };
  t.equal(fault({ ...good, type: 'bald' }), '1.type');
  for (const offset of [-1, 0.5, 2, 4, '0']) t.equal(fault({ ...good, offset }), '1.offset', `${offset}`);
  for (const length of [0, -1, 1.5, 5, undefined]) t.equal(fault({ ...good, length }), '1.length', `${length}`);
  t.equal(fault({ type: 'bold', offset: 1, length: 1 }), '1.length', 'half a character');
  t.equal(fault({ ...good, type: 'text_link' }), '1.url');
  t.equal(fault({ ...good, type: 'text_link', url: 5 }), '1.url');
  t.equal(fault({ ...good, type: 'text_mention', user: { id: '7' } }), '1.user');
  t.equal(fault({ ...good, type: 'pre', language: {} }), '1.language');
  t.equal(fault({ ...good, type: 'custom_emoji', custom_emoji_id: 'x' }), '1.custom_emoji_id');
});

const STYLES = { bold: 'b', italic: 'i', underline: 'u', strikethrough: 's', spoiler: 'tg-spoiler' } as const;

t.test('whatever the entities: the same text, and each unit marked as they say', async () => {
  const entity = fc.record({
    type: fc.constantFrom(...Object.keys(STYLES)),
    offset: fc.nat(40),
    length: fc.integer({ min: 1, max: 40 }),
  });
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', maxLength: 30 }),
      fc.array(entity, { maxLength: 8 }),
      (text, entities) => {
        const fitting = entities.filter((one) => 'html' in entitiesAsHtml(text, [one]));
        const found = entitiesAsHtml(text, fitting);
        if (!('html' in found)) return false;
        const parsed = parseHtml(found.html);
        if (typeof parsed === 'string' || parsed.text !== text) return false;
        return [...text].every((_, at) => {
          const wanted = fitting
            .filter(({ offset, length }) => offset <= at && at < offset + length)
            .map(({ type }) => `<${STYLES[type as keyof typeof STYLES]}>`);
          const marks = parsed.marks.filter(({ from, to }) => from <= at && at < to).map(({ open }) => open);
          return marks.toSorted().join() === wanted.toSorted().join();
        });
      },
    ),
    { numRuns },
  );
});

t.test('a long text with entities is cut as its HTML is', async (t) => {
  const text = `${'word '.repeat(900)}link${' word'.repeat(900)}`;
  const at = text.indexOf('link');
  const found = entitiesAsHtml(text, [
    { type: 'bold', offset: 0, length: text.length },
    { type: 'text_link', offset: at, length: 4, url: 'https://example.org' },
  ]);
  const cut = cutText('html' in found ? found.html : '', 'HTML');
  const parts = cut.kind === 'parts' ? cut.parts : [];
  t.ok(parts.length >= 3);
  const shown = parts.map((_, index) => partText({ text: 'html' in found ? found.html : '', parts }, index));
  t.ok(shown.every((part) => part.startsWith('<b>') && part.endsWith('</b>') && typeof parseHtml(part) !== 'string'));
  t.equal(shown.filter((part) => part.includes('<a href="https://example.org">link</a>')).length, 1);
});
