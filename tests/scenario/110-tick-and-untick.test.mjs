// Which branches are in test? Those that are ticked: in order, with their tips, and what is not deployed
// yet can be seen.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { platform } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
});
after(() => p?.stop());

const tip = async (name) => (await p.api.get('/apps/web/branches')).items.find((row) => row.name === name).tip;
const ticked = async (env = 'test') => (await web.status(env)).ticks.map((tick) => tick.branch);

test('ticks keep their order, and a second tick changes nothing', async () => {
    await web.tick('test', 'feature/b', 'feature/a');
    await web.tick('test', 'feature/b');
    assert.deepEqual(await ticked(), ['feature/b', 'feature/a']);
    assert.deepEqual(await ticked('dev'), []);
});

test('a branch that does not exist cannot be ticked, and the others of that request are not either', async () => {
    await assert.rejects(web.tick('test', 'feature/功能', 'feature/nowhere'), { error: 'branch_unknown' });
    assert.deepEqual(await ticked(), ['feature/b', 'feature/a']);
});

test('the branch list tells in which envs a branch is ticked', async () => {
    const { items } = await p.api.get('/apps/web/branches');
    assert.deepEqual(items.find((row) => row.name === 'feature/a').envs, ['test']);
});

test('a deploy carries all ticked branches, and trunk', async () => {
    await web.deploy('test');
    for (const [path, text] of [['a.txt', 'feature a\n'], ['b.txt', 'feature b\n'], ['README', 'This is the test app.\n']])
        assert.equal((await web.get('test', `/file?path=${path}`)).text, text);
    const { ticks } = await web.status('test');
    for (const tick of ticks)
        assert.equal(tick.deployed_tip, await tip(tick.branch), tick.branch);
});

test('after a push the branch shows commits that are not deployed', async () => {
    const pushed = await web.change('feature/a', { 'a.txt': 'feature a, second round\n' });
    const tick = (await web.status('test')).ticks.find((row) => row.branch === 'feature/a');
    assert.equal(await tip('feature/a'), pushed);
    assert.notEqual(tick.deployed_tip, pushed);
    assert.equal((await web.get('test', '/file?path=a.txt')).text, 'feature a\n');
    await web.deploy('test');
    assert.equal((await web.get('test', '/file?path=a.txt')).text, 'feature a, second round\n');
});

test('what was not carried to its end is not deployed, and a rollback goes back to what it carries', async () => {
    const deployed = async () => (await web.status('test')).ticks.find((row) => row.branch === 'feature/a').deployed_tip;
    const [first, live] = [await deployed(), (await web.status('test')).live_release];
    const pushed = await web.change('feature/a', { 'a.txt': 'feature a, third round\n' });
    await web.tick('test', 'bad/build');
    await web.deploy('test', {}, { expect: 'failed' });
    assert.equal(await deployed(), first);
    await web.untick('test', 'bad/build');
    await web.tick('test', 'bad/check');
    await web.deploy('test', {}, { expect: 'failed' });
    assert.equal(await deployed(), first);
    await web.untick('test', 'bad/check');
    await web.deploy('test');
    assert.equal(await deployed(), pushed);
    await web.rollback('test', { release: live });
    assert.equal(await deployed(), first);
    await web.deploy('test');
    assert.equal(await deployed(), pushed);
});

test('an unticked branch is out with the next deploy', async () => {
    await web.untick('test', 'feature/b');
    await web.deploy('test');
    assert.equal((await web.get('test', '/file?path=b.txt')).status, 404);
    assert.deepEqual(await ticked(), ['feature/a']);
});

test('the command line ticks and unticks', async () => {
    await p.cli.ok('tick', 'feature/功能', '-a', 'web', '-e', 'test');
    await p.cli.ok('untick', 'feature/a', '-a', 'web', '-e', 'test');
    assert.deepEqual(await ticked(), ['feature/功能']);
    const plan = await p.cli.ok('plan', '-a', 'web', '-e', 'test');
    assert.match(typeof plan === 'string' ? plan : JSON.stringify(plan), /build/);
});

test('twenty at once', async () => {
    const names = Array.from({ length: 20 }, (_, i) => `many/${i}`);
    for (const name of names)
        await web.repository.branch(name, { [`${name}.txt`]: `${name}\n` });
    await web.push();
    await web.ticks('test', ...names);
    const { result, ticks } = await web.build('test');
    assert.equal(ticks.length, 20);
    assert.ok(result.files >= 20);
});
