// An installation whose data lie on a small disk of their own, which can be filled: a loop mount in the
// installation's folder.
//
//     const { p, disk } = await platformOnDisk('600M', { disk_reserve: '32m' });
//     after(() => disk.stop());
//     await disk.fill(16 * MIB);          // so many bytes are left
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, statfsSync } from 'node:fs';
import { run } from './cli.mjs';
import { platform } from './platform.mjs';

async function must(file, ...args) {
    const done = await run(file, args);
    assert.equal(done.code, 0, `${file} ${args.join(' ')}: ${done.err}`);
}

class Disk {
    constructor(p, path) {
        Object.assign(this, { p, path });
    }

    free() {
        const { bavail, bsize } = statfsSync(this.path);
        return bavail * bsize;
    }

    fill(leave) {
        return must('/usr/bin/fallocate', '-l', String(this.free() - leave), `${this.path}/filler`);
    }

    empty() {
        rmSync(`${this.path}/filler`, { force: true });
    }

    async stop() {
        await this.p.down(['--purge']);
        await run('/usr/bin/umount', ['-l', this.path]);
        await this.p.stop();
    }
}

// Prepared, not started: p.startOrEnd() does.
export async function platformOnDisk(size, settings, reserved = 5) {
    const p = await platform({ start: false });
    const disk = new Disk(p, `${p.dir}/disk`);
    mkdirSync(disk.path);
    await must('/usr/bin/truncate', '-s', size, `${p.dir}/disk.img`);
    await must('/usr/sbin/mkfs.ext4', '-q', '-m', String(reserved), `${p.dir}/disk.img`);
    await must('/usr/bin/mount', '-o', 'loop', `${p.dir}/disk.img`, disk.path);
    p.dataDir = `${disk.path}/data`;
    p.settingsWrite({ data_dir: p.dataDir, ...settings });
    return { p, disk };
}
