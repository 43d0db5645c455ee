import { text as readText } from 'node:stream/consumers';
import t from 'tap';
import { eventually } from '../../support/eventually.js';
import { bubbles, chatRow, newcomer, PHONE, pageScene, personOf, startFlorist, WITHIN_MS } from './page-scene.js';

/** A picture of one pixel. */
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

t.test('the chat page in Chromium', async (t) => {
  const found = await pageScene(t);
  if (found === undefined) return;
  const scene_ = found;

  await t.test('a newcomer’s minute: from nobody to /start answered by the page’s buttons alone', async (t) => {
    const window = await scene_.open(t, `${scene_.url}/local`);
    const { page, complaints } = window;
    await page.getByText('Nobody lives here yet').waitFor();
    await window.screenshot('nobody-yet');
    await page.getByRole('button', { name: 'Make a person' }).click();
    await page.getByText('Press START to greet the bot').waitFor();
    await window.screenshot('before-start');
    await page.getByRole('button', { name: 'START' }).click();
    await bubbles(page).filter({ hasText: 'You are subscribed now' }).waitFor();
    t.match(await bubbles(page).first().innerText(), /^\/start/);
    t.match(await page.title(), /Local Telegram$/);
    t.equal(await page.locator('#start').isVisible(), false, 'START has done its work');
    t.equal(await page.locator(':focus').getAttribute('id'), 'field', 'the focus is where one goes on');

    await page.locator('#commands-button').click();
    t.same(await page.locator('.command-name').allInnerTexts(), ['/start', '/stop', '/status', '/help']);
    await page.getByRole('option', { name: '/status' }).click();
    await bubbles(page).filter({ hasText: 'You are subscribed since' }).waitFor();
    t.equal(await page.locator('#command-menu').isVisible(), false);
    t.same(complaints, []);
  });

  await t.test('a conversation as the README shows it, on a desk by day and on a phone by night', async (t) => {
    const window = await newcomer(t, scene_, { viewport: { width: 1180, height: 700 } });
    const { page, complaints } = window;
    await startFlorist(page);
    const chat_id = personOf(page);
    const say = (text: string, more: object = {}) => scene_.say(chat_id, text, { parse_mode: 'HTML', ...more });
    await say('Welcome to the flower shop! Each Friday I bring what is in bloom. /order shows what you have ordered.');
    await say(
      '<b>The tulips are in.</b>\nRed, yellow and white, <i>ten a bunch</i>. Which ones shall I bring on Friday?',
      {
        reply_markup: {
          inline_keyboard: [
            [
              { text: 'Red', callback_data: 'red' },
              { text: 'Yellow', callback_data: 'yellow' },
              { text: 'White', callback_data: 'white' },
            ],
            [{ text: 'See the shop', url: 'https://example.com/shop' }],
          ],
        },
      },
    );
    await page.locator('#field').fill('Yellow ones, please');
    await page.locator('#field').press('Enter');
    await say('Yellow it is: your order is <code>1042</code>.');
    await bubbles(page).filter({ hasText: 'your order is 1042' }).waitFor();
    await page.locator('#panel-button').click();
    await page.locator('.told', { hasText: 'your order is' }).first().waitFor();
    await page.locator('.message:last-child').scrollIntoViewIfNeeded();
    await window.screenshot('desk');

    const phone = await scene_.open(t, page.url(), { ...PHONE, deviceScaleFactor: 1.5 });
    await bubbles(phone.page).filter({ hasText: 'your order is 1042' }).waitFor();
    await phone.screenshot('phone');
    t.same([...complaints, ...phone.complaints], []);
  });

  await t.test('who comes back is who they were, with what was said', async (t) => {
    const { page, complaints } = await newcomer(t, scene_);
    const id = personOf(page);
    await page.goto(`${scene_.url}/local`);
    await bubbles(page).filter({ hasText: 'You are subscribed now' }).waitFor();
    t.equal(personOf(page), id);

    await page.locator('#me').click();
    await page.getByRole('dialog').getByPlaceholder('First name').fill('Grace <b>Hopper</b>');
    await page.getByRole('dialog').getByPlaceholder('@username').fill('@grace');
    await page.getByRole('dialog').getByRole('button', { name: 'Make a person' }).click();
    await page.getByText('Press START to greet the bot').waitFor();
    t.equal(await page.locator('#me-name').innerText(), 'Grace <b>Hopper</b>');
    t.not(personOf(page), id);
    await page.locator('#me').click();
    await page.locator('dialog .row', { hasText: String(id) }).click();
    await bubbles(page).filter({ hasText: 'You are subscribed now' }).waitFor();
    t.same(complaints, []);
  });

  await t.test('a broadcast arrives live, in the open chat and in the list', async (t) => {
    const window = await newcomer(t, scene_);
    const { page, complaints } = window;
    const api = await scene_.server.api;
    await api.broadcast({ text: 'Today at noon: the first broadcast' });
    await bubbles(page).filter({ hasText: 'the first broadcast' }).waitFor();

    await chatRow(page, 'Florist').click();
    await api.broadcast({ text: 'And the second one' });
    const row = chatRow(page, 'Posthorn');
    await row.getByText('And the second one').waitFor();
    t.equal(await row.locator('.badge').innerText(), '1');
    t.match(await page.title(), /^\(1\) /);
    await row.click();
    await bubbles(page).filter({ hasText: 'And the second one' }).waitFor();
    t.equal(await row.locator('.badge').count(), 0);
    t.match(await page.title(), /^\w+ · Local Telegram$/);
    t.same(complaints, []);
  });

  await t.test('block and unblock: the bot is told 403, and the page shows what it was told', async (t) => {
    const window = await newcomer(t, scene_);
    const { page, complaints } = window;
    await startFlorist(page);
    const id = personOf(page);
    await page.locator('#chat-menu').click();
    await page.getByRole('menuitem', { name: 'Block the bot' }).click();
    await page.getByRole('button', { name: 'Unblock' }).waitFor();
    t.equal(await page.locator('#chat-subtitle').innerText(), 'you block this bot');
    t.equal(await page.locator('#field').isVisible(), false);

    await page.locator('#panel-button').click();
    t.equal((await scene_.bot('sendMessage', { chat_id: id, text: 'Are you there?' })).ok, false);
    const refusal = page.locator('.told.bad', { hasText: 'bot was blocked by the user' }).first();
    await refusal.waitFor();
    t.match(await refusal.innerText(), /sendMessage \d+\s+403/);
    await refusal.locator('summary').click();
    t.match(await refusal.locator('.told-json').innerText(), /"text": "Are you there\?"/);
    await window.screenshot('blocked');

    await page.getByRole('button', { name: 'Unblock' }).click();
    await page.locator('#field').waitFor();
    t.equal((await scene_.bot('sendMessage', { chat_id: id, text: 'Welcome back' })).ok, true);
    await bubbles(page).filter({ hasText: 'Welcome back' }).waitFor();
    const figures = page.locator('.figures');
    await figures.locator('dd', { hasText: /[1-9]/ }).first().waitFor();
    t.same(complaints, []);
  });

  await t.test('a button is pressed: the bot answers, alerts, and changes its message', async (t) => {
    const { page, complaints } = await newcomer(t, scene_);
    await startFlorist(page);
    const chat_id = personOf(page);
    const keyboard = (...names: string[]) => ({
      reply_markup: { inline_keyboard: [names.map((name) => ({ text: name, callback_data: name }))] },
    });
    const { message_id } = await scene_.say(chat_id, 'Which one?', keyboard('Rose', 'Tulip'));
    const key = (name: string) => page.getByRole('button', { name, exact: true });

    await key('Tulip').click();
    t.equal(await key('Tulip').getAttribute('aria-busy'), 'true', 'the button waits for the bot');
    const first = await scene_.pressed('Tulip');
    await scene_.bot('answerCallbackQuery', { callback_query_id: first, text: 'A tulip it is' });
    await page.getByRole('status').filter({ hasText: 'A tulip it is' }).waitFor();
    t.equal(await key('Tulip').getAttribute('aria-busy'), null);

    await key('Rose').focus();
    await page.keyboard.press('Enter');
    const second = await scene_.pressed('Rose');
    await scene_.bot('editMessageText', { chat_id, message_id, text: 'A rose then.', ...keyboard('Rose', 'Done') });
    await bubbles(page).filter({ hasText: 'A rose then.' }).waitFor();
    t.equal(await page.locator(':focus').innerText(), 'Rose', 'the edited message keeps the focus where it was');
    const text = 'Roses have <b>thorns</b>';
    await scene_.bot('answerCallbackQuery', { callback_query_id: second, text, show_alert: true });
    const alert = page.getByRole('dialog');
    t.match(await alert.innerText(), /Roses have <b>thorns<\/b>/);
    await alert.getByRole('button', { name: 'OK' }).press('Enter');
    await alert.waitFor({ state: 'detached' });
    await page.locator('.message', { hasText: 'A rose then.' }).locator('.meta', { hasText: 'edited' }).waitFor();

    await scene_.say(chat_id, 'And how many?', {
      reply_markup: { keyboard: [['one', { text: 'two' }]], one_time_keyboard: true, input_field_placeholder: 'Some' },
    });
    const below = page.locator('#reply-keyboard');
    await below.waitFor();
    t.equal(await page.locator('#field').getAttribute('placeholder'), 'Some');
    await below.getByRole('button', { name: 'two' }).click();
    await bubbles(page).filter({ hasText: /^two/ }).waitFor();
    await below.waitFor({ state: 'hidden' });
    t.same(complaints, []);
  });

  await t.test('photos and documents come and go', async (t) => {
    const { page, complaints } = await newcomer(t, scene_);
    await startFlorist(page);
    await page.locator('#field').fill('my garden');
    await page.locator('#file-picker').setInputFiles([
      { name: 'garden.png', mimeType: 'image/png', buffer: Buffer.from(PIXEL, 'base64') },
      { name: 'list <1>.txt', mimeType: 'text/plain', buffer: Buffer.from('seeds') },
    ]);
    const photo = page.locator('.message', { hasText: 'my garden' }).locator('img');
    await photo.waitFor();
    t.equal(await photo.evaluate('document.querySelector(".photo img").decode().then(() => "shown")'), 'shown');
    t.equal(await page.locator('#field').inputValue(), '', 'what was written has become the caption');
    const file = page.locator('a.file', { hasText: 'list <1>.txt' });
    await file.waitFor();
    t.match(await file.innerText(), /5 B/);
    const download = page.waitForEvent('download');
    await file.click();
    t.equal(await readText(await (await download).createReadStream()), 'seeds');
    t.same(complaints, []);
  });

  await t.test('the flood state shows what was refused', async (t) => {
    const { page, complaints } = await newcomer(t, scene_);
    await startFlorist(page);
    await page.locator('#panel-button').click();
    const chat_id = personOf(page);
    await scene_.bot('sendMessage', { chat_id, text: 'one' });
    await eventually(
      'a refusal',
      WITHIN_MS,
      async () => !(await scene_.bot('sendMessage', { chat_id, text: 'two' })).ok,
    );
    await page.locator('.flood-note', { hasText: 'sendMessage, retry after 1 s' }).waitFor();
    t.match(await page.locator('.told.bad').first().innerText(), /429[\s\S]*Too Many Requests: retry after 1/);
    t.same(complaints, []);
  });

  await t.test('texts of strangers are shown and never run', async (t) => {
    const { page, complaints } = await newcomer(t, scene_);
    await startFlorist(page);
    const chat_id = personOf(page);
    const evil = [
      '<script>document.title = "taken"</script>',
      '<img src=x onerror="document.title = \'taken\'">',
      '<svg onload="document.title = \'taken\'"></svg>',
      '"><iframe src="javascript:parent.document.title=1"></iframe>',
      '<style>body { display: none }</style>',
      '{{constructor.constructor("return 1")()}} <b>&lt;&amp;\u202E</b>',
    ].join('\n');
    await scene_.control.faults({ limits: 'off' });
    const sent = await scene_.bot('sendMessage', {
      chat_id,
      text: evil,
      reply_markup: {
        inline_keyboard: [
          [{ text: '<i>button</i>', callback_data: 'x' }],
          [{ text: 'go', url: 'https://example.com/?<b>' }],
        ],
      },
    });
    await scene_.bot('setMyCommands', { commands: [{ command: 'go', description: '<img src=x onerror=alert(1)>' }] });
    const bubble = bubbles(page).filter({ hasText: '<script>' });
    await bubble.waitFor();
    t.equal(await bubble.evaluate((element) => element.firstChild?.textContent), sent.result.text);
    t.equal(
      await page
        .locator('.message script, .message img, .message svg:not(.icon), .message iframe, .message style')
        .count(),
      0,
    );
    t.equal(await page.locator('.key', { hasText: '<i>button</i>' }).count(), 1);
    const link = page.locator('a.key', { hasText: 'go' });
    t.equal(await link.getAttribute('href'), 'https://example.com/?%3Cb%3E');
    t.equal(await link.getAttribute('rel'), 'noopener noreferrer');

    t.match(
      sent.result.text,
      /<script>[\s\S]*<img[\s\S]*<svg[\s\S]*<iframe[\s\S]*<style/,
      'Telegram itself lets such texts through',
    );

    await scene_.bot('sendMessage', {
      chat_id,
      parse_mode: 'HTML',
      text: '<b>fat &lt;script&gt;</b> <a href="https://example.com/a">page</a> <tg-spoiler>secret</tg-spoiler> <pre><code class="language-sh">ls</code></pre>',
    });
    const html = bubbles(page).filter({ hasText: 'fat <script>' });
    await html.waitFor();
    t.equal(await html.locator('strong').innerText(), 'fat <script>');
    t.equal(await html.locator('a').getAttribute('href'), 'https://example.com/a');
    t.equal(await html.locator('pre').innerText(), 'ls');
    t.equal(await html.locator('.spoiler').count(), 1);

    const words = 'bold italic code hidden link mail';
    const at = (word: string) => ({ offset: words.indexOf(word), length: word.length });
    await scene_.bot('sendMessage', {
      chat_id,
      text: words,
      entities: [
        { type: 'bold', ...at('bold italic') },
        { type: 'italic', ...at('italic') },
        { type: 'code', ...at('code') },
        { type: 'spoiler', ...at('hidden') },
        { type: 'text_link', ...at('link'), url: 'https://example.com/' },
      ],
    });
    const formatted = bubbles(page).filter({ hasText: words });
    await formatted.waitFor();
    t.equal((await formatted.locator('strong').allInnerTexts()).join(''), 'bold italic');
    t.equal(await formatted.locator('strong em').innerText(), 'italic');
    t.equal(await formatted.locator('code').innerText(), 'code');
    t.same(await formatted.locator('a').allInnerTexts(), ['link']);
    const spoiler = formatted.getByRole('button', { name: 'hidden text' });
    await spoiler.press('Enter');
    t.equal(await formatted.locator('.spoiler.shown').innerText(), 'hidden');

    await page.locator('#field').fill('<b>me too</b> <script>1</script>');
    await page.locator('#field').press('Enter');
    await bubbles(page).filter({ hasText: '<b>me too</b>' }).waitFor();
    await page.locator('#field').fill('/');
    t.match(await page.locator('.command').innerText(), /<img src=x onerror=alert\(1\)>/);
    t.match(await page.title(), /Local Telegram$/);
    t.same(complaints, []);
  });

  await t.test('all of it can be done by the keyboard', async (t) => {
    const { page, complaints } = await scene_.open(t, `${scene_.url}/local`);
    const focused = async () => (await page.locator(':focus').all())[0]?.getAttribute('id');
    const key = (name: string) => page.keyboard.press(name);
    await eventually('the first button has the focus', WITHIN_MS, async () => (await focused()) === 'make-person');
    await key('Enter');
    await eventually('START has the focus', WITHIN_MS, async () => (await focused()) === 'start');
    await key('Enter');
    await bubbles(page).filter({ hasText: 'You are subscribed now' }).waitFor();
    t.equal(await focused(), 'field');

    await page.keyboard.type('two lines');
    await key('Shift+Enter');
    await page.keyboard.type('of text');
    await key('Enter');
    await bubbles(page).filter({ hasText: 'two lines\nof text' }).waitFor();
    t.equal(await page.locator('#field').inputValue(), '');

    await page.keyboard.type('/st');
    await page.getByRole('option', { name: '/stop' }).waitFor();
    t.same(await page.locator('.command-name').allInnerTexts(), ['/start', '/stop', '/status']);
    await key('ArrowDown');
    await key('ArrowDown');
    t.equal(await page.locator('[aria-selected="true"] .command-name').innerText(), '/status');
    await key('Enter');
    await bubbles(page).filter({ hasText: 'You are subscribed since' }).waitFor();
    await page.keyboard.type('/');
    await page.locator('#command-menu').waitFor();
    await key('Escape');
    t.equal(await page.locator('#command-menu').isVisible(), false);
    t.equal(await focused(), 'field');
    await key('Backspace');

    await key('Escape');
    const inList = () => page.locator('a:focus').innerText();
    t.match(await inList(), /Posthorn/, 'Esc goes to the list');
    await key('ArrowDown');
    t.match(await inList(), /Florist/);
    await key('Home');
    t.match(await inList(), /Posthorn/);
    await key('End');
    await key('Enter');
    await eventually(
      'the other chat',
      WITHIN_MS,
      async () => (await page.locator('#chat-title').innerText()) === 'Florist',
    );

    await page.locator('#chat-menu').focus();
    await key('Enter');
    await key('Enter');
    await page.getByRole('button', { name: 'Unblock' }).waitFor();
    await page.locator('#unblock').focus();
    await key('Enter');
    await eventually('START again', WITHIN_MS, async () => (await focused()) === 'start');
    t.same(complaints, []);
  });

  await t.test('a long conversation is read back to its beginning, and does not jump', async (t) => {
    const { page, complaints } = await newcomer(t, scene_);
    await startFlorist(page);
    const me = personOf(page);
    for (let i = 1; i <= 230; i += 1) await scene_.control.write(me, scene_.botId, `[line ${i}]`);
    const line = (i: number) => bubbles(page).filter({ hasText: `[line ${i}]` });
    await page.reload();
    await line(230).waitFor();
    t.equal(await line(130).count(), 0, 'the newest hundred come first');
    const log = page.locator('#log');
    t.equal(await page.locator('#to-end').isVisible(), false);
    await eventually('the beginning', WITHIN_MS, async () => {
      await log.evaluate('document.querySelector("#log").scrollTop = 0');
      return (await line(1).count()) === 1;
    });
    t.equal(await page.locator('.message').count(), 231);
    t.ok(await page.locator('#to-end').isVisible());
    t.ok(await log.evaluate('document.querySelector("#log").scrollTop > 0'), 'what came above pushed nothing away');
    await page.locator('#to-end').click();
    t.equal(await page.locator('#to-end').isVisible(), false);
    t.same(complaints, []);
  });

  await t.test('a tab that nobody looks at lets go of its connection, and catches up', async (t) => {
    const { page, complaints } = await newcomer(t, scene_);
    await startFlorist(page);
    const look = (hidden: boolean) =>
      page.evaluate(`Object.defineProperty(document, 'hidden', { configurable: true, value: ${hidden} });
        document.dispatchEvent(new Event('visibilitychange'));`);
    await look(true);
    await scene_.say(personOf(page), 'while you were away');
    const other = await scene_.open(t, page.url());
    await bubbles(other.page).filter({ hasText: 'while you were away' }).waitFor();
    t.equal(await bubbles(page).filter({ hasText: 'while you were away' }).count(), 0);
    await look(false);
    await bubbles(page).filter({ hasText: 'while you were away' }).waitFor();
    t.same(complaints, []);
  });

  await t.test('on a phone one sees the list or the chat, in the dark', async (t) => {
    const window = await newcomer(t, scene_, PHONE);
    const { page, complaints } = window;
    t.equal(await page.locator('#side').isVisible(), false);
    t.ok(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), 'nothing sticks out');
    t.equal(await page.evaluate('getComputedStyle(document.body).color'), 'rgb(238, 243, 247)', 'dark colours');
    await window.screenshot('phone-dark');
    await page.getByRole('button', { name: 'Back to the chats' }).tap();
    await page.locator('#side').waitFor();
    t.equal(await page.locator('#chat').isVisible(), false);
    await window.screenshot('phone-dark-list');
    await chatRow(page, 'Posthorn').tap();
    await bubbles(page).first().waitFor();
    await page.locator('#panel-button').tap();
    t.equal((await page.locator('#panel').boundingBox())?.width, 390, 'the panel takes the whole width');
    await page.locator('#panel-close').tap();
    t.equal(await page.locator('#panel').isVisible(), false);
    await page.goBack();
    await page.locator('#side').waitFor();
    t.same(complaints, []);
  });

  await t.test('a group is made, joined by a request that the bot approves, and left', async (t) => {
    const { page: owner, complaints } = await newcomer(t, scene_);
    await owner.locator('#new-chat').click();
    const dialog = owner.getByRole('dialog');
    await dialog.getByLabel('Title').fill('Flower friends');
    await dialog.getByText('Posthorn').click();
    await dialog.getByText('Florist').click();
    await dialog.getByRole('button', { name: 'Create' }).click();
    await owner.locator('.event', { hasText: 'added Florist' }).waitFor();
    t.equal(await owner.locator('#chat-title').innerText(), 'Flower friends');
    t.match(await owner.locator('#chat-subtitle').innerText(), /^supergroup, 2 members, you are owner$/);
    const chat_id = Number(/\/(-\d+)$/.exec(owner.url())?.[1]);
    await scene_.control.join(chat_id, scene_.botId, { status: 'administrator' });
    const link = await scene_.bot('createChatInviteLink', { chat_id, creates_join_request: true });

    const { page: guest } = await newcomer(t, scene_);
    await guest.locator('#new-chat').click();
    await guest.getByLabel('Invite link').fill(link.result.invite_link);
    await guest.getByRole('button', { name: 'Join', exact: true }).click();
    await guest.getByRole('button', { name: 'Request to join' }).click();
    await guest.getByRole('status').filter({ hasText: 'Asked' }).waitFor();
    t.equal(await chatRow(guest, 'Flower friends').count(), 0);
    await scene_.bot('approveChatJoinRequest', { chat_id, user_id: personOf(guest) });
    await chatRow(guest, 'Flower friends').click();
    await guest.locator('#field').fill('May I come in?');
    await guest.locator('#field').press('Enter');

    const question = owner.locator('.message', { hasText: 'May I come in?' });
    await question.waitFor();
    t.equal(await question.locator('.sender').count(), 1, 'in a group it says who wrote');
    await question.locator('.bubble').click({ button: 'right' });
    await owner.getByRole('menuitem', { name: 'Reply' }).click();
    await owner.locator('#note', { hasText: 'May I come in?' }).waitFor();
    await owner.keyboard.type('You are in');
    await owner.keyboard.press('Enter');
    await guest
      .locator('.message', { hasText: 'You are in' })
      .locator('.quote', { hasText: 'May I come in?' })
      .waitFor();

    await bubbles(owner).filter({ hasText: 'You are in' }).waitFor();
    await owner.keyboard.press('ArrowUp');
    t.equal(await owner.locator('#field').inputValue(), 'You are in', 'the last message is to be edited');
    await owner.keyboard.type(', welcome');
    await owner.keyboard.press('Enter');
    const edited = guest.locator('.message', { hasText: 'You are in, welcome' });
    await edited.locator('.meta', { hasText: 'edited' }).waitFor();
    await owner.locator('.bubble', { hasText: 'You are in, welcome' }).click({ button: 'right' });
    await owner.getByRole('menuitem', { name: 'Delete for everyone' }).click();
    await edited.waitFor({ state: 'detached' });

    await guest.locator('#chat-menu').click();
    await guest.getByRole('menuitem', { name: 'Who is here' }).click();
    t.equal(await guest.getByRole('list', { name: 'Members' }).locator('.row').count(), 3);
    await guest.keyboard.press('Escape');
    await guest.locator('#chat-menu').click();
    await guest.getByRole('menuitem', { name: 'Leave' }).click();
    await guest.getByText('Pick a chat to begin').waitFor();
    await owner.locator('.event', { hasText: 'left' }).waitFor();
    t.same(complaints, []);
  });

  await t.test('a server that dies and comes back is waited for', async (t) => {
    const { page } = await newcomer(t, scene_);
    await scene_.server.process.end('SIGKILL');
    await page.getByText('Connection lost').waitFor();
    await page.locator('#field').fill('not lost');
    await page.locator('#field').press('Enter');
    await page.getByRole('alert').filter({ hasText: 'does not answer' }).waitFor();
    t.equal(await page.locator('#field').inputValue(), 'not lost', 'what was not taken stays in the field');
    await scene_.again().api;
    await eventually('the page is live again', WITHIN_MS, async () => !(await page.locator('#connection').isVisible()));
    await page.locator('#field').press('Enter');
    await bubbles(page).filter({ hasText: 'not lost' }).waitFor();
  });
});
