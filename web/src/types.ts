// What the API replies, as far as pages use it.
export interface ErrorText {
    error: string;
    class: string;
    text: string;
}
export interface Page<T> {
    items: T[];
    next: any;
}
export interface Me {
    name: string;
    admin: boolean;
    rights: string[];
}
export interface Step {
    index: number;
    kind: string;
    text: string;
    state: string;
    started: number | null;
    ended: number | null;
    error: ErrorText | null;
    args?: any;
}
export interface RolloutHead {
    id: number;
    kind: string;
    state: string;
    release: number;
    at: number;
    by: string;
}
export interface Rollout extends RolloutHead {
    step: number;
    from_release: number;
    from_build: number | null;
    ended_at: number | null;
    error: ErrorText | null;
    steps: Step[];
}
export interface Cell {
    release: number;
    build: number | null;
    at: number | null;
    by: string | null;
    bad: boolean;
    branches: number;
    instances: { serving: number; ready: number; total: number; unhealthy?: number };
    rollout: (RolloutHead & { step: number; steps: number }) | null;
    last: (RolloutHead & { ended_at: number; error: ErrorText | null }) | null;
}
export interface OverviewRow {
    app: string;
    trunk: string;
    rights: string[];
    envs: Record<string, Cell>;
}
export interface Overview {
    envs: { name: string; position: number }[];
    items: OverviewRow[];
    next: string | null;
}
export interface App {
    name: string;
    trunk: string;
    git: string;
    envs: string[];
    rights: string[];
    created_at?: number | null;
    created_by?: string | null;
}
export interface Release {
    number: number;
    artifact: string;
    commit: string;
    branches: { branch: string; tip: string }[];
    by: string;
    at: number;
    bad: boolean;
    build: number | null;
    secrets: any;
}
export interface Instance {
    name: string;
    release: number;
    slot: string;
    state: string;
    address: string;
    port: number;
    host: string;
    since: number;
    health: string | null;
    restarts: number | null;
    why: string | null;
    memory?: number | null;
    memory_limit?: number | null;
    cpu_us?: number | null;
    pids?: number | null;
    up_since?: number | null;
}
export interface Tick {
    branch: string;
    deployed_tip: string | null;
    by: string;
    at: number;
    now?: string | null;
    new?: number | null;
}
export interface Ticks {
    ticks: Tick[];
    known: boolean; // the repository could be asked for what is new
}
export interface AppEnv {
    app: string;
    env: string;
    live_release: number;
    edge_http: number;
    edge_https: number;
    domains: string[];
    ticks: Tick[];
    instances: Instance[];
    targets: number[];
    rollout: Rollout | null;
    release: Release | null;
    rights: string[];
    deployers: string[];
    wanted: number; // instances
    policy: Policy;
    automation: string; // "click", "push", or a time of day
}
export interface Branch {
    name: string;
    tip: string;
    author: string;
    email: string;
    at: number;
    subject: string;
    ahead: number;
    behind: number;
    envs: string[];
}
export interface Branches extends Page<Branch> {
    trunk: string;
    more: boolean;
}
// Two commits that do not merge.
export interface FactsConflict {
    a?: string; // of a pair
    b?: string;
    resolved?: string | null; // of a pair: the resolution that is used
    branch?: string; // of one with trunk, or with what the last env runs
    files: { path: string; hunks: number; lines: string }[];
    file_count: number;
    hunks: number;
    text: string;
    first: { id: string; author: string; at: number; subject: string }[]; // of each side: since when
}
// What a tester found wrong with a release.
export interface Finding {
    number: number;
    env: string;
    release: number;
    title: string;
    severity: 'low' | 'medium' | 'high' | 'critical';
    state: 'open' | 'fixed' | 'closed';
    waits: 'fix' | 'release' | 'retest' | null;
    round: number;
    branch: string | null;
    by: string;
    at: number;
    app: string;
    pictures?: { id: number; type: string; bytes: number; by: string; at: number }[];
    notes?: { kind: string; text: string; link: string | null; release: number; round: number; by: string; at: number }[]; // of one alone
}
// A branch in which people have merged branches that conflict.
export interface Resolution {
    id: number;
    branch: string;
    sides: { branch: string; tip: string }[];
    files: string[];
    state: 'open' | 'landed' | 'moved_off' | 'gone' | 'folded' | 'dropped';
    now: 'waiting' | 'ready' | 'used' | 'conflicts' | 'landed' | 'moved_off' | 'gone' | null; // of an open one; null: not known
    text: string | null;
    by: string;
    at: number;
}
export interface FactsOut {
    branch: string;
    why: 'trunk' | 'pair' | 'together';
    against: string[];
}
// What an environment does at a conflict.
export type Policy = 'stop' | 'skip' | 'last-good';
export interface Facts {
    trunk: { branch: string; commit: string };
    last: { env: string; release: number; commit: string } | null;
    ticks: { branch: string; tip: string }[];
    gone: string[];
    in: string[];
    contained: string[];
    out: FactsOut[];
    frees: { branch: string; frees: string[]; costs: string[] }[];
    pairs: FactsConflict[];
    pair_count: number;
    on_trunk: FactsConflict[];
    on_live: FactsConflict[];
    resolutions: { branch: string; sides: string[]; state: Resolution['now']; text: string | null }[];
    at: number;
}
export interface Try {
    name: string;
    app: string;
    like: string;
    text: string;
    state: string;
    by: string;
    at: number;
    expires_at: number;
    release: number;
    domain: string | null;
    branches: string[];
    automation: string;
}
export interface Forge {
    name: string;
    kind: string;
    url: string;
    login: string | null;
    ca: string | null;
    known_hosts: string | null;
    seen_as: string | null;
    at: number;
    by: string;
    apps: number;
}
export interface Origin {
    forge: string | null;
    kind: string;
    project: string | null;
    url: string;
    mode: string;
    state: string;
    since: number;
    error: ErrorText | null;
    hook: string;
    hook_text: string | null;
    hook_url: string;
    fetched_at: number | null;
    moved_at: number | null;
    next_at: number | null;
    fetching: boolean;
    progress?: { stage: string; percent: number };
    failures: number;
    deliveries: number;
    duplicates: number;
    refused: number;
}
export interface LandingPreview {
    env: string;
    release: number;
    commit: string | null;
    branches: { branch: string; tip: string }[];
    tag: string;
    landed: boolean;
    refused: ErrorText | null;
}
export interface Landing {
    id: number;
    env: string;
    release: number;
    commit: string;
    tag: string;
    state: string;
    by: string;
    at: number;
    result: { from: string; moved: boolean; squashed?: boolean; unticked: Record<string, string[]>; behind: { env: string; release: number }[]; merge_request?: undefined }
        | { merge_request: { branch: string; number: number; link: string } } | null;
    error: ErrorText | null;
}
export interface Env {
    name: string;
    position: number;
    purpose: string; // '': nobody has said what it is for
    culprits: 'click' | 'always';
    policy: Policy;
}
export interface BuildStep {
    step: string;
    kind: 'phase' | 'step' | 'check';
    state: 'running' | 'done' | 'failed';
    at: number;
    ms: number;
}
export interface Build {
    integrate_ms: number | null;
    left_out: FactsOut[] | null;
    culprits_of: number | null; // made in search of what makes that build fail
    ticks: { branch: string; tip: string }[];
    steps: BuildStep[];
    number: number;
    state: string;
    commit: string;
    by: string;
    at: number;
    ended_at: number | null;
    same_as: number | null;
    error: ErrorText | null;
    result: { checks: { name: string; passed: number; failed: number; skipped: number; ok: boolean }[] } | null; // null: none yet
}
// Which branches make a build fail, as far as is known.
export interface Culprit {
    state: 'none' | 'running' | 'found' | 'failed' | 'cancelled'; // none: nobody has searched
    tried: { branches: string[]; build: number | null; failed: boolean | null; text: string | null }[];
    culprits: string[] | null;
    error: ErrorText | null;
}
export interface Plan {
    live_release: number;
    steps: { index: number; kind: string; text: string; args?: any }[];
    ticks?: { branch: string; tip: string }[];
    commit?: string;
    left_out?: FactsOut[];
}
