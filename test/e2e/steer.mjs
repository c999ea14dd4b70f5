// node steer.mjs < job.json
//
// Plays films whose server dies, in one Chromium. The job: {chromium, lab: address of the
// lab page, lanes, checks: [{name, player, url, kill, to}]}, where a POST to kill ends the
// server that the player is on, and to is a time that is not loaded then, to which it is
// sent; with 0 it plays on, and two seconds are loaded when the server ends. The player is one of the lab's, or "page" for a page of ours at url. The answer, a
// line for each: {name, problems, gap: seconds until pictures of that time move, or
// the longest in which they do not}.

import fs from 'node:fs';
import { launch } from './lib/chromium.mjs';

const job = JSON.parse(fs.readFileSync(0, 'utf8'));
const { browser, close } = await launch(job.chromium);
try {
  const left = job.checks.values();
  const lane = async () => {
    for (const check of left) fs.writeSync(1, `${JSON.stringify(await one(check))}\n`);
  };
  await Promise.all(Array.from({ length: job.lanes }, lane));
} finally {
  await close();
}

async function one({ name, player, url, kill, to }) {
  const page = await browser.newPage({ viewport: { width: 640, height: 480 } });
  const problems = [];
  page.on('pageerror', (error) => problems.push(`page: ${error.message}`));
  try {
    await page.goto(player === 'page' ? url : job.lab, { waitUntil: 'load' });
    if (player !== 'page') {
      await page.waitForFunction(() => window.lab !== undefined);
      await page.evaluate(([player, url]) => window.lab.open(player, url, 4), [player, url]);
    }
    return { name, problems, gap: await page.evaluate(play, [kill, to]) };
  } catch (error) {
    return { name, problems: [...problems, String(error.message).split('\n', 1)[0]] };
  } finally {
    await page.close();
  }
}

/** Runs in the page: plays, has the server ended, goes on elsewhere in the film, and looks. */
async function play([kill, to]) {
  const until = async (what, check, seconds) => {
    for (const end = performance.now() + seconds * 1000; !check();) {
      if (performance.now() > end) throw new Error(`${what}: not within ${seconds} s`);
      await new Promise((done) => setTimeout(done, 20));
    }
  };
  const video = () => document.querySelector('video');
  await until('a picture', () => video()?.readyState >= 2, 30);
  video().muted = true;
  video().play();
  await until('playback', () => video().currentTime > 0.3, 30);
  const ahead = () => Math.max(0, ...[...Array(video().buffered.length).keys()].map((i) => video().buffered.end(i) - video().currentTime));
  if (to === 0) await until('two seconds loaded', () => ahead() > 2 && ahead() < 2.5, 30);
  const begun = performance.now();
  await fetch(kill, { method: 'POST' });
  if (to === 0) {
    let gap = 0;
    for (let [moved, at] = [begun, video().currentTime]; performance.now() < begun + 15000;) {
      await new Promise((done) => setTimeout(done, 20));
      if (video().currentTime > at) [moved, at] = [performance.now(), video().currentTime];
      gap = Math.max(gap, performance.now() - moved);
    }
    return gap / 1000;
  }
  video().currentTime = to;
  await until('playback from another server', () => video().currentTime > to + 0.1, 30);
  return (performance.now() - begun) / 1000 - 0.1;
}
