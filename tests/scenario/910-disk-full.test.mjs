// F09, F10: the disk fills up. What runs goes on, writes are refused with their own error and not half
// done, the last free bytes are kept for a rollback; when there is room again everything works by itself.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { atRest, platformOnDisk, run, until } from '../lib/index.mjs';

const MIB = 1024 * 1024;
let p, web, disk;
before(async () => {
    ({ p, disk } = await platformOnDisk('600M', { disk_reserve: '32m', build_volume: '64m' }));
    await p.startOrEnd();
    web = await p.app('web');
    await web.deploy('test');
    await web.deploy('test');
});
after(() => disk?.stop());

test('below the reserve no build begins, and the refusal says why', async () => {
    await disk.fill(16 * MIB);
    const refused = await web.deploy('test', {}, { expect: 'failed' }).then((rollout) => rollout.error, (error) => error);
    assert.equal(refused.error, 'disk_full', refused.text);
    assert.equal((await web.status('test')).live_release, 2);
});

test('doctor names it', async () => {
    const { checks } = await p.api.get('/doctor');
    assert.equal(checks.find((check) => check.name === 'disk').ok, false);
    const forPrograms = await p.cli('doctor', '-o', 'json');
    assert.notEqual(forPrograms.code, 0);
    assert.equal(forPrograms.json.checks.find((check) => check.name === 'disk').ok, false); // one document
});

test('a rollback works in what is left, and customers notice nothing', async () => {
    const load = await web.load('test', { rate: 100 }).flowing(50);
    await web.rollback('test');
    const seen = await load.stop();
    assert.equal(seen.lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    assert.equal((await atRest(web, 'test')).live_release, 1);
});

test('with not a byte left: reads and apps go on, a write is done whole or refused', async () => {
    await run('/bin/sh', ['-c', `dd if=/dev/zero of=${disk.path}/rest bs=64k 2>/dev/null; dd if=/dev/zero of=${disk.path}/rest2 bs=512 2>/dev/null; true`]);
    const replies = [];
    for (let i = 0; i < 40; i++)
        replies.push(await p.api.call('PUT', `/apps/web/envs/dev/secrets/S${i}`, { value: 'x'.repeat(100_000), kind: 'file' }));
    for (const reply of replies)
        assert.ok(reply.status === 200 || (reply.status === 507 && reply.json.error === 'disk_full'), `${reply.status} ${reply.text}`);
    assert.equal((await web.get('test', '/up')).status, 200);
    assert.equal((await web.status('test')).live_release, 1);
    await until(() => p.ready(), 20_000, 'core lives');
    const names = new Set((await p.api.get('/apps/web/envs/dev/secrets')).items.map((row) => row.name));
    replies.forEach((reply, i) => assert.equal(names.has(`S${i}`), reply.status === 200, `S${i}`));
});

test('a push into a full disk is refused, and no half of it stays', async () => {
    await web.repository.branch('feature/big', { big: Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * 2654435761) >>> 13 & 0xff)) });
    assert.notEqual((await web.pushAs(p.api.token, ['feature/big'])).code, 0);
    assert.equal((await p.api.get('/apps/web/branches')).items.some((row) => row.name === 'feature/big'), false);
});

test('when there is room again everything works, without anybody helping', async () => {
    for (const name of ['filler', 'rest', 'rest2'])
        rmSync(`${disk.path}/${name}`, { force: true });
    await until(async () => (await p.api.call('PUT', '/apps/web/envs/dev/secrets/AFTER', { value: 'x', kind: 'file' })).status === 200, 40_000, 'writes work again');
    await web.push('feature/big');
    await web.tick('test', 'feature/big');
    const { release } = await web.deploy('test');
    assert.equal((await atRest(web, 'test')).live_release, release);
    assert.equal((await p.api.get('/audit/verify')).ok, true);
});
