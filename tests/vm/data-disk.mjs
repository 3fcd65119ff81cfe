// Disks for guests, made here because making them under emulation takes ten minutes a piece:
//   data.img     a /var/lib/slipway that holds the two base images of the sample and nothing else: the same program
//                makes the same bytes (they are reproducible) in one minute here
//   backup.img   a backup (with its key) of an installation where the sample is live in four environments and nobody
//                has signed up yet
//   power.img    empty, for who pulls the plug
import { mkdirSync, rmSync } from 'node:fs';
import { ROOT, platform, run } from '../lib/index.mjs';
import { basesGive } from '../lib/bases.mjs';
import { WORK } from './machine.mjs';

const BASES = '/var/tmp/slipway-test-bases-vm'; // see tests/lib/bases.mjs

async function must(file, args, options) {
    const done = await run(file, args, { timeout: 900_000, ...options });
    if (done.code !== 0)
        throw new Error(`${file} ${args.join(' ')}: ${done.err}${done.out}`);
}

async function disk(name, size, folder) {
    const path = `${WORK}/${name}`;
    rmSync(path, { force: true });
    await must('/usr/bin/truncate', ['-s', size, path]);
    await must('/usr/sbin/mke2fs', ['-q', '-t', 'ext4', '-E', 'nodiscard', ...(folder ? ['-d', folder] : []), path]);
}

const folder = `${WORK}/data`;
rmSync(folder, { recursive: true, force: true });
const p = await platform({ bases: 'vm', start: false });
try {
    await basesGive(p.dataDir, 'vm');
    await p.serve();
    await must(`${ROOT}/tools/sample`, ['--program', p.binary], { env: { SLIPWAY_SETTINGS: p.settingsFile } });
    await must(p.binary, ['backup', `${folder}/backup`, '--with-key', '--settings', p.settingsFile]);
} finally {
    await p.stop();
}
await disk('backup.img', '4G', `${folder}/backup`);
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true, mode: 0o755 });
mkdirSync(`${folder}/host`, { mode: 0o700 });
await must('/usr/bin/cp', ['-a', `${BASES}/bases`, `${BASES}/blobs`, `${BASES}/unpacked`, `${folder}/host/`]);
await disk('data.img', '8G', folder);
await disk('power.img', '2G');
rmSync(folder, { recursive: true, force: true });
