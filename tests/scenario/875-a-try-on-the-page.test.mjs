// A try is begun on the app's page with some branches, is there a moment later, and is ended there.
import { after, before, test } from 'node:test';
import { browser, platform } from '../lib/index.mjs';

let p, b, page;
before(async () => {
    p = await platform();
    await p.app('web');
    b = await browser(p);
    page = await b.person('wang', 'developer');
});
after(async () => {
    await b?.close();
    await p?.stop();
});

test('some branches are tried', async () => {
    await b.go(page, '/apps/web');
    await page.getByRole('button', { name: 'Try branches' }).click();
    const dialog = page.locator('dialog');
    await dialog.getByLabel('feature/a').check();
    await dialog.getByLabel('Filter').fill('功能');
    await dialog.getByLabel('feature/功能').check();
    await dialog.getByLabel('What for').fill('for the demo');
    await b.picture(page, 'try-new');
    await dialog.getByRole('button', { name: 'Try branches' }).click();
    await page.waitForURL('**/apps/web/try-1');
    await page.getByText('r1').first().waitFor();
    await b.go(page, '/apps/web');
    await page.getByRole('link', { name: 'try-1' }).waitFor();
    await page.getByText('for the demo').waitFor();
    await page.getByText('r1', { exact: true }).waitFor();
    await b.picture(page, 'tries', { full: true });
});

test('and ended', async () => {
    await page.getByRole('button', { name: 'One more day' }).click();
    await page.getByText('ends in 24 h').waitFor();
    await page.getByRole('button', { name: 'End it' }).click();
    await page.locator('dialog').getByRole('button', { name: 'End it' }).click();
    await page.getByText('A try is a throw-away environment').waitFor();
    b.assertClean();
});
