// node soak.mjs < job.json
//
// Watches a live stream in several players at once, each in a Chromium of its own, for
// some seconds. The job: {chromium, lab: address of lab/live.html, players: {name:
// address of a manifest}, seconds}. It says "playing" on a line when all of them play
// and answers on the next: {name: what window.live.state() says, with how much of the
// time passed on the screen}.

import fs from 'node:fs';
import { launch } from './lib/chromium.mjs';

const patience = 120_000;
const job = JSON.parse(fs.readFileSync(0, 'utf8'));
const watching = [];
try {
  for (const [player, url] of Object.entries(job.players)) {
    const { browser, close } = await launch(job.chromium);
    const page = await browser.newPage({ viewport: { width: 640, height: 360 } });
    watching.push({ player, page, close });
    await page.goto(job.lab);
    await page.waitForFunction(() => window.live !== undefined);
    await page.evaluate(([player, url]) => window.live.open(player, url), [player, url]);
  }
  for (const { player, page } of watching) {
    await page.waitForFunction(() => window.live.state().playing, undefined, { timeout: patience }).catch(async () => {
      throw new Error(`${player} does not play: ${JSON.stringify(await page.evaluate(() => window.live.state()))}`);
    });
  }
  const states = () => Promise.all(watching.map(({ page }) => page.evaluate(() => window.live.state())));
  const before = await states();
  fs.writeSync(1, 'playing\n');
  const begun = performance.now();
  await new Promise((done) => setTimeout(done, job.seconds * 1000));
  const after = await states();
  const wall = (performance.now() - begun) / 1000;
  fs.writeSync(1, JSON.stringify(Object.fromEntries(watching.map(({ player }, i) =>
    [player, { ...after[i], seconds: wall, progress: after[i].at - before[i].at }]))));
} finally {
  for (const { close } of watching) await close();
}
