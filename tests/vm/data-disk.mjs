// Make WORK/data.img: the /var/lib/slipway of a guest that holds the two base images of the sample and nothing
// else. Making them under emulation takes ten minutes each; here the same program makes the same bytes (they are
// reproducible) in one, and keeps them for the next time.
import { mkdirSync, rmSync } from 'node:fs';
import { platform, run } from '../lib/index.mjs';
import { WORK } from './machine.mjs';

const BASES = '/var/tmp/slipway-test-bases-vm'; // see tests/lib/bases.mjs
const p = await platform({ bases: 'vm' });
try {
    const shop = await p.app('shop', 'shop');
    await shop.deploy('dev');
} finally {
    await p.stop();
}
const folder = `${WORK}/data`;
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true, mode: 0o755 });
mkdirSync(`${folder}/host`, { mode: 0o700 });
for (const [file, ...args] of [
    ['/usr/bin/cp', '-a', `${BASES}/bases`, `${BASES}/blobs`, `${BASES}/unpacked`, `${folder}/host/`],
    ['/usr/bin/rm', '-f', `${WORK}/data.img`],
    ['/usr/bin/truncate', '-s', '8G', `${WORK}/data.img`],
    ['/usr/sbin/mke2fs', '-q', '-t', 'ext4', '-E', 'nodiscard', '-d', folder, `${WORK}/data.img`],
    // An empty one, for who pulls the plug.
    ['/usr/bin/rm', '-f', `${WORK}/power.img`],
    ['/usr/bin/truncate', '-s', '2G', `${WORK}/power.img`],
    ['/usr/sbin/mke2fs', '-q', '-t', 'ext4', `${WORK}/power.img`],
]) {
    const done = await run(file, args, { timeout: 300_000 });
    if (done.code !== 0)
        throw new Error(`${file} ${args.join(' ')}: ${done.err}`);
}
rmSync(folder, { recursive: true, force: true });
