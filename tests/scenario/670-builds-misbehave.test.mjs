// Sources and builds that reach for what is not theirs, or for more than their share. Rows B020, B022-B025,
// B040, B085, B087-B091; what archives and outputs may hold (B029-B033, B091) is tested in src/host.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { after, before, test } from 'node:test';
import { oracles, platform, processes, raw, until } from '../lib/index.mjs';

let p, o, web, other;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { yaml: (text) => `keep_warm: 0s\n${text}` });
    other = await p.app('other', null);
    o = await oracles(p, { watch: [] });
});
after(async () => {
    await o?.close();
    await p?.stop();
});

const YAML = (script, more = '') => `base: host\nbuild:\n  network: none\n${more}  steps:\n    - {name: bad, run: ${JSON.stringify(['/bin/sh', '-c', script])}}\nrun: ./server\n`;
const sleeping = () => processes().filter(({ cgroup, command }) => cgroup.includes(p.id) && /98765\d/.test(command.join(' ')));

// A branch of an app of its own whose build does this; the build's row and its output.
async function built(app, branch, script, more, files = {}) {
    const name = `${app.name}/${branch}`;
    await app.change(name, { 'slipway.yaml': YAML(script, more), ...files });
    await app.ticks('dev', name);
    const row = await app.build('dev', { expect: null });
    return { ...row, output: await app.buildOutput('dev', row.number) };
}

// Commit what git add would refuse, by the index; push it; give what the push or else the build says.
async function refusedSource(branch, prepare) {
    const { repository } = web;
    await repository.git('checkout', '-q', '-f', '-B', branch, 'main');
    await prepare(repository);
    await repository.git('commit', '-q', '-m', branch);
    const pushed = await web.pushAs(p.api.token, [branch]);
    await repository.git('checkout', '-q', '-f', 'main');
    if (pushed.code !== 0)
        return pushed.err;
    const ticked = await p.api.call('POST', '/apps/web/envs/dev/ticks', { set: [branch] });
    const started = await p.api.call('POST', '/apps/web/envs/dev/builds');
    if (started.status >= 400)
        return `${ticked.text} ${started.text}`;
    const row = await until(async () => {
        const now = await p.api.get(`/apps/web/envs/dev/builds/${started.json.build.number}`);
        return ['done', 'failed', 'cancelled'].includes(now.state) && now;
    }, 30_000, 'the build ends');
    return `${row.state} ${JSON.stringify(row.error)}`;
}

test('B020: submodules, and paths that some git would write elsewhere, are refused by name', async () => {
    const hook = `touch ${o.canary}`;
    const text = await refusedSource('evil/submodule', async (repository) => {
        const tip = await repository.tip('main');
        const blob = spawnSync('git', ['-C', repository.dir, 'hash-object', '-w', '--stdin'], { input: `[submodule "x"]\n\tpath = sub\r\n\turl = ext::sh -c ${hook}\n` }).stdout.toString().trim();
        await repository.git('update-index', '--add', '--cacheinfo', `100644,${blob},.gitmodules`);
        await repository.git('update-index', '--add', '--cacheinfo', `160000,${tip},sub`);
    });
    assert.match(text, /submodule/);
    for (const [i, path] of ['sub\r', 'a\nb', '.git/hooks/post-checkout', 'x/.GIT/config', 'git~1/config'].entries()) {
        const { repository } = web;
        const blob = spawnSync('git', ['-C', repository.dir, 'hash-object', '-w', '--stdin'], { input: `#!/bin/sh\n${hook}\n` }).stdout.toString().trim();
        const yaml = await repository.git('rev-parse', 'main:slipway.yaml');
        // by mktree: no git of ours would take such a path into its index
        let entry = `100755 blob ${blob}\t${path.split('/').at(-1)}\0`;
        for (const folder of path.split('/').slice(0, -1).reverse())
            entry = `040000 tree ${spawnSync('git', ['-C', repository.dir, 'mktree', '-z'], { input: entry }).stdout.toString().trim()}\t${folder}\0`;
        const tree = spawnSync('git', ['-C', repository.dir, 'mktree', '-z'], { input: `${entry}100644 blob ${yaml}\tslipway.yaml\0` }).stdout.toString().trim();
        const commit = await repository.git('-c', 'user.name=T', '-c', 'user.email=t@t', 'commit-tree', '-p', 'main', '-m', 'evil', tree);
        const pushed = await web.pushAs(p.api.token, [`${commit}:refs/heads/evil/path${i}`]);
        if (pushed.code !== 0) {
            assert.match(pushed.err, /hasDotgit: contains '\.git'/, `${JSON.stringify(path)}: ${pushed.err}`);
            continue;
        }
        await web.ticks('dev', `evil/path${i}`);
        const reply = await p.api.call('POST', '/apps/web/envs/dev/builds');
        const said = reply.status >= 400 ? reply.text : JSON.stringify((await until(async () => {
            const now = await p.api.get(`/apps/web/envs/dev/builds/${reply.json.build.number}`);
            return ['done', 'failed'].includes(now.state) && now;
        }, 30_000, 'the build ends')).error);
        assert.match(said, /archive_path|merge_conflict|archive_invalid/, `${JSON.stringify(path)}: ${said}`);
    }
    await web.ticks('dev');
    await o.check({ audit: null });
});

test('B022: a configuration that is a link is refused and its target never shown', async () => {
    for (const [branch, target] of [['evil/link', '/etc/shadow'], ['evil/up', '../../../../etc/passwd']]) {
        const text = await refusedSource(branch, async (repository) => {
            await repository.git('rm', '-q', 'slipway.yaml');
            symlinkSync(target, `${repository.dir}/slipway.yaml`);
            await repository.git('add', 'slipway.yaml');
        });
        assert.match(text, /path_escapes/, text);
        assert.doesNotMatch(text, /root:/);
        const shown = await p.api.call('GET', `/apps/web/config?env=dev&ref=${encodeURIComponent(branch)}`);
        assert.deepEqual([shown.status, shown.json.error], [422, 'path_escapes'], shown.text);
    }
    for (const path of ['../x', '/etc', 'a/../../x', ''])
        for (const key of ['output', 'exclude'])
            assert.equal((await p.api.call('POST', '/config/check', { text: `run: x\nbuild: {${key}: ["${path}"]}\n` })).status, 422, `${key} ${path}`);
    await web.ticks('dev');
    await o.check({ audit: { 'repo.pushed': 2, 'ticks.changed': 3 } });
});

test('B023 B024: a repository within the repository, filters and LFS pointers are files and nothing more', async () => {
    const files = {
        'bare/HEAD': 'ref: refs/heads/main\n', 'bare/config': `[core]\n\trepositoryformatversion = 0\n\tbare = true\n\tfsmonitor = "touch ${o.canary}"\n\tsshCommand = touch ${o.canary}\n`, 'bare/objects/x': '', 'bare/refs/x': '',
        '.gitattributes': '* filter=evil merge=evil diff=evil export-subst\nhidden.txt export-ignore\n', '.gitconfig': `[filter "evil"]\n\tsmudge = touch ${o.canary}\n\tprocess = touch ${o.canary}\n`, 'hidden.txt': '$Format:%H$\n',
        'huge.bin': `version https://git-lfs.github.com/spec/v1\noid sha256:${'a'.repeat(64)}\nsize 1099511627776\n`,
    };
    const { state, output } = await built(web, 'filters', 'cat hidden.txt huge.bin; cat bare/HEAD', '', files);
    assert.equal(state, 'done', output);
    assert.match(output, /\$Format:%H\$\nversion https:\/\/git-lfs/);
    await web.ticks('dev');
    await o.check({ audit: { 'repo.pushed': 1, 'ticks.changed': 2, 'build.queued': 1, 'build.running': 1, 'build.done': 1 } });
});

test('B025: a tree of 10^10 files is refused', async () => {
    const { repository } = web;
    const run = (args, input) => spawnSync('git', ['-C', repository.dir, ...args], { input, encoding: 'utf8' }).stdout.trim();
    let entry = `100644 blob ${run(['hash-object', '-w', '--stdin'], 'boom\n')}`;
    for (let level = 0; level < 10; level++)
        entry = `040000 tree ${run(['mktree'], Array.from({ length: 10 }, (_, i) => `${entry}\tf${i}\n`).join(''))}`;
    const tree = run(['mktree'], `${entry}\tbomb\n100644 blob ${await repository.git('rev-parse', 'main:slipway.yaml')}\tslipway.yaml\n`);
    const commit = run(['-c', 'user.name=T', '-c', 'user.email=t@t', 'commit-tree', '-p', 'main', '-m', 'bomb', tree]);
    const pushed = await web.pushAs(p.api.token, [`${commit}:refs/heads/bomb`]);
    if (pushed.code === 0) {
        await web.ticks('dev', 'bomb');
        const failed = await web.build('dev', { expect: 'failed' }).then((row) => JSON.stringify(row.error), (error) => error.message);
        assert.match(failed, /repo_too_large/);
        await web.ticks('dev');
    } else {
        assert.match(pushed.err, /too large|entries/);
    }
    await o.check({ audit: { 'repo.pushed': 1, 'ticks.changed': 2, 'build.queued': 1, 'build.running': 1, 'build.failed': 1 } });
});

test('B085: a fork bomb with a daemon meets its limit and leaves nobody', async () => {
    const { state, error } = await built(web, 'forks', 'setsid sh -c "trap \\"\\" TERM; sleep 987651" & f() { f | f & }; while :; do f; done', '  pids: 64\n  timeout: 20s\n');
    assert.equal(state, 'failed');
    assert.match(JSON.stringify(error), /resource_pids/);
    await until(() => sleeping().length === 0, 5000, 'nothing of it lives');
    await web.ticks('dev');
    await web.build('dev');
    await o.check({ audit: { 'repo.pushed': 1, 'ticks.changed': 2, 'build.queued': 2, 'build.running': 2, 'build.failed': 1, 'build.done': 1 } });
});

test('B087: loud, long and binary output is capped, and what was dropped is said', async () => {
    const { state, number } = await built(web, 'loud', 'echo begins; head -c 40000000 /dev/zero | tr "\\0" x; echo; head -c 100000 /dev/urandom; echo; echo ends');
    assert.equal(state, 'done');
    const first = await p.api.get(`/apps/web/envs/dev/builds/${number}/output?offset=0`);
    assert.ok(first.dropped > 25_000_000 && first.size > 40_000_000, JSON.stringify({ ...first, text: '' }));
    const output = await web.buildOutput('dev', number);
    assert.ok(output.length < 20 << 20);
    assert.match(output, /^.{0,400}begins\n/s);
    assert.match(output, /ends\n[^]{0,400}$/);
    await web.ticks('dev');
    await o.check({ audit: { 'repo.pushed': 1, 'ticks.changed': 2, 'build.queued': 1, 'build.running': 1, 'build.done': 1 } });
});

test('B088: a build that will not end is ended at its deadline', async () => {
    const { state, error } = await built(web, 'deaf', 'trap "" TERM INT HUP; (setsid sleep 987652 &); kill -STOP $$; sleep 987652', '  timeout: 2s\n');
    assert.equal(state, 'failed');
    assert.match(JSON.stringify(error), /timeout/);
    await until(() => sleeping().length === 0, 5000, 'nothing of it lives');
    await web.ticks('dev');
    await o.check({ audit: { 'repo.pushed': 1, 'ticks.changed': 2, 'build.queued': 1, 'build.running': 1, 'build.failed': 1 } });
});

const CALLS = `#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
static void try(const char *name, long r) { if (r >= 0) printf("GOT %s\\n", name); }
static void refused(const char *name, long r) { try(name, r); if (r < 0 && errno != EPERM && errno != EACCES) printf("ODD %s: %s\\n", name, strerror(errno)); }
static long cloned(unsigned long flags) { long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0); if (pid == 0) _exit(0); return pid; }
static void try_write(const char *path, const char *text) { int fd = open(path, O_WRONLY); if (fd >= 0 && write(fd, text, strlen(text)) > 0) printf("WROTE %s\\n", path); }
int main(void) {
    char bpf[128] = {0}; char ring[512] = {0};
    try("mount", mount("none", "/mnt", "tmpfs", 0, "")); try("umount", umount2("/proc", MNT_DETACH)); try("mknod block", mknod("disk", S_IFBLK | 0600, makedev(8, 0))); try("mknod mem", mknod("mem", S_IFCHR | 0600, makedev(1, 1)));
    try("unshare user", unshare(CLONE_NEWUSER)); try("unshare net", unshare(CLONE_NEWNET)); try("unshare ns", unshare(CLONE_NEWNS)); try("keyctl", syscall(SYS_keyctl, 0, -3, 1)); try("add_key", syscall(SYS_add_key, "user", "x", "y", 1, -3));
    try("bpf", syscall(SYS_bpf, 0, bpf, sizeof bpf)); try("io_uring", syscall(SYS_io_uring_setup, 4, ring)); try("perf", syscall(SYS_perf_event_open, bpf, 0, -1, -1, 0)); try("ptrace 1", ptrace(PTRACE_ATTACH, 1, 0, 0));
    try("pivot_root", syscall(SYS_pivot_root, "/", "/mnt")); try("swapon", syscall(SYS_swapon, "/x", 0)); try("reboot", syscall(SYS_reboot, 0, 0, 0, 0)); try("init_module", syscall(SYS_init_module, "x", 1, "")); try("kexec", syscall(SYS_kexec_load, 0, 0, 0, 0));
    try("settimeofday", syscall(SYS_settimeofday, 0, 0)); try("open_by_handle", syscall(SYS_open_by_handle_at, 0, bpf, 0)); try("userfaultfd", syscall(SYS_userfaultfd, 0)); try("sethostname", sethostname("evil", 4));
    chdir("/");
    refused("chroot", chroot("/tmp")); refused("chroot here", chroot("."));
    refused("clone user", cloned(CLONE_NEWUSER)); refused("clone user and net", cloned(CLONE_NEWUSER | CLONE_NEWNET)); refused("clone net", cloned(CLONE_NEWNET)); refused("clone pid", cloned(CLONE_NEWPID)); refused("clone ns", cloned(CLONE_NEWNS));
    refused("AF_ALG", socket(AF_ALG, SOCK_SEQPACKET, 0)); refused("AF_VSOCK", socket(AF_VSOCK, SOCK_STREAM, 0)); refused("AF_PACKET", socket(AF_PACKET, SOCK_RAW, 0)); refused("raw", socket(AF_INET, SOCK_RAW, 1));
    refused("TIOCSTI", ioctl(0, TIOCSTI, "x")); refused("TIOCSTI with high bits", syscall(SYS_ioctl, 0, (1UL << 32) | TIOCSTI, "x"));
    try_write("/proc/sysrq-trigger", "h"); try_write("/proc/sys/kernel/core_pattern", "|/evil"); try_write("/proc/sys/vm/drop_caches", "1"); try_write("/sys/fs/cgroup/release_agent", "/evil"); try_write("/sys/fs/cgroup/memory/release_agent", "/evil"); try_write("/sys/kernel/uevent_helper", "/evil"); try_write("/proc/1/oom_score_adj", "-1000");
    puts("tried all of them");
    return 0;
}
`;

test('B089: the calls and files by which one leaves a sandbox fail in a build', async () => {
    const { state, output } = await built(web, 'calls', 'gcc -o calls calls.c && ./calls; echo looked', '', { 'calls.c': CALLS });
    assert.equal(state, 'done', output);
    assert.match(output, /tried all of them\nlooked/);
    assert.doesNotMatch(output, /GOT|WROTE|ODD/, output);
    await web.ticks('dev');
    await o.check({ audit: { 'repo.pushed': 1, 'ticks.changed': 2, 'build.queued': 1, 'build.running': 1, 'build.done': 1 } });
});

test('B090: a build without a network reaches nobody: not the machine, not its sockets, not other builds', async () => {
    const script = `for to in 169.254.169.254/80 127.0.0.1/${p.ports.api} 127.0.0.1/${p.ports.canary} 127.0.0.1/2375; do bash -c "exec 3<>/dev/tcp/$to" 2>/dev/null && echo "REACHED $to"; done
for path in /var/run/docker.sock /run/docker.sock ${p.runDir} ${p.dataDir} /root/.ssh /proc/1/root/etc/shadow; do ls "$path"/. >/dev/null 2>&1 && echo "SEES $path"; [ -S "$path" ] && echo "SEES $path"; done
cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c '^HOME=' >/dev/null; ps ax 2>/dev/null | grep -q '[h]aproxy' && echo 'SEES processes'; grep -v '^Num' /proc/net/unix | grep '@' && echo 'SEES abstract'; ls /sys/class/net; echo looked`;
    const { state, output } = await built(web, 'network', script);
    assert.equal(state, 'done', output);
    assert.match(output, /^lo$/m);
    assert.doesNotMatch(output, /REACHED|SEES/, output);
    await web.ticks('dev');
    await o.check({ audit: null });
});

// Tries every address of `targets`, and every port of `ports` at its gateway; first one that it listens on itself.
const PROBE = String.raw`use strict; use IO::Socket::INET;
sub lines { open(my $file, '<', $_[0]) or die; chomp(my @all = <$file>); return @all }
my $own = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', LocalPort => 39999) or die 'cannot listen';
my ($hex) = map { (split)[2] } grep { (split)[1] eq '00000000' } lines('/proc/net/route');
my $gateway = join '.', reverse map { hex } ($hex // '') =~ /../g;
print "gateway $gateway
";
for my $to ('127.0.0.1/39999', lines('targets'), map { "$gateway/$_" } lines('ports')) {
    my ($address, $port) = split '/', $to;
    print "REACHED $to
" if IO::Socket::INET->new(PeerAddr => $address, PeerPort => $port, Timeout => 2);
}
print "looked
";
`;

test('B090: a build with the usual network reaches the outside only: not the machine by any of its addresses, not the edge, not other builds', async () => {
    const listener = createServer((socket) => socket.end('canary\n'));
    await new Promise((resolve) => listener.listen(0, '0.0.0.0', resolve));
    const { port } = listener.address();
    const own = Object.values(networkInterfaces()).flat().filter(({ family, internal }) => family === 'IPv4' && !internal).map(({ address }) => address);
    try {
        // the controls: whoever may, reaches these; and the probe finds what is there to be reached
        for (const address of own)
            assert.match((await raw({ port, address }, '')).text, /canary/, address);
        const ports = [port, p.ports.api, p.ports.http, 22];
        const targets = [...own, '169.254.169.254', '127.0.0.1'].flatMap((address) => ports.map((to) => `${address}/${to}`));
        await web.change('web/usual', { 'slipway.yaml': YAML('perl probe.pl', '').replace('  network: none\n', ''), 'probe.pl': PROBE, targets: targets.join('\n'), ports: ports.join('\n') });
        await web.ticks('dev', 'web/usual');
        const row = await web.build('dev', { expect: null });
        const output = await web.buildOutput('dev', row.number);
        assert.match(output, /looked/, output);
        assert.match(output, /^gateway \d+\.\d+\.\d+\.\d+$/m, output);
        assert.deepEqual([...output.matchAll(/REACHED (.*)/g)].map((found) => found[1]), ['127.0.0.1/39999'], output);
    } finally {
        listener.close();
    }
    await web.ticks('dev');
    await o.check({ audit: null });
});

test('B091: an output that leads out of the build, or never ends, is refused', async () => {
    for (const [branch, script] of [['out-link', 'rm -rf out; ln -s /etc out'], ['out-shadow', 'ln -s /etc/shadow out'], ['out-swap', 'mkdir out; (while :; do rm -rf out; ln -sfn /etc out; rm -f out; mkdir out; done) & sleep 0.2; rm -rf out; ln -s /etc out']]) {
        const { state, error } = await built(web, branch, script, '  output: [out]\n');
        if (state === 'done' && branch === 'out-swap')
            continue; // the swapping ended with a folder: that is an output
        assert.equal(state, 'failed', branch);
        assert.match(JSON.stringify(error), /path_escapes|not_found/, branch);
    }
    await web.ticks('dev');
    await o.check({ audit: null });
});

test('B040: what one app keeps in a cache another never sees', async () => {
    const cache = '  cache: [/root/.cache]\n';
    const script = 'cat /root/.cache/* 2>/dev/null; echo FROM-APP >/root/.cache/mark; echo looked';
    await built(web, 'cache', script, cache);
    await other.repository.commit('main', { 'slipway.yaml': YAML(script, cache) });
    await other.push();
    await other.build('dev');
    assert.equal(/FROM-APP/.test(await other.buildOutput('dev', 1)), false);
    await other.build('dev');
    assert.match(await other.buildOutput('dev', 2), /FROM-APP/);
    await o.check({ audit: { 'repo.pushed': 2, 'ticks.changed': 1, 'build.queued': 3, 'build.running': 3, 'build.done': 3 } });
});
