// F14: the plug is pulled (QEMU is killed) while something is being committed, uploaded, unpacked or published, 50
// times on the same disk. After each: what was promised with a 2xx is there, everything else is all or nothing,
// blobs are what their names say, the journal is whole, every rollout ends, and the edge serves what is live.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { until as waitUntil } from '../lib/index.mjs';
import { Machine } from './machine.mjs';

const CUTS = Number(process.env.SLIPWAY_VM_CUTS ?? 50);
const KINDS = ['commit', 'upload', 'unpack', 'publish'];
const LONGEST_MS = { commit: 150, upload: 1500, unpack: 20_000, publish: 300 }; // of one such operation, about
const promised = { secrets: {}, rollouts: new Set(), branches: {}, domains: null };
const seen = { commit: 0, upload: 0, unpack: 0, publish: 0 };
let m;
before(async () => {
    m = await Machine.boot('power', { data: 'power.img', init: 'power.mjs', memory: 1024 });
    assert.match(await m.line(), /^READY/);
    await m.freeze();
    await go(KINDS[0]);
}, { timeout: 300_000 });
after(() => m?.end());

async function go(kind) {
    await m.start();
    await m.tell(`go ${kind} ${Math.floor(Date.now() / 1000)} ${randomBytes(64).toString('hex')}`);
}

function note({ secret, version, rollout, env, branch, tip, domains }) {
    if (secret)
        promised.secrets[secret] = version;
    if (rollout)
        promised.rollouts.add(`${env}.${rollout}`);
    if (branch)
        promised.branches[branch] = tip;
    if (domains)
        promised.domains = domains;
}

// The last operation of a kind may have been done without our hearing of it: then what is there is newer.
function compare(state, last) {
    assert.deepEqual(state.wrong, []);
    for (const [name, version] of Object.entries(promised.secrets))
        assert.ok(state.secrets[name] === version || (last === 'commit' && state.secrets[name] > version), `secret ${name} ${state.secrets[name]}, ${version} was promised`);
    for (const id of promised.rollouts)
        assert.ok(['done', 'reverted'].includes(state.rollouts[id]), `rollout ${id}: ${state.rollouts[id]}`);
    for (const [name, tip] of Object.entries(promised.branches))
        assert.ok(state.branches[name] === tip || last === 'upload', `branch ${name} at ${state.branches[name]}, ${tip} was promised`);
    if (promised.domains && last !== 'publish')
        assert.deepEqual(state.domains, promised.domains);
    promised.secrets = { ...state.secrets };
    promised.branches = { ...state.branches };
    promised.domains = state.domains;
}

async function until(word) {
    for (;;) {
        const line = await m.line();
        const [first, ...rest] = line.split(' ');
        assert.ok(!['BROKEN', 'DIED', 'END'].includes(first), line);
        if (first === 'ACK')
            note(JSON.parse(rest.join(' ')));
        if (first === word)
            return rest.join(' ');
    }
}

for (let cut = 0; cut <= CUTS; cut++)
    test(cut === 0 ? 'the first boot' : `cut ${cut}, while it would ${KINDS[(cut - 1) % 4]}`, { timeout: 400_000 }, async () => {
        const kind = KINDS[cut % 4], last = cut === 0 ? '' : KINDS[(cut - 1) % 4];
        compare(JSON.parse(await until('STATE')), last);
        if (cut === CUTS)
            return;
        assert.equal(await until('BEGIN'), kind);
        const end = performance.now() + Math.random() * 2 * LONGEST_MS[kind];
        await waitUntil(() => performance.now() >= end, 60_000, 'the moment');
        seen[kind]++;
        await m.powerCut();
        for (const line of m.linesLeft().filter((text) => text.startsWith('ACK ')))
            note(JSON.parse(line.slice(4)));
        await go(KINDS[(cut + 1) % 4]);
    });

test('every kind of work was cut', () => {
    assert.ok(Object.values(seen).every((count) => count >= Math.floor(CUTS / 4)), JSON.stringify(seen));
});
