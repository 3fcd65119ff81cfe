// An administrator sets a forge up on the page, makes an app of one of its projects, and sees what it follows; when the
// forge does not let us in any more, the app's page says so and what to do.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { browser, forgeNew, platform, Repository, until, gitOk } from '../lib/index.mjs';

let p, b, forge, project, page, reader;
before(async () => {
    p = await platform({ settings: { forge_networks: '127.0.0.0/8' } });
    forge = await forgeNew('gitlab', { dir: `${p.dir}/forge` });
    project = await forge.project('team/shop');
    await forge.project('team/cart');
    const repository = await Repository.fromFixture('server', `${p.dir}/work`);
    await gitOk(repository.dir, ['push', '-q', forge.pushUrl(project), '--all']);
    b = await browser(p);
    page = await b.person('wang', 'admin');
    reader = await b.person('chen', 'admin', { locale: 'zh-CN' });
});
after(async () => {
    await b?.close();
    await forge?.close();
    await p?.stop();
});

test('a forge is added; a token that is not taken is said', async () => {
    await b.go(page, '/settings/forges');
    await page.getByText('No forge yet').waitFor();
    await page.getByRole('button', { name: 'Add a forge' }).click();
    await page.locator('dialog input[name=name]').fill('corp');
    await page.locator('dialog input[name=url]').fill(forge.url);
    await page.locator('dialog input[name=token]').fill('wrong');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('does not let us in (401)').waitFor();
    await page.locator('dialog input[name=token]').fill('secret-token');
    await b.picture(page, 'forge-add');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('cell', { name: 'slipway-bot' }).waitFor();
    await b.picture(page, 'forges');
});

test('an app of a project of it, and its origin', async () => {
    await b.go(page, '/');
    await page.getByRole('button', { name: 'New app' }).click();
    const offered = page.locator('#newapp-projects option');
    await until(async () => await offered.count() === 2, 10_000, 'its projects are offered');
    await page.locator('dialog input[name=name]').fill('shop');
    await page.getByLabel('Repository elsewhere').fill(project.url);
    await page.getByRole('dialog').getByRole('button', { name: 'New app' }).click();
    await page.getByText('followed from now on').waitFor();
    await b.go(page, '/apps/shop');
    await page.getByRole('heading', { name: 'Repository elsewhere' }).waitFor();
    await page.getByText('followed', { exact: true }).waitFor();
    await page.getByText('Webhook: made').waitFor();
    await b.picture(page, 'origin');
    await b.go(reader, '/apps/shop');
    await reader.getByText('已同步', { exact: true }).waitFor();
});

test('how far a fetch is', async () => {
    const work = new Repository(`${p.dir}/work`);
    writeFileSync(`${work.dir}/random`, randomBytes(4 << 20));
    await work.git('checkout', '-q', '-b', 'feature/large', 'main');
    await work.git('add', '.');
    await work.git('commit', '-q', '-m', 'large');
    forge.bytesASecond = 1 << 20;
    await gitOk(work.dir, ['push', '-q', forge.pushUrl(project), 'feature/large']);
    await reader.getByText(/接收对象 \d+ %/).waitFor();
    await b.picture(reader, 'origin-fetching');
    await page.getByText(/receiving \d+ %/).waitFor();
    await page.getByText('followed', { exact: true }).waitFor();
    delete forge.bytesASecond;
});

test('it lets us in no more: that stands on the page, in Chinese as well', async () => {
    forge.tokens.clear();
    await b.go(reader, '/apps/shop');
    await reader.getByRole('button', { name: '立即拉取' }).click();
    await reader.getByText('拉取失败').first().waitFor();
    await b.picture(reader, 'origin-failing.zh');
    b.assertClean();
});
