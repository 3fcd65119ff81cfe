// My password and my tokens.
import { useState } from 'preact/hooks';
import { api, seg } from '../api';
import { t } from '../i18n';
import { useResource } from '../resource';
import { me } from '../session';
import { useSignal } from '../signal';
import { full } from '../time';
import type { App, Page } from '../types';
import { Age, ask, Copy, Dialog, ErrorBox, Field, Form, Loading, State } from '../ui';

interface Token {
    name: string;
    kind: string;
    read_only: boolean;
    app: string | null;
    created_at: number;
    expires_at: number | null;
    used_at: number;
}

export function MePage() {
    const who = useSignal(me)!;
    return (
        <>
            <div class="bar"><h1>{who.name}</h1></div>
            <Password />
            <Tokens />
        </>
    );
}

function Password() {
    const [done, setDone] = useState(false);
    const [count, setCount] = useState(0); // a new form after each change
    return (
        <section aria-labelledby="password">
            <h2 id="password">{t('me.password')}</h2>
            <p class="dim">{t('me.passwordSays')}</p>
            {done && <p class="box good" role="status">{t('me.passwordDone')}</p>}
            <Form key={count} go={t('me.password')} act={async (values) => {
                setDone(false);
                await api.put('/me/password', { old: values.old, new: values.new });
                setDone(true);
                setCount(count + 1);
            }}>
                <Field label={t('me.old')}><input name="old" type="password" autocomplete="current-password" required /></Field>
                <Field label={t('me.new')} hint={t('setup.passwordHint')}><input name="new" type="password" autocomplete="new-password" minLength={8} required /></Field>
            </Form>
        </section>
    );
}

function Tokens() {
    const { data, error, reload } = useResource<Page<Token>>('/tokens');
    const { data: apps } = useResource<Page<App>>('/apps');
    const [making, setMaking] = useState(false);
    const [made, setMade] = useState<{ name: string; token: string }>();
    return (
        <section aria-labelledby="tokens">
            <div class="bar"><h2 id="tokens">{t('tokens')}</h2><span class="grow" /><button type="button" onClick={() => setMaking(true)}>{t('tokens.new')}</button></div>
            <p class="dim">{t('tokens.hint')}</p>
            {!data ? error ? <ErrorBox error={error} retry={reload} /> : <Loading /> : (
                <div class="scroll"><table>
                    <thead><tr><th scope="col">{t('name')}</th><th scope="col">{t('app')}</th><th scope="col">{t('app.created')}</th><th scope="col">{t('tokens.used')}</th><th scope="col">{t('tokens.expires')}</th><th scope="col" /></tr></thead>
                    <tbody>{data.items.map((one) => (
                        <tr key={one.name}>
                            <td>{one.name} {one.kind === 'session' && <State name="pending" text={t('tokens.session')} />}{one.read_only && <State name="warm" text={t('tokens.readOnly')} />}</td>
                            <td>{one.app ?? t('all')}</td><td><Age at={one.created_at} /></td><td><Age at={one.used_at} /></td><td>{one.expires_at ? full(one.expires_at) : t('never')}</td>
                            <td class="end"><button type="button" class="small danger" onClick={() => ask({
                                title: one.name, says: t('tokens.revokeSays', { name: one.name }), go: t('delete'), danger: true,
                                act: async () => {
                                    await api.delete(`/tokens/${seg(one.name)}`);
                                    reload();
                                },
                            })}>{t('delete')}</button></td>
                        </tr>
                    ))}</tbody>
                </table></div>
            )}
            {making && (
                <Dialog title={t('tokens.new')} onClose={() => setMaking(false)}>
                    <Form go={t('tokens.new')} act={async ({ name, days, app, read }) => {
                        setMade(await api.post('/tokens', { name, ...(Number(days) ? { days: Number(days) } : {}), ...(read ? { read_only: true } : {}), ...(app ? { app } : {}) }));
                        setMaking(false);
                        reload();
                    }}>
                        <Field label={t('name')} hint={t('newApp.nameHint')}><input name="name" required pattern="[a-z][a-z0-9\-]*" maxLength={40} spellcheck={false} autofocus /></Field>
                        <Field label={t('app')}><select name="app"><option value="">{t('all')}</option>{apps?.items.map((app) => <option key={app.name}>{app.name}</option>)}</select></Field>
                        <Field label={t('tokens.days')}><input name="days" type="number" min={0} max={3650} defaultValue="90" /></Field>
                        <label class="inline"><input type="checkbox" name="read" value="1" />{t('tokens.readOnly')}</label>
                    </Form>
                </Dialog>
            )}
            {made && <Dialog title={made.name} onClose={() => setMade(undefined)}><p>{t('tokens.once')}</p><Copy text={made.token} /><div class="buttons"><button type="button" autofocus onClick={() => setMade(undefined)}>{t('close')}</button></div></Dialog>}
        </section>
    );
}
