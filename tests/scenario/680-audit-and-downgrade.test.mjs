// What was written stays as it was written: rows of the journal changed behind core's back are named, an older
// program leaves a newer store alone, and what was built is what runs, whatever happens to the branch it came
// from. Rows B027, B096, B097.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { git, oracles, platform, run, until } from '../lib/index.mjs';

let p, web, store;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { yaml: (text) => `keep_warm: 0s\n${text}` });
    store = `${p.dataDir}/core/store.db`;
});
after(() => p?.stop());

const sql = (text) => {
    const done = spawnSync('/usr/bin/sqlite3', ['-bail', '-cmd', '.timeout 5000', store, text], { encoding: 'utf8' });
    assert.equal(done.status, 0, done.stderr);
    return done.stdout.trim();
};

// Behind core's back, as somebody with the machine's root would do it; then core starts anew and must not
// make it good by itself. What host kept is compared too.
async function changedBehind(text) {
    sql(text);
    await p.kill('core');
    return until(async () => {
        const report = await p.root.get('/audit/verify');
        return report.heads_compared && report;
    }, 20_000, 'core is back and asks host');
}

test('B027: a branch moved by force after it was built: what was built runs, or it is built anew', async () => {
    const o = await oracles(p);
    await web.change('moving', { 'what.txt': 'approved' });
    await web.tick('dev', 'moving');
    await web.deploy('dev');
    const { artifact, commit } = (await web.releases('dev'))[0];
    await web.repository.git('checkout', '-q', 'moving');
    await web.repository.git('reset', '-q', '--hard', 'main');
    await web.repository.commit('moving', { 'what.txt': 'swapped' });
    const { hostname, port } = new URL(web.url);
    assert.equal((await git(web.repository.dir, ['push', '-q', '--force', web.url, 'moving'], { configuration: { 'http.extraHeader': `Authorization: Basic ${Buffer.from(`x:${p.api.token}`).toString('base64')}`, 'http.curloptResolve': `${hostname}:${port}:127.0.0.1` } })).code, 0);
    assert.equal((await web.get('dev', '/file?path=what.txt')).text, 'approved');
    await web.promote('dev', 'test', { same_artifact: true });
    assert.equal((await web.get('test', '/file?path=what.txt')).text, 'approved');
    assert.equal((await web.releases('test'))[0].artifact, artifact);
    await web.deploy('dev');
    assert.equal((await web.get('dev', '/file?path=what.txt')).text, 'swapped');
    assert.notEqual((await web.releases('dev'))[0].commit, commit);
    await web.rollback('dev');
    assert.equal((await web.get('dev', '/file?path=what.txt')).text, 'approved');
    assert.equal((await web.releases('dev')).find((row) => row.number === 1).artifact, artifact);
    await o.close();
});

test('B096: a row changed, moved or gone is named by its number; a tail that was cut too', async () => {
    const good = await p.api.get('/audit/verify');
    assert.equal(good.ok, true, good.text);
    assert.equal(good.heads_compared, true);
    const rows = Number(sql('SELECT count(*) FROM journal'));
    const keep = 'CREATE TABLE keep AS SELECT * FROM journal;';
    const back = 'DELETE FROM journal; INSERT INTO journal SELECT * FROM keep;';
    const actor = sql('SELECT actor FROM journal WHERE seq=5');
    assert.notEqual(actor, 'user:nobody');
    for (const [what, change, bad] of [
        ['edited', `${keep} UPDATE journal SET actor='user:nobody' WHERE seq=5`, 5], ['deleted', `${back} DELETE FROM journal WHERE seq=4`, 4],
        ['reordered', `${back} UPDATE journal SET seq=-1 WHERE seq=6; UPDATE journal SET seq=6 WHERE seq=7; UPDATE journal SET seq=7 WHERE seq=-1`, 6], ['cut', `${back} DELETE FROM journal WHERE seq>${rows - 2}`, rows - 1],
    ]) {
        const report = await changedBehind(change);
        assert.equal(report.ok, false, what);
        assert.equal(report.first_bad, bad, `${what}: ${report.text}`);
        const typed = await p.cli('audit', 'verify');
        assert.notEqual(typed.code, 0, what);
        assert.match(typed.out + typed.err, new RegExp(`\\b${bad}\\b`), what);
    }
    assert.equal((await changedBehind(`${back} DROP TABLE keep;`)).ok, true);
});

const sums = () => Object.fromEntries(readdirSync(`${p.dataDir}/core`).filter((name) => name.startsWith('store.db') && !/lock|shm/.test(name) && statSync(`${p.dataDir}/core/${name}`).size > 0).map((name) => [name, createHash('sha256').update(readFileSync(`${p.dataDir}/core/${name}`)).digest('hex')]));

test('B097: a store of a newer program is left exactly as it is', async () => {
    await p.down();
    const version = Number(sql('PRAGMA user_version'));
    assert.ok(version > 0);
    sql(`PRAGMA user_version=${version + 1}; PRAGMA wal_checkpoint(TRUNCATE)`);
    const before = sums();
    // core would refuse at every start: the supervisor ends with its exit code, so that whoever started it sees it
    const served = await run(p.binary, ['serve', '--settings', p.settingsFile], { timeout: 60_000 });
    assert.equal(served.code, 78, served.err);
    assert.match(served.err, /schema_newer/);
    await assert.rejects(p.anonymous().call('GET', '/version', undefined, { timeout: 500 }));
    assert.deepEqual(p.roles(), {});
    await p.down();
    assert.deepEqual(sums(), before);
    sql(`PRAGMA user_version=${version}`);
    await p.serve();
    assert.equal((await p.api.get('/apps/web')).name, 'web');
});
