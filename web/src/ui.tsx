// Small pieces that all pages use.
import type { ComponentChildren, TargetedSubmitEvent } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from './api';
import { t, tName } from './i18n';
import { signal, useSignal } from './signal';
import { age, full, now } from './time';
import type { ErrorText } from './types';
import { words, type Word } from './words';

// ---- times ----

export function Age({ at }: { at: number | null | undefined }) {
    useSignal(now);
    if (!at)
        return <span class="dim">{t('never')}</span>;
    return <time dateTime={new Date(at).toISOString()} title={full(at)}>{age(at)}</time>;
}

// ---- what went wrong, and what to do ----

// In Chinese the server's English sentence stands below: it names files, branches and limits.
export function errorTitle(error: ApiError | { error: string; text: string }): string {
    const code = error instanceof ApiError ? error.code : error.error;
    const key = `error.${code}`;
    return key in words ? t(key as Word) : error instanceof ApiError ? error.message : error.text;
}

export function ErrorBox({ error, retry }: { error: ApiError | { error: string; text: string } | undefined; retry?: () => void }) {
    if (!error)
        return null;
    const title = errorTitle(error);
    const text = error instanceof ApiError ? error.message : error.text;
    const code = error instanceof ApiError ? error.code : error.error;
    const seconds = error instanceof ApiError ? error.retryAfter : 0;
    return (
        <div class="box bad" role="alert">
            <strong>{title}</strong>
            {text !== title && code !== 'offline' && <p class="mono wrap">{text}</p>}
            {seconds > 0 && <p>{t('wait', { n: seconds })}</p>}
            {retry && <button type="button" onClick={retry}>{t('retry')}</button>}
        </div>
    );
}

export function Loading() {
    return <p class="dim loading" aria-busy="true">{t('loading')}</p>;
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
    return (
        <div class="empty">
            <p>{title}</p>
            {children}
        </div>
    );
}

// ---- words with a colour ----

const tones: Record<string, string> = {
    done: 'good', serving: 'good', ready: 'good', running: 'busy', doing: 'busy', starting: 'busy', draining: 'busy', queued: 'busy', reverting: 'warn', reverted: 'bad',
    failed: 'bad', cancelled: 'warn', warm: 'calm', stopping: 'calm', pending: 'calm', skipped: 'calm', unready: 'bad', backoff: 'bad', crash_loop: 'bad',
};

export function State({ name, text }: { name: string; text: string }) {
    return <span class={`state ${tones[name] ?? 'calm'}`}>{text}</span>;
}

// One thing of several that are done one after the other, with its seconds; `to` null: it goes on.
const marks: Record<string, string> = { pending: '○', doing: '◐', done: '●', failed: '✕', skipped: '–' };

export function StepLine({ state, text, from, to, error }: { state: string; text: string; from: number | null; to: number | null; error?: ErrorText | null }) {
    const running = state === 'doing';
    const [, draw] = useState(0);
    useEffect(() => {
        if (!running)
            return;
        const timer = setInterval(() => draw((n) => n + 1), 200);
        return () => clearInterval(timer);
    }, [running]);
    const seconds = from === null ? null : ((to ?? Date.now()) - from) / 1000;
    return (
        <li class={`step-${state}`} aria-current={running ? 'step' : undefined}>
            <span class="mark" aria-hidden="true">{marks[state]}</span>
            <span class="hidden">{tName('step', state)}: </span>
            <span class="grow">{text}</span>
            <span class="number">{seconds === null ? '' : t('unit.s', { n: seconds.toFixed(2) })}</span>
            {error && <ErrorBox error={error} />}
        </li>
    );
}

// Each stage has its colour; the last one is the one where it counts.
export function envTone(position: number, count: number): string {
    return position === count - 1 ? 'env-last' : `env-${Math.min(position, 2)}`;
}

export function Commit({ id }: { id: string | null | undefined }) {
    return id ? <code title={id}>{id.slice(0, 9)}</code> : <span class="dim">–</span>;
}

export function Copy({ text, label }: { text: string; label?: string }) {
    const [done, setDone] = useState(false);
    const copy = () => void navigator.clipboard.writeText(text).then(() => {
        setDone(true);
        setTimeout(() => setDone(false), 1500);
    });
    return (
        <span class="copy">
            <code class="wrap">{label ?? text}</code>
            {navigator.clipboard && <button type="button" class="small" onClick={copy} aria-label={`${t('copy')}: ${text}`}>{done ? t('copied') : t('copy')}</button>}
        </span>
    );
}

// ---- acting ----

// What is done at a click: whether it goes on, and why it failed.
function useAct(): { busy: boolean; error: ApiError | undefined; run: (act: () => Promise<unknown>) => Promise<void> } {
    const [busy, setBusy] = useState(false);
    const [error, setError] = useState<ApiError>();
    const run = async (act: () => Promise<unknown>) => {
        setBusy(true);
        setError(undefined);
        try {
            await act();
        } catch (failed) {
            if (failed instanceof ApiError)
                setError(failed);
            else
                throw failed;
        } finally {
            setBusy(false);
        }
    };
    return { busy, error, run };
}

// A button that is busy until what it does is done, and shows why it failed.
export function Act({ act, children, class: className, disabled, title }: {
    act: () => Promise<unknown>; children: ComponentChildren; class?: string; disabled?: boolean; title?: string;
}) {
    const { busy, error, run } = useAct();
    return (
        <>
            <button type="button" class={className} disabled={disabled || busy} aria-busy={busy} title={title} onClick={() => void run(act)}>{children}</button>
            <ErrorBox error={error} />
        </>
    );
}

// What changes something says what it will do, and asks once.
interface Question {
    title: string;
    says: ComponentChildren;
    go: string;
    danger?: boolean;
    act: () => Promise<unknown>;
}
const asked = signal<Question | null>(null);
const acting = signal(false); // what was asked is being done: it is not closed away

// A question belongs to the page and the person that it was asked on.
export function askForget(): void {
    asked.value = null;
    acting.value = false;
}

export function ask(question: Question): void {
    asked.value = question;
}

export function Asked() {
    const question = useSignal(asked);
    return question && <Dialog title={question.title} onClose={() => !acting.value && (asked.value = null)}><Answer question={question} /></Dialog>;
}

function Answer({ question }: { question: Question }) {
    const busy = useSignal(acting);
    const close = () => (asked.value = null);
    const act = async () => {
        acting.value = true;
        try {
            await question.act();
        } finally {
            acting.value = false;
        }
        if (asked.value === question)
            close();
    };
    return (
        <>
            <div class="says">{question.says}</div>
            <div class="buttons">
                <Act act={act} class={question.danger ? 'primary danger' : 'primary'}>{question.go}</Act>
                <button type="button" disabled={busy} onClick={close}>{t('cancel')}</button>
            </div>
        </>
    );
}

// A modal dialog of the browser: it keeps the focus, Escape closes it, and the focus goes back.
export function Dialog({ title, onClose, children, wide }: { title: string; onClose: () => void; children: ComponentChildren; wide?: boolean }) {
    const ref = useRef<HTMLDialogElement>(null);
    useEffect(() => {
        const dialog = ref.current!;
        const before = document.activeElement as HTMLElement | null;
        dialog.showModal();
        return () => {
            dialog.close();
            before?.focus?.();
        };
    }, []);
    return (
        <dialog ref={ref} class={wide ? 'wide' : ''} aria-label={title}
            onCancel={(event) => {
                event.preventDefault();
                onClose();
            }}
            onClick={(event) => event.target === ref.current && onClose()}>
            <div class="dialog">
                <h2>{title}</h2>
                {children}
            </div>
        </dialog>
    );
}

// A form whose values go to one action; Enter sends it.
export function Form({ go, act, children, danger }: { go: string; act: (values: Record<string, string>) => Promise<unknown>; children: ComponentChildren; danger?: boolean }) {
    const { busy, error, run } = useAct();
    const submit = (event: TargetedSubmitEvent<HTMLFormElement>) => {
        event.preventDefault();
        const values: Record<string, string> = {};
        new FormData(event.currentTarget).forEach((value, key) => (values[key] = String(value)));
        void run(() => act(values));
    };
    return (
        <form onSubmit={submit}>
            {children}
            <ErrorBox error={error} />
            <div class="buttons"><button type="submit" class={danger ? 'primary danger' : 'primary'} disabled={busy} aria-busy={busy}>{go}</button></div>
        </form>
    );
}

export function Field({ label, hint, children }: { label: string; hint?: string; children: ComponentChildren }) {
    return (
        <label class="field">
            <span>{label}</span>
            {children}
            {hint && <small class="dim">{hint}</small>}
        </label>
    );
}
