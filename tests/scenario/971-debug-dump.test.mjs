// `slipway debug dump`: every object of core, for whoever looks for a fault; and nothing in it that opens a door.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { platform } from '../lib/index.mjs';

let p, web, dump, text;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.secret('dev', 'KEY', 'hidden-value-of-a-secret');
    await web.tick('dev', 'main').catch(() => {});
    await web.deploy('dev');
    await p.person('eve', 'viewer', { app: 'web', env: 'dev' });
    ({ out: text } = await p.cli('debug', 'dump', '-o', 'json'));
    dump = JSON.parse(text);
});
after(() => p?.stop());

const sql = (query) => spawnSync('/usr/bin/sqlite3', ['-readonly', `${p.dataDir}/core/store.db`, query], { encoding: 'utf8' }).stdout.trim().split('\n').filter(Boolean);

test('every table of the store stands in it, and what core keeps beside', () => {
    const tables = sql("SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%'");
    assert.ok(tables.length > 15);
    for (const table of tables)
        assert.ok(Array.isArray(dump[table]), `${table}: ${JSON.stringify(dump[table])}`);
    for (const [table, rows] of [['person', 2], ['person_grant', 2], ['release', 1], ['secret_version', 2], ['token', 2]])
        assert.ok(dump[table].length >= rows, `${table}: ${dump[table].length}`);
    assert.deepEqual(dump.links, { host: true, courier: true, signals: true });
    assert.ok(dump.feed.last_id > 0 && dump.epoch > 0 && dump.store_bytes > 0);
    for (const role of ['host', 'courier', 'signals'])
        assert.ok(dump[role].dump, JSON.stringify(dump[role]));
});

test('no hash, password, token or sealed value is in it', () => {
    const hidden = [...sql('SELECT password FROM person WHERE password IS NOT NULL'), ...sql('SELECT hash FROM token'), ...sql('SELECT hash FROM link'), ...sql('SELECT sealed FROM secret_version'), p.api.token, 'hidden-value-of-a-secret'];
    assert.ok(hidden.length > 5);
    for (const value of hidden)
        assert.ok(!text.includes(value), `${value.slice(0, 12)}... is in the dump`);
});
