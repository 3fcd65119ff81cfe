// What people and programs write is text on every page, never a script; who may only look sees nothing to press, and the API
// refuses anyway; a page that is not live says so. Rows B055, B075, B076.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { browser, platform, run, until } from '../lib/index.mjs';

const EVIL = '<img src=x onerror="window.hacked=1">';
const LINES = [EVIL, '</script><script>window.hacked=1</script>', '\x1b]8;;javascript:window.hacked=1\x1b\\click\x1b]8;;\x1b\\', '\x1b[31mred\x1b[0m', 'over\u202ewrite', '[x](javascript:window.hacked=1)', '${{7*7}} {{x}}'];
let p, b, web, admin;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', {
        files: { 'loud.txt': `${LINES.join('\n')}\n` },
        yaml: (text) => text.replace('  steps:\n', '  steps:\n    - {name: loud, run: [cat, loud.txt]}\n'),
    });
    b = await browser(p);
    admin = await b.person('wang', 'admin');
});
after(async () => {
    await b?.close();
    await p?.stop();
});

const harmless = async (page, what) => {
    assert.equal(await page.evaluate(() => window.hacked), undefined, what);
    assert.equal(await page.locator('main img, main script, main a[href^="javascript"]').count(), 0, what);
};

test('B076: names, subjects and authors are text', async () => {
    const name = 'feature/<script>alert(1)</script>';
    const repository = web.repository;
    await repository.branch(name, { 'evil.txt': 'x\n' }, { message: `${EVIL} __proto__` });
    await web.push(`+${name}`);
    for (const path of ['/apps/web/branches', '/apps/web/dev/submit', '/']) {
        await b.go(admin, path);
        if (path !== '/')
            await admin.getByText(name).first().waitFor();
        await harmless(admin, path);
    }
    await b.go(admin, '/apps/web/branches');
    await admin.getByText(EVIL).waitFor(); // as it was written
    await web.tick('dev', name);
    await web.deploy('dev');
    await b.go(admin, '/apps/web/dev');
    await admin.getByText(name).first().waitFor();
    await harmless(admin, 'env');
});

test('a line to be copied into a shell holds a name as one word', async () => {
    const name = "feature/it's;id>o`id`$(id)";
    await web.repository.branch(name, { 'shell.txt': 'x\n' });
    await web.push(`+${name}`);
    await b.go(admin, '/apps/web/branches');
    await admin.getByRole('button', { name }).click();
    const line = await admin.locator('.says code').innerText();
    const done = await run('/bin/bash', ['-c', `git() { printf '%s\\n' "$@"; }; ${line}`], { cwd: p.dir });
    assert.deepEqual(done.out.split('\n').filter((word) => word.startsWith('feature/')), [name, name], `${line}: ${done.err}`);
});

test('B075: output of builds and instances is text with colours', async () => {
    await b.go(admin, '/apps/web/dev/builds/1');
    for (const text of [EVIL, '</script><script>window.hacked=1</script>', '[x](javascript:window.hacked=1)'])
        await admin.getByText(text, { exact: true }).waitFor();
    assert.equal(await admin.locator('.ansi-red').first().innerText(), 'red');
    const shown = await admin.getByRole('log').innerText();
    assert.ok(shown.includes('click') && !shown.includes('javascript:window.hacked=1\n'), shown);
    assert.doesNotMatch(shown, /[\x1b\x07\u202e]/);
    await harmless(admin, 'build');
    await b.picture(admin, 'build-hostile');
    for (const line of LINES)
        await web.request('POST', 'dev', '/log', { body: `marked ${line}\n` });
    await web.get('dev', '/id?<img src=x onerror=window.hacked=1>'.replaceAll(' ', '%20'));
    await b.go(admin, '/apps/web/dev/logs?grep=marked');
    await admin.getByText(`marked ${EVIL}`).waitFor();
    assert.doesNotMatch(await admin.getByRole('log').innerText(), /[\x1b\x07\u202e]/);
    await harmless(admin, 'logs');
    await b.go(admin, '/apps/web/dev/requests');
    await admin.getByText('/id').first().waitFor();
    await harmless(admin, 'requests');
    await b.go(admin, '/journal');
    await admin.getByRole('row', { name: /ticks\.changed/ }).first().waitFor();
    await harmless(admin, 'journal');
});

test('who may only look has nothing to press, and is refused if they try', async () => {
    await web.deploy('dev'); // something to roll back to
    const viewer = await b.person('guest', 'viewer');
    const acts = ['New app', 'New branch', 'Submit', 'Roll back', 'Take out of service', 'Write a secret', 'Remove the app', 'Submit to dev', 'Delete', '…', 'Invite', 'Abort'];
    for (const [path, sign] of [['/', 'web'], ['/apps/web', 'shop.dev|web.dev.localhost'], ['/apps/web/branches', 'main'], ['/apps/web/dev', 'web.dev.r'], ['/apps/web/dev/submit', 'You may look, but not release here'], ['/apps/web/dev/rollouts/1', 'build b1'], ['/apps/web/dev/logs', 'lines']]) {
        await b.go(viewer, path);
        await viewer.getByText(new RegExp(sign)).first().waitFor();
        for (const role of ['button', 'link'])
            for (const name of acts)
                assert.equal(await viewer.locator('main').getByRole(role, { name, exact: true }).count(), 0, `${path}: ${name}`);
        await b.accessible(viewer, path);
    }
    assert.equal(await viewer.getByRole('checkbox', { disabled: false, name: /feature|conflict/ }).count(), 0);
    for (const path of ['/journal', '/settings/people', '/settings/system']) {
        await b.go(viewer, path);
        await viewer.getByText(/for administrators|do not allow/).waitFor();
    }
    assert.equal(await viewer.getByRole('link', { name: 'Journal' }).count(), 0);
    const refused = await viewer.evaluate(async () => {
        const base = '/api/v1/apps/web/envs/dev';
        const asked = [['POST', `${base}/rollouts`, {}], ['POST', `${base}/rollouts`, { kind: 'rollback' }], ['POST', `${base}/ticks`, { set: [] }], ['PUT', `${base}/secrets/A`, { value: 'x' }], ['POST', '/api/v1/apps/web/branches', { name: 'x' }],
            ['DELETE', '/api/v1/apps/web'], ['POST', '/api/v1/apps', { name: 'mine' }], ['GET', '/api/v1/audit'], ['GET', '/api/v1/users'], ['GET', '/api/v1/doctor']];
        return Promise.all(asked.map(async ([method, path, body]) => (await fetch(path, { method, headers: { 'Content-Type': 'application/json' }, ...(body && { body: JSON.stringify(body) }) })).status));
    });
    assert.deepEqual([...new Set(refused)], [403]);
});

test('B055: nobody but an administrator sees who is invited, and a link is for one person, once', async () => {
    await b.go(admin, '/settings/people');
    await admin.getByRole('button', { name: 'Invite', exact: true }).click();
    await admin.locator('dialog input[name=name]').fill('newcomer');
    await admin.locator('dialog').getByRole('button', { name: 'Invite', exact: true }).click();
    const url = await admin.locator('dialog .copy code').innerText();
    await admin.locator('dialog').getByRole('button', { name: 'Close' }).click();
    await admin.getByRole('row', { name: /newcomer.*invited/ }).waitFor();
    const secret = url.split('/').pop();
    const other = await b.window();
    await other.goto(`${b.url}/setup/${secret}`);
    await other.getByLabel('Name').fill('somebody-else');
    await other.getByLabel('Password').fill('long enough');
    await other.getByRole('button', { name: 'Begin' }).click();
    await other.getByRole('alert').waitFor();
    await other.getByLabel('Name').fill('');
    await other.getByRole('button', { name: 'Begin' }).click();
    await other.locator('header.top').waitFor();
    const again = await b.window();
    await again.goto(`${b.url}/setup/${secret}`);
    await again.getByLabel('Password').fill('long enough');
    await again.getByRole('button', { name: 'Begin' }).click();
    await again.getByText('This link was used or is too old').first().waitFor();
});

test('a page that is not live says since when, and catches up', async () => {
    await b.go(admin, '/apps/web/test');
    await admin.getByText('Nothing runs here').waitFor();
    const core = p.pid('core');
    process.kill(core, 'SIGKILL');
    await admin.getByText(/Not live since/).waitFor();
    await until(() => p.linked(), 30_000, 'core is back');
    await admin.getByText(/Not live since/).waitFor({ state: 'detached' });
    await web.deploy('test');
    await admin.getByText('web.test.r1.1').first().waitFor();
    b.assertClean();
});

test('what one types stays while the page moves on', async () => {
    await b.go(admin, '/apps/web/branches');
    await admin.getByRole('button', { name: 'New branch', exact: true }).click();
    const name = admin.locator('dialog input[name=name]');
    await name.fill('feature/half-typ');
    await web.change('feature/moved', { 'moved.txt': 'x\n' }, 'it moved');
    await admin.locator('tr', { hasText: 'feature/moved' }).waitFor();
    assert.equal(await name.inputValue(), 'feature/half-typ');
    await admin.keyboard.press('Escape');
});

test('what cannot be known now is not called gone', async () => {
    const { courier } = p.roles();
    process.kill(courier, 'SIGSTOP');
    try {
        await b.go(admin, '/apps/web/dev');
        await admin.getByText('whether there is more is not known now').first().waitFor();
        assert.equal(await admin.getByText('deleted', { exact: true }).count(), 0);
    } finally {
        process.kill(courier, 'SIGCONT');
    }
    await until(() => p.linked(), 30_000, 'the courier is back');
});

test('somebody who signed out elsewhere is asked again, on the page where they were', async () => {
    const li = await b.person('li', 'developer');
    await b.go(li, '/apps/web/dev/submit');
    await li.getByText('What will happen').waitFor();
    await p.root.post('/users/li/reset');
    await p.root.delete('/users/li');
    await li.getByText(/You were signed out|Sign in to Slipway/).first().waitFor({ timeout: 60_000 });
    assert.equal(new URL(li.url()).pathname, '/apps/web/dev/submit');
});
