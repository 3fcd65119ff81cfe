// A file that says what cannot be: it is refused with its line, by the check and by the deploy alike, and
// what it may say is done.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { atRest, platform } from '../lib/index.mjs';

let p, web, yaml;
before(async () => {
    p = await platform();
    web = await p.app('web');
    yaml = readFileSync(`${web.repository.dir}/slipway.yaml`, 'utf8');
});
after(() => p?.stop());

const check = (text, ...words) => {
    writeFileSync(`${p.dir}/slipway.yaml`, text);
    return p.cli('config', 'check', `${p.dir}/slipway.yaml`, ...words);
};

const BAD = {
    'an env that nobody has': [(text) => text.replace('  prod:\n', '  prodd:\n'), /slipway\.yaml:\d+:3: unknown env 'prodd' \(did you mean 'prod'\?\)/],
    'domains': [(text) => text.replace('proxy:\n', 'proxy:\n  host: shop.example\n'), /slipway\.yaml:\d+:3: 'host' cannot stand here: domains belong to the app-env/],
    'no instance': [(text) => text.replace('instances: 1', 'instances: 0'), /slipway\.yaml:\d+:12: 'instances' is out of range: '0' \(1 to 100\)/],
    'a cache in the base': [(text) => text.replace('build:\n', 'build:\n  cache: [/usr/share/x]\n'), /slipway\.yaml:\d+:11: 'cache' must be an absolute path/],
    'an order that we do not have': [(text) => text.replace('strategy: rolling', 'order: stop-first'), /slipway\.yaml:\d+:\d+: 'order' is one of start-first/],
};
for (const [what, [change, why]] of Object.entries(BAD)) {
    test(`${what}: refused by the check and by the deploy`, async () => {
        assert.notEqual(change(yaml), yaml);
        const done = await check(change(yaml));
        assert.notEqual(done.code, 0);
        assert.match(done.err, why);
        await web.change('main', { 'slipway.yaml': change(yaml) }, what);
        const deploy = await p.cli('deploy', '-a', 'web', '-e', 'dev');
        assert.notEqual(deploy.code, 0);
        assert.match(deploy.err, why);
    });
}

test('the check knows the envs, also the one it is asked for', async () => {
    const done = await check(yaml, '-e', 'prodd');
    assert.notEqual(done.code, 0);
    assert.match(done.err, /unknown env 'prodd' \(did you mean 'prod'\?\)/);
    assert.equal((await check(yaml, '-e', 'prod')).code, 0);
    await p.cli.ok('env', 'add', 'prodd');
    assert.equal((await check(yaml, '-e', 'prodd')).code, 0);
});

test('the file of another app is refused', async () => {
    await web.change('main', { 'slipway.yaml': `service: blog\n${yaml}` }, 'the wrong file');
    const done = await p.cli('deploy', '-a', 'web', '-e', 'dev');
    assert.notEqual(done.code, 0);
    assert.match(done.err, /slipway\.yaml:1:10: 'service' is 'blog', but this is the app 'web'/);
    await web.change('main', { 'slipway.yaml': `service: web\nretain: 2\n${yaml}` }, 'the right one');
    await web.deploy('pre');
});

test('rolling is rolling, where an env is all at once', async () => {
    const starts = async (request) => (await web.plan('pre', { kind: 'deploy', ...request })).steps.filter((step) => step.kind === 'start').length;
    assert.equal(await starts({}), 1);
    assert.equal(await starts({ strategy: 'rolling' }), 2);
    assert.equal(await starts({ batches: 2 }), 2);
});

test('retain says how many releases one can go back to', async () => {
    for (let i = 0; i < 3; i++)
        await web.deploy('pre');
    await atRest(web, 'pre');
    assert.deepEqual((await web.status('pre')).targets, [3, 2]);
});
