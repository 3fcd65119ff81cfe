// Deploying r2, then r1, then r2 again, with nothing kept warm: the edge meets the same names of servers at
// new addresses. Each time all instances serve at once, evenly, and nothing is lost.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { atRest, platform, until } from '../lib/index.mjs';

const ENV = 'prod', COUNT = 4, ANSWERS = 400;
let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { yaml: (text) => `${text.slice(0, text.indexOf('\nenvs:'))}\nkeep_warm: 0s\nenvs:\n  ${ENV}: {instances: ${COUNT}, update_config: {strategy: all-at-once}}\n`.replace(/^keep_warm: (?!0s).*\n/m, '') });
});
after(() => p?.stop());

test('names that come back get their share at once', async () => {
    const releases = [(await web.deploy(ENV)).release, (await web.deploy(ENV)).release];
    const load = await web.load(ENV, { rate: 500 }).flowing(100);
    for (let i = 0; i < 12; i++) {
        await web.deploy(ENV, { release: releases[i % 2] });
        const { instances } = await atRest(web, ENV);
        assert.equal(instances.length, COUNT);
        await load.mark();
        const { instances: answered } = await until(async () => {
            const figures = await load.report();
            return figures.ok >= ANSWERS && figures;
        }, 20_000, `${ANSWERS} answers`);
        const counts = Object.values(answered).map(({ ok }) => ok);
        assert.equal(counts.length, COUNT, `round ${i}: all instances answer: ${JSON.stringify(answered)}`);
        assert.ok(Math.min(...counts) > ANSWERS / COUNT / 2, `round ${i}: an even spread: ${counts}`);
    }
    const all = await load.stop();
    assert.equal(all.lost, 0, JSON.stringify({ reasons: all.reasons, lost: load.lost.slice(0, 3) }));
});
