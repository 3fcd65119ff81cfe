// 缺陷: what testers found wrong with a release, and what each one waits for.
import { useEffect, useState } from 'preact/hooks';
import { visible } from '../ansi';
import { api, query, seg } from '../api';
import type { FeedEvent } from '../feed';
import { t, tName } from '../i18n';
import { useResource } from '../resource';
import { address, go, param, setParam } from '../route';
import { me } from '../session';
import { useSignal } from '../signal';
import type { App, Finding, Page } from '../types';
import { Act, Age, Dialog, Empty, ErrorBox, Field, Form, Loading, State } from '../ui';

const STATES = ['unclosed', 'open', 'fixed', 'closed', ''];
const SEVERITIES = ['low', 'medium', 'high', 'critical'];
// The name of a colour.
const MARKS: Record<string, string> = { open: 'failed', fixed: 'running', closed: 'done', critical: 'failed', high: 'failed', medium: 'cancelled', low: 'pending' };

export function FindingsPage({ app }: { app: string }) {
    const base = `/apps/${seg(app)}`;
    const at = useSignal(address);
    const who = useSignal(me)!;
    const filing = param(at, 'file') === '1'; // an address of its own: other pages lead here
    const filter = { state: param(at, 'state') ?? 'unclosed', env: filing ? '' : param(at, 'env') ?? '', branch: param(at, 'branch') ?? '', person: param(at, 'person') ?? '' };
    const { data: about } = useResource<App>(base);
    // a release of its branch changes what one waits for
    const concerns = (event: FeedEvent) => event.app === app && (event.topic === 'finding' || event.topic === 'rollout');
    const { data, error, reload } = useResource<Page<Finding>>(`${base}/findings${query({ state: filter.state === 'all' ? null : filter.state, env: filter.env || null, branch: filter.branch || null, person: filter.person || null })}`, { concerns });
    const [older, setOlder] = useState<Finding[]>([]);
    const key = JSON.stringify(filter);
    useEffect(() => setOlder([]), [key, data]);
    const next = older.length ? older.at(-1)!.number : data?.next;
    const [ended, setEnded] = useState(false);
    useEffect(() => setEnded(false), [key, data]);
    const more = async () => {
        const page = await api.get<Page<Finding>>(`${base}/findings${query({ state: filter.state === 'all' ? null : filter.state, env: filter.env || null, branch: filter.branch || null, person: filter.person || null, after: next })}`);
        setOlder((before) => [...before, ...page.items]);
        setEnded(!page.next);
    };
    const select = (name: 'state' | 'env', label: string, options: [string, string][]) => (
        <select aria-label={label} value={filter[name]} onChange={(event) => setParam(name, event.currentTarget.value || (name === 'state' ? 'all' : ''))}>{options.map(([value, text]) => <option key={value} value={value}>{text}</option>)}</select>
    );
    return (
        <>
            <div class="bar">
                <h1>{app} <span class="dim">{t('findings')}</span></h1>
                {select('state', t('state'), STATES.map((one) => [one || 'all', tName('finding', one || 'all')]))}
                {about && select('env', t('env'), [['', t('all')], ...about.envs.map((env): [string, string] => [env, tName('stage', env)])])}
                <label><input type="checkbox" checked={filter.person === who.name} onChange={(event) => setParam('person', event.currentTarget.checked ? who.name : '')} /> {t('home.mine')}</label>
                {filter.branch && <span class="chip">{visible(filter.branch)} <button type="button" class="small" aria-label={`${t('delete')}: ${filter.branch}`} onClick={() => setParam('branch', '')}>×</button></span>}
                <span class="grow" />
                <button type="button" class="primary" onClick={() => setParam('file', '1')}>{t('findings.file')}</button>
            </div>
            {!data && (error ? <ErrorBox error={error} retry={reload} /> : <Loading />)}
            {data?.items.length === 0 && <Empty title={t('findings.empty')} />}
            {[...(data?.items ?? []), ...older].map((one) => <Row key={one.number} base={base} one={one} reload={reload} />)}
            {next && !ended && <div class="buttons"><Act act={more}>{t('more')}</Act></div>}
            {filing && about && <File app={about} env={param(at, 'env')} link={param(at, 'link')} onClose={() => go(`/apps/${seg(app)}/findings`)} onDone={reload} />}
        </>
    );
}

function Row({ base, one, reload }: { base: string; one: Finding; reload: () => void }) {
    const [open, setOpen] = useState(false);
    return (
        <section class="box" aria-labelledby={`finding-${one.number}`}>
            <p id={`finding-${one.number}`}><button type="button" class="quiet name" aria-expanded={open} onClick={() => setOpen(!open)}>#{one.number} {visible(one.title)}</button> <State name={MARKS[one.severity]!} text={tName('severity', one.severity)} /> <State name={MARKS[one.state]!} text={tName('finding', one.state)} /></p>
            <p class="dim">{tName('stage', one.env)} r{one.release} · {t('findings.round', { n: one.round })}{one.branch && ` · ${visible(one.branch)}`} · {one.by}, <Age at={one.at} />{one.waits && <> · <b>{one.waits === 'fix' ? t('finding.open') : t(`findings.${one.waits}`)}</b></>}</p>
            {open && <Detail base={base} number={one.number} reload={reload} />}
        </section>
    );
}

function Detail({ base, number, reload }: { base: string; number: number; reload: () => void }) {
    const path = `${base}/findings/${number}`;
    const { data: one, error, reload: again } = useResource<Finding>(path, { concerns: (event) => event.topic === 'finding' && event.data.number === number });
    const [text, setText] = useState('');
    const pictures = usePictures();
    if (!one)
        return error ? <ErrorBox error={error} retry={again} /> : <Loading />;
    const act = (what: string) => async () => {
        await api.post(path, { act: what, ...(text.trim() ? { text: text.trim() } : {}) });
        await pictures.send(path);
        setText('');
        reload();
        again();
    };
    return (
        <>
            <ul class="plain">{one.notes!.map((note, i) => <li key={i}><b>{tName('note', note.kind)}</b> <span class="dim">{note.by}, r{note.release}, {t('findings.round', { n: note.round })}, <Age at={note.at} /></span>{note.text && <p class="wrap">{visible(note.text)}</p>}{note.link && <p><a href={note.link}>{t('findings.lines')}</a></p>}</li>)}</ul>
            {one.pictures!.length > 0 && <div class="pictures">{one.pictures!.map((picture) => <a key={picture.id} href={`/api/v1${path}/pictures/${picture.id}`} target="_blank" rel="noopener noreferrer"><img src={`/api/v1${path}/pictures/${picture.id}`} alt={t('findings.pictureBy', { name: picture.by })} loading="lazy" /></a>)}</div>}
            <textarea rows={2} maxLength={2000} value={text} onPaste={pictures.paste} aria-label={t('findings.say')} placeholder={t('findings.say')} onInput={(event) => setText(event.currentTarget.value)} />
            <div class="buttons">
                {one.state === 'open' && <Act act={act('fix')}>{t('findings.fix')}</Act>}
                {one.state !== 'closed' && <Act act={act('close')}>{t('findings.close')}</Act>}
                {one.state !== 'open' && <Act act={act('reopen')}>{t('findings.reopen')}</Act>}
                <Act act={act('note')} disabled={!text.trim() && !pictures.files.length}>{t('findings.note')}</Act>
            </div>
            <Pictures from={pictures} />
        </>
    );
}

// Chosen or pasted, and sent once there is something that they belong to.
function usePictures() {
    const [files, setFiles] = useState<globalThis.File[]>([]);
    const add = (list: Iterable<globalThis.File>) => setFiles((before) => [...before, ...[...list].filter((file) => /^image\/(png|jpeg|webp)$/.test(file.type))].slice(0, 6));
    return {
        files, add, remove: (file: globalThis.File) => setFiles((before) => before.filter((one) => one !== file)),
        paste: (event: ClipboardEvent) => event.clipboardData && add(event.clipboardData.files),
        send: async (path: string) => {
            for (const file of files)
                await api.upload(`${path}/pictures`, file);
            setFiles([]);
        },
    };
}

function Pictures({ from }: { from: ReturnType<typeof usePictures> }) {
    return (
        <div class="field">
            <label>{t('findings.pictures')} <input type="file" accept="image/png,image/jpeg,image/webp" multiple onChange={(event) => { from.add(event.currentTarget.files ?? []); event.currentTarget.value = ''; }} /></label>
            <small class="dim">{t('findings.picturesHint')}</small>
            {from.files.length > 0 && <ul class="chips">{from.files.map((file, i) => <li key={i}>{visible(file.name)} <button type="button" class="small" aria-label={`${t('delete')}: ${file.name}`} onClick={() => from.remove(file)}>×</button></li>)}</ul>}
        </div>
    );
}

// Whose it may be: branches of what is live that change files with that in their path.
function Whose({ app, env, choose }: { app: string; env: string; choose: (branch: string) => void }) {
    const [path, setPath] = useState('');
    const [found, setFound] = useState<{ branch: string; files: string[]; file_count: number }[]>();
    const look = async () => setFound((await api.get(`/apps/${seg(app)}/envs/${seg(env)}/touching${query({ path })}`)).branches);
    return (
        <div class="field">
            <label>{t('findings.where')} <input value={path} spellcheck={false} maxLength={500} onInput={(event) => setPath(event.currentTarget.value)} /></label>
            <small class="dim">{t('findings.whereHint')}</small>
            <div class="buttons"><Act act={look} disabled={!path.trim()}>{t('findings.whose')}</Act></div>
            {found && (found.length === 0 ? <p class="dim">{t('findings.nobody')}</p> : <ul class="plain">{found.map((one) => <li key={one.branch}><button type="button" class="small" onClick={() => choose(one.branch)}>{visible(one.branch)}</button> <span class="dim">{one.files.slice(0, 3).map(visible).join(', ')}{one.file_count > 3 && ` +${one.file_count - 3}`}</span></li>)}</ul>)}
        </div>
    );
}

function File({ app, env: at, link, onClose, onDone }: { app: App; env: string | null; link: string | null; onClose: () => void; onDone: () => void }) {
    const { data } = useResource<{ items: { name: string }[] }>(`/apps/${seg(app.name)}/branches?limit=500`);
    const [env, setEnv] = useState(at ?? app.envs[0] ?? '');
    const [branch, setBranch] = useState('');
    const pictures = usePictures();
    const envs = app.envs.includes(env) ? app.envs : [env, ...app.envs];
    return (
        <Dialog title={t('findings.file')} onClose={onClose}>
            <Form go={t('findings.file')} act={async ({ title, severity, text }) => {
                const values = { title, env, severity, branch, text, link };
                const filed = await api.post(`/apps/${seg(app.name)}/findings`, Object.fromEntries(Object.entries(values).filter(([, value]) => value && value.trim())));
                await pictures.send(`/apps/${seg(app.name)}/findings/${filed.number}`);
                onClose();
                onDone();
            }}>
                <Field label={t('findings.title')}><input name="title" required maxLength={60} autofocus /></Field>
                <Field label={t('env')} hint={t('findings.envHint')}><select value={env} onChange={(event) => setEnv(event.currentTarget.value)}>{envs.map((name) => <option key={name} value={name}>{tName('stage', name)}</option>)}</select></Field>
                <Field label={t('findings.severity')}><select name="severity" defaultValue="medium">{SEVERITIES.map((one) => <option key={one} value={one} selected={one === 'medium'}>{tName('severity', one)}</option>)}</select></Field>
                <Field label={t('findings.text')}><textarea name="text" rows={5} maxLength={2000} onPaste={pictures.paste} /></Field>
                <Pictures from={pictures} />
                {link?.startsWith('/apps/') && <p><a href={link}>{t('findings.lines')}</a></p>}
                <Field label={t('branch')} hint={t('findings.branchHint')}><input value={branch} list="finding-branches" onInput={(event) => setBranch(event.currentTarget.value)} /></Field>
                <datalist id="finding-branches">{data?.items.map((one) => <option key={one.name} value={one.name} />)}</datalist>
                <Whose app={app.name} env={env} choose={setBranch} />
            </Form>
        </Dialog>
    );
}
