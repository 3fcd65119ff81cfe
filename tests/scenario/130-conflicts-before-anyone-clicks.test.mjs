// What conflicts in an environment is known when it comes into being, by a push or a tick, and not when somebody clicks:
// who is left out because of whom, since which commits, and what leaving one out would bring.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { first, platform, until } from '../lib/index.mjs';

const LINES = Array.from({ length: 40 }, (_, i) => `line ${i + 1}`);
const price = (at, text) => ({ 'src/Pay.java': [...LINES.slice(0, at - 1), text, ...LINES.slice(at)].join('\n') + '\n' });

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { files: { ...price(1, 'line 1'), 'shapes/1': 'a file\nwith some\nlines\n', 'shapes/2': 'another\nfile of\nlines\n' } });
    await web.change('feature/优惠券', price(20, 'coupon'), '优惠券：改价格');
    await web.change('feature/price', price(20, 'price'), 'a new price');
    await web.change('feature/tax', price(30, 'tax'), 'a tax');
});
after(() => p?.stop());

const conflicts = (env) => p.api.get(`/apps/web/envs/${env}/conflicts`);
const out = (facts) => facts.out.map((row) => [row.branch, row.why, row.against]);

test('what is ticked and merges is in; nothing is invented', async () => {
    await web.ticks('dev', 'feature/price', 'feature/tax');
    const facts = await conflicts('dev');
    assert.deepEqual([facts.in, facts.out, facts.pairs, facts.on_trunk, facts.frees], [['feature/price', 'feature/tax'], [], [], [], []]);
    assert.equal(facts.trunk.commit, await web.repository.tip('main'));
});

test('a tick brings a conflict: told with lines, commits and both owners, before anybody deploys', async () => {
    await web.ticks('dev', 'feature/price', 'feature/tax', 'feature/优惠券');
    const facts = await conflicts('dev');
    assert.deepEqual(out(facts), [['feature/优惠券', 'pair', ['feature/price']]]);
    const [pair] = facts.pairs;
    assert.deepEqual([pair.a, pair.b, pair.files], ['feature/price', 'feature/优惠券', [{ path: 'src/Pay.java', hunks: 1, lines: '20' }]]);
    assert.deepEqual(pair.first.map((commit) => [commit.id, commit.subject]), [[await web.repository.tip('feature/price'), 'a new price'], [await web.repository.tip('feature/优惠券'), '优惠券：改价格']]);
    assert.deepEqual(facts.frees, [{ branch: 'feature/price', frees: ['feature/优惠券'], costs: [] }]);
});

test('at the command line it is a page to read, and JSON', async () => {
    const said = await p.cli.ok('branch', 'conflicts', '-a', 'web', '-e', 'dev');
    assert.match(said, /^dev: 2 of 3 branches merge onto main \([0-9a-f]{9}\)$/m);
    assert.match(said, /^ {2}out {3}feature\/优惠券 {2}with feature\/price\n {8}src\/Pay\.java 20\n {8}since [0-9a-f]{9} {2}Tester: a new price\n {8}and {3}[0-9a-f]{9} {2}Tester: 优惠券：改价格$/m);
    assert.match(said, /^ {2}without feature\/price comes in feature\/优惠券$/m);
    assert.doesNotMatch(said, /pair/);
    const json = await p.cli.ok('branch', 'conflicts', '-a', 'web', '-e', 'dev', '-o', 'json');
    assert.deepEqual(json.in, ['feature/price', 'feature/tax']);
});

test('a push that takes the conflict away is known without being asked: an event says so', async () => {
    const stream = await p.api.events('/events?app=web');
    await web.change('feature/优惠券', price(35, 'coupon'), 'elsewhere');
    let told;
    await first(stream, ({ json }) => json?.topic === 'facts' && json.env === 'dev' && json.data.out.length === 0 && (told = json.data), 20_000, 'the event');
    assert.deepEqual(told, { in: 3, out: [], pairs: 0 });
    stream.close();
    assert.deepEqual((await conflicts('dev')).in, ['feature/price', 'feature/tax', 'feature/优惠券']);
});

test('trunk moves: who conflicts with it is told, with the commit of trunk that did it', async () => {
    await web.change('main', price(30, 'another tax'), 'tax by law');
    const facts = await conflicts('dev');
    assert.deepEqual(out(facts), [['feature/tax', 'trunk', ['main']]]);
    assert.deepEqual(facts.on_trunk.map((row) => [row.branch, row.files[0].lines, row.first[0].subject]), [['feature/tax', '30', 'tax by law']]);
});

test('what only three make together is named with all three', async () => {
    await web.change('move/1', { 'shapes/1': null, 'forms/1': 'a file\nwith some\nlines\n' });
    await web.change('move/2', { 'shapes/2': null, 'forms/2': 'another\nfile of\nlines\n' });
    await web.change('shape/3', { 'shapes/3': 'a third\n' });
    await web.ticks('test', 'move/1', 'move/2', 'shape/3');
    const facts = await conflicts('test');
    assert.deepEqual(out(facts), [['shape/3', 'together', ['move/2', 'move/1']]]);
    assert.deepEqual(facts.pairs, []);
    assert.match(await p.cli.ok('branch', 'conflicts', '-a', 'web', '-e', 'test'), /out {3}shape\/3 {2}only with all of these: move\/2, move\/1/);
});

test('what would be with others: nothing is ticked by asking', async () => {
    const facts = await p.api.post('/apps/web/envs/pre/conflicts', { branches: ['move/1', 'move/2'] });
    assert.deepEqual([facts.in, facts.out], [['move/1', 'move/2'], []]);
    assert.match(await p.cli.ok('branch', 'conflicts', 'shape/3', 'no/such', '-a', 'web', '-e', 'pre'), /1 of 1 branches merge[^]*gone {2}no\/such/);
    assert.deepEqual((await p.api.get('/apps/web/envs/pre/ticks')).ticks, []);
    await assert.rejects(p.api.post('/apps/web/envs/pre/conflicts', { branches: ['..'] }), { error: 'ref_invalid' });
    await assert.rejects(p.api.post('/apps/web/envs/pre/conflicts', { branches: 'x' }), { status: 422 });
});

test('who will conflict with what the last environment runs hears it while still in dev', async () => {
    await web.ticks('prod', 'feature/price');
    await web.deploy('prod');
    await web.change('feature/late', price(20, 'late'));
    await web.ticks('dev', 'feature/late');
    const facts = await conflicts('dev');
    assert.deepEqual([facts.in, facts.last.env, facts.last.release], [['feature/late'], 'prod', 1]);
    assert.deepEqual(facts.on_live.map((row) => [row.branch, row.files[0].path]), [['feature/late', 'src/Pay.java']]);
});

test('of what the last environment runs nothing is told to who may not look there', async () => {
    const dev = await p.person('dana', 'tester', { app: 'web', env: 'dev' });
    const { last, on_live, in: merge } = await dev.api.get('/apps/web/envs/dev/conflicts');
    assert.deepEqual([last, on_live, merge], [null, [], ['feature/late']]);
    await assert.rejects(dev.api.get('/apps/web/envs/prod/conflicts'), { status: 404 });
    await assert.rejects(dev.api.get('/apps/web/landing'), { status: 404 });
});

test('the courier is killed: it is said that it is away, then everything is known again', async () => {
    await p.kill('courier');
    const facts = await until(async () => {
        await web.ticks('dev', 'feature/late', 'feature/price');
        return conflicts('dev');
    }, 20_000, 'the courier is back');
    assert.deepEqual(out(facts), [['feature/price', 'pair', ['feature/late']]]);
});
