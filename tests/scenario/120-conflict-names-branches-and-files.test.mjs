// Two branches change the same lines. Whoever deploys both is told which branches and which files before
// anything is built; one is merged into the other, and it works.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { platform } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await p.root.put('/envs/dev', { policy: 'stop' });
    await web.tick('dev', 'feature/a', 'conflict/left', 'conflict/right');
});
after(() => p?.stop());

const conflict = (error) => {
    assert.equal(error.status, 409);
    assert.equal(error.error, 'merge_conflict');
    assert.match(error.text, /conflict\/right/);
    assert.match(error.text, /conflict\/left/);
    assert.match(error.text, /'?lines'?/);
    assert.doesNotMatch(error.text, /feature\/a/);
    return true;
};

test('plan, build and deploy all name the branches and the file', async () => {
    await assert.rejects(web.plan('dev'), conflict);
    await assert.rejects(web.build('dev'), conflict);
    await assert.rejects(web.deploy('dev'), conflict);
});

test('nothing was built, nothing was begun', async () => {
    assert.deepEqual((await p.api.get('/apps/web/envs/dev/builds')).items, []);
    assert.deepEqual(await web.rollouts('dev'), []);
});

test('the command line says it in words and exits with an error', async () => {
    const done = await p.cli('deploy', '-a', 'web', '-e', 'dev');
    assert.notEqual(done.code, 0);
    assert.match(done.err, /conflict\/right.*conflict\/left.*lines/s);
});

test('one of the two unticked: it deploys', async () => {
    await web.untick('dev', 'conflict/right');
    await web.deploy('dev');
    assert.equal((await web.get('dev', '/file?path=lines')).text, 'left\n');
});

test('one merged into the other and pushed: both are in', async () => {
    const { repository } = web;
    await repository.git('checkout', '-q', 'conflict/right');
    await repository.git('merge', '-q', '-s', 'ours', 'conflict/left', '-m', 'settle it');
    await repository.commit('conflict/right', { lines: 'left\nright\n' }, 'both');
    await web.push('conflict/right');
    await web.ticks('dev', 'feature/a', 'conflict/left', 'conflict/right');
    await web.deploy('dev');
    assert.equal((await web.get('dev', '/file?path=lines')).text, 'left\nright\n');
    assert.equal((await web.get('dev', '/file?path=a.txt')).text, 'feature a\n');
});

test('a branch that conflicts with trunk alone is named, trunk is too', async () => {
    await web.change('main', { lines: 'trunk\n' });
    await web.ticks('dev', 'conflict/left');
    await assert.rejects(web.deploy('dev'), (error) => {
        assert.equal(error.error, 'merge_conflict');
        assert.match(error.text, /conflict\/left/);
        assert.match(error.text, /main/);
        return /lines/.test(error.text);
    });
});

test('long and Chinese names are not cut: the text names the first file, the detail all of them', async () => {
    const long = `会员/价格/${'很长的目录名/'.repeat(8)}价格规则`;
    const files = (text) => Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`${long}-${i}.properties`, `${text}\n`]));
    const [left, right] = [`feature/${'会员价格与优惠券'.repeat(5)}-左`, `feature/${'会员价格与优惠券'.repeat(5)}-右`];
    await web.change(left, files('左'));
    await web.change(right, files('右'));
    await web.ticks('dev', left, right);
    const { status, json } = await p.api.call('POST', '/apps/web/envs/dev/builds');
    assert.equal(status, 409);
    assert.equal(json.error, 'merge_conflict');
    assert.match(json.text, /-右' conflicts with '.*-左' in '会员.*properties' and 29 more: resolve it once .* or untick one$/);
    const { conflict } = json.detail;
    assert.deepEqual([conflict.branch, conflict.against, conflict.file_count], [right, [left], 30]);
    assert.deepEqual([...conflict.files].sort(), Object.keys(files('')).sort());
    const done = await p.cli('deploy', '-a', 'web', '-e', 'dev');
    assert.notEqual(done.code, 0);
    for (const name of [left, right, ...conflict.files])
        assert.ok(done.err.includes(name), name);
    const asJson = await p.cli('deploy', '-a', 'web', '-e', 'dev', '-o', 'json');
    assert.equal(JSON.parse(asJson.out).detail.conflict.files.length, 30);
});
