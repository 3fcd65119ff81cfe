// A host that serves the repositories of a folder over ssh, to who has the key: ssh2's server, real git behind it.
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { ROOT } from '../paths.mjs';

const { Server, utils } = createRequire(`${ROOT}/web/package.json`)('ssh2');

function keygen(path) {
    const made = spawnSync('/usr/bin/ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'test', '-f', path]);
    if (made.status !== 0)
        throw new Error(`ssh-keygen: ${made.stderr}`);
    return path;
}

// dir: holds team/shop.git, and gets the keys. {port, key: path, knownHosts: its text, url(path), close()}
export async function sshNew(dir) {
    const host = keygen(`${dir}/host_key`), client = keygen(`${dir}/client_key`);
    const allowed = utils.parseKey(readFileSync(`${client}.pub`)).getPublicSSH(), commands = [];
    const server = new Server({ hostKeys: [readFileSync(host)] }, (connection) => {
        connection.on('error', () => {});
        connection.on('authentication', (context) => {
            const known = context.method === 'publickey' && context.username === 'git' && context.key.data.equals(allowed)
                && (!context.signature || utils.parseKey(readFileSync(`${client}.pub`)).verify(context.blob, context.signature, context.hashAlgo));
            known ? context.accept() : context.reject(['publickey']);
        });
        connection.on('session', (accept) => accept().on('env', (yes) => yes?.()).on('exec', (yes, no, { command }) => {
            commands.push(command);
            const [, service, path] = /^(git-(?:upload|receive)-pack) '\/?([\w./-]+)'$/.exec(command) ?? [];
            if (!service)
                return no();
            const stream = yes(), child = spawn('/usr/bin/git', [service.slice(4), `${dir}/${path}`], { env: { PATH: '/usr/bin:/bin', GIT_CONFIG_GLOBAL: '/dev/null' } });
            stream.pipe(child.stdin);
            child.stdout.pipe(stream, { end: false });
            child.stderr.pipe(stream.stderr, { end: false });
            child.stdin.on('error', () => {});
            child.on('close', (code) => {
                stream.exit(code ?? 1);
                stream.end();
            });
        }));
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address();
    return {
        port, key: client, commands, knownHosts: `[127.0.0.1]:${port} ${readFileSync(`${host}.pub`, 'utf8')}`,
        url: (path) => `ssh://git@127.0.0.1:${port}/${path}`,
        close: () => new Promise((resolve) => server.close(resolve)),
    };
}
