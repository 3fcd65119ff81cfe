// ./bench restore: a backup of an installation with 100 apps and 10 GB of artifacts while it works, the machine lost,
// and everything back by one command (F32). Printed: how long the backup, a further one, the restore take, and when
// every app serves again; the peer is a plain copy of the same bytes on the same disk (cp, in the same run). What
// must hold: nothing that was acknowledged before the backup is missing, every app is live, and a snapshot whose
// bytes rotted is refused (the saboteur). --quick: 10 apps and 1 GB.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { nowMs, platform, run, until } from '../tests/lib/index.mjs';
import { bench, quick, say } from './common.mjs';

const APPS = quick ? 10 : 100, BYTES = 100; // MB of each app's artifact
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
const rate = (bytes, ms) => `${(bytes / 1e6 / (ms / 1000)).toFixed(0)} MB/s`;

async function timed(work) {
    const begin = nowMs();
    const result = await work();
    return { ms: nowMs() - begin, result };
}

await bench('restore', async (verdict, after) => {
    const p = await platform({ settings: { builds_parallel: 2, disk_reserve: '1g' } });
    after(() => p.stop());
    const folder = `${p.dir}/backup`, key = `${p.dir}/master.key`;
    const slipway = async (verb, ...words) => {
        const done = await run(p.binary, [verb, folder, ...words, '-o', 'json', '--settings', p.settingsFile], { timeout: 3_600_000 });
        if (done.code !== 0)
            throw new Error(`${verb}: ${done.err}`);
        return done.json;
    };

    // As many different artifacts as apps: what they hold cannot be shared or compressed.
    const apps = [];
    const made = await timed(async () => {
        for (let i = 0; i < APPS; i++) {
            const app = await p.app(`app${i}`, 'server', { yaml: (text) => text.replace('  steps:\n', `  steps:\n    - {name: fill, run: "head -c ${BYTES}000000 /dev/urandom > blob.bin"}\n`).replace(/keep_warm:.*\n/g, '') });
            await app.secret('dev', 'token', `secret of ${i}`);
            await app.deploy('dev', {}, { deadlineMs: 600_000 });
            apps.push(app);
        }
    });
    say(`  ${APPS} apps, each with ${BYTES} MB of its own, deployed in ${seconds(made.ms)}`);
    writeFileSync(key, readFileSync(`${p.dataDir}/master.key`), { mode: 0o600 });

    const first = await timed(() => slipway('backup'));
    say(`  backup: ${seconds(first.ms)}, ${(first.result.bytes / 1e9).toFixed(2)} GB, ${rate(first.result.bytes, first.ms)}`);
    verdict.must(first.result.bytes >= APPS * BYTES * 1e6, `${(first.result.bytes / 1e9).toFixed(2)} GB of artifacts are in it`);
    const again = await timed(() => slipway('backup'));
    verdict.must(again.result.added_bytes < 50e6, `a further one adds ${(again.result.added_bytes / 1e6).toFixed(1)} MB in ${seconds(again.ms)}`);
    const peer = await timed(() => run('/usr/bin/cp', ['-r', `${folder}/blobs`, `${p.dir}/copy`], { timeout: 3_600_000 }));
    rmSync(`${p.dir}/copy`, { recursive: true, force: true });
    say(`  the same blobs by cp: ${seconds(peer.ms)}`);

    const down = await p.down(['--purge']);
    verdict.must(down.code === 0, 'the machine is lost: everything of the installation is gone');

    const blobs = `${folder}/blobs/sha256`;
    const largest = readdirSync(blobs).map((name) => `${blobs}/${name}`).sort((a, b) => statSync(b).size - statSync(a).size)[0];
    const content = readFileSync(largest);
    content[content.length >> 1] ^= 1;
    writeFileSync(largest, content);
    const rotten = await slipway('restore', '--key', key).then(() => 'restored', (error) => error.message);
    verdict.must(/is not what its name/.test(rotten), `the saboteur's flipped bit is found: ${rotten.slice(0, 80)}`);
    content[content.length >> 1] ^= 1;
    writeFileSync(largest, content);
    rmSync(p.dataDir, { recursive: true, force: true }); // what the refused one had put in place does not help the next
    verdict.must(createHash('sha256').update(content).digest('hex') === largest.split('/').pop(), 'and mended');

    const back = await timed(() => slipway('restore', '--key', key));
    say(`  restore: ${seconds(back.ms)}, ${rate(back.result.bytes, back.ms)}`);
    const live = await timed(async () => {
        await p.serve();
        for (const app of apps)
            await until(async () => (await app.who('dev')).status === 200, 1_200_000, `${app.name} serves`);
    });
    say(`  from the start of the server until all ${APPS} apps serve: ${seconds(live.ms)}`);
    verdict.figure(`${APPS} apps, ${(first.result.bytes / 1e9).toFixed(1)} GB: backup ${seconds(first.ms)} (cp ${seconds(peer.ms)}), restore ${seconds(back.ms)}, all serve ${seconds(back.ms + live.ms)} after its begin`);
    const secrets = await Promise.all(apps.map((app) => app.get('dev', '/file?path=/run/slipway/secrets/token').then((reply) => reply.text)));
    verdict.must(secrets.every((text, i) => text === `secret of ${i}`), 'every app has its secret');
    const audit = await p.api.get('/audit/verify');
    verdict.must(audit.ok, `the journal is whole, up to row ${audit.rows ?? audit.last}`);
});
