// F27, B085, B087, B088, B091: builds that fork without end, print without end, never end, fill the disk,
// or leave a link where their output should be. Each ends by itself with its own error, what runs does not
// notice, and the next build is clean.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { oracles, platform, processes, until } from '../lib/index.mjs';

const BAD = {
    forks: { error: 'resource_pids', check: 'bomb() { bomb | bomb & }; while :; do bomb; done\n' },
    endless: { error: 'timeout', check: 'while :; do sleep 1000; done\n' },
    deaf: { error: 'timeout', check: 'trap "" TERM INT HUP; (setsid sh -c "trap \\"\\" TERM; while :; do sleep 1000; done" &); kill -STOP $$\n' },
    fills: { error: 'resource_disk', check: 'dd if=/dev/zero of=big bs=1M\n' },
    grows: { error: 'resource_memory', check: 'x=x; while :; do x=$x$x; done\n' },
};

let p, o, web, load;
before(async () => {
    p = await platform({ settings: { build_memory: '128m', build_pids: 64, build_volume: '64m', build_seconds: 6 } });
    web = await p.app('web');
    await web.deploy('dev');
    for (const [name, { check }] of Object.entries(BAD))
        await web.repository.branch(`bad/${name}`, { 'check.sh': check });
    await web.repository.branch('bad/prints', { 'check.sh': 'i=0; line=$(printf %01000d 0); while [ $i -lt 20000 ]; do echo "$i $line"; i=$((i+1)); done; echo the end; exit 1\n' });
    await web.repository.branch('bad/line', { 'check.sh': 'head -c 30000000 /dev/zero | tr "\\000" x; echo; echo the end; exit 1\n' });
    await web.repository.branch('bad/link', { 'check.sh': 'printf "1..1\\nok 1\\n" >report.tap; ln -sf /etc/shadow report.tap\n' });
    await web.push();
    load = await web.load('dev', { rate: 20 }).flowing(20);
    o = await oracles(p);
});
after(async () => {
    await o?.close();
    await p?.stop();
});

const FAILED = { 'ticks.changed': 1, 'build.queued': 1, 'build.running': 1, 'build.failed': 1 };

const inBuilds = () => processes().filter(({ cgroup, state }) => state !== 'Z' && cgroup.includes(`/${p.id}/build/`));
const clean = () => until(() => inBuilds().length === 0, 10_000, 'no process of a build is left');

async function failed(branch) {
    await web.ticks('test', branch);
    const build = await web.build('test', { expect: 'failed' });
    await clean();
    return { ...build, output: await web.buildOutput('test', build.number) };
}

for (const [name, { error }] of Object.entries(BAD)) {
    test(`a build that is bad/${name} ends: ${error}`, async () => {
        const build = await failed(`bad/${name}`);
        assert.equal(build.error.error, error, `${build.error.text}\n${build.output.slice(-500)}`);
        await o.check({ audit: FAILED });
    });
}

for (const name of ['prints', 'line']) {
    test(`output without measure (bad/${name}): head and tail are kept, what is dropped is counted`, async () => {
        const build = await failed(`bad/${name}`);
        assert.match(build.output, /the end/);
        assert.ok(build.output.length <= 9 * 1024 * 1024, `${build.output.length}`);
        let dropped = 0;
        for (let offset = 0, end = false; !end;) {
            const part = await p.api.get(`/apps/web/envs/test/builds/${build.number}/output?offset=${offset}`);
            dropped = Math.max(dropped, part.dropped);
            end = part.end || part.next === offset;
            offset = part.next;
        }
        assert.ok(dropped > 0);
        await o.check({ audit: FAILED });
    });
}

test('a report that is a link to a file of this machine is not followed', async () => {
    await web.ticks('test', 'bad/link');
    const build = await web.build('test', { expect: null });
    assert.equal(build.state, 'failed');
    assert.doesNotMatch(JSON.stringify(build) + await web.buildOutput('test', build.number), /root:/);
    await o.check({ audit: FAILED });
});

test('what runs did not notice, and the next build is clean', async () => {
    await web.ticks('test');
    await web.deploy('test');
    const seen = await load.stop();
    assert.equal(seen.lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    assert.deepEqual((await p.api.get('/doctor')).checks.filter((check) => !check.ok), []);
});
