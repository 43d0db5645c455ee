import { text as readText } from 'node:stream/consumers';
import type { Page, Route } from 'playwright-core';
import t from 'tap';
import { eventually } from '../../support/eventually.js';
import {
  becomes,
  bubbles,
  chatRow,
  newcomer,
  PHONE,
  pageScene,
  personOf,
  startFlorist,
  WITHIN_MS,
} from './page-scene.js';

/** A picture of one pixel. */
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

/** Has the page think that its tab is looked at, or not. */
const look = (page: Page, isLookedAt: boolean): Promise<unknown> =>
  page.evaluate(`Object.defineProperty(document, 'hidden', { configurable: true, value: ${!isLookedAt} });
    document.dispatchEvent(new Event('visibilitychange'));`);

/** Holds back the answers to such requests, which are asked for at once; the function that comes back lets them go. */
async function holdAnswers(page: Page, url: string): Promise<() => Promise<void>> {
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const held: Promise<void>[] = [];
  const hold = (route: Route): void => {
    held.push(route.fetch().then((response) => released.then(() => route.fulfill({ response }))));
  };
  await page.route(url, hold);
  return async () => {
    release();
    await Promise.all(held);
    await page.unroute(url, hold);
  };
}

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
    await becomes(t, () => bubbles(page).first().innerText(), /^\/start/);
    await becomes(t, () => page.title(), /Local Telegram$/);
    await becomes(t, () => page.locator('#start').isVisible(), false, 'START has done its work');
    await becomes(t, () => page.locator(':focus').getAttribute('id'), 'field', 'the focus is where one goes on');

    await page.locator('#commands-button').click();
    await becomes(t, () => page.locator('.command-name').allInnerTexts(), ['/start', '/stop', '/status', '/help']);
    await page.getByRole('option', { name: '/status' }).click();
    await bubbles(page).filter({ hasText: 'You are subscribed since' }).waitFor();
    await becomes(t, () => page.locator('#command-menu').isVisible(), false);
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
    await becomes(t, () => page.locator('#me-name').innerText(), 'Grace <b>Hopper</b>');
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
    await becomes(t, () => row.locator('.badge').innerText(), '1');
    await becomes(t, () => page.title(), /^\(1\) /);
    await row.click();
    await bubbles(page).filter({ hasText: 'And the second one' }).waitFor();
    await becomes(t, () => row.locator('.badge').count(), 0);
    await becomes(t, () => page.title(), /^\w+ · Local Telegram$/);
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
    await becomes(t, () => page.locator('#chat-subtitle').innerText(), 'you block this bot');
    await becomes(t, () => page.locator('#field').isVisible(), false);

    await page.locator('#panel-button').click();
    t.equal((await scene_.bot('sendMessage', { chat_id: id, text: 'Are you there?' })).ok, false);
    const refusal = page.locator('.told.bad', { hasText: 'bot was blocked by the user' }).first();
    await refusal.waitFor();
    await becomes(t, () => refusal.innerText(), /sendMessage \d+\s+403/);
    await refusal.locator('summary').click();
    await becomes(t, () => refusal.locator('.told-json').innerText(), /"text": "Are you there\?"/);
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
    await becomes(t, () => key('Tulip').getAttribute('aria-busy'), 'true', 'the button waits for the bot');
    const first = await scene_.pressed('Tulip');
    await scene_.bot('answerCallbackQuery', { callback_query_id: first, text: 'A tulip it is' });
    await page.getByRole('status').filter({ hasText: 'A tulip it is' }).waitFor();
    await becomes(t, () => key('Tulip').getAttribute('aria-busy'), null);

    await key('Rose').focus();
    await page.keyboard.press('Enter');
    const second = await scene_.pressed('Rose');
    await scene_.bot('editMessageText', { chat_id, message_id, text: 'A rose then.', ...keyboard('Rose', 'Done') });
    await bubbles(page).filter({ hasText: 'A rose then.' }).waitFor();
    await becomes(
      t,
      () => page.locator(':focus').innerText(),
      'Rose',
      'the edited message keeps the focus where it was',
    );
    const text = 'Roses have <b>thorns</b>';
    await scene_.bot('answerCallbackQuery', { callback_query_id: second, text, show_alert: true });
    const alert = page.getByRole('dialog');
    await becomes(t, () => alert.innerText(), /Roses have <b>thorns<\/b>/);
    await alert.getByRole('button', { name: 'OK' }).press('Enter');
    await alert.waitFor({ state: 'detached' });
    await page.locator('.message', { hasText: 'A rose then.' }).locator('.meta', { hasText: 'edited' }).waitFor();

    await scene_.say(chat_id, 'And how many?', {
      reply_markup: { keyboard: [['one', { text: 'two' }]], one_time_keyboard: true, input_field_placeholder: 'Some' },
    });
    const below = page.locator('#reply-keyboard');
    await below.waitFor();
    await becomes(t, () => page.locator('#field').getAttribute('placeholder'), 'Some');
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
    await becomes(
      t,
      () => photo.evaluate('document.querySelector(".photo img").decode().then(() => "shown")'),
      'shown',
    );
    await becomes(t, () => page.locator('#field').inputValue(), '', 'what was written has become the caption');
    const file = page.locator('a.file', { hasText: 'list <1>.txt' });
    await file.waitFor();
    await becomes(t, () => file.innerText(), /5 B/);
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
    await becomes(t, () => page.locator('.told.bad').first().innerText(), /429[\s\S]*Too Many Requests: retry after 1/);
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
    await becomes(t, () => bubble.evaluate((element) => element.firstChild?.textContent), sent.result.text);
    t.equal(
      await page
        .locator('.message script, .message img, .message svg:not(.icon), .message iframe, .message style')
        .count(),
      0,
    );
    await becomes(t, () => page.locator('.key', { hasText: '<i>button</i>' }).count(), 1);
    const link = page.locator('a.key', { hasText: 'go' });
    await becomes(t, () => link.getAttribute('href'), 'https://example.com/?%3Cb%3E');
    await becomes(t, () => link.getAttribute('rel'), 'noopener noreferrer');

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
    await becomes(t, () => html.locator('strong').innerText(), 'fat <script>');
    await becomes(t, () => html.locator('a').getAttribute('href'), 'https://example.com/a');
    await becomes(t, () => html.locator('pre').innerText(), 'ls');
    await becomes(t, () => html.locator('.spoiler').count(), 1);

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
    await becomes(t, () => formatted.locator('strong em').innerText(), 'italic');
    await becomes(t, () => formatted.locator('code').innerText(), 'code');
    await becomes(t, () => formatted.locator('a').allInnerTexts(), ['link']);
    const spoiler = formatted.getByRole('button', { name: 'hidden text' });
    await spoiler.press('Enter');
    await becomes(t, () => formatted.locator('.spoiler.shown').innerText(), 'hidden');

    await page.locator('#field').fill('<b>me too</b> <script>1</script>');
    await page.locator('#field').press('Enter');
    await bubbles(page).filter({ hasText: '<b>me too</b>' }).waitFor();
    await page.locator('#field').fill('/');
    await becomes(t, () => page.locator('.command').innerText(), /<img src=x onerror=alert\(1\)>/);
    await becomes(t, () => page.title(), /Local Telegram$/);
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
    await becomes(t, () => focused(), 'field');

    await page.keyboard.type('two lines');
    await key('Shift+Enter');
    await page.keyboard.type('of text');
    await key('Enter');
    await bubbles(page).filter({ hasText: 'two lines\nof text' }).waitFor();
    await becomes(t, () => page.locator('#field').inputValue(), '');

    await page.keyboard.type('/st');
    await page.getByRole('option', { name: '/stop' }).waitFor();
    await becomes(t, () => page.locator('.command-name').allInnerTexts(), ['/start', '/stop', '/status']);
    await key('ArrowDown');
    await key('ArrowDown');
    await becomes(t, () => page.locator('[aria-selected="true"] .command-name').innerText(), '/status');
    await key('Enter');
    await bubbles(page).filter({ hasText: 'You are subscribed since' }).waitFor();
    await page.keyboard.type('/');
    await page.locator('#command-menu').waitFor();
    await key('Escape');
    await becomes(t, () => page.locator('#command-menu').isVisible(), false);
    await becomes(t, () => focused(), 'field');
    await key('Backspace');

    await key('Escape');
    const inList = () => page.locator('a:focus').innerText();
    await becomes(t, () => inList(), /Posthorn/, 'Esc goes to the list');
    await key('ArrowDown');
    await becomes(t, () => inList(), /Florist/);
    await key('Home');
    await becomes(t, () => inList(), /Posthorn/);
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
    await becomes(t, () => line(130).count(), 0, 'the newest hundred come first');
    const log = page.locator('#log');
    await becomes(t, () => page.locator('#to-end').isVisible(), false);
    for (const earliest of [31, 1]) {
      await log.evaluate('document.querySelector("#log").scrollTop = 0');
      await line(earliest).waitFor({ state: 'attached' });
      await becomes(
        t,
        () => log.evaluate('document.querySelector("#log").scrollTop > 0'),
        true,
        'what came above pushed nothing away',
      );
    }
    await becomes(t, () => page.locator('.message').count(), 231);
    await becomes(t, () => page.locator('#to-end').isVisible(), true);
    await page.locator('#to-end').click();
    await page.locator('#to-end').waitFor({ state: 'hidden' });
    t.same(complaints, []);
  });

  await t.test('a tab that nobody looks at lets go of its connection, and catches up', async (t) => {
    const { page, complaints } = await newcomer(t, scene_);
    await startFlorist(page);
    await look(page, false);
    await scene_.say(personOf(page), 'while you were away');
    const other = await scene_.open(t, page.url());
    await bubbles(other.page).filter({ hasText: 'while you were away' }).waitFor();
    await becomes(t, () => bubbles(page).filter({ hasText: 'while you were away' }).count(), 0);
    await look(page, true);
    await bubbles(page).filter({ hasText: 'while you were away' }).waitFor();
    t.same(complaints, []);
  });

  await t.test('an answer that is older than what came live meanwhile takes nothing back', async (t) => {
    const { page, complaints } = await newcomer(t, scene_);
    await chatRow(page, 'Florist').click();
    await page.locator('#start').waitFor();
    const messages = '**/local/messages?*';
    const release = await holdAnswers(page, messages);
    await look(page, false);
    const asked = page.waitForRequest(messages);
    await look(page, true);
    const request = await asked;
    await page.locator('#start').click();
    await bubbles(page).filter({ hasText: '/start' }).waitFor();
    await becomes(t, () => page.locator(':focus').getAttribute('id'), 'field');
    await release();
    t.same(await (await request.response())?.json(), [], 'it was asked for before');
    await page.evaluate('new Promise((resolve) => requestAnimationFrame(resolve))');
    t.equal(await bubbles(page).filter({ hasText: '/start' }).count(), 1);
    t.equal(await page.locator(':focus').getAttribute('id'), 'field');
    t.same(complaints, []);
  });

  await t.test('a chat that is opened before the page knows it shows what was said', async (t) => {
    const { page, complaints } = await newcomer(t, scene_);
    const me = personOf(page);
    const chats = '**/local/chats?*';
    const release = await holdAnswers(page, chats);
    const asked = page.waitForRequest(chats);
    const group = await scene_.control.chat('supergroup', 'Early birds', me);
    await asked;
    await scene_.control.write(me, group, 'Good morning');
    await page.evaluate(`location.hash = '#${me}/${group}'`);
    await page.waitForURL(`**#${me}/${group}`);
    await release();
    await bubbles(page).filter({ hasText: 'Good morning' }).waitFor();
    t.same(complaints, []);
  });

  await t.test('on a phone one sees the list or the chat, in the dark', async (t) => {
    const window = await newcomer(t, scene_, PHONE);
    const { page, complaints } = window;
    await becomes(t, () => page.locator('#side').isVisible(), false);
    await becomes(
      t,
      () => page.evaluate('document.documentElement.scrollWidth <= innerWidth'),
      true,
      'nothing sticks out',
    );
    await becomes(
      t,
      () => page.evaluate('getComputedStyle(document.body).color'),
      'rgb(238, 243, 247)',
      'dark colours',
    );
    await window.screenshot('phone-dark');
    await page.getByRole('button', { name: 'Back to the chats' }).tap();
    await page.locator('#side').waitFor();
    await becomes(t, () => page.locator('#chat').isVisible(), false);
    await window.screenshot('phone-dark-list');
    await chatRow(page, 'Posthorn').tap();
    await bubbles(page).first().waitFor();
    await page.locator('#panel-button').tap();
    t.equal((await page.locator('#panel').boundingBox())?.width, 390, 'the panel takes the whole width');
    await page.locator('#panel-close').tap();
    await becomes(t, () => page.locator('#panel').isVisible(), false);
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
    await becomes(t, () => owner.locator('#chat-title').innerText(), 'Flower friends');
    await becomes(t, () => owner.locator('#chat-subtitle').innerText(), /^supergroup, 2 members, you are owner$/);
    const chat_id = Number(/\/(-\d+)$/.exec(owner.url())?.[1]);
    await scene_.control.join(chat_id, scene_.botId, { status: 'administrator' });
    const link = await scene_.bot('createChatInviteLink', { chat_id, creates_join_request: true });

    const { page: guest } = await newcomer(t, scene_);
    await guest.locator('#new-chat').click();
    await guest.getByLabel('Invite link').fill(link.result.invite_link);
    await guest.getByRole('button', { name: 'Join', exact: true }).click();
    await guest.getByRole('button', { name: 'Request to join' }).click();
    await guest.getByRole('status').filter({ hasText: 'Asked' }).waitFor();
    await becomes(t, () => chatRow(guest, 'Flower friends').count(), 0);
    await scene_.bot('approveChatJoinRequest', { chat_id, user_id: personOf(guest) });
    await chatRow(guest, 'Flower friends').click();
    await guest.locator('#field').fill('May I come in?');
    await guest.locator('#field').press('Enter');

    const question = owner.locator('.message', { hasText: 'May I come in?' });
    await question.waitFor();
    await becomes(t, () => question.locator('.sender').count(), 1, 'in a group it says who wrote');
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
    await becomes(t, () => owner.locator('#field').inputValue(), 'You are in', 'the last message is to be edited');
    await owner.keyboard.type(', welcome');
    await owner.keyboard.press('Enter');
    const edited = guest.locator('.message', { hasText: 'You are in, welcome' });
    await edited.locator('.meta', { hasText: 'edited' }).waitFor();
    await owner.locator('.bubble', { hasText: 'You are in, welcome' }).click({ button: 'right' });
    await owner.getByRole('menuitem', { name: 'Delete for everyone' }).click();
    await edited.waitFor({ state: 'detached' });

    await guest.locator('#chat-menu').click();
    await guest.getByRole('menuitem', { name: 'Who is here' }).click();
    await becomes(t, () => guest.getByRole('list', { name: 'Members' }).locator('.row').count(), 3);
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
    await becomes(t, () => page.locator('#field').inputValue(), 'not lost', 'what was not taken stays in the field');
    await scene_.again().api;
    await eventually('the page is live again', WITHIN_MS, async () => !(await page.locator('#connection').isVisible()));
    await page.locator('#field').press('Enter');
    await bubbles(page).filter({ hasText: 'not lost' }).waitFor();
  });
});
