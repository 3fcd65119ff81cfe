// What an installation has on the machine, found from the outside and never by asking it: what is still
// there after the end is left behind.
import { existsSync, readFileSync, readdirSync, rmdirSync } from 'node:fs';
import { execFileSync, spawnSync } from 'node:child_process';

function read(path) {
    try {
        return readFileSync(path, 'utf8');
    } catch {
        return '';
    }
}

function list(path) {
    try {
        return readdirSync(path, { withFileTypes: true });
    } catch {
        return [];
    }
}

// All processes as {pid, ppid, state, command, cgroup}; kernel threads left out.
export function processes() {
    const found = [];
    for (const { name } of list('/proc')) {
        if (!/^\d+$/.test(name))
            continue;
        const stat = read(`/proc/${name}/stat`);
        const after = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        if (!stat || after[1] === '2' || name === '2')
            continue;
        const command = read(`/proc/${name}/cmdline`).split('\0').slice(0, -1);
        found.push({ pid: Number(name), ppid: Number(after[1]), state: after[0], command, cgroup: read(`/proc/${name}/cgroup`) });
    }
    return found;
}

// A segment of a cgroup's path is the id or begins with it and a separator.
function inGroup(cgroup, id) {
    return cgroup.split(/[\n/]/).some((segment) => segment === id || segment.startsWith(`${id}.`) || segment.startsWith(`${id}-`));
}

export function processesOf({ id, dir }) {
    return processes().filter((process_) => process_.pid !== process.pid && process_.ppid !== process.pid && process_.state !== 'Z'
        && (inGroup(process_.cgroup, id) || process_.command.some((word) => word.includes(`${dir}/`))));
}

export function mountsBelow(dir, id) {
    return read('/proc/self/mountinfo').split('\n').map((line) => line.split(' ')[4])
        .filter((point) => point && (point === dir || point.startsWith(`${dir}/`) || point.startsWith(`/run/netns/${id}`)));
}

function linksOf(id) {
    return JSON.parse(execFileSync('ip', ['-j', 'link', 'show']).toString()).map((link) => link.ifname).filter((name) => name.startsWith(id));
}

function tablesOf(id) {
    const shown = spawnSync('nft', ['-j', 'list', 'tables']);
    if (shown.status !== 0)
        return [];
    return JSON.parse(shown.stdout.toString()).nftables.map((row) => row.table).filter((table) => table?.name.startsWith(id))
        .map((table) => `${table.family} ${table.name}`);
}

function groupsBelow(path, id, depth) {
    const found = [];
    for (const entry of list(path)) {
        if (!entry.isDirectory())
            continue;
        const below = `${path}/${entry.name}`;
        if (inGroup(entry.name, id))
            found.push(below);
        else if (depth > 0)
            found.push(...groupsBelow(below, id, depth - 1));
    }
    return found;
}

// Everything with its kind: ["process 17 /usr/bin/crun ...", "mount /x", ...]. Empty: nothing is left.
export function leftovers({ id, dir }) {
    return [
        ...processesOf({ id, dir }).map(({ pid, command }) => `process ${pid} ${command.join(' ')}`),
        ...mountsBelow(dir, id).map((point) => `mount ${point}`),
        ...linksOf(id).map((name) => `link ${name}`),
        ...tablesOf(id).map((name) => `nft table ${name}`),
        ...groupsBelow('/sys/fs/cgroup', id, 2).map((path) => `cgroup ${path}`),
        ...list('/run/netns').filter((entry) => entry.name.startsWith(id)).map((entry) => `netns ${entry.name}`),
    ];
}

// Take away what is left, so that the next test starts on clean ground. Last resort: a test that needed it
// has failed already.
export function sweep({ id, dir }) {
    for (let round = 0; round < 3; round++) {
        for (const { pid } of processesOf({ id, dir }))
            killQuietly(pid);
        for (const point of mountsBelow(dir, id).reverse())
            spawnSync('umount', ['-l', point]);
        for (const name of linksOf(id))
            spawnSync('ip', ['link', 'delete', name]);
        for (const name of tablesOf(id))
            spawnSync('nft', ['delete', 'table', ...name.split(' ')]);
        for (const path of groupsBelow('/sys/fs/cgroup', id, 2))
            groupRemove(path);
        for (const entry of list('/run/netns').filter((found) => found.name.startsWith(id)))
            spawnSync('ip', ['netns', 'delete', entry.name]);
    }
    // Never across a mount: an instance's root may be the machine's own /.
    if (existsSync(dir) && !mountsBelow(dir, id).length)
        spawnSync('rm', ['-rf', '--one-file-system', '--', dir]);
}

function killQuietly(pid) {
    try {
        process.kill(pid, 'SIGKILL');
    } catch {
        // gone meanwhile
    }
}

function groupRemove(path) {
    for (const entry of list(path))
        if (entry.isDirectory())
            groupRemove(`${path}/${entry.name}`);
    try {
        rmdirSync(path);
    } catch {
        // busy: the next round
    }
}
