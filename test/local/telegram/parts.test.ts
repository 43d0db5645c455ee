import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { BodyBudget } from '../../../src/local/telegram/http/body-budget.js';
import { HttpReader, type HttpRequest } from '../../../src/local/telegram/http/reader.js';
import { changeFaults, isBlockedByFault, NO_FAULTS } from '../../../src/local/telegram/limits/faults.js';
import {
  GROUP_LIMIT,
  type LimitModel,
  newPace,
  paceTake,
  paceWait,
  privateChatWait,
} from '../../../src/local/telegram/limits/rate-limits.js';
import { lockDirectory } from '../../../src/local/telegram/world/data-lock.js';
import { Dialogs } from '../../../src/local/telegram/world/dialogs.js';
import { Journal } from '../../../src/local/telegram/world/journal.js';
import { readSnapshots, writeSnapshot } from '../../../src/local/telegram/world/snapshot.js';
import { UpdateQueue } from '../../../src/local/telegram/world/update-queue.js';

interface Read {
  readonly requests: HttpRequest[];
  readonly faults: number[];
  continues: number;
}

function readAll(bytes: Buffer, cuts: readonly number[] = [], bodyMaxBytes = 1000): Read {
  const read: Read = { requests: [], faults: [], continues: 0 };
  const reader = new HttpReader(
    {
      onRequest: (request) => read.requests.push(request),
      onContinue: () => {
        read.continues += 1;
      },
      onFault: (status) => read.faults.push(status),
      onGranted: () => undefined,
    },
    bodyMaxBytes,
    new BodyBudget(bodyMaxBytes),
  );
  let at = 0;
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    if (cut > at && cut < bytes.length) {
      reader.feed(bytes.subarray(at, cut));
      at = cut;
    }
  }
  reader.feed(bytes.subarray(at));
  return read;
}

t.test('requests are read however their bytes are cut and joined', (t) => {
  const bytes = Buffer.from(
    '\r\nPOST /bot1:a/sendMessage?x=1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\ncontent-type:  application/json \r\nContent-Length: 6\r\n\r\n{"é"} ' +
      'POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n' +
      'GET http://h:1/c?d HTTP/1.1\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\n\r\n',
  );
  const check = (read: Read): void => {
    t.same(read.faults, []);
    t.same(
      read.requests.map(({ method, path, query, contentType, keepAlive, body }) => [
        method,
        path,
        query,
        contentType,
        keepAlive,
        body.toString(),
      ]),
      [
        ['POST', '/bot1:a/sendMessage', 'x=1', 'application/json', true, '{"é"}'],
        ['POST', '/b', '', '', true, 'abcde'],
        ['GET', '/c', 'd', '', false, ''],
      ],
    );
  };
  const exact = Buffer.from(bytes.toString().replace('{"é"} ', '{"é"}'));
  check(readAll(exact));
  check(
    readAll(
      exact,
      Array.from({ length: exact.length }, (_, i) => i),
    ),
  );
  fc.assert(
    fc.property(fc.array(fc.nat(exact.length), { maxLength: 12 }), (cuts) => check(readAll(exact, cuts))),
    {
      numRuns: 100,
    },
  );
  t.end();
});

t.test('what is no request is a fault', (t) => {
  const cases: [string, number][] = [
    ['hello\r\n\r\n', 400],
    ['\u0016\u0003\u0001', 400],
    ['GET  / HTTP/1.1\r\n\r\n', 400],
    ['GET / HTTP/2.0\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nno colon\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n', 400],
    ['POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n', 400],
    ['POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 400],
    ['POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', 400],
    ['POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n', 400],
    ['POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n', 413],
    ['POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFF\r\n', 413],
    ['POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 400],
    ['POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n', 400],
    [`GET /${'a'.repeat(17_000)}`, 431],
  ];
  for (const [text, status] of cases) {
    const { faults, requests } = readAll(Buffer.from(text));
    t.same(faults, [status], text.slice(0, 60));
    t.same(requests, []);
  }
  t.equal(readAll(Buffer.from('POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n')).continues, 1);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      t.ok(readAll(Buffer.from(bytes)).faults.length <= 1);
    }),
    { numRuns: 200 },
  );
  t.end();
});

/** Calls at the given times; those that were let through. */
function played(model: LimitModel, times: readonly number[], pace = newPace()): number[] {
  return times.filter((now) => {
    if (paceWait(model, pace, now) > 0) return false;
    paceTake(pace, now);
    return true;
  });
}

function mostWithin(times: readonly number[], windowMs: number): number {
  return Math.max(0, ...times.map((from) => times.filter((at) => at >= from && at < from + windowMs).length));
}

t.test('the limit models', (t) => {
  const start = 1_000_000;
  const burst = Array.from({ length: 40 }, (_, i) => start + i);
  for (const model of ['telegram', 'strict', 'bucket'] as const)
    t.equal(played(model, burst).length, model === 'bucket' ? 31 : 30, model);
  t.equal(played('off', burst).length, 40);

  const later = (ms: number): number[] => [...burst.slice(0, 30), start + ms];
  t.equal(played('telegram', later(949)).length, 30, 'telegram: the 31st within 950 ms is refused');
  t.equal(played('telegram', later(950)).length, 31, 'telegram: after 950 ms it passes');
  t.equal(played('strict', later(999)).length, 30);
  t.equal(played('strict', later(1000)).length, 31);

  const refused = newPace();
  t.equal(played('strict', [...burst.slice(0, 30), start + 500], refused).length, 30);
  t.equal(paceWait('strict', refused, start + 1499), 1, 'strict: shut for the whole retry_after');
  t.equal(paceWait('strict', refused, start + 1500), 0);
  const gentle = newPace();
  played('telegram', [...burst.slice(0, 30), start + 500], gentle);
  t.equal(paceWait('telegram', gentle, start + 950), 0, 'telegram: a 429 refuses that call only');

  const even = Array.from({ length: 300 }, (_, i) => start + (i * 100) / 3);
  for (const model of ['telegram', 'strict', 'bucket'] as const)
    t.equal(played(model, even).length, 300, `${model} takes 30 a second`);
  const group = newPace(GROUP_LIMIT.calls, GROUP_LIMIT.periodMs);
  t.equal(
    played(
      'telegram',
      Array.from({ length: 25 }, (_, i) => start + i * 1000),
      group,
    ).length,
    20,
  );
  t.equal(paceWait('telegram', group, start + 25_000), 35);

  t.equal(privateChatWait('telegram', 0, 0, start), 0, 'a first message passes');
  t.equal(privateChatWait('telegram', start, 0, start + 949), 1);
  t.equal(privateChatWait('telegram', start, 0, start + 950), 0);
  t.equal(privateChatWait('strict', start, 0, start + 999), 1);
  t.equal(privateChatWait('strict', start, start + 3000, start + 1500), 2);
  t.equal(privateChatWait('strict', start, 0, start + 1000), 0);
  t.equal(privateChatWait('off', start, 0, start), 0);

  fc.assert(
    fc.property(fc.array(fc.nat(60), { minLength: 1, maxLength: 200 }), (gaps) => {
      let now = start;
      const times = gaps.map((gap) => {
        now += gap;
        return now;
      });
      t.ok(mostWithin(played('strict', times), 1000) <= 30);
      t.ok(mostWithin(played('telegram', times), 950) <= 30);
    }),
    { numRuns: 60 },
  );
  t.end();
});

t.test('numbers at the head of texts: distinct, repeated, out of order', (t) => {
  const dialogs = new Dialogs();
  const seen = (...numbers: number[]): string[] => numbers.map((number) => dialogs.noteNumber(7, number));
  t.same(seen(1, 2, 2, 1, 5, 3, 3, 4, 6), [
    'distinct',
    'distinct',
    'duplicate',
    'duplicate',
    'distinct',
    'outOfOrder',
    'duplicate',
    'outOfOrder',
    'distinct',
  ]);
  t.equal(dialogs.noteNumber(8, 0), 'distinct');
  t.equal(dialogs.noteNumber(8, 0), 'duplicate');
  fc.assert(
    fc.property(fc.array(fc.nat(40), { maxLength: 120 }), (numbers) => {
      const fresh = new Dialogs();
      const model = new Set<number>();
      for (const number of numbers) {
        const expected = model.has(number) ? 'duplicate' : number < Math.max(-1, ...model) ? 'outOfOrder' : 'distinct';
        model.add(number);
        t.equal(fresh.noteNumber(5000, number), expected);
      }
    }),
    { numRuns: 200 },
  );
  const many = new Dialogs();
  for (let i = 0; i < 3000; i += 2) many.noteNumber(1, i);
  t.ok((many.intervals()[0]?.[1].length ?? 0) <= 512, 'what is kept of a chat is bounded');
  t.equal(many.noteNumber(1, 2999), 'distinct');
  t.end();
});

t.test('faults are checked and laid over those that hold', (t) => {
  const some = changeFaults(NO_FAULTS, { limits: 'strict', latencyMs: 5, tooMany: { share: 0.5 } });
  t.same(some, { ...NO_FAULTS, limits: 'strict', latencyMs: 5, tooMany: { share: 0.5, retryAfter: 1 } });
  const wrong: [unknown, RegExp][] = [
    [{ limits: 'loose' }, /^limits:/],
    [{ latencyMs: -1 }, /^latencyMs:/],
    [{ jitterMs: '5' }, /^jitterMs:/],
    [{ errorShare: 1.1 }, /^errorShare:/],
    [{ tooMany: 1 }, /^tooMany:/],
    [{ tooMany: { retryAfter: 0.5 } }, /^tooMany\.retryAfter:/],
    [{ tooMany: { shared: 1 } }, /^tooMany\.shared:/],
    [{ latency: 1 }, /^latency:/],
    [[], /^body:/],
  ];
  for (const [wish, pattern] of wrong) t.match(changeFaults(NO_FAULTS, wish), pattern);
  const share = (part: number): number[] =>
    Array.from({ length: 10_000 }, (_, i) => 100_000_001 + i).filter((id) => isBlockedByFault(part, id));
  const tenth = share(0.1);
  t.ok(tenth.length > 900 && tenth.length < 1100, `${tenth.length} of 10,000`);
  const third = new Set(share(0.3));
  t.ok(tenth.every((id) => third.has(id)));
  t.equal(share(1).length, 10_000);
  t.end();
});

t.test('updates wait without gaps in their ids', (t) => {
  const queue = new UpdateQueue(100);
  for (let i = 1; i <= 3000; i += 1) queue.push(i, 9000);
  t.equal(queue.nextId, 3100);
  t.ok(queue.forgetBelow(2600));
  t.notOk(queue.forgetBelow(2600));
  t.same(queue.from(0, 2), [
    { id: 2600, offset: 2501, until: 9000 },
    { id: 2601, offset: 2502, until: 9000 },
  ]);
  t.equal(queue.idOfNewest(2), 3098);
  t.equal(queue.idOfNewest(99_999), 2600);
  queue.forgetOffsetsBelow(2990);
  t.equal(queue.firstId, 3089);
  queue.forgetBelow(999_999);
  t.equal(queue.nextId, 3100, 'ids go on');
  t.end();
});

t.test('updates leave from the oldest on, singly and when their time is over', (t) => {
  const step = fc.oneof(
    fc.record({ push: fc.constantFrom(1000, 150), after: fc.nat(200) }),
    fc.record({ finish: fc.nat(30) }),
    fc.record({ below: fc.nat(30) }),
    fc.record({ packed: fc.constant(true) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      let queue = new UpdateQueue(7);
      let model: { id: number; offset: number; until: number }[] = [];
      let next = 7;
      let now = 0;
      for (const taken of steps) {
        if ('push' in taken) {
          now += taken.after;
          queue.push(next * 10, now + taken.push);
          model.push({ id: next, offset: next * 10, until: now + taken.push });
          next += 1;
        } else if ('finish' in taken) {
          const id = next - taken.finish;
          t.equal(
            queue.finish(id),
            model.some((update) => update.id === id),
          );
          model = model.filter((update) => update.id !== id);
        } else if ('below' in taken) {
          queue.forgetBelow(next - taken.below);
          model = model.filter(({ id }) => id >= next - taken.below);
        } else {
          const again = new UpdateQueue(queue.firstId);
          again.adopt(queue.pack());
          queue = again;
        }
        queue.expire(now);
        model = model.filter(({ until }) => until >= now);
        t.same(queue.from(0, 100), model);
        t.equal(queue.length, model.length);
        t.equal(queue.firstId, model[0]?.id ?? next);
        t.equal(queue.nextId, next);
        t.equal(queue.idOfNewest(2), model.at(-2)?.id ?? model[0]?.id ?? next);
      }
    }),
  );
  t.end();
});

t.test('the journal gives back what was flushed, through torn ends and rotation', (t) => {
  const dir = t.testdir();
  let woken = 0;
  const wake = (): void => {
    woken += 1;
  };
  const journal = Journal.open(dir, wake);
  const first = journal.append('"één"');
  const second = journal.append('["two"]');
  t.equal(woken, 1);
  t.equal(journal.read(second), '["two"]', 'reading flushes');
  journal.rotate();
  const third = journal.append('3');
  t.ok(journal.flush());
  t.equal(journal.read(first), '"één"');
  t.equal(journal.read(third), '3');
  t.equal(journal.read(third + 999), undefined);
  journal.close();

  appendFileSync(join(dir, `journal-${third}.log`), '["torn');
  const again = Journal.open(dir, wake);
  const lines: [string, number][] = [];
  again.replay(second, (line, offset) => lines.push([line, offset]));
  t.same(lines, [
    ['["two"]', second],
    ['3', third],
  ]);
  const fourth = again.append('"four"');
  t.equal(fourth, third + 2);
  t.equal(again.read(fourth), '"four"');
  again.rotate(2);
  t.equal(again.oldest, third, 'the oldest segment is given up');
  t.equal(again.read(first), undefined);
  again.close();
  t.end();
});

t.test('snapshots: the newest whole one counts', (t) => {
  const dir = t.testdir();
  for (const offset of [10, 20, 30])
    writeSnapshot(dir, { offset, header: { offset }, sections: [Uint8Array.of(1, 2, offset)] });
  t.same(
    [...readSnapshots(dir)].map(({ offset }) => offset),
    [30, 20],
    'two are kept',
  );
  writeFileSync(join(dir, 'snapshot-40.bin'), '{"lengths":[5],"header":{}}\nab');
  const [newest] = readSnapshots(dir);
  t.same(newest?.header, { offset: 30 });
  t.same([...(newest?.sections[0] ?? [])], [1, 2, 30]);
  t.end();
});

t.test('one process at a time has the directory', (t) => {
  const dir = join(t.testdir(), 'a', 'b');
  const release = lockDirectory(dir);
  t.throws(() => lockDirectory(dir), { code: 'PH_LOCAL_TELEGRAM_LOCKED' });
  release();
  writeFileSync(join(dir, 'lock'), JSON.stringify({ pid: process.pid, start: 'of an earlier process with this pid' }));
  const takenOver = lockDirectory(dir);
  t.throws(() => lockDirectory(dir), { code: 'PH_LOCAL_TELEGRAM_LOCKED' });
  takenOver();
  writeFileSync(join(dir, 'file'), '');
  t.throws(() => lockDirectory(join(dir, 'file')), { code: 'PH_LOCAL_TELEGRAM_DATA' });
  t.end();
});
