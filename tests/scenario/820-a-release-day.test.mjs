// A release day by the page alone: from the set-up link to a rollback in prod and the journal, in Chromium, on a real
// platform. Only git is used beside it. Each page is kept as a picture and looked at by axe-core.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readFileSync } from 'node:fs';
import { browser, git, platform, Repository, talkative, until } from '../lib/index.mjs';

let p, b, page, repository, token;
before(async () => {
    p = await platform({ start: false });
    await p.serve();
    b = await browser(p);
    page = await b.window();
});
// One thing leads to the next: what comes after the first failure would only wait.
let failed = false;
const step = (name, fn) => test(name, async (t) => {
    if (failed)
        throw new Error('a step before failed');
    failed = true;
    await fn(t).catch(async (error) => {
        await b.picture(page, 'failed', { axe: false });
        throw error;
    });
    failed = false;
});
after(async () => {
    await b?.close();
    await p?.stop();
});

const button = (name) => page.getByRole('button', { name, exact: true });
const link = (name) => page.getByRole('link', { name, exact: true });
const ask = (name) => page.locator('dialog').getByRole('button', { name, exact: true });
const rolled = (state) => page.getByRole('status').filter({ hasText: state }).waitFor({ timeout: 120_000 });
const push = async (...refs) => {
    const done = await git(repository.dir, ['push', '-q', `http://slipway.localhost:${p.ports.http}/git/shop.git`, ...refs], {
        configuration: { 'http.extraHeader': `Authorization: Basic ${Buffer.from(`wang:${token}`).toString('base64')}`, 'http.curloptResolve': `slipway.localhost:${p.ports.http}:127.0.0.1` },
    });
    assert.equal(done.code, 0, done.err);
};
const serves = async (env, release) => until(async () => (await p.get(p.domain('shop', env), '/id')).headers['x-release'] === release, 20_000, `${env} serves ${release}`);

step('the set-up link makes the first administrator, and does not stay in the address', async () => {
    await page.goto(b.url);
    await page.getByText('Nobody has an account yet').waitFor();
    await b.picture(page, 'login');
    const secret = readFileSync(`${p.dataDir}/core/setup-link`, 'utf8').trim().split('/').pop();
    await page.goto(`${b.url}/setup/${secret}`);
    await page.getByLabel('Name').fill('wang');
    await page.getByLabel('Password').fill('correct horse battery staple');
    assert.equal(new URL(page.url()).pathname, '/setup');
    await b.picture(page, 'setup');
    await button('Begin').click();
    await page.getByText('No app yet').waitFor();
    await b.picture(page, 'home-empty');
});

step('a new app, a token for git, and the first push', async () => {
    await button('New app').click();
    await page.locator('dialog input[name=name]').fill('shop');
    await ask('New app').click();
    await page.getByText(/git push http:\/\/slipway\.localhost.*\/git\/shop\.git main/).waitFor();
    await page.locator('dialog').getByRole('link', { name: 'shop' }).click();
    await page.getByText('Nothing was released here yet.').first().waitFor();
    await page.goto(`${b.url}/me`);
    await button('New token').click();
    await page.locator('dialog input[name=name]').fill('git');
    await ask('New token').click();
    token = await page.locator('dialog .copy code').innerText();
    assert.match(token, /^sw_\w{40}$/);
    await ask('Close').click();
    await b.picture(page, 'me');
    repository = await Repository.fromFixture('server', `${p.dir}/repos/shop`);
    await repository.commit('main', { ...talkative.files, 'slipway.yaml': talkative.yaml(readFileSync(`${repository.dir}/slipway.yaml`, 'utf8')) }, 'say more');
    await push('--all');
});

step('a branch is made on the page, and worked on', async () => {
    await page.goto(`${b.url}/apps/shop/branches`);
    await page.getByRole('row', { name: /conflict\/left/ }).waitFor();
    await button('New branch').click();
    await page.locator('dialog input[name=name]').fill('feature/wang-hello');
    await ask('New branch').click();
    await page.getByText('git fetch http://slipway.localhost').waitFor();
    await ask('Close').click();
    await page.getByRole('row', { name: /feature\/wang-hello.*Mine/ }).waitFor();
    await repository.branch('feature/wang-hello', { 'hello.txt': 'hello\n' }, { message: 'say hello' });
    await push('--force', 'feature/wang-hello');
    await page.getByRole('row', { name: /feature\/wang-hello.*say hello/ }).waitFor(); // by itself
    await b.picture(page, 'branches');
});

step('a conflict is said while ticking; unticked, the plan stands', async () => {
    await page.goto(`${b.url}/apps/shop/dev/submit`);
    const tick = (name) => page.getByRole('checkbox', { name: new RegExp(name) });
    await tick('conflict/left').check();
    await tick('conflict/right').check();
    await page.getByText('1 branch is left out, the others are released.').waitFor();
    await page.getByText(/conflict\/right conflicts with conflict\/left/).waitFor();
    await b.picture(page, 'submit-conflict');
    await button('Leave out conflict/right').click();
    await tick('feature/wang-hello').check();
    await page.getByText('Merges cleanly').waitFor();
    await page.getByRole('listitem').filter({ hasText: 'build b1' }).waitFor();
    await b.picture(page, 'submit');
});

step('submit: asked once, then every step live, and its domain at the end', async () => {
    await button('Submit to dev').click();
    await page.locator('dialog').getByText('Releases shop to dev with 2 branches').waitFor();
    await b.picture(page, 'submit-ask');
    await ask('Submit to dev').click();
    await page.waitForURL(/\/apps\/shop\/dev\/rollouts\/\d+$/);
    await page.getByText('build b1').first().waitFor();
    await b.picture(page, 'rollout-running');
    await rolled('done');
    await link('shop.dev.localhost').waitFor();
    await page.reload(); // what the build did is not only told while one looks on
    await page.getByText(/smoke: 2 passed/).waitFor();
    for (const what of ['merge the branches', 'base image', 'take the source', 'compile', 'check smoke', 'pack the artifact'])
        await page.getByRole('listitem').filter({ hasText: new RegExp(`${what}.*\\d s`) }).waitFor();
    await page.getByText('3 of 3 modules are good').waitFor();
    await b.picture(page, 'rollout-done');
    await serves('dev', 'r1');
});

step('the set goes on to test, pre and prod', async () => {
    for (const [env, source] of [['test', 'The set live in dev, built anew'], ['pre', 'The same artifact as in test'], ['prod', 'The same artifact as in pre']]) {
        await page.goto(`${b.url}/apps/shop/${env}/submit`);
        await page.getByLabel(source).check();
        await page.getByRole('checkbox', { name: /feature\/wang-hello/, checked: true }).waitFor(); // what is live in the env before
        await page.getByText('Merges cleanly').waitFor();
        if (env === 'prod')
            await b.picture(page, 'submit-prod');
        await button(`Submit to ${env}`).click();
        await ask(`Submit to ${env}`).click();
        await page.waitForURL(/rollouts/);
        await rolled('done');
        await serves(env, 'r1');
    }
    await page.goto(`${b.url}/apps/shop`);
    await page.getByText('4/4').waitFor();
    await b.picture(page, 'app');
});

step('what is new is seen, released and compared', async () => {
    await repository.commit('feature/wang-hello', { 'hello.txt': 'hello, world\n' }, 'say it to the world');
    await push('feature/wang-hello');
    await page.getByText('1 new commit not deployed').first().waitFor(); // by itself
    await page.goto(`${b.url}/apps/shop/prod/submit`);
    await page.getByText('1 new commit').waitFor();
    await button('Submit to prod').click();
    await ask('Submit to prod').click();
    await page.waitForURL(/rollouts/);
    await rolled('done');
    await serves('prod', 'r2');
    await page.goto(`${b.url}/apps/shop/prod`);
    await page.getByLabel('Compare r1').check();
    await page.getByLabel('Compare r2').check();
    await button('Compare r1 → r2').click();
    await page.locator('dialog').getByText('say it to the world').waitFor();
    await b.picture(page, 'compare');
    await page.keyboard.press('Escape');
    await b.picture(page, 'env', { full: true });
});

step('rolled back from the keyboard alone', async () => {
    await button('Roll back').first().focus();
    await page.keyboard.press('Enter');
    await page.locator('dialog').getByText(/Brings r1 back in prod/).waitFor();
    for (let i = 0; i < 6 && !(await ask('Roll back').evaluate((node) => node === document.activeElement)); i++)
        await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.waitForURL(/rollouts/);
    await rolled('done');
    await serves('prod', 'r1');
    await b.picture(page, 'rollback');
});

step('home shows all of it, logs and requests tell what happened, the journal who did it', async () => {
    await page.goto(b.url);
    await page.getByRole('row', { name: /shop/ }).waitFor();
    await page.getByRole('link', { name: /shop feature\/wang-hello/ }).waitFor();
    await page.getByText('Time to restore').waitFor();
    await b.picture(page, 'home');
    await page.goto(`${b.url}/apps/shop/prod/requests`);
    await page.getByText('/id').first().waitFor();
    await b.picture(page, 'requests');
    await page.goto(`${b.url}/apps/shop/prod/logs`);
    await page.getByText(/open: release r1 instance/).first().waitFor();
    await b.picture(page, 'logs');
    await page.goto(`${b.url}/journal`);
    await page.getByRole('row', { name: /rollout\.done/ }).first().waitFor();
    await button('Verify').click();
    await page.getByText(/each follows from the one before it/).waitFor();
    await b.picture(page, 'journal');
    for (const part of ['people', 'roles', 'system']) {
        await page.goto(`${b.url}/settings/${part}`);
        await page.getByText({ people: 'wang', roles: 'every environment', system: 'role host' }[part]).first().waitFor();
        await b.picture(page, `settings-${part}`);
    }
    b.assertClean();
});
