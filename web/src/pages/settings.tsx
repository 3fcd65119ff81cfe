// The installation: people and their roles, what roles may do, disk and health.
import { useState } from 'preact/hooks';
import { api, seg } from '../api';
import { Forges } from '../forges';
import { t, tName } from '../i18n';
import { useResource } from '../resource';
import { me } from '../session';
import { bytes } from '../time';
import type { Page } from '../types';
import { Act, Age, ask, Copy, Dialog, Empty, ErrorBox, Field, Form, Loading, State } from '../ui';

export function SettingsPage({ part }: { part: string }) {
    if (!me.value?.admin)
        return <Empty title={t('error.denied')} />;
    const names: [string, string][] = [['people', t('people')], ['roles', t('roles')], ['forges', t('forges')], ['system', t('settings.system')]];
    return (
        <>
            <div class="bar"><h1>{t('nav.settings')}</h1><nav class="choice" aria-label={t('nav.settings')}>{names.map(([key, text]) => <a key={key} class="button" href={`/settings/${key}`} aria-current={part === key ? 'page' : undefined}>{text}</a>)}</nav></div>
            {part === 'roles' ? <Roles /> : part === 'system' ? <System /> : part === 'forges' ? <Forges /> : <People />}
        </>
    );
}

interface Person {
    name: string;
    created_at: number;
    invited: boolean;
    grants: Grant[];
}
interface Grant {
    user?: string;
    role: string;
    app: string | null;
    env: string | null;
}
interface Matrix {
    permissions: string[];
    envs: string[];
    roles: Record<string, Record<string, string[]>>;
    grants: Grant[];
}

const scopeOf = (grant: Grant) => [grant.app, grant.env].filter(Boolean).join(' / ') || t('people.everywhere');

function People() {
    const { data, error, reload } = useResource<Page<Person>>('/users', { concerns: (event) => event.topic === 'journal' });
    const { data: matrix } = useResource<Matrix>('/grants');
    const { data: apps } = useResource<Page<{ name: string }>>('/apps');
    const [form, setForm] = useState<{ invite: true } | { grant: string }>();
    const [link, setLink] = useState<{ name: string; url: string }>();
    if (!data)
        return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
    const roles = Object.keys(matrix?.roles ?? {});
    const show = (reply: { user: string; link: string; address: string }) => {
        setForm(undefined);
        setLink({ name: reply.user, url: `${reply.address}/setup/${reply.link}` });
        reload();
    };
    return (
        <>
            <div class="buttons"><button type="button" class="primary" onClick={() => setForm({ invite: true })}>{t('people.invite')}</button></div>
            <div class="scroll"><table>
                <thead><tr><th scope="col">{t('name')}</th><th scope="col">{t('roles')}</th><th scope="col">{t('when')}</th><th scope="col" /></tr></thead>
                <tbody>{data.items.map((one) => (
                    <tr key={one.name}>
                        <td>{one.name} {one.invited && <State name="pending" text={t('people.invited')} />}</td>
                        <td><ul class="chips">{one.grants.map((grant) => (
                            <li key={`${grant.role} ${grant.app} ${grant.env}`}>{grant.role} · {scopeOf(grant)} <button type="button" class="small" aria-label={`${t('delete')}: ${grant.role} ${scopeOf(grant)}`} onClick={() => ask({
                                title: one.name, says: t('people.revokeSays', { name: one.name, role: grant.role, scope: scopeOf(grant) }), go: t('delete'), danger: true,
                                act: async () => {
                                    await api.delete('/grants', { user: one.name, role: grant.role, ...(grant.app ? { app: grant.app } : {}), ...(grant.env ? { env: grant.env } : {}) });
                                    reload();
                                },
                            })}>×</button></li>
                        ))}<li><button type="button" class="small" onClick={() => setForm({ grant: one.name })}>+ {t('role')}</button></li></ul></td>
                        <td><Age at={one.created_at} /></td>
                        <td class="end">
                            <button type="button" class="small" onClick={() => ask({ title: one.name, says: t('people.resetSays', { name: one.name }), go: t('people.reset'), act: async () => show(await api.post(`/users/${seg(one.name)}/reset`)) })}>{t('people.reset')}</button>{' '}
                            <button type="button" class="small danger" onClick={() => ask({
                                title: one.name, says: t('people.removeSays', { name: one.name }), go: t('delete'), danger: true,
                                act: async () => {
                                    await api.delete(`/users/${seg(one.name)}`);
                                    reload();
                                },
                            })}>{t('delete')}</button>
                        </td>
                    </tr>
                ))}</tbody>
            </table></div>
            {form && 'invite' in form && (
                <Dialog title={t('people.invite')} onClose={() => setForm(undefined)}>
                    <p>{t('people.inviteSays')}</p>
                    <Form go={t('people.invite')} act={async ({ name, role }) => show(await api.post('/users', { name, ...(role ? { role } : {}) }))}>
                        <Field label={t('name')} hint={t('newApp.nameHint')}><input name="name" required pattern="[a-z][a-z0-9\-]*" maxLength={40} spellcheck={false} autofocus /></Field>
                        <Field label={t('role')}><select name="role"><option value="">{t('none')}</option>{roles.map((role) => <option key={role}>{role}</option>)}</select></Field>
                    </Form>
                </Dialog>
            )}
            {form && 'grant' in form && (
                <Dialog title={`${t('people.grant')}: ${form.grant}`} onClose={() => setForm(undefined)}>
                    <Form go={t('people.grant')} act={async ({ role, app, env }) => {
                        await api.post('/grants', { user: form.grant, role, ...(app ? { app } : {}), ...(env ? { env } : {}) });
                        setForm(undefined);
                        reload();
                    }}>
                        <Field label={t('role')}><select name="role" autofocus>{roles.map((role) => <option key={role}>{role}</option>)}</select></Field>
                        <Field label={t('app')}><select name="app"><option value="">{t('people.everywhere')}</option>{apps?.items.map((app) => <option key={app.name}>{app.name}</option>)}</select></Field>
                        <Field label={t('env')}><select name="env"><option value="">{t('people.everywhere')}</option>{matrix?.envs.map((env) => <option key={env} value={env}>{tName('stage', env)}</option>)}</select></Field>
                    </Form>
                </Dialog>
            )}
            {link && <Dialog title={link.name} onClose={() => setLink(undefined)}><p>{t('people.link', { name: link.name })}</p><Copy text={link.url} /><div class="buttons"><button type="button" autofocus onClick={() => setLink(undefined)}>{t('close')}</button></div></Dialog>}
        </>
    );
}

// Rows are permissions, columns roles; in each cell the environments where it holds.
function Roles() {
    const { data, error, reload } = useResource<Matrix>('/grants', { concerns: (event) => event.topic === 'journal' });
    if (!data)
        return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
    const roles = Object.keys(data.roles);
    const change = (role: string, permission: string, env: string, allow: boolean) => ask({
        title: `${role}: ${tName('perm', permission)}`,
        says: t(allow ? 'roles.allowSays' : 'roles.denySays', { role, permission: tName('perm', permission), env: env === '*' ? t('roles.everyEnv') : tName('stage', env) }),
        go: t('ok'), danger: true,
        act: async () => {
            const body = { permission, ...(env === '*' ? {} : { env }) };
            await (allow ? api.put(`/roles/${seg(role)}/rights`, body) : api.delete(`/roles/${seg(role)}/rights`, body));
            reload();
        },
    });
    return (
        <section aria-labelledby="matrix">
            <h2 id="matrix">{t('roles.matrix')}</h2>
            <div class="scroll"><table class="matrix">
                <thead><tr><th scope="col">{t('what')}</th>{roles.map((role) => <th scope="col" key={role}>{role}</th>)}</tr></thead>
                <tbody>{data.permissions.filter((one) => one !== 'none' && one !== 'person').map((permission) => (
                    <tr key={permission}><th scope="row">{tName('perm', permission)}</th>{roles.map((role) => {
                        const rights = data.roles[role]!;
                        const every = rights['*']?.includes(permission) ?? false;
                        return (
                            <td key={role}><div class="ticks">
                                <label><input type="checkbox" checked={every} onChange={() => change(role, permission, '*', !every)} />{t('roles.everyEnv')}</label>
                                {!every && data.envs.map((env) => <label key={env}><input type="checkbox" checked={rights[env]?.includes(permission) ?? false} onChange={() => change(role, permission, env, !rights[env]?.includes(permission))} />{env}</label>)}
                            </div></td>
                        );
                    })}</tr>
                ))}</tbody>
            </table></div>
        </section>
    );
}

function System() {
    const df = useResource<any>('/df', { every: 60_000 });
    const doctor = useResource<{ ok: boolean; checks: { name: string; ok: boolean; text: string; fix: string }[] }>('/doctor', { every: 60_000 });
    const host = df.data?.host;
    return (
        <>
            <section aria-labelledby="doctor">
                <div class="bar"><h2 id="doctor">{t('settings.doctor')}</h2><Act act={async () => doctor.reload()}>{t('frame.reload')}</Act></div>
                <ErrorBox error={doctor.error} />
                {doctor.data?.ok && <p class="good-text">✓ {t('settings.doctorOk')}</p>}
                {doctor.data && <table class="compact"><tbody>{doctor.data.checks.map((one) => <tr key={one.name}><td><State name={one.ok ? 'done' : 'failed'} text={one.ok ? '✓' : '✕'} /></td><td>{one.name}</td><td class="wrap">{one.text}{!one.ok && <p>{one.fix}</p>}</td></tr>)}</tbody></table>}
            </section>
            <section aria-labelledby="disk">
                <h2 id="disk">{t('settings.disk')}</h2>
                <ErrorBox error={df.error} />
                {host?.total && <p><meter min={0} max={host.total} low={host.total * 0.1} value={host.total - host.free} aria-label={t('settings.disk')} /> {t('settings.free', { free: bytes(host.free), total: bytes(host.total) })}</p>}
                {host?.volumes && <table class="compact"><tbody>{host.volumes.map((one: any) => <tr key={one.path}><td>{one.what}</td><td><code>{one.path}</code></td><td class="number">{bytes(one.bytes)}</td></tr>)}
                    {df.data.courier?.repositories?.map((one: any) => <tr key={one.app}><td>{t('app.repository')}</td><td>{one.app}</td><td class="number">{bytes(one.bytes)}</td></tr>)}</tbody></table>}
            </section>
        </>
    );
}
