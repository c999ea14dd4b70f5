// node report.mjs < job.json
//
// Reads a comparison page as a person would, from the disk and without a network:
// moves the divider by keyboard and by pointer, changes pictures and language,
// prints it. The job: {chromium, page, screenshots: folder}. The answer:
// {problems: [...]}.

import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { launch } from './lib/chromium.mjs';

const job = JSON.parse(fs.readFileSync(0, 'utf8'));
const problems = [];
const expect = (so, what) => so || problems.push(what);

/** slide moves the divider of the first moment, and says where it is after each. */
async function slide(page) {
  const range = page.locator('.moment input[type=range]').first();
  const at = async () => Number(await range.inputValue());
  const seen = async () => page.locator('.moment .divider').first().evaluate((d) => {
    const pair = d.parentElement.getBoundingClientRect();
    const line = d.getBoundingClientRect();
    return Math.round((100 * (line.left + line.width / 2 - pair.left)) / pair.width);
  });
  await range.focus();
  for (const [key, want] of [['ArrowRight', 51], ['ArrowLeft', 50], ['Home', 0], ['End', 100], ['PageDown', 90]]) {
    await page.keyboard.press(key);
    const [value, shown] = [await at(), await seen()];
    expect(value === want && Math.abs(shown - want) <= 1, `${key}: the divider is at ${value}, drawn at ${shown}, want ${want}`);
  }
  // hover waits until the page stands still, which it may not after it was photographed.
  const pair = page.locator('.moment .pair').first();
  const { width, height } = await pair.boundingBox();
  await pair.hover({ position: { x: width * 0.8, y: height / 2 } });
  await page.mouse.down();
  const box = await pair.boundingBox();
  await page.mouse.move(box.x + width * 0.3, box.y + height / 2, { steps: 4 });
  await page.mouse.up();
  expect(Math.abs(await at() - 30) <= 1, `dragged to 30, the divider is at ${await at()}`);
}

/** choose shows another picture at the right. */
async function choose(page) {
  const moment = page.locator('.moment').first();
  const options = await moment.locator('select[data-side=right] option').evaluateAll((all) => all.map((o) => o.value));
  await moment.locator('select[data-side=right]').selectOption(options.at(-1));
  const shown = await moment.locator('.layer:visible').evaluateAll((all) => all.map((l) => l.dataset.of));
  expect(shown.join() === `0,${options.at(-1)}`, `pictures ${shown} are shown, want the reference and ${options.at(-1)}`);
  const loaded = await moment.locator('img').evaluateAll((all) => all.every((i) => i.complete && i.naturalWidth > 0));
  expect(loaded, 'a picture is broken');
}

const { browser, close } = await launch(job.chromium);
try {
  for (const [name, width, colorScheme, locale] of [['desktop', 1180, 'light', 'en-US'], ['phone', 390, 'dark', 'zh-CN']]) {
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, locale, offline: true, deviceScaleFactor: name === 'phone' ? 2 : 1 });
    const page = await context.newPage();
    page.on('request', (r) => expect(/^(file|data):/.test(r.url()), `${name}: it asks for ${r.url()}`));
    page.on('console', (m) => ['error', 'warning'].includes(m.type()) && problems.push(`${name}: ${m.text()}`));
    page.on('pageerror', (e) => problems.push(`${name}: ${e.message}`));
    await page.goto(pathToFileURL(job.page).href);
    const other = await page.locator(locale === 'en-US' ? '.zh:visible' : '.en:visible').count();
    expect(other === 0, `${name}: ${other} words are in the other language`);
    await page.screenshot({ path: path.join(job.screenshots, `report-${name}.png`), fullPage: true });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(wide <= 0, `${name}: the page is ${wide} pixels too wide`);
    await slide(page);
    await choose(page);
    await page.getByRole('button', { name: locale === 'en-US' ? '中文' : 'English' }).click();
    expect(await page.getByRole('heading', { name: locale === 'en-US' ? '最差画面' : 'Worst frames' }).isVisible(), `${name}: the language did not change`);
    await page.emulateMedia({ media: 'print' });
    const printed = await page.locator('.moment').first().locator('.layer:visible').count();
    expect(printed === 2 && !await page.locator('.picks').first().isVisible(), `${name}: ${printed} pictures are printed`);
    await context.close();
  }
} finally {
  await close();
}
fs.writeSync(1, JSON.stringify({ problems }));
