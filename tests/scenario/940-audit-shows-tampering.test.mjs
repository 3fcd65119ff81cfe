// B096: the platform is down; somebody with the file in hand changes a row of the journal, deletes one,
// swaps two, cuts the tail. `slipway audit verify` names the first record that is not as it was. So it does
// when they are core's user, chain every later row anew, and tell host the heads of the new history.
import assert from 'node:assert/strict';
import net from 'node:net';
import { createHash } from 'node:crypto';
import { appendFileSync, copyFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
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

async function sql(text, file = store) {
    const done = await run('/usr/bin/sqlite3', [file], { input: text });
    assert.equal(done.code, 0, done.err);
    return done.out.trim();
}

// The platform with this store; what verify says through the API and at the command line. `meanwhile`
// happens before it is asked.
async function verified(change, meanwhile) {
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
        const more = await meanwhile?.();
        // the heads that host keeps are compared once it is connected
        const report = await until(async () => {
            const reply = await p.root.call('GET', '/audit/verify');
            return reply.json.heads_compared && reply;
        }, 10_000, 'the heads are compared');
        const cli = await p.cli('audit', 'verify');
        const forPrograms = await p.cli('audit', 'verify', '-o', 'json');
        assert.equal(forPrograms.json.ok, report.json.ok); // one document, also when it exits not 0
        assert.equal(forPrograms.code, cli.code);
        return { report: report.json, text: report.text, cli, more };
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

// ---- who is core's user can do more: a whole new history, row by row as core would write it ----

const ROWS = 1500; // of the journal; more than host ever looked back

const quoted = (text) => text === null ? 'NULL' : `'${text.replaceAll("'", "''")}'`;
const hashed = (previous, row) => {
    const text = (value) => value === null ? ' -1:' : ` ${Buffer.byteLength(value)}:${value}`;
    return createHash('sha256').update(`${previous}\n${row.seq} ${row.at} ${row.app_env_id}${text(row.actor)}${text(row.kind)}${text(row.subject)}${text(row.data)}`).digest('hex');
};
const rowsOf = async (file) => {
    const done = await run('/usr/bin/sqlite3', ['-json', file, 'SELECT * FROM journal ORDER BY seq']);
    assert.equal(done.code, 0, done.err);
    return JSON.parse(done.out);
};
// Chain all of them anew; gives the statements that store it.
function chained(rows) {
    let previous = '0'.repeat(64);
    for (const row of rows)
        previous = row.hash = hashed(previous, row);
    return ['BEGIN', ...rows.map((row) => `INSERT OR REPLACE INTO journal(seq, at, actor, kind, subject, app_env_id, data, hash) VALUES(${row.seq},${row.at},${quoted(row.actor)},${quoted(row.kind)},${quoted(row.subject)},${row.app_env_id},${quoted(row.data)},'${row.hash}')`), 'COMMIT'].join(';\n');
}
// Verbs said to host as core says them, in the same epoch, until core is back and host takes it instead.
function said(requests) {
    return new Promise((resolve) => {
        const socket = net.connect({ path: `${p.runDir}/host.sock` });
        const replies = [];
        let rest = Buffer.alloc(0);
        socket.on('error', () => {}); // it closes then
        socket.on('close', () => resolve(replies));
        socket.on('data', (part) => {
            rest = Buffer.concat([rest, part]);
            for (let length; rest.length >= 4 && rest.length >= 4 + (length = rest.readUInt32BE()); rest = rest.subarray(4 + length))
                replies.push(JSON.parse(rest.subarray(4, 4 + length)));
            if (replies.length === requests.length)
                socket.destroy();
        });
        for (const [index, [verb, args]] of requests.entries()) {
            const body = Buffer.from(JSON.stringify({ id: index + 1, verb, args }));
            const head = Buffer.alloc(4);
            head.writeUInt32BE(body.length);
            socket.write(Buffer.concat([head, body]));
        }
    });
}
// Tell host these heads; its replies to them.
async function tell(rows) {
    const replies = [];
    const epoch = Number(readFileSync(`${p.dataDir}/host/epoch`, 'utf8'));
    await until(async () => {
        const heads = rows.slice(replies.length).map(({ seq, hash }) => ['journal.head', { seq, hash }]);
        const [hello, ...more] = await said([['hello', { protocol: 1, epoch }], ...heads]);
        assert.ok(!hello || hello.ok, JSON.stringify(hello));
        replies.push(...more);
        return replies.length === rows.length;
    }, 30_000, 'host has answered to each head');
    return replies;
}
const doctor = () => until(async () => (await p.root.call('GET', '/doctor')).json.checks.find((check) => check.name === 'journal heads'), 10_000, 'host answers the doctor');

test('a long journal is compared with every head that host kept', async () => {
    // an installation that has lived for a while: rows as core writes them, heads as host keeps them
    const rows = await rowsOf(saved);
    for (let seq = rows.length + 1; seq <= ROWS; seq++)
        rows.push({ ...rows.at(-1), seq });
    await sql(chained(rows), saved);
    const heads = `${p.dataDir}/host/journal-heads`;
    const known = Number(readFileSync(heads, 'utf8').trim().split('\n').at(-1).split(' ')[0]);
    appendFileSync(heads, rows.filter(({ seq }) => seq > known).map(({ seq, hash }) => `${seq} ${hash}\n`).join(''));
    rmSync(`${p.dataDir}/host/journal-refused`); // what went before was looked at
    const { report, cli, more } = await verified(null, doctor);
    assert.equal(report.ok, true, JSON.stringify(report));
    assert.equal(report.heads, ROWS);
    assert.equal(cli.code, 0, cli.err);
    assert.ok(more.ok, more.text);
});

test('a history that was rewritten, its heads told to host again, is found and named', async () => {
    const rows = await rowsOf(saved);
    rows[2].actor = 'user:eve';
    const change = chained(rows);
    const { report, text, cli, more } = await verified(change, async () => {
        const replies = await tell(rows.slice(2));
        return { refused: replies.filter((reply) => reply.error === 'state_conflict').length, check: await doctor() };
    });
    assert.equal(more.refused, rows.length - 2);
    assert.equal(more.check.ok, false);
    assert.equal(report.ok, false, text);
    assert.equal(report.first_bad, 3);
    assert.notEqual(cli.code, 0);
    assert.match(p.log(), /core tells another history than before/);
});

test('host does not forget it, and the journal as it was is whole', async () => {
    const { report, more } = await verified(null, doctor);
    assert.equal(report.ok, true, JSON.stringify(report));
    assert.equal(more.ok, false);
    assert.match(more.fix, /audit verify/);
});

test('a tail that was cut and has grown again shows, however often its heads are told', async () => {
    const { report, more } = await verified(`DELETE FROM journal WHERE seq>${ROWS - 20}`, async () => {
        for (let i = 0; i < 25; i++)
            await p.root.call('POST', '/apps', { name: `again${i}` });
        const grown = await rowsOf(store);
        return tell(grown.filter(({ seq }) => seq > ROWS - 20 && seq <= ROWS));
    });
    assert.ok(more.every((reply) => reply.error === 'state_conflict'), JSON.stringify(more.slice(0, 3)));
    assert.equal(report.ok, false);
    assert.equal(report.first_bad, ROWS - 19);
});
