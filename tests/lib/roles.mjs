// The processes of an installation's roles, as the kernel shows them.
import { readFileSync, readdirSync } from 'node:fs';
import { run } from './cli.mjs';
import { processes } from './leftovers.mjs';

export const ROLES = ['serve', 'core', 'courier', 'host', 'signals'];

// {serve: pid, core: pid, ...}; a role that does not run is absent. What a role forks looks like it until it
// has become another program, and is not the role.
export function roles(settingsFile) {
    const alike = processes()
        .filter(({ command, state }) => state !== 'Z' && ROLES.includes(command[1]) && command[command.indexOf('--settings') + 1] === settingsFile)
        .map(({ pid, ppid, command }) => ({ pid, ppid, role: command[1] }));
    const forked = ({ ppid, role }) => alike.some((parent) => parent.pid === ppid && parent.role === role);
    return Object.fromEntries(alike.filter((process_) => !forked(process_)).map(({ role, pid }) => [role, pid]));
}

export function rss(pid) {
    return 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
}

// Proportional set size: shared pages by their share.
export function pss(pid) {
    return 1024 * Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
}

export function fds(pid) {
    return readdirSync(`/proc/${pid}/fd`).length;
}

// Ticks of CPU that a process and its dead children have used, in ms.
export function cpuMs(pid) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const field = stat.slice(stat.lastIndexOf(')') + 2).split(' ').map(Number);
    return (field[11] + field[12] + field[13] + field[14]) * 10;
}

export function startTicks(pid) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
}

// Lower (or raise again) a resource limit of a running process: limit(pid, 'nofile', '20:1000'). As its own
// user, who may: root itself may not everywhere.
export async function limit(pid, resource, values) {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const own = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)[1]);
    const done = await run('/usr/bin/prlimit', ['--pid', String(pid), `--${resource}=${values}`], { uid: own('Uid'), gid: own('Gid') });
    if (done.code !== 0)
        throw new Error(`prlimit of ${pid}: ${done.err}`);
}

export function limitHard(pid, name) {
    return new RegExp(`^${name}\\s+\\S+\\s+(\\S+)`, 'm').exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))[1];
}
