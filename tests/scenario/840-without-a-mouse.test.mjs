// Everything that is done on a release day can be done with the keyboard: go there, tick, submit, abort, roll back.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { browser, platform, until } from '../lib/index.mjs';

let p, b, web, page;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.deploy('dev');
    await web.deploy('dev');
    b = await browser(p);
    page = await b.person('wang', 'ops');
});
after(async () => {
    await b?.close();
    await p?.stop();
});

const key = (name) => page.keyboard.press(name);
// Tab until it has the focus: what cannot be reached fails.
async function tabTo(locator) {
    await locator.waitFor();
    for (let i = 0; i < 120; i++) {
        if (await locator.evaluate((node) => node === document.activeElement).catch(() => false))
            return;
        await key('Tab');
    }
    assert.fail(`the focus never came to ${locator}`);
}
const button = (name) => page.getByRole('button', { name, exact: true });
const ask = (name) => page.locator('dialog').getByRole('button', { name, exact: true });
const rolled = (state) => page.getByRole('status').filter({ hasText: state }).waitFor({ timeout: 60_000 });

test('the first stop skips to the content, and each page has its title', async () => {
    await b.go(page, '/apps/web/dev');
    await page.getByRole('heading', { level: 1 }).waitFor();
    assert.equal(await page.title(), 'apps / web / dev · Slipway');
    await key('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
    await key('Enter');
    await key('Tab');
    assert.ok(await page.evaluate(() => document.activeElement.closest('main') !== null));
    await b.go(page, '/');
});

test('the palette goes anywhere', async () => {
    await key('Control+k');
    await page.getByRole('combobox').waitFor();
    await page.getByRole('option', { name: 'web', exact: true }).waitFor();
    await page.keyboard.type('web dev submit');
    await page.getByRole('option', { name: 'web dev Submit', selected: true }).waitFor();
    await b.picture(page, 'palette');
    await key('Enter');
    await page.getByRole('heading', { name: /Submit web to/ }).waitFor();
    await key('Control+k');
    await page.getByRole('combobox').waitFor();
    await key('Escape');
    await page.getByRole('combobox').waitFor({ state: 'detached' });
});

test('filter, tick, submit, abort', async () => {
    await key('/');
    await page.keyboard.type('slow-start');
    const box = page.getByRole('checkbox', { name: /bad\/slow-start/ });
    await until(async () => (await page.locator('.pick li').count()) === 1, 5000, 'the list is filtered');
    await tabTo(box);
    await key('Space');
    await page.getByText('Merges cleanly').waitFor();
    await tabTo(button('Submit to dev'));
    await key('Enter');
    await ask('Submit to dev').waitFor();
    await tabTo(ask('Submit to dev'));
    await key('Enter');
    await page.waitForURL(/rollouts/);
    await tabTo(button('Abort'));
    await key('Enter');
    await ask('Abort').waitFor();
    await tabTo(ask('Abort'));
    await key('Enter');
    await rolled('cancelled');
    assert.equal((await web.status('dev')).live_release, 2);
});

test('roll back', async () => {
    await tabTo(page.getByRole('link', { name: 'dev', exact: true }));
    await key('Enter');
    await tabTo(button('Roll back').first());
    await key('Enter');
    await ask('Roll back').waitFor();
    await tabTo(ask('Roll back'));
    await key('Enter');
    await page.waitForURL(/rollouts/);
    await rolled('done');
    assert.equal((await web.status('dev')).live_release, 1);
    b.assertClean();
});

test('in the dark, and on a narrow window, nothing serious keeps people out', async () => {
    await page.getByRole('button', { name: /Account and appearance/ }).click();
    await button('Dark').click();
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
    for (const path of ['/', '/apps/web', '/apps/web/branches', '/apps/web/dev', '/apps/web/dev/submit', '/apps/web/dev/rollouts/1', '/apps/web/dev/logs', '/me']) {
        await b.go(page, path);
        await page.getByRole('heading', { level: 1 }).waitFor();
        await until(async () => (await page.locator('.loading').count()) === 0, 10_000, `${path} is loaded`);
        await b.picture(page, `dark${path.replaceAll('/', '-')}`);
    }
    await page.setViewportSize({ width: 420, height: 800 });
    for (const path of ['/', '/apps/web', '/apps/web/dev/submit']) {
        await b.go(page, path);
        await page.getByRole('heading', { level: 1 }).waitFor();
        await until(async () => (await page.locator('.loading').count()) === 0, 10_000, `${path} is loaded`);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth + 1), `${path} is wider than the window`);
        await b.picture(page, `narrow${path.replaceAll('/', '-')}`);
    }
    b.assertClean();
});
