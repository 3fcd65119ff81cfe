// Every word of words.ts is said somewhere: by its name, or with others of its kind by a name from the server.
import { readdirSync, readFileSync } from 'node:fs';

const byKind = /^(stage|phase|policy|automation|landing|resolution|culprit|search|finding|findings|note|severity|forge|origin|hook|try|kind|rollout|step|build|instance|health|perm|error|theme|submit|secretKind)\./;
const texts = readdirSync('src', { recursive: true }).filter((name) => /\.tsx?$/.test(name) && name !== 'words.ts').map((name) => readFileSync(`src/${name}`, 'utf8')).join('\n');
const names = [...readFileSync('src/words.ts', 'utf8').matchAll(/^ {4}'([^']+)': \[/gm)].map((match) => match[1]);
const unused = names.filter((name) => !texts.includes(`'${name}'`) && !(byKind.test(name) && texts.includes(`'${name.split('.')[0]}'`)) && !texts.includes(`\`${name.split('.')[0]}.\${`));
if (unused.length)
    throw new Error(`words that nobody says: ${unused.join(', ')}`);
