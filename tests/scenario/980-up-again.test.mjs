// `./up` on a machine that has Slipway already: it brings back what is there whatever the disk says, leaves
// alone what somebody removed, and tells when the server cannot start. The first run, with the sample and from
// nothing, is `./bench up`.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { platformOnDisk, run, until, BUILD, ROOT } from '../lib/index.mjs';

let p, disk, web;
before(async () => {
    ({ p, disk } = await platformOnDisk('1G', { disk_reserve: '32m', build_volume: '64m' }));
});
after(() => disk?.stop());

// What a person types, with the build that is tested.
const up = () => run(`${ROOT}/up`, [], { env: { SLIPWAY_SETTINGS: p.settingsFile, SLIPWAY_BUILD: BUILD }, cwd: ROOT, timeout: 300_000 });
const sql = (text) => spawnSync('/usr/bin/sqlite3', ['-bail', `${p.dataDir}/core/store.db`, text], { encoding: 'utf8' }).stdout.trim();

test('with less than 5 GB free a first run refuses, and leaves nothing', async () => {
    const done = await up();
    assert.notEqual(done.code, 0);
    assert.match(done.err, /only \d+ MiB are free at .*needs 5 GB/);
    assert.deepEqual(p.roles(), {});
    assert.equal(existsSync(p.dataDir), false);
});

test('a dead supervisor comes back with as little, and up says what it saw', async () => {
    await p.startOrEnd();
    web = await p.app('web');
    await web.deploy('test');
    writeFileSync(`${p.dataDir}/sample-made`, 'by this test\n'); // its sample was made, and removed since
    const { serve, core } = p.roles();
    process.kill(serve, 'SIGKILL');
    await until(() => !p.roles().serve, 5000, 'the supervisor is gone');
    const done = await up();
    assert.equal(done.code, 0, done.err + done.out);
    assert.match(done.out, /warning: only \d+ MiB are free/);
    assert.equal(p.pid('core'), core, 'the roles that lived live on');
    assert.match(done.out, new RegExp(`test +http://web\\.test\\.localhost:${p.ports.http}/\n`));
    assert.match(done.out, /all 1 live environments answer/);
});

test('what was removed is not made again', async () => {
    assert.equal((await p.root.call('GET', '/apps/shop')).status, 404);
    assert.deepEqual((await p.root.get('/apps')).items.map((app) => app.name), ['web']);
});

test('after down, up brings back what was live', async () => {
    await p.down();
    const done = await up();
    assert.equal(done.code, 0, done.err + done.out);
    assert.match(done.out, /all 1 live environments answer/);
    assert.equal((await web.get('test', '/up')).status, 200);
});

test('B097: a store that a newer program has written: up says so, soon', async () => {
    await p.down();
    const version = Number(sql('PRAGMA user_version'));
    sql(`PRAGMA user_version=${version + 1}; PRAGMA wal_checkpoint(TRUNCATE)`);
    const done = await up();
    assert.equal(done.code, 1);
    assert.match(done.err, /the server ended with exit code 78/);
    assert.match(done.err, /schema_newer/);
    assert.deepEqual(p.roles(), {});
    sql(`PRAGMA user_version=${version}`);
});

// In a mount namespace of its own the machine looks as the test wants it.
async function machine(files, env = {}) {
    const folder = `${p.dir}/machine`;
    mkdirSync(folder, { recursive: true });
    const binds = Object.entries(files).map(([path, text], i) => {
        writeFileSync(`${folder}/${i}`, text, { mode: 0o644 });
        return `mount --bind ${folder}/${i} ${path}`;
    });
    const done = await run('/usr/bin/unshare', ['-m', '/bin/sh', '-ec', [...binds, `exec ${ROOT}/tools/mirrors`].join('\n')], { env });
    rmSync(folder, { recursive: true });
    assert.equal(done.code, 0, done.err);
    return { out: done.out, err: done.err, settings: Object.fromEntries(done.out.trim().split('\n').map((line) => line.split(/ = ?/))) };
}

test('what the machine gets out with is found where sudo leaves it', async () => {
    const ofAll = (await machine({ '/etc/environment': 'export https_proxy="http://proxy.example:3128"\n' })).settings;
    assert.deepEqual([ofAll.http_proxy, ofAll.forge_proxy], ['http://proxy.example:3128', 'http://proxy.example:3128']);
    const ofApt = (await machine({ '/etc/environment': 'LANG=C\n', '/etc/apt/apt.conf.d/01autoremove': 'Acquire::http::Proxy "http://apt.example:3142/";\n' })).settings;
    assert.deepEqual([ofApt.http_proxy, ofApt.forge_proxy], ['http://apt.example:3142/', undefined]); // that one knows packages
    assert.equal((await machine({ '/etc/environment': 'http_proxy=http://second.example:1\n' }, { https_proxy: 'http://first.example:1' })).settings.http_proxy, 'http://first.example:1');
    const home = `${p.dir}/home-of-sudo`;
    mkdirSync(home);
    writeFileSync(`${home}/.npmrc`, '//npm.example/:_authToken=hidden-token\nregistry = https://npm.example/all/\n');
    const found = await machine({ '/etc/passwd': `root:x:0:0::/nonexistent:/bin/sh\nann:x:1000:1000::${home}:/bin/sh\n` }, { SUDO_USER: 'ann' });
    assert.equal(found.settings.npm_registry, 'https://npm.example/all/');
    assert.doesNotMatch(found.out + found.err, /hidden-token/);
});

test('a proxy with a password is said, and its password not shown', async () => {
    const { settings, out, err } = await machine({ '/etc/environment': 'https_proxy=http://ann:hidden-word@proxy.example:3128\n' });
    assert.deepEqual([settings.http_proxy, settings.forge_proxy], ['http://proxy.example:3128', undefined]);
    assert.match(err, /http_proxy needs a login at proxy\.example:3128/);
    assert.doesNotMatch(out + err, /hidden-word/);
});
