// The release day of docs/zh/发布日.md, acted out in Chinese by the page alone: a developer makes a branch and ticks twenty,
// operations brings them to prod and back. Whoever changes the words changes the document too.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readFileSync } from 'node:fs';
import { browser, platform, ROOT, talkative, until } from '../lib/index.mjs';

const BRANCHES = 20;
const names = Array.from({ length: BRANCHES - 1 }, (_, i) => `feature/需求-${String(i + 1).padStart(2, '0')}`);
let p, b, app, li, ops;
before(async () => {
    p = await platform();
    b = await browser(p, { locale: 'zh-CN', width: 1366, height: 768 });
    app = await p.app('shop', 'server', talkative);
    for (const [i, name] of names.entries())
        await app.repository.branch(name, { [`需求/${i + 1}.txt`]: `第 ${i + 1} 个需求\n` }, { message: `完成需求 ${i + 1}` });
    await app.push(...names);
    li = await b.person('li', 'developer');
    ops = await b.person('yunwei', 'ops');
});
after(async () => {
    await b?.close();
    await p?.stop();
});

let failed = null;
const step = (name, fn) => test(name, async () => {
    assert.equal(failed, null, 'a step before failed');
    failed = name;
    await fn();
    failed = null;
});
const button = (page, name) => page.getByRole('button', { name, exact: true });
const ask = (page, name) => page.locator('dialog').getByRole('button', { name, exact: true });
const rolled = (page) => page.getByRole('status').filter({ hasText: '成功' }).waitFor({ timeout: 120_000 });
const serves = (env, release) => until(async () => (await p.get(p.domain('shop', env), '/id')).headers['x-release'] === release, 20_000, `${env} serves ${release}`);

async function submit(page, env, name, source) {
    await b.go(page, `/apps/shop/${env}/submit`);
    if (source)
        await page.getByLabel(source).check();
    await page.getByText('可以干净合并').waitFor();
    await button(page, `提交到 ${name}`).click();
    await ask(page, `提交到 ${name}`).click();
    await page.waitForURL(/rollouts/);
    await rolled(page);
}

step('首页、新建分支', async () => {
    await b.go(li, '/');
    await li.getByRole('columnheader', { name: '生产 prod' }).waitFor();
    await b.picture(li, 'home.zh');
    await li.getByRole('link', { name: 'shop', exact: true }).click();
    await li.getByRole('link', { name: '分支管理', exact: true }).click();
    await button(li, '新建分支').click();
    await li.locator('dialog input[name=name]').fill('feature/li-优惠券');
    await ask(li, '新建分支').click();
    await li.getByText('git fetch http://slipway').waitFor();
    await ask(li, '关闭').click();
    await li.getByRole('row', { name: /feature\/li-优惠券.*我的/ }).waitFor();
    await app.change('feature/li-优惠券', { '优惠券.txt': '满 100 减 20\n' }, '优惠券');
    await li.getByRole('row', { name: /feature\/li-优惠券.*优惠券/ }).waitFor();
    await b.picture(li, 'branches.zh');
});

step('勾选 20 个分支，一屏显示，提交到开发环境', async () => {
    await b.go(li, '/apps/shop/dev/submit');
    for (const name of [...names, 'feature/li-优惠券', 'conflict/left', 'conflict/right'])
        await li.getByRole('checkbox', { name: new RegExp(name) }).check();
    await li.getByText('将跳过 1 个分支，发布其余分支。').waitFor();
    await li.getByText('conflict/right 与 conflict/left 冲突').waitFor();
    await b.picture(li, 'submit-conflict.zh');
    for (const name of ['conflict/left', 'conflict/right'])
        await li.getByRole('checkbox', { name: new RegExp(name) }).uncheck();
    await li.getByText('可以干净合并').waitFor();
    await b.go(li, '/apps/shop'); // nothing is stored before it is submitted
    assert.deepEqual((await p.api.get('/apps/shop/envs/dev/ticks')).ticks, []);
    await b.go(li, '/apps/shop/dev/submit');
    for (const name of [...names, 'feature/li-优惠券'])
        await li.getByRole('checkbox', { name: new RegExp(name) }).check();
    await li.getByText('可以干净合并').waitFor();
    // the 20 newest stand on one screen of a laptop
    const rows = await li.locator('.pick li').evaluateAll((nodes) => nodes.filter((node) => node.getBoundingClientRect().bottom <= innerHeight).length);
    assert.ok(rows >= BRANCHES, `${rows} rows are seen without scrolling`);
    await b.picture(li, 'submit.zh');
    await button(li, '提交到 开发 dev').click();
    await li.locator('dialog').getByText('包含 20 个分支').waitFor();
    await ask(li, '提交到 开发 dev').click();
    await li.waitForURL(/rollouts/);
    await rolled(li);
    await li.getByText('r1 已上线').first().waitFor();
    await li.getByText('3 of 3 modules are good').waitFor();
    await b.picture(li, 'rollout.zh');
    await serves('dev', 'r1');
});

step('推进到测试环境；预发和生产由运维发布', async () => {
    await submit(li, 'test', '测试 test', '开发 dev 线上的分支集合，重新构建');
    await b.go(li, '/apps/shop/prod/submit');
    await li.getByText('你只能查看，不能在此发布').waitFor();
    assert.equal(await button(li, '提交到 生产 prod').count(), 0);
    await submit(ops, 'pre', '预发 pre', '与 测试 test 相同的制品');
    await submit(ops, 'prod', '生产 prod', '与 预发 pre 相同的制品');
    await serves('prod', 'r1');
    await b.go(ops, '/apps/shop');
    await ops.getByText('4/4').waitFor();
    await b.picture(ops, 'app.zh');
});

step('再次发布，然后回滚', async () => {
    await submit(ops, 'prod', '生产 prod', '已勾选的分支');
    await serves('prod', 'r2');
    await button(ops, '回滚').click();
    await ops.locator('dialog').getByText('将 生产 prod 回滚到 r1').waitFor();
    await ask(ops, '回滚').click();
    await ops.waitForURL(/rollouts\/\d+$/);
    await ops.getByRole('heading', { name: /回滚到 r1/ }).waitFor();
    await rolled(ops);
    await serves('prod', 'r1');
    await b.picture(ops, 'rollback.zh');
});

step('其余页面', async () => {
    const guanli = await b.person('guanli', 'admin');
    for (const [path, sign] of [['/apps/shop/prod', '可在此发布的人员'], ['/apps/shop/dev/builds/1', '成功'], ['/apps/shop/prod/logs', '实时跟随'], ['/apps/shop/prod/requests', '实时跟随'], ['/journal', 'rollout.done'], ['/settings/people', '邀请'],
        ['/settings/roles', '所有环境'], ['/settings/system', '平台体检'], ['/me', '修改密码']]) {
        await b.go(guanli, path);
        await guanli.getByText(sign).first().waitFor();
        await until(async () => (await guanli.locator('.loading').count()) === 0, 10_000, `${path} is loaded`);
        await b.picture(guanli, `zh${path.replaceAll('/', '-')}`);
    }
    const nobody = await b.window();
    await nobody.goto(`${b.url}/apps/shop`);
    await nobody.getByText('登录 Slipway').waitFor();
    await b.picture(nobody, 'zh-login');
    await nobody.goto(`${b.url}/setup/swl_none`);
    await nobody.getByText('设置用户名和密码').waitFor();
    await b.picture(nobody, 'zh-setup');
});

step('语言可以切换', async () => {
    await ops.getByRole('button', { name: /账户与外观/ }).click();
    await button(ops, 'English').click();
    await ops.getByRole('heading', { name: /rollback to r1/ }).waitFor();
    assert.equal(await ops.evaluate(() => document.documentElement.lang), 'en');
    b.assertClean();
});

// Each 【…】 of the document is a word of the console, with anything where the word has a {name}; or made of two words.
test('文档里的按钮和页面一致', () => {
    const made = ['中文', 'English', '回滚到 r1：生产 prod', '对比 r1 → r2'];
    const shapes = [...readFileSync(`${ROOT}/web/src/words.ts`, 'utf8').matchAll(/^ {4}'[^']+': \['(?:[^'\\]|\\.)*', '((?:[^'\\]|\\.)*)'\]/gm)]
        .map(([, word]) => new RegExp(`^${word.replace(/[.*+?^$()[\]\\|]/g, '\\$&').replace(/\{\w+[^}]*\}/g, '.*')}$`));
    const said = [...readFileSync(`${ROOT}/docs/zh/发布日.md`, 'utf8').matchAll(/【([^】]+)】/g)].map((match) => match[1]);
    assert.ok(said.length > 50);
    assert.deepEqual(said.filter((word) => !made.includes(word) && !shapes.some((shape) => shape.test(word))), []);
});
