// The console in Debian's Chromium, as a person uses it: by what stands on the page. A page that logs an error, asks
// another origin for anything, or breaks its own policy fails the test. Pictures go to build-pictures/.
//
//     const b = await browser(p);
//     after(() => b.close());
//     const page = await b.person('li', 'developer');            // signed in
//     await page.getByRole('link', { name: 'Submit' }).click();
//     await b.picture(page, 'submit');                           // and axe-core finds nothing serious on it
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { ROOT as root } from './paths.mjs';

const PICTURES = `${root}/build-pictures`;
const PASSWORD = 'correct horse battery staple';
const program = '/usr/bin/chromium-headless-shell';
const packages = createRequire(`${root}/web/package.json`);

// For app(): a build that says something, so that pictures show what a build looks like.
const SAYS = ['> shop@1.4.0 build', '> compile && check', '', '\x1b[36mcompiling\x1b[0m 42 files', '\x1b[33mwarning\x1b[0m lib/price.js:17: the parameter "rate" is never used', '\x1b[32m✓\x1b[0m lib/cart', '\x1b[32m✓\x1b[0m lib/price',
    '\x1b[32m✓\x1b[0m lib/coupon', '', '\x1b[1m3 of 3 modules are good\x1b[0m'];
export const talkative = {
    files: { 'says.txt': `${SAYS.join('\n')}\n` },
    yaml: (text) => text.replace('  steps:\n', '  steps:\n    - {name: install, run: [cat, says.txt]}\n'),
};

// options: locale ('en-US'), width and height (a laptop's)
export async function browser(p, { locale = 'en-US', width = 1440, height = 900 } = {}) {
    const { chromium } = packages('playwright-core');
    if (!existsSync(program))
        throw new Error('there is no Chromium: tools/deps browser');
    const process = await chromium.launch({ executablePath: program, args: ['--no-sandbox', '--host-resolver-rules=MAP *.localhost 127.0.0.1'] });
    return new Browser(p, process, { locale, viewport: { width, height }, timezoneId: 'Asia/Shanghai', reducedMotion: 'reduce' });
}

class Browser {
    #p;
    #process;
    #options;
    #wrong = [];

    constructor(p, process, options) {
        this.#p = p;
        this.#process = process;
        this.#options = options;
        this.url = `http://127.0.0.1:${p.ports.api}`;
    }

    // A window of its own, with cookies of its own.
    async window(options = {}) {
        const context = await this.#process.newContext({ ...this.#options, ...options });
        const page = await context.newPage();
        page.setDefaultTimeout(20_000);
        page.on('pageerror', (error) => this.#wrong.push(error.stack ?? String(error)));
        page.on('console', (message) => {
            // a status that the page expects is no error of the page
            if (message.type() === 'error' && !/Failed to load resource/.test(message.text()))
                this.#wrong.push(message.text());
        });
        page.on('request', (request) => {
            const url = new URL(request.url());
            if (url.protocol !== 'data:' && url.origin !== this.url)
                this.#wrong.push(`asked for ${request.url()}`);
        });
        await page.addInitScript(() => document.addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)));
        return page;
    }

    // Somebody new with a role, in a window of theirs, signed in through their link.
    async person(name, role, options) {
        const { link } = await this.#p.root.post('/users', { name, ...(role ? { role } : {}) });
        const page = await this.window(options);
        await page.goto(`${this.url}/setup/${link}`);
        await page.locator('input[name=password]').fill(PASSWORD);
        await page.locator('button[type=submit]').click();
        await page.locator('header.top').waitFor();
        return page;
    }

    async go(page, path) {
        await page.goto(this.url + path);
        await page.locator('main').waitFor();
    }

    // The page as it is now, kept; and nothing on it that keeps people out.
    async picture(page, name, { axe = true, full = false } = {}) {
        mkdirSync(PICTURES, { recursive: true });
        await page.screenshot({ path: `${PICTURES}/${name}.png`, fullPage: full });
        if (axe)
            await this.accessible(page, name);
    }

    async accessible(page, name) {
        const debug = await page.context().newCDPSession(page); // a script of the page's own is not let in
        await debug.send('Runtime.evaluate', { expression: readFileSync(packages.resolve('axe-core/axe.min.js'), 'utf8') });
        await debug.detach();
        const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
        const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
            .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html} (${failureSummary})`).join(' | ')}`);
        assert.deepEqual(serious, [], name);
    }

    // What went wrong on any page up to now.
    assertClean() {
        assert.deepEqual(this.#wrong, []);
    }

    async close() {
        await this.#process.close();
    }
}
