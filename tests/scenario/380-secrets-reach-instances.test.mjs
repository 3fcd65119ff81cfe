// Secrets: written once, read by nobody, there where they belong: a file or a variable of the instance, or
// the build alone, and masked in its output.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { oracles, platform } from '../lib/index.mjs';

let p, web, o;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', {
        yaml: (text) => text.replace('  steps:\n', '  steps:\n    - {name: look, run: "cat /run/secrets/NPM_TOKEN || true; base64 /run/secrets/NPM_TOKEN || true; echo looked; env | grep -c PASSWORD || true"}\n'),
    });
    o = await oracles(p);
});
after(async () => {
    await o?.close();
    await p?.stop();
});

test('a secret file and a variable reach the instance, byte for byte', async () => {
    const bytes = Buffer.from([0, 255, 10, 13, 39, 34, 36, 40, 0x7f]);
    await web.secret('dev', 'DB_PASSWORD', o.secret);
    await p.api.put('/apps/web/envs/dev/secrets/BYTES', { value_b64: bytes.toString('base64'), kind: 'file' });
    await web.secret('dev', 'API_PASSWORD', `first\n'$(id)"`, 'env');
    await web.secret('dev', 'NPM_TOKEN', `${o.secret}-for-npm`, 'build');
    await web.deploy('dev');
    await o.again(); // an instance more is not a leak
    assert.equal((await web.get('dev', '/file?path=/run/slipway/secrets/DB_PASSWORD')).text, o.secret);
    assert.deepEqual((await web.get('dev', '/file?path=/run/slipway/secrets/BYTES')).bytes, bytes);
    assert.equal((await web.get('dev', '/env?name=API_PASSWORD')).text, `first\n'$(id)"`);
});

test('the build saw its own secret only, and its output is masked', async () => {
    const output = await web.buildOutput('dev', 1);
    assert.match(output, /looked\n0/);
    assert.doesNotMatch(output, new RegExp(o.secret));
    assert.equal(output.includes(Buffer.from(`${o.secret}-for-npm`).toString('base64').slice(0, 40)), false, output);
});

test('the instance has not what the build had, and is not told in its environment what is a file', async () => {
    assert.equal((await web.get('dev', '/file?path=/run/slipway/secrets/NPM_TOKEN')).status, 404);
    assert.equal((await web.get('dev', '/env?name=DB_PASSWORD')).status, 404);
});

test('another env has none of it', async () => {
    await web.deploy('test');
    await o.again();
    assert.equal((await web.get('test', '/file?path=/run/slipway/secrets/DB_PASSWORD')).status, 404);
});

test('nobody can read a secret back, and it lies open nowhere', async () => {
    const list = await p.api.call('GET', '/apps/web/envs/dev/secrets');
    assert.match(list.text, /DB_PASSWORD/);
    const dump = await p.api.call('GET', '/debug/dump');
    const audit = await p.api.call('GET', '/audit?limit=1000');
    const cli = await p.cli('secret', '-a', 'web', '-e', 'dev');
    await o.check({ audit: 0, outputs: [list.text, dump.text, audit.text, cli.out, cli.err, p.log()] });
});

test('what slipway.yaml names under env.secret is a variable, whatever its kind; what cannot be one is said before a build', async () => {
    const yaml = readFileSync(`${web.repository.dir}/slipway.yaml`, 'utf8');
    const named = (names) => web.change('main', { 'slipway.yaml': `${yaml}env: {secret: [${names}]}\n` }, 'other secrets');
    await named('DB_PASSWORD, API_PASSWORD');
    await web.deploy('dev');
    assert.equal((await web.get('dev', '/env?name=DB_PASSWORD')).text, o.secret);
    assert.equal((await web.get('dev', '/file?path=/run/slipway/secrets/DB_PASSWORD')).text, o.secret);
    assert.equal((await web.get('dev', '/env?name=API_PASSWORD')).text, `first\n'$(id)"`);
    for (const [name, why] of [['BYTES', /'BYTES' stands under env.secret: a variable cannot hold a NUL byte/], ['NPM_TOKEN', /for builds only/], ['NOBODY', /secret set NOBODY -a web -e dev/], ['tls.key', /slipway.yaml:\d+:\d+: 'secret' must be a variable/]]) {
        await named(name);
        const done = await p.cli('deploy', '-a', 'web', '-e', 'dev');
        assert.notEqual(done.code, 0, name);
        assert.match(done.err + done.out, why);
    }
    await named('DB_PASSWORD');
});

test('a new version comes with the next release, and the old one with a rollback', async () => {
    await p.cli.ok('secret', 'set', 'DB_PASSWORD', '-a', 'web', '-e', 'dev', { input: 'second' });
    assert.equal((await web.get('dev', '/file?path=/run/slipway/secrets/DB_PASSWORD')).text, o.secret);
    await web.deploy('dev');
    assert.equal((await web.get('dev', '/file?path=/run/slipway/secrets/DB_PASSWORD')).text, 'second');
    await web.rollback('dev');
    assert.equal((await web.get('dev', '/file?path=/run/slipway/secrets/DB_PASSWORD')).text, o.secret);
});
