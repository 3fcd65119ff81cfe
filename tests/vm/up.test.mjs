// A new user on Debian 12: `sudo ./up` from a clone, and what a machine with systemd does to it afterwards. The
// service is restarted, every role is killed, limits are hit, and the machine itself starts again: while the
// control plane is away, and in the middle of a rollout (F37).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Machine, untilGuest as until } from './machine.mjs';

const ENVS = ['dev', 'test', 'pre', 'prod'];
let m;
before(async () => {
    m = await Machine.boot('up', { data: 'data.img' });
    await m.must('chown -R ana: /srv/slipway', { in: '/' });
});
after(() => m?.end());

const answers = (env) => m.type(`curl -sf -m 20 -o /dev/null -w '%{http_code}' -H 'Host: shop.${env}.localhost' http://127.0.0.1/`, { in: '/' });
const json = async (line) => JSON.parse(await m.must(`${line} -o json`));

test('sudo ./up, typed by a user: the sample is live in four environments', { timeout: 1_200_000 }, async () => {
    const done = await m.type('sudo ./up', { as: 'ana', timeout: 1_200_000 });
    assert.equal(done.code, 0, done.err + done.out);
    assert.match(done.out, /all 4 live environments answer/);
    assert.match(done.out, /API {3}http:\/\/127\.0\.0\.1:7000\//);
    for (const env of ENVS)
        assert.equal((await answers(env)).out, '200', env);
});

test('it is a unit: enabled, with its groups given to it, and instances and edge beside it', async () => {
    const told = await m.must('systemctl show slipway --property=UnitFileState,ActiveState,Delegate,KillMode,ControlGroup');
    for (const line of ['UnitFileState=enabled', 'ActiveState=active', 'Delegate=yes', 'KillMode=process', 'ControlGroup=/system.slice/slipway.service'])
        assert.ok(told.includes(line), `${line} in ${told}`);
    const inside = await m.must("for pid in $(cat /sys/fs/cgroup/system.slice/slipway.service/cgroup.procs); do tr '\\0' ' ' </proc/$pid/cmdline; echo; done");
    assert.doesNotMatch(inside, /haproxy|conmon|server\.js/);
    assert.deepEqual((await json('slipway doctor')).checks.filter((check) => !check.ok), []);
    assert.equal((await json('slipway doctor')).checks.find((check) => check.name === 'cgroups').text, 'v2');
});

test('restarts and kills lose no request, limits bite', { timeout: 900_000 }, async () => {
    const { rows, code, out, err } = await m.tests('tests/vm/inside/live.test.mjs');
    assert.equal(code, 0, out + err);
    assert.ok(rows.length >= 9, out);
});

test('after a reboot every app is up though core cannot start; then core goes on', { timeout: 900_000 }, async () => {
    const before = await json('slipway status -a shop -e prod');
    // As long as core cannot open its store it ends at every start.
    await m.must("mkdir -p /etc/systemd/system/slipway.service.d && printf '[Service]\\nInaccessiblePaths=/var/lib/slipway/core/store.db\\n' >/etc/systemd/system/slipway.service.d/no-core.conf && systemctl daemon-reload");
    await m.reboot();
    for (const env of ENVS)
        await until(async () => (await answers(env)).out === '200', 240_000, `${env} answers`);
    assert.notEqual((await m.type('curl -sf -m 5 --unix-socket /run/slipway/api.sock http://localhost/api/v1/version')).code, 0);
    await m.must('rm -r /etc/systemd/system/slipway.service.d && systemctl daemon-reload && systemctl restart slipway');
    await until(async () => (await m.type('slipway status -a shop -e prod -o json')).code === 0, 120_000, 'core answers');
    const now = await json('slipway status -a shop -e prod');
    assert.equal(now.live_release, before.live_release);
    await until(async () => !(await json('slipway doctor')).checks.some((check) => !check.ok), 120_000, 'the doctor finds nothing');
});

test('a reboot in the middle of a rollout: it goes on and ends', { timeout: 900_000 }, async () => {
    const rollout = await json('slipway promote test prod -a shop --same-artifact --no-wait');
    const row = async () => JSON.parse(await m.must(`curl -sf -m 20 --unix-socket /run/slipway/api.sock http://localhost/api/v1/apps/shop/envs/prod/rollouts/${rollout.id}`));
    await until(async () => (await row()).steps.some((step) => step.kind === 'start' && step.state === 'doing'), 120_000, 'instances are being started');
    await m.reboot();
    await until(async () => (await answers('prod')).out === '200', 240_000, 'prod answers');
    const ended = await until(async () => ['done', 'reverted', 'failed'].includes((await row()).state) && row(), 300_000, 'the rollout ends');
    assert.notEqual(ended.state, 'failed', JSON.stringify(ended));
    const status = await json('slipway status -a shop -e prod');
    assert.equal(status.live_release, ended.state === 'done' ? ended.release : ended.from_release);
    assert.equal((await answers('prod')).out, '200');
});

test('at a stop of the machine the instances end in their order: nobody waits for them until they are killed', async () => {
    assert.doesNotMatch(m.console(), /Waiting for process|Failed unmounting.*slipway/);
    assert.match(await m.must("journalctl -b -1 --no-pager -u slipway"), /the machine stops/);
});

test('./down leaves nothing of it on the machine', { timeout: 300_000 }, async () => {
    await m.must('sudo ./down', { as: 'ana', timeout: 200_000 });
    assert.equal((await m.type('systemctl cat slipway')).code, 1);
    assert.equal(await m.must('ls -d /sys/fs/cgroup/slipway /run/slipway 2>/dev/null; ip -o link | grep -c slw; pgrep -a "haproxy|conmon" || true'), '0\n');
});
