// The core of the scenario suite on the real thing: path, rollback and kill, each as it stands in tests/scenario, on
// Debian's kernel with cgroup v2 alone. Limits, and what `down` leaves, are tried by up.test.mjs.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Machine } from './machine.mjs';

let m;
before(async () => {
    m = await Machine.boot('core');
});
after(() => m?.end());

for (const name of ['300-first-deploy', '330-rollback-warm-and-cold', '010-roles-come-back'])
    test(`scenario ${name}`, { timeout: 900_000 }, async () => {
        const { rows, code, out, err } = await m.tests(`tests/scenario/${name}.test.mjs`, { timeout: 890_000, env: 'SLIPWAY_TEST_RATE=20 SLIPWAY_TEST_PATIENCE=8' });
        assert.equal(code, 0, (out + err).slice(-6000));
        assert.ok(rows.length > 0 && rows.every(({ ok }) => ok), JSON.stringify(rows));
    });
