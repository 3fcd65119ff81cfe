// Two people change the same line. One of them resolves it once, on a branch that is opened for it, and from then on every
// environment that holds both has the result; when one of them has landed it goes into the other.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { platform, until } from '../lib/index.mjs';

const R = 'resolve/优惠券+会员价';
let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.change('优惠券', { 'price.txt': 'coupon\n' }, '优惠券：改价格');
    await web.change('会员价', { 'price.txt': 'member\n' }, '会员价：改价格');
    for (const env of ['dev', 'test', 'pre', 'prod'])
        await web.ticks(env, '优惠券', '会员价');
});
after(() => p?.stop());

const facts = (env) => p.api.get(`/apps/web/envs/${env}/conflicts`);
const list = async () => (await p.api.get('/apps/web/resolutions')).resolutions;
const settled = (env, what) => until(async () => what(await facts(env)) && facts(env), 20_000, `the facts of ${env}`);
const price = async (env) => (await web.get(env, '/file?path=/app/price.txt')).text.trim();

test('the conflict is known; slipway branch resolve opens it, and says what to type', async () => {
    const before = await facts('dev');
    assert.deepEqual(before.out.map((row) => [row.branch, row.why]), [['会员价', 'pair']]);
    await assert.rejects(web.deploy('pre'), /merge_conflict|conflicts/);
    const said = await p.cli.ok('branch', 'resolve', '优惠券+会员价', '-a', 'web');
    assert.match(said, /resolve\/优惠券\+会员价.* is open/);
    assert.match(said, /price\.txt/);
    assert.match(said, /git fetch && git switch/);
    const [row] = await list();
    assert.deepEqual([row.branch, row.now, row.files, row.sides.map((side) => side.branch)], [R, 'waiting', ['price.txt'], ['优惠券', '会员价']]);
    const again = await p.api.post('/apps/web/resolutions', { branches: ['会员价', '优惠券'] });
    assert.equal(again.resolution.id, row.id, 'opened twice, it is there');
});

test('half resolved, it is not used: markers never reach an environment', async () => {
    await web.pull(R);
    await web.change(R, { 'note.txt': 'begun\n' }, 'I have begun');
    assert.match((await list())[0].text, /price\.txt.*markers/);
    assert.deepEqual((await settled('dev', (now) => now.resolutions[0]?.state === 'waiting')).out.map((row) => row.branch), ['会员价']);
});

test('resolved and pushed, every environment that holds both has it, whatever its policy', async () => {
    await web.change(R, { 'price.txt': 'coupon and member\n' }, '两个都要');
    for (const env of ['dev', 'pre'])
        assert.deepEqual((await settled(env, (now) => now.resolutions[0]?.state === 'used')).out, []);
    const now = await facts('dev');
    assert.equal(now.pairs[0].resolved, R);
    assert.deepEqual(now.in.toSorted(), ['会员价', '优惠券'].toSorted());
    assert.match(await p.cli.ok('branch', 'conflicts', '-a', 'web', '-e', 'dev'), /by +resolve\/优惠券\+会员价/);
    const plan = await web.plan('pre');
    assert.deepEqual(plan.resolutions.map((one) => [one.branch, one.sides]), [[R, ['优惠券', '会员价']]]);
    await web.deploy('dev');
    assert.equal(await price('dev'), 'coupon and member');
    await web.deploy('pre');
    assert.equal(await price('pre'), 'coupon and member');
    const { items: [build] } = await p.api.get('/apps/web/envs/pre/builds');
    assert.equal(build.resolutions[0].branch, R);
});

test('a promotion brings the resolution as it was tried, though a newer one has been pushed', async () => {
    await web.change(R, { 'price.txt': 'a better idea\n' }, 'a better idea');
    await web.promote('dev', 'test');
    assert.equal(await price('test'), 'coupon and member');
    await web.deploy('dev');
    assert.equal(await price('dev'), 'a better idea');
});

test('core is killed while it is opened: before or after, and asked again it is there', async () => {
    await web.change('third', { 'price.txt': 'third\n' }, 'third');
    const opening = p.api.post('/apps/web/resolutions', { branches: ['third', '优惠券'] }).catch(() => {});
    await p.kill('core');
    await opening;
    const opened = await until(() => p.api.post('/apps/web/resolutions', { branches: ['third', '优惠券'] }).catch(() => null), 20_000, 'core answers');
    assert.equal(opened.resolution.branch, 'resolve/third+优惠券');
    const [row] = (await list()).filter((one) => one.branch === 'resolve/third+优惠券');
    assert.match(await p.cli.ok('branch', 'drop', 'resolve/third+优惠券', '-a', 'web'), /no more/);
    assert.equal((await list()).find((one) => one.id === row.id).state, 'dropped');
    const branches = (await p.api.get('/apps/web/branches')).items.map((one) => one.name);
    assert.ok(!branches.includes('resolve/third+优惠券'), 'nobody had worked on it');
});

test('one of them lands: it is said, and what was resolved folds into the other', async () => {
    await web.ticks('prod', '优惠券');
    await web.deploy('prod');
    await p.cli.ok('land', '-a', 'web');
    const row = await until(async () => (await list()).find((one) => one.branch === R && one.state === 'landed'), 20_000, 'it is closed');
    assert.match(row.text, /优惠券.*trunk/);
    const { items } = await p.api.get('/audit?newest=1&subject=web');
    assert.equal(items.find((one) => one.kind === 'resolution.closed' && one.data.branch === R).data.why, 'landed');
    assert.deepEqual((await settled('dev', (now) => now.out.length === 1)).out[0].why, 'trunk');
    assert.match(await p.cli.ok('branch', 'fold', R, '-a', 'web'), /会员价 holds what was resolved/);
    assert.deepEqual((await settled('dev', (now) => now.out.length === 0)).out, []);
    await web.deploy('dev');
    assert.equal(await price('dev'), 'a better idea');
});

test('a side that is pushed over ends it, and it is said', async () => {
    await web.change('x', { 'x.txt': 'one\n' }, 'x');
    await web.change('y', { 'x.txt': 'two\n' }, 'y');
    await web.ticks('dev', 'x', 'y');
    await p.cli.ok('branch', 'resolve', 'x', 'y', '-a', 'web');
    await web.pull('resolve/x+y');
    await web.change('resolve/x+y', { 'x.txt': 'both\n' }, 'both');
    await settled('dev', (now) => now.resolutions[0]?.state === 'used');
    await web.repository.git('checkout', '-q', 'y');
    await web.repository.git('commit', '-q', '--amend', '-m', 'another y');
    await web.push('+y');
    const row = await until(async () => (await list()).find((one) => one.branch === 'resolve/x+y' && one.state === 'moved_off'), 20_000, 'it is closed');
    assert.match(row.text, /'y' does not hold/);
    assert.deepEqual((await settled('dev', (now) => now.out.length === 1)).out[0].branch, 'y');
    const { resolution } = await p.api.post('/apps/web/resolutions', { branches: ['x', 'y'] });
    assert.equal(resolution.branch, 'resolve/x+y-2', 'what was done before stays where it is');
});

test('what cannot be resolved is refused with what to do', async () => {
    const open = (...branches) => p.api.post('/apps/web/resolutions', { branches });
    await assert.rejects(open('x', 'main'), { status: 422, error: 'field_invalid' });
    await assert.rejects(open('x'), { error: 'field_invalid' });
    await assert.rejects(open('x', 'gone'), { error: 'branch_unknown' });
    await assert.rejects(open('x', 'third'), { status: 409, error: 'state_conflict' });
    await assert.rejects(open('x', '..'), { error: 'ref_invalid' });
    const waiting = (await list()).find((one) => one.branch === 'resolve/x+y-2');
    await assert.rejects(p.api.post(`/apps/web/resolutions/${waiting.id}/fold`, { into: 'y' }), { status: 409, error: 'state_conflict' });
    const vera = await p.person('vera', 'viewer');
    await assert.rejects(vera.api.post('/apps/web/resolutions', { branches: ['x', 'y'] }), { status: 403 });
});
