// A build: what it may see, what is kept of it, and what happens when a step or a check fails.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { platform } from '../lib/index.mjs';

const LOOK = `
set -u
echo "first process is $(cat /proc/1/comm)"
echo "interfaces: $(ls /sys/class/net | tr '\\n' ' ')"
for path in /etc/shadow /dev/sda /dev/loop0 /var/run/docker.sock @DIR@ @RUN@; do
    if cat "$path" >/dev/null 2>&1 || ls "$path"/. >/dev/null 2>&1; then echo "READS $path"; fi
done
mount -t tmpfs none /mnt 2>/dev/null && echo MOUNTS
mknod /tmp/disk b 8 0 2>/dev/null && echo MAKES-DEVICES
unshare -U true 2>/dev/null && echo MAKES-USERS
echo x 2>/dev/null >/proc/sys/kernel/core_pattern && echo WRITES-KERNEL
echo hello >"out of the build"
echo looked
`;

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', {
        files: { 'look.sh': LOOK.replace('@DIR@', p.dataDir).replace('@RUN@', p.runDir) },
        yaml: (text) => text.replace('  steps:\n', '  steps:\n    - {name: look, run: sh look.sh}\n'),
    });
});
after(() => p?.stop());

const build = (env, number) => p.api.get(`/apps/web/envs/${env}/builds/${number}`);

test('the build sees itself and nothing of this machine', async () => {
    await web.build('dev');
    const output = await web.buildOutput('dev', 1);
    assert.match(output, /looked/);
    assert.match(output, /interfaces: lo $/m);
    assert.doesNotMatch(output, /READS|MOUNTS|MAKES|WRITES/, output);
});

test('its checks are recorded, case by case', async () => {
    const { result, commit, artifact } = await build('dev', 1);
    assert.equal(commit, await web.repository.tip('main'));
    assert.match(artifact, /^sha256:[0-9a-f]{64}$/);
    const [check] = result.checks;
    assert.deepEqual([check.name, check.ok, check.passed, check.failed], ['smoke', true, 2, 0]);
    assert.deepEqual(check.cases.map((row) => row.outcome), ['passed', 'passed']);
});

test('what it did is told one thing after the other, with times, from the integration on', async () => {
    const { steps, integrate_ms, result } = await build('dev', 1);
    assert.ok(integrate_ms >= 0);
    assert.deepEqual(steps.map((step) => [step.kind, step.step, step.state]), [['phase', 'base', 'done'], ['phase', 'source', 'done'],
        ['step', 'look', 'done'], ['step', 'compile', 'done'], ['check', 'smoke', 'done'], ['phase', 'pack', 'done']]);
    for (const [i, step] of steps.slice(1).entries())
        assert.ok(step.at >= steps[i].at + steps[i].ms - 1, JSON.stringify(steps));
    assert.deepEqual(steps, result.steps);
});

test('a second click builds anew, makes the same layer, and says that the source is the same', async () => {
    const again = await web.build('dev');
    assert.equal(again.same_as, 1);
    assert.equal(again.result.layer, (await build('dev', 1)).result.layer);
    const done = await p.cli('build', '-a', 'web', '-e', 'dev');
    assert.equal(done.code, 0, done.err);
    assert.match(done.out, /same source as b(uild )?[12]/);
});

test('the output can be read again at the command line', async () => {
    assert.match(await p.cli.ok('logs', 'build', 1, '-a', 'web', '-e', 'dev'), /looked/);
});

test('a step that fails ends the rollout with its name, its exit code and its output', async () => {
    await web.ticks('dev', 'bad/build');
    const rollout = await web.deploy('dev', {}, { expect: 'failed' });
    assert.equal(rollout.error.error, 'build_failed');
    assert.match(rollout.error.text, /compile.*exited 1/);
    assert.deepEqual(rollout.steps.map((step) => step.state).slice(1).every((state) => ['pending', 'skipped'].includes(state)), true);
    assert.match(await web.buildOutput('dev', rollout.steps[0].args.build), /server\.c/);
    assert.equal((await web.status('dev')).live_release, 0);
});

test('a check that fails keeps the artifact from going anywhere', async () => {
    await web.ticks('dev', 'bad/check');
    const rollout = await web.deploy('dev', {}, { expect: 'failed' });
    assert.equal(rollout.error.error, 'check_failed');
    const { result, steps } = await build('dev', rollout.steps[0].args.build);
    assert.deepEqual(steps.slice(-1).map((step) => [step.step, step.state]), [['smoke', 'failed']]);
    assert.deepEqual(result.checks.map((check) => [check.name, check.ok, check.failed]), [['smoke', false, 1]]);
    assert.equal((await web.status('dev')).live_release, 0);
});

test('whoever waits at the command line gets an exit code for each', async () => {
    for (const branch of ['bad/build', 'bad/check']) {
        await web.ticks('dev', branch);
        const done = await p.cli('deploy', '-a', 'web', '-e', 'dev');
        assert.notEqual(done.code, 0, branch);
        assert.match(done.err + done.out, branch === 'bad/build' ? /compile/ : /smoke/);
    }
});

test('the instance runs what was built and not what the build left elsewhere', async () => {
    await web.ticks('dev');
    await web.deploy('dev');
    assert.equal((await web.get('dev', '/file?path=/app/check.sh')).status, 404);
    assert.equal((await web.get('dev', '/file?path=/app/lines')).status, 200);
});

test('how a release was made can be read: source, base, tools, checks, times', async () => {
    const [release] = await web.releases('dev');
    const row = await p.api.get(`/apps/web/envs/dev/releases/${release.number}`);
    const { artifact, digest, provenance } = await p.api.get(`/apps/web/envs/dev/releases/${release.number}/provenance`);
    assert.equal(artifact, row.artifact);
    assert.match(digest, /^sha256:[0-9a-f]{64}$/);
    const { trunk_tip, commit, base, build_base, git, merge_rules, spec_digest, checks, source_date, started_at, ended_at, by, env } = provenance;
    assert.equal(commit, row.commit);
    assert.equal(trunk_tip, await web.repository.tip('main'));
    assert.deepEqual([base, build_base, by, env], ['host', 'host', 'admin', 'dev']);
    assert.match(git, /^\d+\.\d+/);
    assert.match(merge_rules, /merge-tree/);
    assert.match(spec_digest, /^sha256:[0-9a-f]{64}$/);
    assert.deepEqual(checks.map((check) => [check.name, check.ok, check.passed]), [['smoke', true, 2]]);
    assert.equal(source_date, Number(await web.repository.git('show', '-s', '--format=%ct', 'main')));
    assert.ok(started_at < ended_at && ended_at <= Date.now());
});

test('a build knows the time of its commit, and gives it to what it makes', async () => {
    await web.change('dated', { 'slipway.yaml': (await web.repository.git('show', 'main:slipway.yaml')).replace('sh look.sh', '"echo epoch $SOURCE_DATE_EPOCH"') });
    await web.ticks('dev', 'dated');
    const { number, commit } = await web.build('dev');
    const newest = await web.repository.git('show', '-s', '--format=%ct', 'dated');
    assert.ok((await web.buildOutput('dev', number)).includes(`epoch ${newest}\n`), commit);
    await web.ticks('dev');
});
