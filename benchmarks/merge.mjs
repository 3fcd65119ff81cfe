#!/usr/bin/env node
// Integration of 20 branches: Slipway's courier against `git merge`, one by one, in a work tree.
//
//   node bench/merge.mjs BUILD_DIR [--keep DIR] [--commits N] [--rounds N]
//
// Makes a repository of 5,000 files and 80,000 commits (git fast-import; the same every time) with
// 20 branches forked up to 60 merges back: 10 edited files and 3 new ones each, one renamed
// directory, deletions, at least 5 conflicting pairs. Both sides have a commit-graph. A branch that
// conflicts is left out on both sides. Compared: the branches left out, and the tree of the result.
// Three figures: all 20 with leaving out, the clean ones alone, from cold, and the facts: the 190 pairs
// (with trunk, the chain, who is out because of whom, since which commits), cold and after one push,
// against `git merge` of each pair in a work tree. Then an installation has that repository: while it integrates
// and finds out facts without a pause, core answers other requests (p99 in at most 20 ms), which is told beside
// what it takes when nothing is merged, and when merges run in core's place (the saboteur: it must be seen).
// The lowest ratio is printed last; below 4, or with any
// difference (which is first shown to be seen: a pair is hidden from the comparison), the exit code is not 0.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, mkdirSync, rmSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { platform, request } from '../tests/lib/index.mjs';

const FILES = 5000, FOLDERS = 50, LINES = 40, BRANCHES = 20, BACK = 60, TOPIC = 4;
const options = { commits: 80000, rounds: 5, keep: null };
const words = process.argv.slice(2);
const build = words.shift();
while (words.length) {
  const name = words.shift()?.replace(/^--/, '');
  options[name] = name === 'keep' ? words.shift() : Number(words.shift());
}
const driver = build && path.resolve(build, 'src/courier/bench-merge');
if (!driver || !existsSync(driver)) {
  console.error('usage: node bench/merge.mjs BUILD_DIR (with src/courier/bench-merge built)');
  process.exit(2);
}
const env = {
  PATH: '/usr/bin:/bin', HOME: '/nonexistent', LC_ALL: 'C.UTF-8', GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null', GIT_AUTHOR_NAME: 'Bench', GIT_AUTHOR_EMAIL: 'bench@localhost',
  GIT_COMMITTER_NAME: 'Bench', GIT_COMMITTER_EMAIL: 'bench@localhost',
};
const work = options.keep ?? mkdtempSync(path.join(tmpdir(), 'bench-merge-'));
mkdirSync(work, { recursive: true });

function git(dir, args, { input, ok = [0] } = {}) {
  const r = spawnSync('/usr/bin/git', args, { cwd: dir, env, input, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (r.error) throw r.error;
  if (!ok.includes(r.status)) throw new Error(`git ${args.join(' ')}: ${r.status} ${r.stderr}`);
  return r;
}
const line = (dir, ...args) => git(dir, args).stdout.trim();

// ---- the repository ------------------------------------------------------------------------------
let seed = 20260101;
function random(n) { // xorshift: the same numbers every time
  seed ^= seed << 13; seed ^= seed >>> 17; seed ^= seed << 5; seed >>>= 0;
  return seed % n;
}
const folder = (i) => `src/d${String(i % FOLDERS).padStart(2, '0')}`;
const file = (i) => `${folder(i)}/f${String(i).padStart(4, '0')}.txt`;

class Import {
  constructor(dir) {
    this.child = spawn('/usr/bin/git', ['fast-import', '--quiet'], { cwd: dir, env, stdio: ['pipe', 'inherit', 'inherit'] });
    this.done = new Promise((resolve, reject) => this.child.on('exit', (c) => (c ? reject(new Error(`fast-import ${c}`)) : resolve())));
    this.parts = []; this.size = 0; this.mark = 0; this.time = 1700000000;
  }
  async say(text) {
    this.parts.push(text);
    this.size += text.length;
    if (this.size < 1 << 20) return;
    if (!this.child.stdin.write(this.parts.join(''))) await new Promise((r) => this.child.stdin.once('drain', r));
    this.parts = []; this.size = 0;
  }
  async commit(ref, message, parents, changes) {
    const mark = ++this.mark;
    this.time += 60;
    let text = `commit ${ref}\nmark :${mark}\ncommitter Bench <bench@localhost> ${this.time} +0000\n`
      + `data ${Buffer.byteLength(message)}\n${message}\n`;
    parents.forEach((p, i) => { text += `${i ? 'merge' : 'from'} :${p}\n`; });
    for (const [name, lines] of changes) {
      if (lines === null) { text += `D ${name}\n`; continue; }
      const body = lines.join('\n') + '\n';
      text += `M 100644 inline ${name}\ndata ${body.length}\n${body}\n`;
    }
    await this.say(text);
    return mark;
  }
  end() { this.child.stdin.end(this.parts.join('')); return this.done; }
}

function edited(state, name, at, text) {
  const lines = [...state.get(name)];
  lines[at] = text;
  return [name, lines];
}

async function makeTrunk(to) {
  const state = new Map();
  const all = [];
  for (let i = 0; i < FILES; i++) {
    const lines = Array.from({ length: LINES }, (_, n) => `file ${i} line ${n} ${(i * 7919 + n * 104729) % 99991}`);
    state.set(file(i), lines);
    all.push([file(i), lines]);
  }
  let tip = await to.commit('refs/heads/main', 'start', [], all);
  const merges = [];
  while (to.mark < options.commits) {
    let topic = tip;
    const changes = [];
    for (let i = 0; i < TOPIC; i++) { // trunk edits lines 0-19; branches 20-39
      const change = edited(state, file(random(FILES)), random(20), `trunk ${to.mark}`);
      state.set(...change);
      changes.push(change);
      topic = await to.commit('refs/topic', `work ${to.mark}`, [topic], [change]);
    }
    tip = await to.commit('refs/heads/main', `merge ${to.mark}`, [tip, topic], changes);
    merges.push({ tip, state: new Map(state) });
    if (merges.length > BACK + 1) merges.shift();
  }
  return { tip, state, merges };
}

// Branch b owns the files with i % 100 === 3 * b + 1..3; what is shared is said here.
function branchChanges(b, state) {
  const changes = new Map();
  const set = ([name, lines]) => changes.set(name, lines);
  for (let i = 0; i < 10; i++)
    set(edited(state, file(100 * ((b * 5 + i * 3) % 50) + 3 * b + 1), 20 + ((b + i) % 19), `branch ${b} edit ${i}`));
  for (let i = 0; i < 3; i++) set([`${folder(b * 2 + 30)}/new-${b}-${i}.txt`, [`new ${b} ${i}`, 'second']]);
  const pair = { 2: 0, 3: 0, 5: 1, 6: 1, 8: 2, 9: 2, 11: 3, 12: 3, 14: 4, 15: 4 }[b];
  if (pair !== undefined) set(edited(state, file(100 * pair + 99), 30, `pair ${pair} branch ${b}`));
  if (b === 7) {
    for (let i = 7; i < FILES; i += FOLDERS) {
      changes.set(file(i).replace('/d07/', '/moved07/'), changes.get(file(i)) ?? state.get(file(i)));
      changes.set(file(i), null);
    }
  }
  if (b === 10) set(edited(state, file(4957), 35, 'edit in a folder that branch 7 renames'));
  if (b === 16) set(['src/d07/late.txt', ['a new file in the folder that branch 7 renames']]);
  if (b === 13) {
    for (let i = 0; i < 5; i++) changes.set(file(100 * i + 95), null);
    set([file(4995), state.get(file(4995)).filter((_, n) => n < 20 || n > 34)]);
  }
  if (b === 17) set(edited(state, file(95), 33, 'edits what branch 13 deletes'));
  return changes;
}

async function makeRepository(dir) {
  git(work, ['init', '-q', '--bare', '-b', 'main', dir]);
  const to = new Import(dir);
  const trunk = await makeTrunk(to);
  for (let b = 0; b < BRANCHES; b++) {
    const fork = trunk.merges[trunk.merges.length - 1 - ((b * 11) % BACK)];
    const changes = [...branchChanges(b, fork.state)];
    const half = Math.ceil(changes.length / 2);
    const first = await to.commit(`refs/heads/feature/${b}`, `feature ${b}, first`, [fork.tip], changes.slice(0, half));
    await to.commit(`refs/heads/feature/${b}`, `feature ${b}, second`, [first], changes.slice(half));
  }
  await to.end();
  git(dir, ['update-ref', '-d', 'refs/topic']);
  git(dir, ['repack', '-a', '-d', '-q']);
  git(dir, ['commit-graph', 'write', '--reachable', '--no-progress']);
}

// ---- the two sides ---------------------------------------------------------------------------------
function ours(names, tips, base, leaveOut) {
  const input = JSON.stringify({
    root: path.join(work, 'git'), app: 'bench', trunk: 'main', base, ...(leaveOut && { policy: 'skip' }),
    ticks: names.map((n) => ({ branch: n, tip: tips.get(n) })),
  });
  const r = spawnSync(driver, [], { input, encoding: 'utf8', env });
  if (r.status !== 0) throw new Error(`bench-merge: ${r.stderr}`);
  const answer = JSON.parse(r.stdout);
  if (!answer.reply.commit) throw new Error(`bench-merge: ${r.stdout}`);
  return { ms: answer.us / 1000, tree: answer.reply.tree, leftOut: answer.reply.out.map((row) => row.branch) };
}

const mergeSettings = ['-c', 'merge.renameLimit=7000', '-c', 'merge.directoryRenames=conflict', '-c', 'gc.auto=0'];
function theirs(tree, names, tips, base) {
  git(tree, ['reset', '-q', '--hard', base]);
  git(tree, ['clean', '-qfdx']);
  const leftOut = [];
  const start = process.hrtime.bigint();
  for (const name of names) {
    const r = git(tree, [...mergeSettings, 'merge', '-q', '--no-ff', '--no-edit', '-m', `merge ${name}`, tips.get(name)], { ok: [0, 1] });
    if (r.status === 0) continue;
    leftOut.push(name);
    git(tree, ['merge', '--abort']);
  }
  const ms = Number(process.hrtime.bigint() - start) / 1e6;
  return { ms, tree: line(tree, 'rev-parse', 'HEAD^{tree}'), leftOut };
}

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
function compare(label, names, tips, base, tree, leaveOut) {
  const mine = [], git1 = [];
  let same = true, a, b;
  for (let i = 0; i < options.rounds; i++) {
    a = ours(names, tips, base, leaveOut);
    b = theirs(tree, names, tips, base);
    mine.push(a.ms); git1.push(b.ms);
    if (a.tree !== b.tree || a.leftOut.join() !== b.leftOut.join()) {
      same = false;
      console.log(`DIFFERENT ${label}: trees ${a.tree} ${b.tree}; left out [${a.leftOut}] [${b.leftOut}]`);
    }
  }
  const ratio = median(git1) / median(mine);
  console.log(`${label}: ${names.length} branches, ${b.leftOut.length} left out; slipway ${median(mine).toFixed(0)} ms, `
    + `git merge ${median(git1).toFixed(0)} ms, ${ratio.toFixed(1)}x, same trees and refusals: ${same}`);
  return { ratio, same, leftOut: b.leftOut };
}

// ---- the facts -----------------------------------------------------------------------------------
function facts(names, tips, base, moved) {
  const ticks = (of) => names.map((n) => ({ branch: n, tip: of.get(n) }));
  const input = JSON.stringify({ root: path.join(work, 'git'), app: 'bench', trunk: 'main', base, facts: true, ticks: ticks(tips), moved: ticks(moved) });
  const r = spawnSync(driver, [], { input, encoding: 'utf8', env, maxBuffer: 1 << 26 });
  if (r.status !== 0) throw new Error(`bench-merge: ${r.stderr}`);
  return JSON.parse(r.stdout);
}

function pairsInTree(tree, names, tips) {
  const found = [];
  const start = process.hrtime.bigint();
  for (let i = 0; i < names.length; i++)
    for (let j = i + 1; j < names.length; j++) {
      git(tree, ['checkout', '-q', '-f', '--detach', tips.get(names[i])]);
      const r = git(tree, [...mergeSettings, 'merge', '-q', '--no-ff', '--no-edit', '-m', 'x', tips.get(names[j])], { ok: [0, 1] });
      if (r.status === 0) continue;
      found.push(`${names[i]} x ${names[j]}`);
      git(tree, ['merge', '--abort']);
    }
  return { ms: Number(process.hrtime.bigint() - start) / 1e6, found };
}

const pairsOf = (reply) => reply.pairs.map((pair) => `${pair.a} x ${pair.b}`);
const sameList = (a, b) => [...a].sort().join() === [...b].sort().join();

function compareFacts(dir, tree, names, tips, base) {
  // one push: the third branch gets a commit more
  git(tree, ['checkout', '-q', '-f', '--detach', tips.get(names[2])]);
  git(tree, ['commit', '-q', '--allow-empty', '-m', 'one more']);
  const next = line(tree, 'rev-parse', 'HEAD');
  git(tree, ['push', '-q', dir, `+${next}:refs/heads/pushed`]);
  const moved = new Map(tips).set(names[2], next);
  const cold = [], again = [];
  let last;
  for (let i = 0; i < options.rounds; i++) {
    last = facts(names, tips, base, moved);
    cold.push(last.us / 1000);
    again.push(last.again_us / 1000);
  }
  const peer = pairsInTree(tree, names, tips);
  const mine = pairsOf(last.reply);
  const same = sameList(mine, peer.found) && sameList(pairsOf(last.again), peer.found);
  const seen = !sameList(mine.slice(1), peer.found); // the comparison can fail
  const ratio = peer.ms / median(cold);
  console.log(`facts: ${names.length * (names.length - 1) / 2} pairs, ${mine.length} conflict; slipway cold ${median(cold).toFixed(0)} ms (${last.reply.merges} merges), `
    + `after a push ${median(again).toFixed(0)} ms (${last.again.merges} merges), git merge ${peer.ms.toFixed(0)} ms, ${ratio.toFixed(1)}x, same pairs: ${same}, a hidden one is seen: ${seen}`);
  if (!same) console.log(`DIFFERENT pairs: [${mine}] [${peer.found}]`);
  return { ratio, same: same && seen };
}

// ---- core meanwhile ------------------------------------------------------------------------------
const P99_MS = 20, ASK_EVERY_MS = 10;

const p99 = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length * 0.99)];

// What a page asks, every 10 ms, as long as `busy` runs; ms each.
async function asked(p, busy) {
  const times = [], open = new Set();
  let over = false;
  const done = busy().finally(() => { over = true; });
  for (let next = performance.now(); !over; next += ASK_EVERY_MS) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - performance.now())));
    const begin = performance.now();
    const one = request({ port: p.ports.api }, 'GET', '/api/v1/overview', { headers: { authorization: `Bearer ${p.api.token}` } })
      .then((reply) => { if (reply.status !== 200) throw new Error(String(reply.status)); times.push(performance.now() - begin); }).finally(() => open.delete(one));
    open.add(one);
  }
  await Promise.all(open);
  await done;
  return times;
}

// The saboteur: core does not run for 30 of every 300 ms, as if it merged itself.
async function sabotage(p, time) {
  const pid = p.pid('core');
  for (const end = performance.now() + time; performance.now() < end;) {
    process.kill(pid, 'SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, 30));
    process.kill(pid, 'SIGCONT');
    await new Promise((resolve) => setTimeout(resolve, 270));
  }
}

async function coreMeanwhile(dir, names) {
  const p = await platform({ settings: { log_level: 'info' } });
  try {
    await p.api.post('/apps', { name: 'bench' });
    const copy = path.join(p.dataDir, 'git', 'bench.git');
    const owner = spawnSync('/usr/bin/stat', ['-c', '%u:%g', copy], { encoding: 'utf8' }).stdout.trim();
    git(work, ['-c', 'safe.directory=*', '-c', 'protocol.file.allow=always', '-C', copy, 'fetch', '-q', dir, '+refs/heads/main:refs/heads/main', '+refs/heads/feature/*:refs/heads/feature/*']);
    git(work, ['-c', 'safe.directory=*', '-C', copy, 'commit-graph', 'write', '--reachable', '--no-progress']);
    spawnSync('/usr/bin/chown', ['-R', owner, copy]);
    await p.api.post('/apps/bench/envs/dev/ticks', { set: names });
    const idle = await asked(p, () => new Promise((resolve) => setTimeout(resolve, 4000)));
    let merges = 0;
    const merge = async () => {
      for (const end = performance.now() + 12_000; performance.now() < end; merges += 2) {
        // another set each time, so that nothing is remembered of it
        const some = names.filter((_, i) => (i + merges) % 7 !== 0);
        await Promise.all([
          p.api.post('/apps/bench/envs/dev/conflicts', { branches: some }),
          p.api.post('/apps/bench/envs/dev/plan', { kind: 'deploy', branches: some }).catch(() => {}), // no slipway.yaml: refused after the merge
        ]);
      }
    };
    const busy = await asked(p, merge);
    const spoilt = await asked(p, () => sabotage(p, 4000));
    const seen = p99(spoilt) > P99_MS;
    console.log(`core meanwhile: p99 ${p99(idle).toFixed(1)} ms when nothing is merged (n=${idle.length}), ${p99(busy).toFixed(1)} ms while ${merges} sets were (n=${busy.length}, most ${Math.max(...busy).toFixed(0)} ms); `
      + `a core that merges itself is seen: ${seen} (${p99(spoilt).toFixed(0)} ms)`);
    return { good: p99(busy) <= P99_MS && seen };
  } finally {
    await p.stop();
  }
}

let failed = true;
try {
  const dir = path.join(work, 'git', 'bench.git');
  if (!existsSync(dir)) {
    mkdirSync(path.join(work, 'git'), { recursive: true });
    console.log(`making a repository of ${FILES} files and ${options.commits} commits ...`);
    await makeRepository(dir);
  }
  const tree = path.join(work, 'tree');
  rmSync(tree, { recursive: true, force: true });
  git(work, ['clone', '-q', '--no-hardlinks', '-c', 'core.hooksPath=/dev/null', dir, tree]);
  git(tree, ['commit-graph', 'write', '--reachable', '--no-progress']);
  const base = line(dir, 'rev-parse', 'refs/heads/main');
  const names = Array.from({ length: BRANCHES }, (_, b) => `feature/${b}`);
  const tips = new Map(names.map((n) => [n, line(dir, 'rev-parse', `refs/heads/${n}`)]));
  const count = line(dir, 'rev-list', '--count', '--all');
  console.log(`${line(dir, 'ls-tree', '-r', '--name-only', 'main').split('\n').length} files, ${count} commits, ${line(dir, '--version')}`);
  const all = compare('all, conflicts left out', names, tips, base, tree, true);
  const cleanNames = names.filter((n) => !all.leftOut.includes(n));
  const clean = compare('the clean ones, from cold', cleanNames, tips, base, tree, false);
  const known = compareFacts(dir, tree, names, tips, base);
  const lowest = Math.min(all.ratio, clean.ratio, known.ratio);
  const core = await coreMeanwhile(dir, names);
  failed = !all.same || !clean.same || !known.same || !core.good || lowest < 4 || all.leftOut.length < 5;
  console.log(`ratio ${lowest.toFixed(1)}`);
} finally {
  if (!options.keep) rmSync(work, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
