// F34: core, then the courier, may open hardly any more files. New work is refused (503, and when even that
// takes a file too many the connection is closed) and does not hang, a rollout under way goes on to its end, and
// with files again everything works.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { atRest, first, limit, limitHard, platform, request, until } from '../lib/index.mjs';

let p, web, load;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.deploy('test');
    load = await web.load('test', { rate: 100 }).flowing(50);
});
after(() => p?.stop());

// Above those in use only so many are given out any more. Returns how to undo it.
async function noMoreFiles(role, more = 0) {
    const pid = p.pid(role);
    const hard = limitHard(pid, 'Max open files');
    const used = readdirSync(`/proc/${pid}/fd`).map(Number).sort((a, b) => a - b);
    let free = 0;
    while (used[free] === free)
        free++;
    await limit(pid, 'nofile', `${free + more}:${hard}`);
    return async () => {
        assert.equal(p.roles()[role], pid, `${role} lived on`);
        await limit(pid, 'nofile', `${hard}:${hard}`);
    };
}

const version = () => request({ port: p.ports.api }, 'GET', '/api/v1/version', { timeout: 5000 })
    .then(({ status }) => status, (error) => (/no answer/.test(error.message) ? 'hangs' : 'closed'));

test('core without files: new work is refused at once, the rollout goes on, the app serves', async () => {
    const core = p.pid('core');
    const feed = await p.feed();
    const { id } = await web.rolloutStart('test', { kind: 'deploy' });
    await until(async () => (await web.rollout('test', id)).steps.some((step) => step.kind === 'build' && step.state === 'done'), 60_000, 'it is built');
    const slow = Array.from({ length: 8 }, () => web.get('test', '/slow?ms=6000')); // the drain waits for them
    await until(async () => (await web.rollout('test', id)).steps.some((step) => step.kind === 'start' && step.state !== 'pending'), 60_000, 'it is under way');
    const again = await noMoreFiles('core', 8);
    const answers = await Promise.all(Array.from({ length: 30 }, version));
    assert.ok(answers.every((answer) => answer === 503 || answer === 'closed'), JSON.stringify(answers));
    assert.ok(answers.includes(503), JSON.stringify(answers));
    // seen through a connection that is open already
    await first(feed, ({ json }) => json?.topic === 'rollout' && json.data.state === 'done', 60_000, 'the rollout is told done');
    feed.close();
    assert.ok((await Promise.all(slow)).every(({ status }) => status === 200));
    await again();
    await until(async () => (await version()) === 200, 20_000, 'core takes work again');
    assert.equal((await web.rolloutEnd('test', id)).state, 'done');
    assert.equal(p.pid('core'), core);
    await atRest(web, 'test');
    assert.equal((await load.total()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
});

test('the courier without files: a push is refused and leaves nothing, a rollback goes on', async () => {
    const again = await noMoreFiles('courier');
    await web.repository.branch('feature/late', { 'late.txt': 'late\n' });
    assert.notEqual((await web.pushAs(p.api.token, ['feature/late'])).code, 0);
    await web.rollback('test');
    await again();
    await until(async () => (await web.pushAs(p.api.token, ['feature/late'])).code === 0, 20_000, 'the push is taken');
    assert.ok((await p.api.get('/apps/web/branches')).items.some((row) => row.name === 'feature/late'));
    await web.tick('test', 'feature/late');
    await web.deploy('test');
    assert.equal((await web.get('test', '/file?path=late.txt')).text, 'late\n');
    assert.equal((await load.stop()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    assert.deepEqual((await p.api.get('/doctor')).checks.filter((check) => !check.ok), []);
});
