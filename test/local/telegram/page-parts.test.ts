import fc from 'fast-check';
import t from 'tap';
import { entityRuns, safeHref } from '../../../src/local/telegram/page/browser/entity-runs.js';

const anEntity = fc.record({
  type: fc.constantFrom('bold', 'italic', 'code', 'spoiler'),
  offset: fc.integer({ min: -3, max: 40 }),
  length: fc.integer({ min: -3, max: 40 }),
});

t.test('however entities lie, the runs are the text, each under exactly the entities that hold there', async (t) => {
  fc.assert(
    fc.property(fc.string({ maxLength: 30 }), fc.array(anEntity, { maxLength: 8 }), (text, entities) => {
      const runs = entityRuns(text, entities);
      t.equal(runs.map((run) => run.text).join(''), text);
      let at = 0;
      for (const run of runs) {
        t.not(run.text, '');
        const over = entities.filter(
          ({ offset, length }) => offset <= at && offset + length > at && offset < text.length && length > 0,
        );
        t.same(new Set(run.entities), new Set(over));
        at += run.text.length;
      }
    }),
  );
});

t.test('what holds over more stands outside', async (t) => {
  const outer = { type: 'bold', offset: 0, length: 10 };
  const inner = { type: 'italic', offset: 0, length: 4 };
  t.same(entityRuns('0123456789', [inner, outer]), [
    { text: '0123', entities: [outer, inner] },
    { text: '456789', entities: [outer] },
  ]);
  t.same(entityRuns('plain', []), [{ text: 'plain', entities: [] }]);
  t.same(entityRuns('', [outer]), []);
});

t.test('a link leads to a page, to Telegram or to mail, and never runs anything', async (t) => {
  for (const [address, href] of [
    ['https://example.com', 'https://example.com/'],
    ['HTTP://example.com/a b', 'http://example.com/a%20b'],
    ['example.com:8080/x', 'https://example.com:8080/x'],
    ['example.com/path?x=1', 'https://example.com/path?x=1'],
    ['tg://user?id=5', 'tg://user?id=5'],
    ['mailto:ann@example.com', 'mailto:ann@example.com'],
    ['javascript:alert(1)', undefined],
    [' JaVaScRiPt:alert(1)', undefined],
    ['java\nscript:alert(1)', undefined],
    ['data:text/html,<script>1</script>', undefined],
    ['vbscript:x', undefined],
    ['file:///etc/passwd', undefined],
    ['blob:https://example.com/1', undefined],
    ['', undefined],
    ['http://', undefined],
  ] as const) {
    t.equal(safeHref(address), href, JSON.stringify(address));
  }
});
