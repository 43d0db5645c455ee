import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import t from 'tap';
import { eventually } from '../support/eventually.js';
import { startProcess } from '../support/posthorn-process.js';
import { broadcastDone, serverEnv, serverWithSubscribers } from '../support/posthorn-server.js';

const PEOPLE = 600;
const CONCURRENCY = 16;
const WAIT_MS = 90_000;

t.setTimeout(300_000);

t.test('what operators get wrong: a clear error with its code each, and nothing is lost', async (t) => {
  const { dir, telegram, server, api } = await serverWithSubscribers(t, PEOPLE, {
    SEND_CONCURRENCY: String(CONCURRENCY),
  });
  const env = { ...serverEnv(t, dir), ...telegram.env };
  const run = async (words: readonly string[], more: Readonly<Record<string, string>> = {}, input?: string) => {
    const command = startProcess(t, {
      args: words,
      cwd: dir,
      env: { ...env, ...more },
      ...(input === undefined ? {} : { input }),
    });
    const { code } = await command.ended();
    return { code, out: command.stdout(), err: command.stderr() };
  };
  const id = await api.broadcast({ text: '#1 all the while' });
  const [person = 0] = await telegram.people(1);
  const post = (text: string, parseMode: string) =>
    api.call('POST', '/api/send_messages', {
      messages: [
        { chatId: person, text: 'whole' },
        { chatId: person, text, parseMode },
      ],
    });

  await t.test('malformed texts', async (t) => {
    const refused = { status: 400, body: { code: 'PH_TEXT_MALFORMED', detail: 'Telegram would refuse this text.' } };
    t.match(await post('a *b', 'MarkdownV2'), {
      ...refused,
      body: {
        errors: [{ field: 'messages[1].text', expected: /^can't parse entities: .*Bold entity at byte offset 2$/ }],
      },
    });
    t.match(await post('<b>x', 'HTML'), refused);
    const { code, err } = await run(['broadcast', '<i>x', '--parse-mode', 'HTML']);
    t.equal(code, 64);
    t.match(
      err,
      /^posthorn: Telegram would refuse this text\. \(PH_TEXT_MALFORMED\)\n {2}text: can't parse entities: .*"i"$/m,
    );
  });

  await t.test('texts that cannot be split', async (t) => {
    const long = `<a href="https://e.org">${'x'.repeat(5_000)}</a>`;
    t.match(await post(long, 'HTML'), { status: 400, body: { code: 'PH_TEXT_UNSPLITTABLE' } });
    writeFileSync(join(dir, 'long.html'), long);
    const { code, err } = await run(['broadcast', '--file', 'long.html', '--parse-mode', 'HTML']);
    t.equal(code, 64);
    t.match(
      err,
      /cannot be cut\. \(PH_TEXT_UNSPLITTABLE\)\n {2}text: a link, code or custom emoji is longer than a message/,
    );
    t.equal((await telegram.messages(telegram.botId, person)).length, 0, 'nothing of a refused request is sent');
  });

  await t.test('a token that getMe refuses', async (t) => {
    const { code, err } = await run(['bots', 'add'], {}, '123:abc\n');
    t.equal(code, 64);
    t.match(
      err,
      /refuses this token\. \(PH_BOT_TOKEN_REFUSED\)\n {2}token: expected a token that Telegram takes \(getMe: Unauthorized\)$/m,
    );
    const started = await run(['start', 'sender'], { BOT_TOKEN: `${telegram.botId}:wrong` });
    t.match(started, { code: 78, err: /^posthorn: Telegram refuses BOT_TOKEN .* \(PH_BOT_TOKEN_REFUSED\)$/m });
  });

  await t.test('a wrong SECRET_KEY', async (t) => {
    const wrong = { SECRET_KEY: 'w'.repeat(40) };
    t.match(await run(['start', 'sender'], wrong), {
      code: 78,
      err: /^posthorn: SECRET_KEY .* \(PH_SECRET_KEY_WRONG\)$/m,
    });
    t.match(await run(['start'], { SECRET_KEY: 'short' }), {
      code: 78,
      err: /\(PH_CONFIG_INVALID\)\n.*\n +SECRET_KEY +\(hidden\) +a text of 32 characters or more$/m,
    });
  });

  await t.test('an owners document that is edited by hand, while its owner sends', async (t) => {
    const uri = env.MONGODB_URI ?? (await server.process.line('local store '));
    const client = new MongoClient(uri);
    t.teardown(() => client.close());
    await eventually('the broadcast runs', WAIT_MS, async () => (await telegram.stats()).distinct > 20);
    const answer = await client
      .db()
      .collection('owners')
      .updateOne({ bot: String(telegram.botId), part: 'send' }, { $set: { epoch: 'five', begun: 7 } });
    t.equal(answer.modifiedCount, 1);
    await eventually('told of', WAIT_MS, async () => server.process.stderr().includes('PH_OWNER_DOCUMENT'));
    t.match(server.process.stderr(), /"wrong":\["epoch","begun"\]/);
    await eventually('mended', WAIT_MS, async () => server.process.stderr().includes('was mended'));
  });

  t.match(await broadcastDone(api, id, WAIT_MS), { sent: PEOPLE, dead: 0, unknown: 0 });
  const { distinct, duplicates, tooMany } = await telegram.stats();
  t.same({ distinct, tooMany }, { distinct: PEOPLE, tooMany: 0 }, 'nobody is left out');
  t.ok(duplicates <= CONCURRENCY, `${duplicates} repeated`);

  await t.test('moves of a broadcast that is done', async (t) => {
    const done = { status: 409, body: { code: 'PH_BROADCAST_STATE', detail: /^The broadcast is done: / } };
    for (const move of ['cancel', 'pause', 'resume'])
      t.match(await api.call('POST', `/api/broadcasts/${id}/${move}`), done);
    t.match(await run(['broadcasts', 'cancel', id]), { code: 1, err: /is done: .* \(PH_BROADCAST_STATE\)$/m });
    t.match(await api.showBroadcast(id), { state: 'done', sent: PEOPLE });
  });

  await t.test('the replay of a delivery that was sent', async (t) => {
    const { body } = await api.call('GET', `/api/deliveries?broadcastId=${id}&state=sent&limit=1`);
    const [sent] = (body as { items: { id: string }[] }).items;
    const delivery = sent?.id ?? '';
    t.match(await api.call('POST', '/admin/dlq/deliveries/replay', { ids: [delivery] }), {
      status: 409,
      body: { code: 'PH_DELIVERY_NOT_DEAD', errors: [{ field: 'ids[0]', expected: /this one is sent$/ }] },
    });
    t.match(await run(['dlq', 'replay', 'deliveries', delivery]), {
      code: 1,
      err: /\(PH_DELIVERY_NOT_DEAD\)\n {2}ids\[0\]: expected a delivery that died; this one is sent$/m,
    });
  });

  t.match(await telegram.stats(), { distinct, duplicates }, 'and nothing was sent by all that');
});
