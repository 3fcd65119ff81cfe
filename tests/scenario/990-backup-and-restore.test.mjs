// F32: a backup while the platform works, and a restore where nothing is: what was live is live again, from the
// artifacts as they were built, with secrets, repositories, people and the journal. Without the master key all of
// it comes back but the secrets. A point in time is chosen by its snapshot.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { atRest, platform, run, until } from '../lib/index.mjs';

let p, web, folder, live;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { yaml: (text) => text.replace(/keep_warm:.*\n/g, '') });
    await web.secret('prod', 'token', 'sesame');
    await p.cli.ok('forge', 'set', 'corp', 'git', 'https://git.corp.example', { input: 'forge-token\n' });
    await web.deploy('test');
    await web.promote('test', 'prod');
    folder = `${p.dir}/backup`;
});
after(() => p?.stop());

const slipway = (verb, ...words) => run(p.binary, [verb, ...words, '--settings', p.settingsFile], { timeout: 120_000 });
const backup = async (...words) => {
    const done = await slipway('backup', folder, '-o', 'json', ...words);
    assert.equal(done.code, 0, done.err);
    return done.json;
};
async function restore(...words) {
    const done = await slipway('restore', folder, ...words);
    assert.equal(done.code, 0, done.err);
    await p.serve();
    return done;
}
// The machine is lost: nothing of the installation stays but its settings, the backup and the key in a safe.
async function lose() {
    const down = await p.down(['--purge']);
    assert.equal(down.code, 0, down.err);
    assert.ok(!existsSync(p.dataDir));
}

test('a backup while a deploy runs and requests flow; the key is not in it', async () => {
    const load = await web.load('prod', { rate: 100 }).flowing(50);
    writeFileSync(`${p.dir}/master.key`, readFileSync(`${p.dataDir}/master.key`), { mode: 0o600 });
    await web.change('feature/next', { 'next.txt': 'next' });
    await web.tick('test', 'feature/next');
    const { id } = await web.rolloutStart('test', { kind: 'deploy' });
    const made = await backup();
    assert.ok(made.added_bytes > 0 && made.apps === 1 && made.artifacts >= 2 && !made.key, JSON.stringify(made));
    assert.equal((await web.rolloutEnd('test', id)).state, 'done');
    assert.equal((await load.stop()).lost, 0);
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    assert.ok(!existsSync(`${folder}/${made.snapshot}/master.key`));
    const bytes = readFileSync(`${folder}/${made.snapshot}/store.db`);
    assert.ok(!bytes.includes('sesame') && !bytes.includes('forge-token'));
});

test('a second snapshot costs what is new', async () => {
    await atRest(web, 'test');
    const [first, second] = [await backup(), await backup()];
    assert.ok(second.added_bytes < first.bytes / 10 || second.added_bytes < 2_000_000, JSON.stringify([first, second]));
    const kept = await backup('--keep', '2');
    assert.deepEqual(readdirSync(folder).filter((name) => /^\d{8}T/.test(name)).sort(), [second.snapshot, kept.snapshot]);
});

test('what is in use is not overwritten; a wrong key and no key are said', async () => {
    live = { test: await web.who('test'), prod: await web.who('prod') };
    const used = await slipway('restore', folder, '--key', `${p.dir}/master.key`);
    assert.notEqual(used.code, 0);
    assert.match(used.err, /is in use \(1 apps, 1 people\)/);
    await lose();
    const none = await slipway('restore', folder);
    assert.match(none.err, /no master key.*--key FILE/);
    writeFileSync(`${p.dir}/wrong.key`, Buffer.alloc(32, 7), { mode: 0o600 });
    assert.match((await slipway('restore', folder, '--key', `${p.dir}/wrong.key`)).err, /not the master key of this snapshot/);
});

test('restore on an empty machine: what was live is live, and everything can go on', { timeout: 300_000 }, async () => {
    await restore('--key', `${p.dir}/master.key`);
    for (const env of ['test', 'prod']) {
        await until(async () => (await web.who(env)).release === live[env].release, 60_000, `${env} serves ${live[env].release}`);
        await atRest(web, env);
    }
    assert.equal((await web.get('prod', '/file?path=/run/slipway/secrets/token')).text, 'sesame');
    assert.equal((await web.get('test', '/file?path=next.txt')).text, 'next');
    const audit = await p.api.get('/audit/verify');
    assert.ok(audit.ok && audit.heads_compared, JSON.stringify(audit));
    await web.change('feature/after', { 'after.txt': 'after' });
    await web.tick('test', 'feature/after');
    await web.deploy('test');
    assert.equal((await web.get('test', '/file?path=after.txt')).text, 'after');
    await web.rollback('test');
    assert.deepEqual((await p.api.get('/doctor')).checks.filter((check) => !check.ok), []);
});

test('an empty installation is replaced; what lies there without a store is moved aside', { timeout: 300_000 }, async () => {
    await lose();
    await p.serve(); // as an installation does by itself: a store with nothing in it
    await p.down();
    await run('/usr/bin/mkdir', ['-p', `${p.dataDir}/git/web.git/precious`]);
    await restore('--key', `${p.dir}/master.key`);
    await until(async () => (await web.who('prod')).release === live.prod.release, 60_000, 'prod serves');
    assert.ok(existsSync(`${p.dataDir}/git/web.git.before-restore/precious`));
    assert.equal(statSync(`${p.dataDir}/master.key.before-restore`).size, 32);
    rmSync(`${p.dataDir}/git/web.git.before-restore`, { recursive: true });
});

test('a backup may not lie within what it saves, nor be made of nothing', async () => {
    assert.match((await slipway('backup', `${p.dataDir}/backup`)).err, /within what it would save/);
    assert.match((await slipway('backup', '/etc')).err, /neither empty nor a backup folder/);
});

test('with the key lost: all but the secrets, which are named', { timeout: 300_000 }, async () => {
    await lose();
    const done = await restore('--with-lost-key');
    assert.match(done.out, /slipway secret set token -a web -e prod/);
    assert.match(done.out, /slipway forge set corp git https:\/\/git\.corp\.example <TOKEN-FILE/);
    await until(async () => (await web.who('test')).release === live.test.release, 60_000, 'test serves');
    await web.secret('prod', 'token', 'open');
    await web.deploy('prod');
    assert.equal((await web.get('prod', '/file?path=/run/slipway/secrets/token')).text, 'open');
});

test('a backup that was cut short is no snapshot; a blob that rotted is found before it is used', async () => {
    const made = await backup();
    const part = `${folder}/20200101T000000Z.part`;
    await run('/usr/bin/mkdir', [part]);
    const [blob] = readdirSync(`${folder}/blobs/sha256`);
    const path = `${folder}/blobs/sha256/${blob}`;
    const content = readFileSync(path);
    const rotten = Buffer.from(content);
    rotten[rotten.length >> 1] ^= 1;
    writeFileSync(path, rotten);
    await lose();
    const refused = await slipway('restore', folder, '--snapshot', made.snapshot, '--key', `${p.dir}/master.key`);
    assert.notEqual(refused.code, 0);
    writeFileSync(path, content);
    rmSync(part, { recursive: true });
});
