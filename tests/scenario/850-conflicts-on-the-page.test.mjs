// Twenty branches in one environment, some in each other's way. The page says who is out because of whom, and since
// which commits; while ticking, one click leaves out the one that keeps the others from coming in.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { browser, platform } from '../lib/index.mjs';

const LINES = Array.from({ length: 60 }, (_, i) => `line ${i + 1}`);
const changed = (file, at, text) => ({ [file]: [...LINES.slice(0, at - 1), text, ...LINES.slice(at)].join('\n') + '\n' });
// [branch, file, line]: two of one place conflict
const PLAN = [['feature/price', 'src/Pay.java', 20], ['feature/coupon', 'src/Pay.java', 20], ['feature/vip', 'src/Pay.java', 20], ['feature/sms', 'src/Sms.java', 7],
    ['feature/mail', 'src/Sms.java', 7], ['feature/搜索', 'src/Search.java', 40], ['feature/law', 'src/Law.java', 3]];

let p, b, web, page, admin;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { files: Object.assign({}, ...[...new Set(PLAN.map(([, file]) => file))].map((file) => changed(file, 1, 'line 1'))) });
    for (const [branch, file, line] of PLAN)
        await web.change(branch, changed(file, line, branch), `${branch} changes line ${line}`);
    for (let i = PLAN.length; i < 20; i++)
        await web.change(`feature/own-${i}`, { [`own/${i}`]: 'mine\n' });
    await web.change('main', changed('src/Law.java', 3, 'by law'), 'the law has changed');
    b = await browser(p);
    page = await b.person('wang', 'ops');
});
after(async () => {
    await b?.close();
    await p?.stop();
});

const all = () => [...PLAN.map(([branch]) => branch), ...Array.from({ length: 20 - PLAN.length }, (_, i) => `feature/own-${i + PLAN.length}`)];

test('the heat map shows each pair, and choosing one shows lines, commits and owners', async () => {
    await web.ticks('test', ...all());
    await b.go(page, '/apps/web/test');
    await page.getByText('16 of 20 merge').waitFor();
    await page.getByRole('link', { name: 'All conflicts' }).click();
    await page.getByRole('heading', { name: /Conflicts/ }).waitFor();
    await page.getByText('feature/coupon conflicts with feature/price').waitFor();
    await page.getByText('feature/law conflicts with main: merge it into the branch and push').waitFor();
    assert.equal(await page.locator('.heat tbody tr').count(), 20);
    assert.equal(await page.locator('.heat .hot').count(), 3 * 2 + 1 * 2 + 1); // price x coupon x vip, sms x mail, law x trunk
    await page.getByRole('button', { name: /^feature\/sms × feature\/mail/ }).click();
    const detail = page.getByRole('heading', { name: 'feature/sms × feature/mail' }).locator('..');
    await detail.getByText('src/Sms.java 7').waitFor();
    await detail.getByText('feature/mail changes line 7').waitFor();
    await b.picture(page, 'conflicts', { full: true });
});

test('a push that solves one is seen without a reload', async () => {
    await web.change('feature/mail', { ...changed('src/Sms.java', 50, 'mail') }, 'out of the way');
    await page.getByText('17 of 20 merge').waitFor();
});

test('who is merged first stays: the order is changed on the page', async () => {
    await b.go(page, '/apps/web/test');
    await page.getByRole('button', { name: 'Merge earlier: feature/coupon' }).click();
    await page.getByRole('button', { name: 'Merge earlier: feature/price' }).waitFor();
    assert.deepEqual((await p.api.get('/apps/web/envs/test/ticks')).ticks.slice(0, 2).map((tick) => tick.branch), ['feature/coupon', 'feature/price']);
    await page.getByRole('link', { name: 'All conflicts' }).click();
    await page.getByText('feature/price conflicts with feature/coupon').waitFor();
    await b.go(page, '/apps/web/test');
    await page.getByRole('button', { name: 'Merge earlier: feature/price' }).click();
    await page.getByRole('button', { name: 'Merge earlier: feature/coupon' }).waitFor();
});

test('while ticking: what leaving one out brings is one click away', async () => {
    await b.go(page, '/apps/web/dev/submit');
    for (const name of ['feature/price', 'feature/coupon', 'feature/搜索'])
        await page.getByRole('checkbox', { name: new RegExp(name) }).check();
    await page.getByText('Without feature/price comes in: feature/coupon.').waitFor();
    await b.picture(page, 'submit-what-if');
    await page.getByText('Without feature/price').getByRole('button', { name: 'Leave out feature/price' }).click();
    await page.getByText('Merges cleanly').waitFor();
    assert.equal(await page.getByRole('checkbox', { name: /feature\/price/ }).isChecked(), false);
    assert.ok(await page.getByRole('button', { name: 'Submit to dev' }).isEnabled());
});

test('whose branch is out sees it on the home page', async () => {
    const { branches } = await p.api.get('/mine');
    assert.deepEqual(branches.find((row) => row.branch === 'feature/vip').out, ['test']);
    admin = await b.window(); // who pushed them
    await admin.goto(b.url);
    await admin.locator('input[name=name]').fill('admin');
    await admin.locator('input[name=password]').fill('correct horse battery staple');
    await admin.getByRole('button', { name: 'Sign in' }).click();
    await admin.getByText('feature/vip conflicts and is left out in test').click();
    await admin.getByRole('heading', { name: /Conflicts/ }).waitFor();
});

test('the branches page marks them in each environment', async () => {
    await b.go(page, '/apps/web/branches');
    await page.getByRole('row', { name: /feature\/coupon/ }).getByText('in conflict').waitFor();
    assert.equal(await page.getByRole('row', { name: /feature\/搜索/ }).getByText('in conflict').count(), 0);
});

test('an administrator says what an environment is for, what it does at a conflict, and when it is released', async () => {
    const ask = (name) => admin.locator('dialog').getByRole('button', { name, exact: true });
    await b.go(admin, '/apps/web/pre');
    await admin.getByRole('button', { name: 'What this environment is for' }).click();
    await admin.locator('dialog textarea').fill('for customers who try');
    await ask('Save').click();
    await admin.getByText('for customers who try').waitFor();
    await admin.getByRole('button', { name: 'At a conflict: Change' }).click();
    await admin.locator('dialog').getByLabel('leave out the later branch').check();
    await ask('Save').click();
    await admin.getByText('At a conflict: leave out the later branch').waitFor();
    await admin.getByRole('button', { name: 'Released: Change' }).click();
    await admin.locator('dialog').getByLabel('when somebody pushes').check();
    await b.picture(admin, 'automation-ask');
    await ask('Save').click();
    await admin.getByText('Released: when somebody pushes').waitFor();
    const [, , pre] = (await p.api.get('/envs')).items;
    assert.deepEqual([pre.purpose, pre.policy, (await web.status('pre')).automation], ['for customers who try', 'skip', 'push']);
});

test('what prod runs lands from its page', async () => {
    await web.ticks('dev', 'feature/own-8');
    await web.deploy('dev');
    await web.ticks('prod', 'feature/own-7');
    await web.deploy('prod');
    await b.go(admin, '/apps/web/prod');
    await admin.getByRole('button', { name: 'Land r1 on trunk' }).click();
    await admin.locator('dialog').getByText('feature/own-7').waitFor();
    await admin.locator('dialog').getByRole('button', { name: 'Land on trunk', exact: true }).click();
    await admin.getByText('r1 is on trunk').waitFor();
    await admin.getByText('Unticked in prod: feature/own-7').waitFor();
    await admin.getByText('dev r1 is without the new trunk').waitFor();
    await b.picture(admin, 'landed', { full: true });
    await admin.getByRole('link', { name: 'Submit to dev again' }).click();
    await admin.getByRole('button', { name: 'Submit to dev' }).waitFor();
    await b.go(admin, '/apps/web/prod');
    assert.deepEqual((await p.api.get('/apps/web/envs/prod/ticks')).ticks, []);
});

test('a conflict is resolved once, from the page: a branch to push to, and then it is no conflict any more', async () => {
    const R = 'resolve/feature/price+feature/coupon';
    await b.go(admin, '/apps/web/test/conflicts');
    await admin.getByRole('button', { name: /^feature\/price × feature\/coupon/ }).click();
    await admin.getByRole('button', { name: 'Resolve once' }).click();
    await admin.locator('dialog').getByRole('button', { name: 'Resolve once' }).click();
    await admin.getByRole('heading', { name: 'Resolutions' }).waitFor();
    await admin.getByText(`git checkout -b ${R} FETCH_HEAD`).waitFor();
    await b.picture(admin, 'resolution-open', { full: true });
    await web.pull(R);
    await web.change(R, changed('src/Pay.java', 20, 'price and coupon'), 'both');
    await admin.getByRole('heading', { name: 'Resolutions' }).locator('..').getByText('used', { exact: true }).waitFor();
    assert.equal(await admin.locator('.heat .resolved').count(), 2);
    await b.picture(admin, 'resolution-used', { full: true });
    await admin.getByRole('button', { name: 'Fold into feature/coupon' }).click();
    await admin.locator('dialog').getByText('which goes').waitFor();
    await admin.locator('dialog').getByRole('button', { name: 'Cancel' }).click();
    await admin.getByRole('button', { name: 'Use no more' }).click();
    await admin.locator('dialog').getByRole('button', { name: 'Use no more' }).click();
    await admin.getByText('feature/coupon conflicts with feature/price').waitFor();
});

test('in Chinese, too', async () => {
    const zh = await b.person('li', 'ops', { locale: 'zh-CN' });
    await b.go(zh, '/apps/web/test/conflicts');
    await zh.getByText('feature/coupon 与 feature/price 冲突').waitFor();
    await zh.getByRole('button', { name: /^feature\/price × feature\/coupon/ }).click();
    await zh.getByText('feature/coupon changes line 20').last().waitFor();
    await b.picture(zh, 'conflicts.zh', { full: true });
    b.assertClean();
});
