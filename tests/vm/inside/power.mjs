// In the guest of power.test.mjs, as (nearly) the first process. It reads what it will need, says READY, and is frozen
// there: each boot goes on from that line, when it is told "go KIND TIME SEED". Then the data disk is mounted as the last power
// cut left it; it looks whether that broke a promise, and makes new ones until the next. Every line for the outside
// begins with "@@ ": STATE {...} is what is there, BEGIN KIND that the plug may be pulled, ACK {...} that something
// was promised (a 2xx, a push taken).
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, openSync, readFileSync, readdirSync, writeFileSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { apiNew } from '../../lib/api.mjs';
import { request } from '../../lib/http.mjs';
import { Repository, git } from '../../lib/git.mjs';
import { run } from '../../lib/cli.mjs';
import { until } from '../../lib/until.mjs';

const DISK = '/dev/vdc', HOME = '/var/lib/slipway', DATA = `${HOME}/data`, SETTINGS = `${HOME}/slipway.conf`;
const BINARY = '/srv/slipway/build-up/src/serve/slipway';
const EDGE = { port: 80 };
const FINAL = ['done', 'reverted', 'failed', 'cancelled'];
const SELDOM = { first: 200, most: 500 }; // each question takes some of the processor that the answer needs
const IO = 3; // the first process opened it: a console of virtio
const say = (word, value) => writeSync(IO, `@@ ${word} ${typeof value === 'string' ? value : JSON.stringify(value)}\n`);
const api = apiNew({ socketPath: '/run/slipway/api.sock' });

async function serve() {
    if (!existsSync(SETTINGS))
        writeFileSync(SETTINGS, `data_dir = ${DATA}\nedge_address = 127.0.0.1\nbuild_volume = 1g\ndisk_reserve = 64m\n`);
    const log = openSync(`${HOME}/serve.log`, 'a');
    const child = spawn(BINARY, ['serve', '--settings', SETTINGS], { stdio: ['ignore', log, log], detached: true, cwd: '/' });
    child.on('exit', (code) => say('DIED', { code, log: readFileSync(`${HOME}/serve.log`, 'utf8').slice(-1500) }));
    await until(() => api.get('/version'), 120_000, 'the API answers', SELDOM);
}

async function make(repository) {
    await api.post('/apps', { name: 'web' });
    await push(repository, 'main');
    await rollout('dev', { kind: 'deploy' });
    writeFileSync(`${HOME}/made`, '');
    await run('/usr/bin/sync', []); // our own notes
}

// Root has no token of its own: one of a person's.
async function token() {
    const path = `${HOME}/token`;
    if (!existsSync(path)) {
        const { link } = await api.post('/users', { name: 'power', role: 'admin' });
        const made = await request({ port: 7000 }, 'POST', '/api/v1/setup', { json: { link: link.split(/[/#=]/).pop(), password: 'correct horse battery' } });
        writeFileSync(path, made.json.token);
        await run('/usr/bin/sync', []);
    }
    return readFileSync(path, 'utf8');
}

async function push(repository, ...refs) {
    const authorization = Buffer.from(`power:${await token()}`).toString('base64');
    const done = await git(repository.dir, ['push', '-q', '--force', 'http://slipway.localhost/git/web.git', ...refs], {
        configuration: { 'http.extraHeader': `Authorization: Basic ${authorization}`, 'http.curloptResolve': 'slipway.localhost:80:127.0.0.1' },
    });
    if (done.code !== 0)
        throw new Error(`git push: ${done.err}`);
}

async function rollout(env, wanted) {
    const started = (await api.post(`/apps/web/envs/${env}/rollouts`, wanted)).rollout;
    say('ACK', { rollout: started.id, env });
    return ended(env, started.id);
}

const ended = (env, id) => until(async () => {
    const row = await api.get(`/apps/web/envs/${env}/rollouts/${id}`);
    return FINAL.includes(row.state) && row;
}, 240_000, `rollout ${id} of ${env} ends`, SELDOM);

// What is there: the outside compares it with what was promised.
async function look() {
    const state = { secrets: {}, rollouts: {}, branches: {}, domains: [], wrong: [] };
    for (const row of (await api.get('/apps/web/envs/dev/secrets')).items)
        state.secrets[row.name] = row.version;
    for (const env of ['dev', 'test'])
        for (const row of (await api.get(`/apps/web/envs/${env}/rollouts`)).items)
            state.rollouts[`${env}.${row.id}`] = (await ended(env, row.id)).state;
    for (const row of (await api.get('/apps/web/branches')).items)
        state.branches[row.name] = row.tip;
    state.domains = (await api.get('/apps/web/envs/dev')).domains.filter((name) => !name.endsWith('.localhost'));
    const wrong = (text) => state.wrong.push(text);
    for (const name of readdirSync(`${DATA}/host/blobs/sha256`))
        if (createHash('sha256').update(readFileSync(`${DATA}/host/blobs/sha256/${name}`)).digest('hex') !== name)
            wrong(`blob ${name} is not what its name says`);
    for (const env of ['dev', 'test']) {
        const { live_release: live } = await api.get(`/apps/web/envs/${env}`);
        if (live)
            await until(async () => (await request(EDGE, 'GET', '/id', { headers: { host: `web.${env}.localhost` }, timeout: 5000 })).headers['x-release'] === `r${live}`, 120_000, `${env} serves r${live}`, SELDOM)
                .catch((error) => wrong(error.message));
    }
    const audit = await until(async () => {
        const report = await api.get('/audit/verify');
        return report.heads_compared && report;
    }, 60_000, 'host tells its heads');
    if (!audit.ok)
        wrong(`audit: ${JSON.stringify(audit)}`);
    const fsck = await run('/usr/bin/git', ['-c', 'safe.directory=*', '-C', `${DATA}/git/web.git`, 'fsck', '--connectivity-only', '--no-dangling'], { timeout: 120_000 });
    if (fsck.code !== 0)
        wrong(`git fsck: ${fsck.err}`);
    return state;
}

let count = 0;
const operations = {
    async commit() {
        const name = `KEY_${count % 7}`;
        const { version } = await api.put(`/apps/web/envs/dev/secrets/${name}`, { value: `${Date.now()} ${randomBytes(200).toString('hex')}`, kind: 'file' });
        say('ACK', { secret: name, version });
    },
    async upload(repository) {
        const branch = `feature/${count % 5}`;
        const known = (await repository.git('branch', '--format=%(refname:short)')).split('\n');
        const files = { 'blob.bin': `${Date.now()} ${randomBytes(600_000).toString('base64')}` };
        const tip = known.includes(branch) ? await repository.commit(branch, files) : await repository.branch(branch, files);
        await push(repository, branch);
        say('ACK', { branch, tip });
    },
    async unpack() {
        await rollout('test', { kind: 'promote', from: 'dev', same_artifact: false });
    },
    async publish() {
        const domains = [`d${count}-${Date.now()}.example.test`];
        await api.put('/apps/web/envs/dev/domains', { domains });
        say('ACK', { domains });
    },
};

// So that it lies in memory: the programs, and a compiled fixture.
async function warm() {
    const repository = await Repository.fromFixture('server', '/tmp/web'); // no disk of this client's is part of the test
    for (const [file, ...args] of [[BINARY, 'version'], ['/usr/sbin/haproxy', '-v'], ['/usr/bin/crun', '--version'], ['/usr/bin/conmon', '--version'], ['/usr/sbin/nft', '--version'], ['/usr/bin/openssl', 'version'],
        ['/usr/sbin/mkfs.ext4', '-V'], ['/usr/bin/gcc', '-std=gnu17', '-O2', '-static', '-o', '/tmp/warm', '/tmp/web/server.c']])
        await run(file, args, { timeout: 300_000 });
    await run('/usr/sbin/blockdev', ['--flushbufs', DISK]); // nothing of the disk is remembered
    return repository;
}

const told = () => new Promise((resolve) => {
    const lines = createInterface({ input: createReadStream(null, { fd: IO, autoClose: false }) });
    lines.on('line', (line) => line.startsWith('go ') && (lines.close(), resolve(line.slice(3).trim().split(' '))));
});

try {
    const repository = await warm();
    say('READY', '');
    const [kind, time, seed] = await told();
    // What no two boots of a machine have in common.
    await run('/usr/bin/date', ['-s', `@${time}`]);
    await run('/usr/bin/python3', ['-c', `import fcntl\nf = open('/dev/urandom', 'wb')\nf.write(bytes.fromhex('${seed}'))\nf.flush()\nfcntl.ioctl(f, 0x5207) # RNDRESEEDCRNG`]);
    mkdirSync(HOME, { recursive: true });
    const mounted = await run('/usr/bin/mount', [DISK, HOME]);
    if (mounted.code !== 0)
        throw new Error(mounted.err);
    await serve();
    await until(() => request(EDGE, 'GET', '/', { headers: { host: 'localhost' }, timeout: 5000 }), 120_000, 'the edge listens');
    if (!existsSync(`${HOME}/made`))
        await make(repository);
    say('STATE', await look());
    for (;; count++) {
        say('BEGIN', kind);
        await operations[kind](repository);
    }
} catch (error) {
    say('BROKEN', { error: error.stack, log: existsSync(`${HOME}/serve.log`) ? readFileSync(`${HOME}/serve.log`, 'utf8').slice(-1500) : '' });
}
