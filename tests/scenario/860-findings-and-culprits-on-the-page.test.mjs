// A tester files what is wrong and tries it again when the page says that it is there; a build that fails is asked for its
// culprits by one click.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { browser, platform } from '../lib/index.mjs';

const CHECK = `echo 1..1 >report.tap
if [ -e broken ]; then echo "not ok 1 - broken" >>report.tap; exit 1; fi
echo "ok 1 - works" >>report.tap
`;
const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');
let p, b, web, page, tester;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { files: { 'check.sh': CHECK } });
    await web.change('feature/broken', { broken: 'yes\n' });
    await web.ticks('test', 'feature/a', 'feature/b');
    await web.deploy('test');
    b = await browser(p);
    page = await b.person('wang', 'ops');
    tester = await b.person('vera', 'viewer', { locale: 'zh-CN' });
});
after(async () => {
    await b?.close();
    await p?.stop();
});

test('a tester files a finding, in Chinese, and it is in the list', async () => {
    await b.go(tester, '/apps/web');
    await tester.getByRole('link', { name: '缺陷' }).click();
    await tester.getByText('没有缺陷').waitFor();
    await tester.getByRole('button', { name: '提交缺陷' }).click();
    const dialog = tester.locator('dialog');
    await dialog.getByLabel('标题').fill('价格不对');
    await dialog.getByLabel('环境').selectOption('test');
    await dialog.getByLabel('严重程度').selectOption('high');
    await dialog.getByLabel('所在文件').fill('a.txt');
    await dialog.getByRole('button', { name: '查找相关分支' }).click();
    await dialog.getByRole('button', { name: 'feature/a' }).click();
    await dialog.locator('input[type=file]').setInputFiles({ name: '首页.png', mimeType: 'image/png', buffer: PNG });
    await dialog.getByLabel('操作步骤').fill('打开首页\n会员价显示为 0');
    await b.picture(tester, 'finding-file.zh');
    await dialog.getByRole('button', { name: '提交缺陷' }).click();
    await tester.getByRole('button', { name: '#1 价格不对' }).click();
    await tester.getByAltText('vera 提交的截图').waitFor();
    await b.picture(tester, 'finding.zh', { full: true });
    assert.equal((await p.api.get('/apps/web/findings/1')).branch, 'feature/a');
});

test('from the lines of a log to a finding, and back to them', async () => {
    await b.go(tester, '/apps/web/test/logs');
    await tester.getByRole('link', { name: '提交缺陷' }).click();
    const dialog = tester.locator('dialog');
    await dialog.getByLabel('标题').fill('日志里有错误');
    await dialog.getByRole('link', { name: '相关日志' }).waitFor();
    await dialog.getByRole('button', { name: '提交缺陷' }).click();
    await tester.getByRole('button', { name: '#2 日志里有错误' }).click();
    await tester.getByRole('link', { name: '相关日志' }).click();
    await tester.getByRole('button', { name: '查看最新日志' }).waitFor();
    assert.match(tester.url(), /until=\d+/);
    await p.api.post('/apps/web/findings/2', { act: 'close' });
    await b.go(tester, '/apps/web/findings');
});

test('fixed, released, tried again: the page says what it waits for without a reload', async () => {
    await b.go(page, '/apps/web/findings');
    await page.getByRole('button', { name: '#1 价格不对' }).click();
    await page.getByText('会员价显示为 0').waitFor();
    await web.change('feature/a', { 'a.txt': 'mended\n' }, 'mend it');
    await page.getByLabel('A word about it').fill('mended');
    await page.getByRole('button', { name: 'Fixed', exact: true }).click();
    await page.getByText('new commits not deployed').waitFor();
    await b.picture(page, 'findings', { full: true });
    await web.deploy('test');
    await tester.getByText('已部署，请复测').waitFor();
    await b.go(tester, '/');
    await tester.getByText('缺陷 1 可复测').waitFor();
    await b.go(tester, '/apps/web/findings');
    await tester.getByRole('button', { name: '#1 价格不对' }).click();
    await tester.getByRole('button', { name: '关闭', exact: true }).click();
    await tester.getByText('没有缺陷').waitFor();
    await tester.getByLabel('状态').selectOption('closed');
    await tester.getByRole('button', { name: '#1 价格不对' }).waitFor();
});

test('one click on a build that failed finds who it is', async () => {
    await web.ticks('dev', 'feature/a', 'feature/broken', 'feature/b');
    const build = await web.build('dev', { expect: 'failed' });
    await b.go(page, `/apps/web/dev/builds/${build.number}`);
    await page.getByRole('button', { name: 'Find the culprits' }).click();
    await page.locator('dialog').getByRole('button', { name: 'Find the culprits' }).click();
    await page.getByText('It fails because of feature/broken').waitFor();
    await page.getByText('trunk alone').waitFor();
    await b.picture(page, 'culprits', { full: true });
    b.assertClean();
});
