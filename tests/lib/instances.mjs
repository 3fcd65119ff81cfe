// Instances as the kernel shows them, and the platform at rest: what runs, what is recorded and what the
// edge serves are one and the same.
import { readFileSync } from 'node:fs';
import { processes } from './leftovers.mjs';
import { until } from './until.mjs';

export function environment(pid) {
    try {
        return Object.fromEntries(readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean).map((row) => {
            const at = row.indexOf('=');
            return [row.slice(0, at), row.slice(at + 1)];
        }));
    } catch {
        return {};
    }
}

// [{pid, instance, release}]: the first process of each instance of an app-env. An instance that ran twice
// at a time would stand here twice.
export function instancePids(p, app, env) {
    const found = [];
    const all = processes().filter(({ cgroup, state }) => state !== 'Z' && cgroup.includes(p.id));
    for (const { pid, ppid } of all) {
        const { SLIPWAY_APP, SLIPWAY_ENV, SLIPWAY_INSTANCE: instance, SLIPWAY_RELEASE: release } = environment(pid);
        if (SLIPWAY_APP === app && SLIPWAY_ENV === env && environment(ppid).SLIPWAY_INSTANCE !== instance)
            found.push({ pid, instance, release });
    }
    return found;
}

// No rollout is active; the instances that are recorded are those that run, once each; those of the live
// release, and no others, serve; the edge answers with it. Returns the status.
export function atRest(app, env, deadlineMs = 60_000) {
    return until(async () => {
        const status = await app.status(env);
        const wrong = restWrong(status, instancePids(app.p, app.name, env).map((row) => row.instance));
        if (wrong)
            throw new Error(`${wrong}: ${JSON.stringify(status.instances.map(({ name, state }) => `${name} ${state}`))}`);
        if (status.live_release && (await app.who(env)).release !== `r${status.live_release}`)
            throw new Error('the edge serves another release');
        return status;
    }, deadlineMs, `${app.name}.${env} is at rest`);
}

function restWrong({ rollout, instances, live_release: live }, running) {
    const recorded = instances.map((row) => row.name).sort();
    if (rollout)
        return `rollout ${rollout.id} is ${rollout.state}`;
    if (instances.some(({ state, release }) => state !== 'warm' && (state !== 'serving' || release !== live)))
        return `not all serve r${live} or are warm`;
    if (running.sort().join() !== recorded.join())
        return `what runs is ${running.join()}`;
    return live && !instances.some((row) => row.state === 'serving') && 'nothing serves';
}
