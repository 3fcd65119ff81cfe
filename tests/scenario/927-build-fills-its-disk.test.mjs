// F27: a build that writes until its disk is full, makes a million files, forks without end or never ends.
// It is stopped with an error that names the limit, gives back its slot and its space, and the next one is
// clean. (Output and deadlines: 670.)
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statfsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { atRest, platform, processes, until } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform({ settings: { build_volume: '64m' } });
    web = await p.app('web');
    await web.deploy('test');
});
after(() => p?.stop());

const BAD = {
    'writes until its disk is full': ['head -c 1000000000 /dev/zero >zeros', 'resource_disk'],
    'makes a million files': ['i=0; while :; do mkdir d$i; (cd d$i && seq 1000 | xargs touch) || exit 1; i=$((i+1)); [ $i -lt 1000 ] || exit 0; done', 'resource_disk'],
    'fills its /tmp': ['head -c 1000000000 /dev/zero >/tmp/zeros', /resource_|build_failed/],
    'forks without end': ['f() { f | f & }; while :; do f; done', 'resource_pids'],
};
const yaml = (script) => readFileSync(`${web.repository.dir}/slipway.yaml`, 'utf8')
    .replace(/^(\s+steps:\n)/m, `  pids: 64\n  timeout: 60s\n$1    - {name: bad, run: ${JSON.stringify(['/bin/sh', '-c', script])}}\n`);
const free = () => statfsSync(p.dir).bavail * statfsSync(p.dir).bsize;
const ofBuilds = () => processes().filter(({ cgroup, state }) => state !== 'Z' && cgroup.includes(p.id) && cgroup.includes('/build'));
const mounts = () => readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter((line) => line.includes(`${p.runDir}/vol/`) && !line.includes('/vol/cache/')).length;

// Nothing of any build runs, is mounted or takes room.
async function clean() {
    await until(() => ofBuilds().length === 0, 10_000, 'no process of a build lives');
    await until(() => mounts() === 0, 10_000, 'no volume is mounted');
    const left = () => existsSync(`${p.dataDir}/host/builds`) ? readdirSync(`${p.dataDir}/host/builds`, { recursive: true }).filter((name) => /volume|image/.test(String(name))) : [];
    await until(() => left().length === 0, 10_000, 'no volume is kept').catch(() => assert.deepEqual(left(), []));
}

for (const [what, [script, error]] of Object.entries(BAD)) {
    test(`a build that ${what} is stopped, its slot is free and the next one is clean`, async () => {
        const branch = `bad/${what.replaceAll(' ', '-').replace(/[^a-z-]/g, '')}`;
        const room = free();
        const load = await web.load('test', { rate: 50 }).flowing(20);
        await web.repository.git('checkout', '-q', 'main');
        await web.change(branch, { 'slipway.yaml': yaml(script) });
        await web.ticks('dev', branch);
        const failed = await web.build('dev', { expect: 'failed' });
        assert.match(JSON.stringify(failed.error), error instanceof RegExp ? error : new RegExp(error));
        await clean();
        assert.ok(room - free() < 128 * 1024 * 1024, `${Math.round((room - free()) / 1048576)} MiB are gone`);
        await web.ticks('dev');
        await web.build('dev');
        assert.equal((await load.stop()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    });
}

test('what runs was not harmed', async () => {
    await atRest(web, 'test');
    assert.deepEqual((await p.api.get('/doctor')).checks.filter((check) => !check.ok), []);
});
