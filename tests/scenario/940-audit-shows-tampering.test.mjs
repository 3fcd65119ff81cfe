// B096: the platform is down; somebody with the file in hand changes a row of the journal, deletes one,
// swaps two, cuts the tail. `slipway audit verify` names the first record that is not as it was.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, rmSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { platform, run, until } from '../lib/index.mjs';

let p, store, saved, count;
before(async () => {
    p = await platform();
    store = `${p.dataDir}/core/store.db`;
    saved = `${p.dir}/store.saved`;
    for (let i = 0; i < 8; i++)
        await p.api.post('/apps', { name: `app${i}` });
    await p.down();
    await sql('PRAGMA wal_checkpoint(TRUNCATE)');
    copyFileSync(store, saved);
    count = Number(await sql('SELECT max(seq) FROM journal'));
});
after(() => p?.stop());

async function sql(text) {
    const done = await run('/usr/bin/sqlite3', [store, text]);
    assert.equal(done.code, 0, done.err);
    return done.out.trim();
}

// The platform with this store; what verify says through the API and at the command line.
async function verified(change) {
    for (const part of ['-wal', '-shm'])
        if (existsSync(store + part))
            rmSync(store + part);
    const owner = await run('/usr/bin/stat', ['-c', '%u:%g', store]);
    copyFileSync(saved, store);
    if (change)
        await sql(change);
    for (const part of ['', '-wal', '-shm'])
        if (existsSync(store + part))
            await run('/usr/bin/chown', [owner.out.trim(), store + part]);
    await p.serve();
    try {
        // the heads that host keeps are compared once it is connected
        const report = await until(async () => {
            const reply = await p.root.call('GET', '/audit/verify');
            return reply.json.heads_compared && reply;
        }, 10_000, 'the heads are compared');
        const cli = await p.cli('audit', 'verify');
        return { report: report.json, text: report.text, cli };
    } finally {
        await p.down();
    }
}

test('untouched it is whole', async () => {
    const { report, cli } = await verified(null);
    assert.equal(report.ok, true);
    assert.equal(cli.code, 0, cli.err);
});

const TAMPERED = {
    'a row that was edited': ["UPDATE journal SET data='{\"role\":\"viewer\"}' WHERE seq=3", () => 3],
    'an actor that was changed': ["UPDATE journal SET actor='user:eve' WHERE seq=5", () => 5],
    'a row that was deleted': ['DELETE FROM journal WHERE seq=4', () => 4],
    'two rows that changed places': ['UPDATE journal SET seq=-4 WHERE seq=4; UPDATE journal SET seq=4 WHERE seq=5; UPDATE journal SET seq=5 WHERE seq=-4', () => 4],
    'a tail that was cut': ['DELETE FROM journal WHERE seq>(SELECT max(seq)-2 FROM journal)', () => count - 1],
};

for (const [what, [change, bad]] of Object.entries(TAMPERED)) {
    test(`${what} is found and named`, async () => {
        const { report, text, cli } = await verified(change);
        assert.notEqual(report.ok, true, text);
        assert.match(text + cli.out + cli.err, new RegExp(`\\b${bad()}\\b`));
        assert.notEqual(cli.code, 0);
    });
}
