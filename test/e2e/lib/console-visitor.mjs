// Who goes through the story of console.mjs: by keyboard and mouse at a desk, by
// finger on a phone. Notices whatever goes wrong in the pages on the way.

import path from 'node:path';
import { words } from './console-words.mjs';
import { accessible, fits } from './page.mjs';

// How long one thing may take, in ms. It bounds the test, it judges nothing.
export const patience = 90_000;

const sizes = {
  desktop: { viewport: { width: 1280, height: 800 } },
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
};

export class Visitor {
  problems = [];

  static async enter(browser, job, site) {
    const visitor = new Visitor();
    const says = words[job.language];
    const context = await browser.newContext({ ...sizes[job.phone ? 'phone' : 'desktop'], locale: says.locale, colorScheme: job.theme });
    context.setDefaultTimeout(patience);
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: job.url });
    Object.assign(visitor, { job, site, says, phone: job.phone, context });
    visitor.watch();
    visitor.page = await context.newPage();
    // Playwright takes choosers from the browser only while somebody listens, and is late when asked just before.
    visitor.page.on('filechooser', () => undefined);
    return visitor;
  }

  /** attempt does a step and reports whether it came to its end. */
  async attempt(name, step) {
    try {
      await step(this);
      return true;
    } catch (error) {
      this.problems.push(`${name}: ${error.message}`);
      await this.page.screenshot({ path: this.file('failed') }).catch(() => undefined);
      return false;
    }
  }

  expect(what, holds) {
    if (!holds) this.problems.push(what);
  }

  /** look takes a picture and looks for what shuts people out or lies beyond the edge. */
  look = (name) => this.lookAt(this.page, name);

  async lookAt(page, name) {
    await settled(page);
    this.problems.push(...await accessible(page, name), ...(await fits(page)).map((p) => `${name}: ${p}`));
    await page.screenshot({ path: this.file(name) });
  }

  button = (name, within = this.page) => within.getByRole('button', { name, exact: typeof name === 'string' });

  press = (locator) => (this.phone ? locator.tap() : locator.click());

  /** tabTo goes on by the Tab key until the focus is where it should be. */
  async tabTo(locator) {
    for (let i = 0; i < 60; i++) {
      await this.page.keyboard.press('Tab');
      if (await locator.evaluateAll((all) => all.includes(document.activeElement))) return;
    }
    throw new Error(`Tab does not reach ${locator}`);
  }

  /** to goes to a page of the console by its navigation. */
  async to(section) {
    const { page, says } = this;
    if (this.phone && ['usage', 'nodes', 'webhooks', 'keys', 'tenants'].includes(section)) await this.press(this.button(says.more, page.getByRole('navigation')));
    await this.press(page.getByRole('link', { name: says[section], exact: true }).filter({ visible: true }).first());
    await page.getByRole('heading', { level: 1, name: says[section] }).waitFor();
  }

  dialog = () => this.page.getByRole('dialog');

  /** copied is what the console has put into the clipboard by the button Copy for what. */
  async copied(what) {
    await this.page.evaluate(() => navigator.clipboard.writeText(''));
    await this.press(this.button(new RegExp(`^${this.says.copy}: .*${what}`)));
    await this.page.waitForFunction(async () => (await navigator.clipboard.readText()) !== '');
    return this.page.evaluate(() => navigator.clipboard.readText());
  }

  /** api asks the server from outside of the browser. */
  api = (place, key = this.job.key) => fetch(new URL(place, this.job.url), { headers: { Authorization: `Bearer ${key}` } });

  file = (name) => path.join(this.job.screenshots, `${this.job.name}-${name}.png`);

  watch() {
    const { context, problems } = this;
    context.on('weberror', (e) => problems.push(`page: ${e.error().message}`));
    context.on('console', (m) => m.type() === 'error' && problems.push(`console: ${m.text()} ${m.location().url}`));
    context.on('response', (r) => r.status() >= 400 && problems.push(`HTTP ${r.status()} ${r.request().method()} ${r.url()}`));
    // A page that goes away, or a player that seeks, ends its own requests.
    context.on('requestfailed', (r) => r.failure().errorText !== 'net::ERR_ABORTED' && problems.push(`${r.failure().errorText} ${r.url()}`));
  }
}

/** settled waits until nothing moves: half-clear text has no contrast. */
async function settled(page) {
  await page.evaluate(() => Promise.allSettled(
    document.getAnimations().filter((a) => Number.isFinite(a.effect.getComputedTiming().endTime)).map((a) => a.finished),
  ));
}

/** until waits for something outside of the browser. */
export async function until(what, holds) {
  for (const end = Date.now() + patience; ; ) {
    const found = await holds();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}
