import { createConnection, createServer, type Socket } from 'node:net';
import { serialize } from 'bson';
import { Binary, Decimal128, type Document, Long, MongoClient, ObjectId } from 'mongodb';
import t from 'tap';
import { startEmbeddedStore } from '../../../src/local/mongo/server.js';
import { crc32c } from '../../../src/local/mongo/wire/checksum.js';
import { seededRandom } from '../../support/seeded-random.js';

const store = await startEmbeddedStore({ dataDir: t.testdir() });
t.teardown(() => store.stop());

const HEAD = 16;
const QUIET_MS = 150;
const MARK = 0x7e57; // the request id of the ping behind each message

function message(body: Buffer, flags = 0, opcode = 2013, requestId = 1): Buffer {
  const head = Buffer.alloc(20);
  head.writeInt32LE(20 + body.length, 0);
  head.writeInt32LE(requestId, 4);
  head.writeInt32LE(opcode, 12);
  head.writeUInt32LE(flags, 16);
  return Buffer.concat([head, body]);
}

const section = (document: object): Buffer => Buffer.concat([Buffer.from([0]), Buffer.from(serialize(document))]);
const ping = section({ ping: 1, $db: 'admin' });
const markedPing = message(ping, 0, 2013, MARK);

interface End {
  /** Whole answers that came. */
  readonly answers: Buffer[];
  /** The connection was closed by the server, before this side ended it. */
  readonly closed: boolean;
}

/** Sends bytes; ends with the answer to a marked ping, with the server's closing, or after a quiet time (when it waits for more, as it should). Then this side ends,
 * which the server must follow. */
function send(bytes: Buffer): Promise<End> {
  return new Promise((resolve, reject) => {
    const socket: Socket = createConnection(store.port, '127.0.0.1');
    let got = Buffer.alloc(0);
    let ended = false;
    const answers: Buffer[] = [];
    const closing = setTimeout(() => {
      socket.destroy();
      reject(new Error(`the connection was not closed: ${bytes.toString('hex').slice(0, 400)}`));
    }, 20_000);
    const end = (): void => {
      ended = true;
      socket.end();
    };
    let quiet = setTimeout(end, QUIET_MS);
    socket.on('data', (chunk) => {
      got = Buffer.concat([got, chunk]);
      while (got.length >= HEAD && got.length >= got.readInt32LE(0)) {
        const answer = got.subarray(0, got.readInt32LE(0));
        got = got.subarray(answer.length);
        answers.push(answer);
        clearTimeout(quiet);
        if (answer.readInt32LE(8) === MARK) end();
        else quiet = setTimeout(end, QUIET_MS);
      }
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(quiet);
      clearTimeout(closing);
      resolve({ answers, closed: !ended });
    });
    socket.write(bytes);
  });
}

t.test('malformed messages are answered by an error or by closing', async (t) => {
  const isError = ({ answers, closed }: End): boolean =>
    closed && answers.length === 1 && Boolean(answers[0]?.includes('errmsg'));
  const answered = async (bytes: Buffer, why: string): Promise<void> => {
    const { answers, closed } = await send(bytes);
    t.ok(!closed && answers.length === 1 && !answers[0]?.includes('errmsg'), why);
  };
  const refused = async (bytes: Buffer, why: string): Promise<void> => {
    t.ok(
      isError(await send(Buffer.concat([bytes, markedPing]))),
      `${why}: an error, then closed; what follows is not read`,
    );
  };
  const closed = async (bytes: Buffer, why: string): Promise<void> => {
    t.strictSame(await send(bytes), { answers: [], closed: true }, `${why}: closed`);
  };
  const summed = (bytes: Buffer, sum = crc32c(bytes, bytes.length - 4)): Buffer => {
    bytes.writeUInt32LE(sum, bytes.length - 4);
    return bytes;
  };
  const withSum = (): Buffer => message(Buffer.concat([ping, Buffer.alloc(4)]), 1);
  const length = (bytes: number): Buffer => {
    const head = Buffer.alloc(HEAD);
    head.writeInt32LE(bytes, 0);
    return head;
  };

  t.equal(crc32c(Buffer.from('123456789'), 9), 0xe3069283, "the check value of CRC-32C's definition");
  await answered(message(ping), 'a ping');
  await answered(summed(withSum()), 'with a checksum');
  await answered(message(ping, 1 << 16), 'exhaust is an offer');
  await refused(summed(withSum(), 1), 'a wrong checksum');
  await refused(message(ping, 1 << 5), 'an unknown required flag');
  await refused(message(ping, 0, 2010), 'an unknown opcode');
  await refused(message(ping, 0, 2012), 'a compressed message');
  await refused(message(Buffer.alloc(0)), 'nothing at all');
  await refused(message(Buffer.concat([ping, ping])), 'two bodies');
  await refused(message(Buffer.from([1, 4, 0, 0, 0])), 'a sequence without a name');
  await refused(message(Buffer.concat([ping, Buffer.from([7])])), 'an unknown kind of section');
  const sequence = (bytes: number): Buffer => {
    const part = Buffer.concat([
      Buffer.from([1, 0, 0, 0, 0]),
      Buffer.from('documents\0'),
      Buffer.from(serialize({ a: 1 })),
    ]);
    part.writeInt32LE(bytes, 1);
    return part;
  };
  for (const bytes of [-1, 0, 3, 5000, 0x7fffffff])
    await refused(message(Buffer.concat([ping, sequence(bytes)])), `a sequence of ${bytes} bytes`);
  for (const bytes of [-5, 0, 4, 5000, 0x7fffffff]) {
    const broken = Buffer.from(ping);
    broken.writeInt32LE(bytes, 1);
    await refused(message(broken), `a document of ${bytes} bytes`);
  }
  let deep: object = {};
  for (let i = 0; i < 300; i++) deep = { a: deep };
  await refused(message(section({ ping: 1, deep, $db: 'admin' })), 'nested 300 levels deep');
  for (const bytes of [100_000_000, 0x7fffffff, -1, 0, 3, 15])
    await closed(length(bytes), `a header of ${bytes} bytes`);
  await closed(Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'), 'another protocol');
  for (const part of [Buffer.from([1, 2, 3]), message(ping).subarray(0, 15), message(ping).subarray(0, 30)])
    t.strictSame(await send(part), { answers: [], closed: false }, `${part.length} bytes of a message: it waits`);

  // A legacy query: hello, and what is none.
  const query = (name: string, document: object): Buffer => {
    const body = Buffer.concat([Buffer.from(`${name}\0`), Buffer.alloc(8), Buffer.from(serialize(document))]);
    return message(body, 0, 2004);
  };
  await answered(query('admin.$cmd', { ismaster: 1, helloOk: true }), 'the legacy hello');
  await refused(query('admin.things', { a: 1 }), 'a legacy query of a collection');
  await refused(message(Buffer.from('no end'), 0, 2004), 'a legacy query without an end');
});

t.test('messages that arrive byte by byte, together, or without wanting an answer', async (t) => {
  const socket = createConnection(store.port, '127.0.0.1');
  const answers: number[] = [];
  let got = Buffer.alloc(0);
  const enough = new Promise<void>((resolve) => {
    socket.on('data', (chunk) => {
      got = Buffer.concat([got, chunk]);
      while (got.length >= HEAD && got.length >= got.readInt32LE(0)) {
        answers.push(got.readInt32LE(8));
        got = got.subarray(got.readInt32LE(0));
      }
      if (answers.includes(MARK)) resolve();
    });
  });
  socket.setNoDelay(true);
  const slow = message(ping, 0, 2013, 10);
  for (const byte of slow) await new Promise((resolve) => socket.write(Buffer.from([byte]), resolve));
  const silent = message(section({ insert: 'silent', documents: [{ _id: 1 }], $db: 'wire' }), 2, 2013, 11);
  socket.write(Buffer.concat([message(ping, 0, 2013, 12), silent, message(ping, 0, 2013, 13), markedPing]));
  await enough;
  t.strictSame(answers, [10, 12, 13, MARK], 'in their order; nothing for the one that wants none');
  socket.destroy();
  const client = await new MongoClient(store.uri).connect();
  t.equal(await client.db('wire').collection('silent').countDocuments(), 1, 'and it was done');
  await client.close();
});

/** The messages of a driver that works with a store: real traffic. */
async function recorded(): Promise<Buffer[]> {
  const messages: Buffer[] = [];
  const proxy = createServer((client) => {
    const upstream = createConnection(store.port, '127.0.0.1');
    let got = Buffer.alloc(0);
    client.on('data', (chunk) => {
      got = Buffer.concat([got, chunk]);
      while (got.length >= HEAD && got.length >= got.readInt32LE(0)) {
        messages.push(Buffer.from(got.subarray(0, got.readInt32LE(0))));
        got = got.subarray(got.readInt32LE(0));
      }
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => client.write(chunk));
    for (const one of [client, upstream]) one.on('error', () => undefined);
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', () => resolve()));
  const { port } = proxy.address() as { port: number };
  const client = await new MongoClient(`mongodb://127.0.0.1:${port}/mutated`).connect();
  const things = client.db().collection('things');
  await things.createIndexes([{ key: { a: 1, b: -1 } }, { key: { u: 1 }, unique: true, sparse: true }]);
  await things.insertMany([
    { a: 1, b: 'text', list: [1, 2, { c: null }], at: new Date(5), u: 1 },
    { a: Long.fromNumber(2 ** 40), b: new Binary(Buffer.from('bytes')), d: Decimal128.fromString('1.5'), u: 2 },
    { a: new ObjectId(), b: /a.c/i, nested: { deep: { er: [[1], [2]] } } },
  ]);
  await things
    .find({ $or: [{ a: { $gt: 0 } }, { list: { $elemMatch: { c: null } } }] }, { sort: { b: -1 }, batchSize: 2 })
    .toArray();
  await things.updateMany(
    { a: { $in: [1, 2] } },
    { $set: { 'nested.x': 1 }, $push: { list: { $each: [3], $slice: -2 } } as Document },
  );
  await things.updateOne({ u: 9 }, { $inc: { n: 1 } }, { upsert: true });
  await things.findOneAndUpdate({ u: 9 }, [{ $set: { n: { $add: ['$n', 1] } } }], { returnDocument: 'after' });
  await things.bulkWrite([{ insertOne: { document: { u: 10 } } }, { deleteOne: { filter: { u: 10 } } }], {
    ordered: false,
  });
  await things.aggregate([{ $match: { a: { $exists: true } } }, { $group: { _id: '$a', n: { $sum: 1 } } }]).toArray();
  await things.distinct('a');
  await client.db().command({ collStats: 'things' });
  await client.close();
  await new Promise((resolve) => proxy.close(resolve));
  return messages;
}

t.test(
  '1,000 seeded mutations of real traffic: an answer or a closed connection each, other clients unaffected',
  async (t) => {
    const random = seededRandom(t);
    const below = (n: number): number => Math.floor(random.next() * n);
    const traffic = await recorded();
    t.ok(traffic.length > 12, `${traffic.length} messages were recorded`);

    const mutations: readonly ((bytes: Buffer) => Buffer)[] = [
      (bytes) => {
        const at = below(bytes.length);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8));
        return bytes;
      },
      (bytes) => {
        bytes[HEAD + below(bytes.length - HEAD)] = below(256);
        return bytes;
      },
      (bytes) => {
        bytes.writeInt32LE([0, -1, 5, 15, 16, 0x7fffffff, bytes.length + 40, bytes.length - 1][below(8)] ?? 0, 0);
        return bytes;
      },
      (bytes) => {
        bytes.writeInt32LE(
          [0, -1, 4, 0x7fffffff, below(2 ** 31)][below(5)] ?? 0,
          HEAD + below(bytes.length - HEAD - 4),
        );
        return bytes;
      },
      (bytes) => bytes.subarray(0, below(bytes.length)),
      (bytes) => {
        const at = HEAD + below(bytes.length - HEAD);
        const piece = bytes.subarray(at, at + below(64));
        const longer = Buffer.concat([bytes.subarray(0, at), piece, piece, bytes.subarray(at + piece.length)]);
        longer.writeInt32LE(longer.length, 0);
        return longer;
      },
      (bytes) => {
        const at = HEAD + below(bytes.length - HEAD);
        const shorter = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + below(32))]);
        shorter.writeInt32LE(shorter.length, 0);
        return shorter;
      },
    ];

    const client = await new MongoClient(store.uri, { maxPoolSize: 1 }).connect();
    const sums = client.db('bystander').collection<{ _id: number; n: number }>('sums');
    const state = { ended: false, rounds: 0 };
    const isOver = (): boolean => state.ended;
    const bystander = (async () => {
      for (; !isOver(); state.rounds++) {
        await sums.insertOne({ _id: state.rounds, n: state.rounds });
        const found = await sums.findOne({ _id: state.rounds });
        if (found?.n !== state.rounds)
          throw new Error(`round ${state.rounds} was answered with ${JSON.stringify(found)}`);
      }
    })();

    const ends = { answered: 0, closed: 0, waiting: 0 };
    const one = async (): Promise<void> => {
      let bytes: Buffer = Buffer.from(traffic[below(traffic.length)] as Buffer);
      for (let n = below(3); n >= 0 && bytes.length > HEAD + 8; n--)
        bytes = (mutations[below(mutations.length)] as (typeof mutations)[number])(bytes);
      const { answers, closed } = await send(Buffer.concat([bytes, markedPing]));
      if (closed) ends.closed++;
      else if (answers.length > 0) ends.answered++;
      else ends.waiting++;
    };
    for (let i = 0; i < 1000; i += 8) await Promise.all(Array.from({ length: 8 }, one));
    state.ended = true;
    await bystander;
    t.comment(JSON.stringify({ ...ends, bystander: state.rounds }));
    t.equal(await sums.countDocuments(), state.rounds, `a client beside them did ${state.rounds} rounds, all right`);
    t.ok(ends.answered > 20 && ends.closed > 100 && ends.waiting > 20, 'all ends were met');
    await client.close();
  },
);
