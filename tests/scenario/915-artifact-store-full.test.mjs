// F10: the disk is full in the middle of a build's layer, and while what is old is removed. The build ends
// with an error that says so, no part of a blob stays, what is being released meanwhile is not harmed.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, utimesSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { atRest, platformOnDisk, until } from '../lib/index.mjs';

const MIB = 1024 * 1024, BIG_MIB = 90;
let p, web, disk;
before(async () => {
    ({ p, disk } = await platformOnDisk('700M', { disk_reserve: '16m', build_volume: '200m' }, 0));
    await p.startOrEnd();
    web = await p.app('web', 'server', { yaml: (text) => text.replace(/^envs:/m, 'keep_warm: 0s\nretain: 1\n\nenvs:') });
    for (let i = 0; i < 3; i++)
        await web.deploy('test');
});
after(() => disk?.stop());

const store = (below) => `${p.dataDir}/host/${below}`;
const blobs = () => readdirSync(store('blobs/sha256')).sort();

// Nothing that was begun lies about, and every blob is what its name says.
function wholeBlobs() {
    assert.deepEqual(readdirSync(store('blobs/tmp')), []);
    for (const name of blobs())
        assert.equal(createHash('sha256').update(readFileSync(store(`blobs/sha256/${name}`))).digest('hex'), name);
}

const big = (text) => text.replace(/^(\s+steps:\n)/m, `$1    - {name: big, run: [/bin/sh, -c, "head -c ${BIG_MIB * MIB} /dev/urandom >big"]}\n`);

test('a layer that does not fit: the build says so, no part of it stays, a rollout beside it loses nothing', async () => {
    await web.change('feature/big', { 'slipway.yaml': big(readFileSync(`${web.repository.dir}/slipway.yaml`, 'utf8')) });
    await web.ticks('dev', 'feature/big');
    const before_ = blobs();
    const load = await web.load('test', { rate: 100 }).flowing(50);
    // room for what the build writes, and for half of the layer that is made of it
    await disk.fill((BIG_MIB + BIG_MIB / 2) * MIB);
    const building = web.build('dev', { expect: 'failed' });
    await web.rollback('test');
    const failed = await building;
    assert.equal(failed.error.error ?? failed.error.name, 'disk_full', JSON.stringify(failed.error));
    assert.match(failed.error.text, /space|full/i);
    await until(() => readdirSync(store('blobs/tmp')).length === 0, 10_000, 'the half layer is gone');
    assert.deepEqual(blobs(), before_);
    assert.equal((await load.stop()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    assert.equal((await atRest(web, 'test')).live_release, 2);
    wholeBlobs();
});

test('with not a byte left old artifacts are still removed, also when host dies while it does', async (t) => {
    disk.empty();
    await web.ticks('dev');
    await web.change('feature/newer', { 'newer.txt': 'newer\n' });
    await web.ticks('test', 'feature/newer');
    for (let i = 0; i < 2; i++)
        await web.deploy('test');
    const before_ = blobs();
    const old = new Date(Date.now() - 2 * 24 * 3600 * 1000);
    for (const name of before_)
        utimesSync(store(`blobs/sha256/${name}`), old, old);
    for (const name of readdirSync(store('unpacked')).filter((one) => one.endsWith('.json')))
        utimesSync(store(`unpacked/${name}`), old, old);
    await disk.fill(MIB);
    const failpoints = Object.keys((await p.api.get('/debug/faults')).points).length > 0;
    const host = p.pid('host');
    if (failpoints)
        await p.api.post('/debug/fault', { role: 'host', point: 'artifact.remove', nth: 1 });
    const load = await web.load('test', { rate: 100 }).flowing(50);
    await web.rollback('test');
    if (failpoints)
        await until(() => p.roles().host !== host, 30_000, 'host dies at its first removal');
    await until(() => p.ready(), 30_000, 'host is there');
    await web.rollback('test', { release: 5 });
    await until(() => blobs().length < before_.length, 30_000, 'something old is removed');
    await until(() => readdirSync(store('trash')).length === 0, 30_000, 'the trash is emptied');
    assert.equal((await load.stop()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    wholeBlobs();
    t.diagnostic(`${before_.length} blobs before, ${blobs().length} after`);
});

test('with room again the same build is made, and its release serves', async () => {
    disk.empty();
    await web.ticks('dev', 'feature/big');
    await until(async () => (await p.api.get('/doctor')).checks.find((check) => check.name === 'disk').ok, 40_000, 'doctor sees the room');
    await web.deploy('dev');
    assert.equal((await web.get('dev', '/up')).status, 200);
    assert.equal((await p.api.get('/audit/verify')).ok, true);
});
