// The team's repository stays where it is, at a GitLab: one command makes an app of it, with its history. What is pushed
// there is built here within moments; what is made here (a branch, a resolution, a landing) is there first. When the
// forge is away, nothing else suffers, and what was missed is found.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { forgeNew, platform, until } from '../lib/index.mjs';

let p, forge, project, shop;
before(async () => {
    p = await platform({ settings: { forge_networks: '127.0.0.0/8' } });
    forge = await forgeNew('gitlab', { dir: `${p.dir}/forge` });
    project = await forge.project('team/shop');
});
after(async () => {
    await forge?.close();
    await p?.stop();
});

const origin = () => p.api.get('/apps/shop/origin');
const there = async (name) => (await forge.refs(project)).get(name);
const journal = async (kind) => (await p.api.get('/audit?limit=1000')).items.filter((row) => row.kind === kind);

test('a forge is kept when its token works, and not otherwise', async () => {
    const wanted = { name: 'corp', kind: 'gitlab', url: forge.url };
    await assert.rejects(p.api.put('/forges', { ...wanted, token: 'no-such-token' }), { status: 502, error: 'forge_denied' });
    assert.deepEqual((await p.api.get('/forges')).items, []);
    const kept = await p.api.put('/forges', { ...wanted, token: 'secret-token' });
    assert.deepEqual([kept.name, kept.kind, kept.seen_as], ['corp', 'gitlab', 'slipway-bot']);
    assert.ok(!JSON.stringify(kept).includes('secret-token'));
});

test('an app of its project, with its history, by one command', async () => {
    shop = await p.appOf('shop', forge, project);
    const found = await origin();
    assert.deepEqual([found.forge, found.mode, found.state, found.hook], ['corp', 'follow', 'good', 'made']);
    assert.equal((await p.api.get('/apps/shop')).trunk, 'main');
    const names = (await p.api.get('/apps/shop/branches')).items.map((row) => row.name);
    assert.ok(names.includes('feature/a') && names.includes('main'));
    assert.equal((await journal('origin.fetched')).length, 1);
});

test('a push there comes here by its webhook, and is built', async () => {
    await shop.ticks('dev', 'feature/a');
    await p.api.put('/apps/shop/envs/dev/automation', { when: 'push' });
    const commit = await shop.change('feature/a', { 'a2.txt': '二\n' }, '功能 A：第二步');
    const live = await until(async () => {
        const { release } = await shop.status('dev');
        return release?.branches?.some((row) => row.tip === commit) && release;
    }, 120_000, 'what was pushed is live');
    assert.ok(live.number >= 1);
    assert.ok((await origin()).deliveries >= 1);
    const statuses = await until(() => {
        const found = project.statuses.filter((row) => row.sha === commit && row.status === 'success');
        return found.length && found;
    }, 20_000, 'the forge hears of it');
    assert.equal(statuses[0].name, 'slipway/dev');
    assert.match(statuses[0].description, /^r\d is live in dev$/);
    assert.match(statuses[0].target_url, /\/apps\/shop\/dev\/rollouts\/\d+$/);
});

test('nobody pushes here, and it says where', async () => {
    const { git } = await p.api.get('/apps/shop');
    const pushed = await shop.pushHere(git, p.api.token);
    assert.notEqual(pushed.code, 0);
    assert.match(pushed.err, /this is a copy: push to http:\/\/127\.0\.0\.1/);
});

test('a branch that is made here is there first', async () => {
    await p.api.post('/apps/shop/branches', { name: '功能/支付', from: 'main' });
    assert.equal(await there('refs/heads/功能/支付'), await there('refs/heads/main'));
    await p.api.post('/apps/shop/origin/fetch');
    assert.ok((await p.api.get('/apps/shop/branches')).items.some((row) => row.name === '功能/支付'));
    await p.api.delete(`/apps/shop/branches?name=${encodeURIComponent('功能/支付')}`);
    assert.equal(await there('refs/heads/功能/支付'), undefined);
});

test('a conflict is resolved in a branch there', async () => {
    await shop.ticks('dev', 'conflict/left', 'conflict/right');
    const { resolution } = await p.api.post('/apps/shop/resolutions', { branches: ['conflict/left', 'conflict/right'] });
    assert.equal(await there(`refs/heads/${resolution.branch}`), resolution.opened);
    await p.api.delete(`/apps/shop/resolutions/${resolution.id}`);
    assert.equal(await there(`refs/heads/${resolution.branch}`), undefined);
    await shop.ticks('dev');
});

test('a landing moves trunk there', async () => {
    await shop.ticks('prod', 'feature/a');
    await shop.deploy('prod');
    const before = await there('refs/heads/main');
    const { landing } = await p.api.post('/apps/shop/landings');
    assert.deepEqual([landing.state, landing.result.from], ['done', before]);
    assert.equal(await there('refs/heads/main'), landing.commit);
    assert.equal(await there('refs/tags/prod/r1'), landing.commit);
});

test('where trunk is protected a merge request is opened; once people have merged it, the release has landed', async () => {
    forge.protect(project, 'main');
    await shop.ticks('prod', 'feature/b');
    await shop.deploy('prod');
    const before = await there('refs/heads/main');
    const { landing } = await p.api.post('/apps/shop/landings');
    assert.deepEqual([landing.state, landing.result.merge_request.number], ['asked', 1]);
    assert.match(landing.result.merge_request.link, /merge_requests\/1$/);
    assert.equal(await there('refs/heads/main'), before, 'nothing has moved');
    assert.equal(await there(`refs/heads/slipway/prod/r2-${landing.commit.slice(0, 7)}`), landing.commit);
    assert.deepEqual([project.merges[0].target, project.merges[0].title], ['main', 'Release prod/r2']);
    assert.match(project.merges[0].text, /feature\/b/);
    await assert.rejects(p.api.post('/apps/shop/landings'), { status: 409, error: 'state_conflict' });
    const merged = await forge.merge(project, 1);
    const landed = await until(async () => {
        const row = await p.api.get(`/apps/shop/landings/${landing.id}`);
        return row.state === 'done' && row;
    }, 30_000, 'the release has landed');
    assert.deepEqual(landed.result.unticked.prod, ['feature/b']);
    assert.equal(await there('refs/tags/prod/r2'), landing.commit);
    assert.equal(await there(`refs/heads/slipway/prod/r2-${landing.commit.slice(0, 7)}`), undefined, 'it was of use for the merge alone');
    await p.api.post('/apps/shop/origin/fetch');
    assert.equal((await p.api.get('/apps/shop/branches')).items.find((row) => row.name === 'main').tip, merged);
});

test('squashed there: it has landed once trunk has all that is in it, and not before', async () => {
    await shop.change('feature/c', { 'c.txt': 'c\n' }, 'C');
    await shop.change('feature/d', { 'd.txt': 'd\n' }, 'D');
    await p.api.post('/apps/shop/origin/fetch');
    await shop.ticks('prod', 'feature/c', 'feature/d');
    await shop.deploy('prod');
    const { landing } = await p.api.post('/apps/shop/landings');
    const { number } = landing.result.merge_request, now = () => p.api.get(`/apps/shop/landings/${landing.id}`);
    await shop.change('feature/e', { 'e.txt': 'e\n' }, 'E');
    await p.api.post('/apps/shop/origin/fetch');
    assert.equal((await now()).state, 'asked');
    const source = `slipway/prod/r3-${landing.commit.slice(0, 7)}`;
    await shop.repository.git('fetch', '-q', shop.url, source);
    await shop.repository.git('checkout', '-q', '-b', source, 'FETCH_HEAD');
    await shop.change(source, { 'later.txt': 'later\n' }, 'Later');
    const squashed = await forge.merge(project, number, { squash: true });
    const landed = await until(async () => (await now()).state === 'done' && now(), 30_000, 'the release has landed');
    assert.deepEqual([landed.result.squashed, landed.result.moved, landed.result.unticked.prod], [true, false, ['feature/c', 'feature/d']]);
    assert.equal(await there('refs/tags/prod/r3'), landing.commit);
    assert.notEqual(await there(`refs/heads/${source}`), undefined, 'somebody has pushed to it');
    assert.equal(await there('refs/heads/main'), squashed);
    forge.protect(project);
});

test('a tag that is protected there, or that another life of the app has used, keeps nothing from landing', async () => {
    const land = async (branch, number) => {
        await shop.ticks('prod', branch);
        await shop.deploy('prod');
        assert.equal((await p.api.get('/apps/shop/landing')).tag, `prod/r${number}`);
        const { landing } = await p.api.post('/apps/shop/landings');
        assert.deepEqual([landing.state, await there('refs/heads/main')], ['done', landing.commit]);
        return landing;
    };
    forge.protect(project, 'refs/tags/prod/r4');
    const untagged = await land('feature/e', 4);
    assert.deepEqual([untagged.tag, await there('refs/tags/prod/r4')], ['', undefined]);
    forge.protect(project);
    await shop.change('feature/f', { 'f.txt': 'f\n' }, 'F');
    await shop.repository.git('push', '-q', shop.url, 'feature/f:refs/tags/prod/r5');
    await p.api.post('/apps/shop/origin/fetch');
    const tagged = await land('feature/f', 5);
    assert.match(tagged.tag, /^prod\/r5-[0-9a-f]{7}$/);
    assert.equal(await there(`refs/tags/${tagged.tag}`), tagged.commit);
});

test('the forge is away: what runs runs, and what was missed is found when it is back', async () => {
    const { port } = forge;
    await forge.close();
    await assert.rejects(p.api.post('/apps/shop/origin/fetch'), { status: 503, error: 'unavailable' });
    const failing = await origin();
    assert.equal(failing.state, 'failing');
    assert.match(failing.error.text, /127\.0\.0\.1/);
    assert.equal((await journal('origin.failing')).length, 1);
    const check = (await p.api.get('/doctor')).checks.find((one) => one.name === 'repositories elsewhere');
    assert.ok(!check.ok && /^shop: /.test(check.text), check.text);
    assert.equal((await shop.get('prod', '/up')).status, 200);
    await shop.deploy('prod', { kind: 'rollback' }).catch((error) => assert.match(error.message, /rollback|earlier/)); // works without the forge
    const again = await forgeNew('gitlab', { dir: `${p.dir}/forge`, port });
    Object.assign(again, { projects: forge.projects, tokens: forge.tokens, dropDeliveries: true });
    forge = again;
    const commit = await shop.change('feature/b', { 'b9.txt': 'missed\n' }, 'while nobody heard');
    await p.api.post('/apps/shop/origin/fetch');
    assert.equal((await origin()).state, 'good');
    assert.equal((await journal('origin.recovered')).length, 1);
    assert.ok((await p.api.get('/apps/shop/branches')).items.some((row) => row.tip === commit));
});

test('a token that is taken back is said, and a new one mends it', async () => {
    forge.tokens.clear();
    await assert.rejects(p.api.post('/apps/shop/origin/fetch'), { error: 'forge_denied' });
    assert.match((await origin()).error.text, /does not let us in \(401\)/);
    forge.tokens.set('another-token', 'slipway-bot');
    await p.api.put('/forges', { name: 'corp', kind: 'gitlab', url: forge.url, token: 'another-token' });
    await p.api.post('/apps/shop/origin/fetch');
    assert.equal((await origin()).state, 'good');
});

test('followed no more, the repository is its own', async () => {
    await p.api.delete('/apps/shop/origin');
    await assert.rejects(origin(), { status: 404 });
    const { git } = await p.api.get('/apps/shop');
    assert.equal((await shop.pushHere(git, p.api.token)).code, 0);
});
