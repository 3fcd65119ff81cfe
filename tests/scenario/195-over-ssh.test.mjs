// A repository that only ssh reaches: with the key and the host's keys that were given, and with nothing of anybody's own.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { gitOk, platform, Repository } from '../lib/index.mjs';
import { sshNew } from '../lib/fake/ssh.mjs';

let p, repository, ssh;
before(async () => {
    p = await platform({ settings: { forge_networks: '127.0.0.0/8' } });
    repository = await Repository.fromFixture('server', `${p.dir}/work`);
});
after(async () => {
    await ssh?.close();
    await p?.stop();
});

const names = async (app) => (await p.api.get(`/apps/${app}/branches?limit=1000`)).items.map((row) => row.name).sort();

test('ssh: the key and the host\'s key that were given, and no others', async () => {
    const dir = `${p.dir}/ssh`;
    mkdirSync(`${dir}/team`, { recursive: true });
    await gitOk(dir, ['clone', '-q', '--bare', repository.dir, 'team/shop.git']);
    ssh = await sshNew(dir);
    writeFileSync(`${dir}/known_hosts`, ssh.knownHosts);
    writeFileSync(`${dir}/other_hosts`, ssh.knownHosts.replace(/AAAA\S+/, readFileSync(`${ssh.key}.pub`, 'utf8').split(' ')[1]));
    await p.cli.ok('forge', 'set', 'over-ssh', 'git', `ssh://git@127.0.0.1:${ssh.port}`, '--key', ssh.key, '--known-hosts', `${dir}/other_hosts`);
    const refused = await p.cli('app', 'create', 'by-ssh', '--from', ssh.url('team/shop.git'));
    assert.match(refused.err, /host key|identification/i);
    await p.cli.ok('forge', 'set', 'over-ssh', 'git', `ssh://git@127.0.0.1:${ssh.port}`, '--key', ssh.key, '--known-hosts', `${dir}/known_hosts`);
    await p.cli.ok('app', 'create', 'by-ssh', '--from', ssh.url('team/shop.git'));
    assert.ok((await names('by-ssh')).includes('feature/功能'));
    await p.cli.ok('branch', 'new', 'feature/made-here', '-a', 'by-ssh');
    assert.ok((await gitOk(`${dir}/team/shop.git`, ['branch', '--list', 'feature/made-here'])).includes('made-here'));
});
