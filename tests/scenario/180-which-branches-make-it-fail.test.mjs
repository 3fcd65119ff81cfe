// The set merges, and its checks fail. Which of a dozen branches is it? Others of them are built until the smallest set that
// fails is known; core may die meanwhile, and what was built before is not built again.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { platform, until } from '../lib/index.mjs';

// Two that are harmless alone, one that is not.
const CHECK = `echo 1..1 >report.tap
if [ -e old-name ] && [ -e uses-old-name ]; then echo "not ok 1 - the name is gone" >>report.tap; exit 1; fi
if [ -e broken ]; then echo "not ok 1 - broken" >>report.tap; exit 1; fi
echo "ok 1 - works" >>report.tap
`;
const OTHERS = Array.from({ length: 10 }, (_, i) => `feature/own-${i}`);
let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { files: { 'check.sh': CHECK } });
    for (const name of OTHERS)
        await web.change(name, { [`${name.replace('/', '-')}.txt`]: 'mine\n' });
    await web.change('feature/改名', { 'old-name': 'gone\n' }, '改名');
    await web.change('feature/旧名', { 'uses-old-name': 'uses it\n' }, '还在用旧名');
    await web.change('feature/broken', { broken: 'yes\n' });
});
after(() => p?.stop());

const path = (number) => `/apps/web/envs/dev/builds/${number}/culprits`;
const found = (number) => until(async () => {
    const row = await p.api.get(path(number));
    return row.state !== 'running' && row;
}, 120_000, 'the search ends');
const failing = async (...branches) => {
    await web.ticks('dev', ...branches);
    const build = await web.build('dev', { expect: 'failed' });
    assert.equal(build.error.error, 'check_failed');
    return build.number;
};
const count = async () => (await p.api.get('/apps/web/envs/dev/builds?limit=200')).items.length;

test('one branch of eleven is named, after about log2 of them builds', async () => {
    const number = await failing(...OTHERS, 'feature/broken');
    assert.equal((await p.api.get(path(number))).state, 'none');
    const said = await p.cli.ok('culprits', '-a', 'web', '-e', 'dev');
    assert.match(said, new RegExp(`b${number} fails because of feature/broken`));
    assert.match(said, /good {3}trunk alone/);
    const row = await p.api.get(path(number));
    assert.deepEqual([row.state, row.culprits], ['found', ['feature/broken']]);
    assert.ok(row.tried.length <= 7, `${row.tried.length} sets`);
    const { items: [latest] } = await p.api.get('/apps/web/envs/dev/builds?limit=1');
    assert.equal(latest.culprits_of, number);
});

test('two that are harmless alone are named together, and core is killed meanwhile', async () => {
    const number = await failing(...OTHERS.slice(0, 5), 'feature/旧名', ...OTHERS.slice(5), 'feature/改名');
    await p.api.post(path(number));
    await assert.rejects(p.api.post(path(number)), { status: 409, error: 'state_conflict' });
    await until(async () => (await p.api.get(path(number))).tried.length >= 3, 60_000, 'it is under way');
    await p.kill('core');
    await until(() => p.api.get(path(number)).then(() => true, () => false), 20_000, 'core answers');
    const row = await found(number);
    assert.deepEqual(row.culprits, ['feature/旧名', 'feature/改名']);
    assert.ok(row.tried.every((one) => one.failed !== null));
    const { items } = await p.api.get('/audit?newest=1&subject=web.dev');
    assert.deepEqual(items.find((one) => one.kind === 'culprits.found').data.culprits, row.culprits);
});

test('asked again for the same commits nothing is built anew', async () => {
    const number = await failing(...OTHERS, 'feature/broken');
    const before = await count();
    await p.api.post(path(number));
    assert.deepEqual((await found(number)).culprits, ['feature/broken']);
    assert.equal(await count(), before);
});

test('trunk itself fails: nobody is named', async () => {
    await web.change('main', { broken: 'trunk\n' }, 'trunk is broken');
    const number = await failing('feature/own-1', 'feature/own-2');
    await p.api.post(path(number));
    const row = await found(number);
    assert.deepEqual([row.culprits, row.tried.length], [[], 1]);
    assert.match(await p.cli.ok('culprits', String(number), '-a', 'web', '-e', 'dev'), /on trunk alone/);
    await web.change('main', { broken: null }, 'trunk is whole');
});

test('an env may want it by itself', async () => {
    await p.cli.ok('env', 'culprits', 'dev', 'always');
    const number = await failing('feature/own-2', 'feature/broken');
    assert.deepEqual((await until(async () => {
        const row = await p.api.get(path(number));
        return row.state === 'found' && row;
    }, 60_000, 'it is found out')).culprits, ['feature/broken']);
    await p.cli.ok('env', 'culprits', 'dev', 'click');
    await assert.rejects(p.api.put('/envs/dev', { culprits: 'sometimes' }), { error: 'field_invalid' });
});

test('it can be cancelled, and a build that did not fail has no culprits', async () => {
    await web.change('feature/own-3', { 'newer.txt': 'so that all is built anew\n' });
    const number = await failing(...OTHERS, 'feature/broken');
    await p.api.post(path(number));
    await p.cli.ok('culprits', 'cancel', String(number), '-a', 'web', '-e', 'dev');
    const row = await p.api.get(path(number));
    assert.deepEqual([row.state, row.error.error], ['cancelled', 'cancelled']);
    await web.ticks('dev', 'feature/own-1');
    const good = await web.build('dev');
    await assert.rejects(p.api.post(path(good.number)), { status: 409, error: 'state_conflict' });
    const vera = await p.person('vera', 'viewer');
    await assert.rejects(vera.api.post(path(number)), { status: 403 });
});
