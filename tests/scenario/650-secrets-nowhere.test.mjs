// A secret is in the instance or the build that it is for, and nowhere else: not in what is stored, shown,
// logged, listed, cached or packed, and not readable from the process that opens it. Rows B078-B080.
import assert from 'node:assert/strict';
import { readFileSync, statSync, readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { oracles, platform, processes, rss, run, until } from '../lib/index.mjs';

const PEM = ['-----BEGIN KEY-----', 'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC', 'BKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj', '-----END KEY-----'].join('\n');

// crun's own state is below run_dir, which is a tmpfs on a real machine and a disk only here.
const CRUN = ['/run/crun/'];

let p, o, web;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { yaml: (text) => `keep_warm: 0s\n${text}` });
    await web.deploy('dev');
    o = await oracles(p);
});
after(async () => {
    await o?.close();
    await p?.stop();
});

test('B078: every form in which a build may print a secret is masked', async () => {
    const secret = `${o.secret} "q"/\n+é`; // what URL, JSON and shells write differently
    const script = [
        'cat /run/secrets/TOKEN', 'printf %s "$TOKEN" | base64 -w0; echo', 'printf "x%s" "$TOKEN" | base64 -w0; echo', 'printf "xy%s" "$TOKEN" | base64 -w0; echo', 'printf %s "$TOKEN" | od -An -tx1 | tr -d " \\n"; echo',
        'perl -e \'$_ = $ENV{TOKEN}; s/([^A-Za-z0-9_.~-])/sprintf "%%%02X", ord $1/ge; print "$_\\n"\'', 'perl -e \'$_ = $ENV{TOKEN}; s/"/\\\\"/g; s/\\n/\\\\n/g; print "$_\\n"\'',
        'perl -e \'$| = 1; $t = $ENV{TOKEN}; print substr($t, 0, 9); select undef, undef, undef, 0.3; print substr($t, 9), "\\n"\'', 'cat /run/secrets/PEM; echo', 'env', 'cat /proc/self/environ | tr "\\0" "\\n"', 'echo looked',
    ].join('\n');
    await web.secret('dev', 'TOKEN', secret, 'build');
    await web.secret('dev', 'PEM', PEM, 'build');
    await web.change('forms', { 'forms.sh': `${script}\n`, 'slipway.yaml': (await web.repository.git('show', 'main:slipway.yaml')).replace('  steps:\n', '  steps:\n    - {name: forms, run: sh forms.sh}\n') });
    await web.ticks('dev', 'forms');
    const { number } = await web.build('dev');
    const output = await web.buildOutput('dev', number);
    assert.match(output, /looked/);
    assert.match(output, /\*\*\*/);
    for (const part of [o.secret, ...[0, 1, 2].map((i) => Buffer.from('xy'.slice(0, i) + secret).toString('base64').slice(4, -6)), Buffer.from(o.secret).toString('hex'), ...PEM.split('\n').slice(1, 3)])
        assert.ok(!output.includes(part), `${part} is shown`);
    const typed = await p.cli('logs', 'build', number, '-a', 'web', '-e', 'dev');
    await o.check({ audit: null, outputs: [output, typed.out, typed.err] });
    await web.ticks('dev');
});

test('B079: a secret of an instance is in its own files and variables, and found nowhere else', async () => {
    await web.secret('dev', 'FILE', o.secret, 'file');
    const given = await p.cli('secret', 'set', 'VARIABLE', '--kind', 'env', '-a', 'web', '-e', 'dev', { input: o.secret });
    assert.equal(given.code, 0, given.err);
    await web.deploy('dev');
    assert.equal((await web.get('dev', '/env?name=VARIABLE')).text, o.secret);
    const outputs = [given.out, given.err];
    for (const path of ['/apps/web/envs/dev/secrets', '/apps/web/envs/dev', '/apps/web/envs/dev/releases', '/apps/web/envs/dev/rollouts', '/audit?limit=1000', '/debug/dump', '/doctor', '/df', '/apps/web/config?env=dev', '/apps/web/envs/dev/logs?limit=1000', '/apps/web/envs/dev/requests?limit=1000'])
        outputs.push((await p.api.call('GET', path)).text);
    for (const words of [['secret', 'ls'], ['status'], ['history', 'releases'], ['debug', 'dump']])
        outputs.push((await p.cli(...words, '-a', 'web', '-e', 'dev')).out);
    for (const { pid, command, cgroup } of processes()) {
        outputs.push(command.join(' '));
        const inside = cgroup.includes(p.id) && /server$/.test(command[0] ?? '');
        try {
            if (!inside)
                outputs.push(readFileSync(`/proc/${pid}/environ`, 'latin1'));
        } catch {
            // gone meanwhile
        }
    }
    outputs.push(p.log());
    // packed layers too
    for (const name of readdirSync(`${p.dataDir}/host/blobs/sha256`).filter((one) => statSync(`${p.dataDir}/host/blobs/sha256/${one}`).ctimeMs / 1000 > o.born)) {
        const text = (await run('/bin/sh', ['-c', 'zcat -f "$1" | grep -acF -e "$2"', 'sh', `${p.dataDir}/host/blobs/sha256/${name}`, o.secret])).out.trim();
        assert.equal(text, '0', `the secret lies in the blob ${name}`);
    }
    // a second version, then none: no reply, no row and no release shows a value
    await web.secret('dev', 'FILE', `${o.secret}2`, 'file');
    await p.api.delete('/apps/web/envs/dev/secrets/FILE');
    outputs.push((await p.api.call('GET', '/apps/web/envs/dev/secrets')).text);
    await o.check({ audit: null, outputs, secretMayBeIn: CRUN });
});

test('B079: instances that crash leave no core file with it', async () => {
    await web.get('dev', '/exit?code=139').catch(() => {});
    await until(async () => (await web.get('dev', '/up')).status === 200, 20_000, 'it is back');
    const found = await run('/usr/bin/find', [p.dir, '-xdev', '(', '-name', 'core', '-o', '-name', 'core.[0-9]*', ')', '-type', 'f', '-newerct', `@${o.born}`]);
    assert.equal(found.out, '');
    await o.check({ audit: null, secretMayBeIn: CRUN });
});

test('B080: the process that opens secrets cannot be looked into by its own user, and dumps nothing', async () => {
    const pid = p.pid('core');
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const uid = Number(/^Uid:\s+(\d+)/m.exec(status)[1]);
    assert.notEqual(uid, 0);
    assert.equal(statSync(`/proc/${pid}/mem`).uid, 0, 'it is dumpable');
    assert.match(status, /^NoNewPrivs:\s+1$/m);
    assert.match(readFileSync(`/proc/${pid}/limits`, 'utf8'), /^Max core file size\s+0\s+0/m);
    for (const file of ['mem', 'environ', 'maps', 'auxv', 'fd'])
        assert.notEqual((await run('/bin/sh', ['-c', `cat /proc/${pid}/${file} || ls /proc/${pid}/${file}/`], { uid, gid: uid })).code, 0, file);
    assert.notEqual((await run('/usr/bin/perl', ['-e', `exit(syscall(101, 16, ${pid}, 0, 0) == 0 ? 0 : 1)`], { uid, gid: uid })).code, 0, 'ptrace');
    assert.ok(rss(pid) > 0);
    process.kill(pid, 'SIGSEGV');
    await until(() => p.roles().core && p.roles().core !== pid, 10_000, 'core is back');
    await until(() => p.ready(), 10_000, 'it answers');
    const found = await run('/usr/bin/find', [p.dir, '/var/lib/systemd/coredump', '/tmp', '/root', '-maxdepth', '6', '-xdev', '-newerct', `@${o.born}`, '(', '-name', 'core', '-o', '-name', 'core.[0-9]*', ')', '-type', 'f']);
    assert.equal(found.out, '');
    assert.ok(!p.log().includes(o.secret));
});
