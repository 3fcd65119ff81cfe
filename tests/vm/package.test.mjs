// The Debian package on a machine that has nothing: installed by apt, the tour of the README word for word, upgraded
// and downgraded under load with a rollout in flight (F31), refused by an older program (B097), removed, purged.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { ROOT } from '../lib/index.mjs';
import { Machine, WORK, untilGuest as until } from './machine.mjs';

const ENVS = ['dev', 'test', 'pre', 'prod'];
const OLD = '0.1.0', NEW = '0.2.0';
let m;
before(async () => {
    m = await Machine.boot('package', { image: 'bare', checkout: false, data: 'data.img', backup: true });
    for (const version of [OLD, NEW]) {
        const name = readdirSync(WORK).find((file) => file.startsWith(`slipway_${version}_`));
        await m.send(`${WORK}/${name}`, `/home/ana/slipway_${version}.deb`);
    }
});
after(() => m?.end());

const type = (line, options) => m.type(line, { in: '/home/ana', as: 'ana', ...options });
const must = (line, options) => m.must(line, { in: '/home/ana', as: 'ana', ...options });
const root = (line, options) => m.must(line, { in: '/', ...options });
const json = async (line) => JSON.parse(await root(`${line} -o json`));
const answers = (env) => m.type(`curl -sf -m 20 -o /dev/null -w '%{http_code}' -H 'Host: shop.${env}.localhost' http://127.0.0.1/`, { in: '/' });
const install = (version) => must(`sudo DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends --allow-downgrades ./slipway_${version}.deb`, { timeout: 900_000 });

test('apt install: it serves, as a unit, with its users, pages and completion', { timeout: 900_000 }, async () => {
    await install(OLD);
    assert.equal(await root('systemctl is-active slipway'), 'active\n');
    assert.equal(await root('systemctl is-enabled slipway'), 'enabled\n');
    await until(async () => (await m.type('slipway doctor', { in: '/' })).code === 0, 120_000, 'the doctor is content');
    for (const user of ['slipway', 'slipway-courier', 'slipway-signals', 'slipway-edge'])
        await root(`getent passwd ${user}`);
    for (const path of ['/usr/share/man/man8/slipway.8.gz', '/usr/share/bash-completion/completions/slipway', '/etc/slipway/slipway.conf'])
        await root(`test -s ${path}`);
    assert.match((await json('slipway version')).server.version, /^0\.1\.0/);
});

test('each role is narrowed by systemd to what it needs', async () => {
    const told = await root('systemd-analyze security --no-pager | grep slipway');
    for (const [unit, most] of [['slipway-core', 2.0], ['slipway-courier', 2.0], ['slipway-signals', 2.0], ['slipway', 5.6]]) {
        const score = Number(new RegExp(`^${unit}\\.service +([\\d.]+)`, 'm').exec(told)[1]);
        assert.ok(score <= most, `${unit}: ${score} > ${most} (docs/decisions/0030)`);
    }
});

test('a backup of another machine comes to life by one command', { timeout: 900_000 }, async () => {
    const done = await type('sudo slipway restore /mnt/backup', { timeout: 600_000 });
    assert.equal(done.code, 0, done.err + done.out);
    for (const env of ENVS)
        await until(async () => (await answers(env)).out === '200', 300_000, `${env} answers`);
    const again = await type('sudo /usr/lib/slipway/sample', { timeout: 300_000 });
    assert.equal(again.code, 0, again.err + again.out);
    assert.match(again.out, /all 4 live environments answer/);
});

// Numbers, ids, ages and spaces differ from run to run; words do not.
const plain = (line) => line.replace(/\b[0-9a-f]{9,40}\b/g, 'ID').replace(/[0-9]+(\.[0-9]+)?/g, 'N').replace(/\bN(s|m|h|d|ms)\b/g, 'AGE')
    .replace(/\bSHA\b/g, 'ID').replace(/N-N-NTN:N:N/g, 'TIME').replace(/\s+/g, ' ').trim();

// [{line, output}]: what follows "$ " in the README, and what it shows.
function tour() {
    const readme = readFileSync(`${ROOT}/README.md`, 'utf8');
    const part = readme.slice(readme.indexOf('## Five minutes'), readme.indexOf('## Your own repository'));
    const found = [];
    for (const [, block] of part.matchAll(/```\n([^]*?)```/g))
        for (const line of block.split('\n').filter(Boolean))
            if (line.startsWith('$ '))
                found.push({ line: line.slice(2), output: [] });
            else
                found.at(-1).output.push(line);
    return found;
}

// As root, as whoever wrote the README was: the journal and the history tell names.
test('the tour of the README, word for word', { timeout: 1_500_000 }, async () => {
    const link = (await root('cat /var/lib/slipway/core/setup-link')).trim();
    const steps = tour();
    assert.ok(steps.length >= 10, `${steps.length} commands`);
    for (const { line, output } of steps) {
        const typed = line.replace(/swl_\S+/, link);
        const done = await m.type(typed, { in: '/root', timeout: 600_000, input: line.includes('setup') ? 'correct horse battery\n' : '' });
        const told = `${done.out}${done.err}`.split('\n').map(plain);
        const refused = output.some((text) => text.startsWith('slipway: '));
        assert.equal(done.code !== 0, refused, `${line}: exit ${done.code}\n${done.err}${done.out}`);
        for (const text of output.filter((one) => !one.startsWith('choose a password')))
            assert.ok(told.includes(plain(text)), `${line}: no line '${plain(text)}' in\n${told.join('\n')}`);
    }
});

// curl in a loop, in the guest: each request that got no 200 is a line.
async function loadStart() {
    await root(`{ setsid sh -c 'while [ ! -e /tmp/enough ]; do curl -s -m 30 -o /dev/null -w "%{http_code}\\n" -H "Host: shop.prod.localhost" http://127.0.0.1/up; sleep 0.2; done >/tmp/load' </dev/null >/dev/null 2>&1 & }`);
    await until(async () => Number(await root('grep -c 200 /tmp/load || true')) > 5, 60_000, 'requests are answered');
}
async function loadStop() {
    await root('touch /tmp/enough; sleep 2');
    const told = await root('sort /tmp/load | uniq -c; rm -f /tmp/enough /tmp/load');
    assert.match(told, /^ *\d+ 200\n$/, told);
    return Number(/(\d+) 200/.exec(told)[1]);
}
const processesOf = async (name) => (await root(`pgrep -x ${name}`)).split('\n').filter(Boolean);
const edgeAndApps = async () => ({ edge: await processesOf('haproxy'), apps: await processesOf('conmon') });

test('F31: upgraded and downgraded under load; a rollout in flight goes on in the new program', { timeout: 1_200_000 }, async () => {
    await loadStart();
    for (const version of [NEW, OLD]) {
        const before = await edgeAndApps();
        await install(version);
        await until(async () => (await json('slipway version')).server?.version === version, 120_000, `${version} serves`);
        await until(async () => (await m.type('slipway doctor', { in: '/' })).code === 0, 120_000, 'the doctor is content');
        const after = await edgeAndApps();
        assert.deepEqual(after.edge, before.edge);
        assert.deepEqual(after.apps.filter((pid) => !before.apps.includes(pid)), []); // what rested warm may have ended
    }
    const rollout = await json('slipway promote test prod -a shop --same-artifact --no-wait');
    const row = async () => JSON.parse(await root(`curl -sf -m 20 --unix-socket /run/slipway/api.sock http://localhost/api/v1/apps/shop/envs/prod/rollouts/${rollout.id}`));
    await until(async () => (await row()).steps.some((step) => step.kind === 'start' && step.state === 'doing'), 120_000, 'instances are being started');
    await install(NEW);
    const ended = await until(async () => ['done', 'reverted', 'failed'].includes((await row()).state) && row(), 300_000, 'the rollout ends');
    assert.equal(ended.state, 'done', JSON.stringify(ended));
    assert.ok(await loadStop() > 50);
});

test('B097: an older program leaves a newer store alone, core ends with 78 and is not tried again', { timeout: 300_000 }, async () => {
    const store = '/var/lib/slipway/core/store.db';
    const sql = (text) => root(`python3 -c "import sqlite3; c = sqlite3.connect('${store}'); print(c.execute('''${text}''').fetchone()); c.commit(); c.execute('PRAGMA wal_checkpoint(TRUNCATE)')"`);
    await root('systemctl stop slipway');
    const schema = /\d+/.exec(await sql('PRAGMA user_version'))[0];
    await sql('PRAGMA user_version=99');
    const before = await root(`sha256sum ${store}`);
    await root('systemctl start slipway');
    await until(async () => (await m.type('systemctl is-failed slipway-core', { in: '/' })).out === 'failed\n', 60_000, 'the unit has failed');
    assert.equal(await root('systemctl show slipway-core --property=ExecMainStatus --value'), '78\n');
    assert.equal(await root(`sha256sum ${store}`), before);
    assert.equal((await answers('prod')).out, '200');
    await sql(`PRAGMA user_version=${schema}`);
    await root('systemctl reset-failed slipway-core; systemctl restart slipway');
    await until(async () => (await m.type('slipway doctor', { in: '/' })).code === 0, 120_000, 'the doctor is content');
});

test('a backup, then removed and purged: nothing is left; restored by one command on what is an empty machine', { timeout: 900_000 }, async () => {
    await root('slipway backup /root/backup --with-key', { timeout: 300_000 });
    await must('sudo apt-get remove -y slipway', { timeout: 300_000 });
    assert.equal((await m.type('pgrep -x "haproxy|conmon|slipway-.*" -a | grep -v /etc/haproxy', { in: '/' })).out, '');
    await root('test -e /var/lib/slipway/core/store.db && test -e /etc/slipway/slipway.conf');
    await must('sudo apt-get purge -y slipway', { timeout: 300_000 });
    assert.equal(await root('ls -A /var/lib/slipway 2>/dev/null | wc -l; ls -d /etc/slipway /run/slipway /sys/fs/cgroup/slipway 2>/dev/null | wc -l'), '0\n0\n');
    await install(NEW);
    const done = await m.type('slipway restore /root/backup', { in: '/', timeout: 600_000 });
    assert.equal(done.code, 0, done.err + done.out);
    for (const env of ENVS)
        await until(async () => (await answers(env)).out === '200', 300_000, `${env} answers`);
});
