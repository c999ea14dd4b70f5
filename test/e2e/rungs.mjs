// node rungs.mjs < job.json
//
// Two viewers of a live stream have chosen a rendition, one by HLS and one by DASH, while
// that is left out, because it shows no more than the next smaller one, and comes back.
// The job: {chromium, ffmpeg, url, key}. The answer: {problems: [...], viewers: [{delivery,
// heights, still: seconds that it stood still at most}]}.

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { launch } from './lib/chromium.mjs';

const job = JSON.parse(fs.readFileSync(0, 'utf8'));
const patience = 60_000; // bounds the test, judges nothing
const blurred = 38; // seconds until the picture has detail
const length = 56;
const problems = [];

async function ask(method, path, body) {
  const response = await fetch(job.url + path, {
    method, headers: { Authorization: `Bearer ${job.key}`, 'Content-Type': 'application/json' }, body: body && JSON.stringify(body),
  });
  return response.json();
}

/** A viewer opens the player, and chooses 480p. */
async function open(browser, stream, delivery) {
  const page = await browser.newPage({ viewport: { width: 960, height: 600 } });
  page.setDefaultTimeout(patience);
  page.on('pageerror', (error) => problems.push(`${delivery}: the page threw ${error}`));
  await page.goto(`${job.url}${stream.playback.embed}?delivery=${delivery}`);
  await page.waitForFunction(() => document.querySelector('video')?.readyState >= 2);
  await page.evaluate(() => {
    const video = document.querySelector('video');
    video.muted = true;
    return video.play();
  });
  await page.mouse.move(400, 300);
  await page.getByRole('button', { name: /quality/i }).first().click();
  await page.getByRole('menuitemradio', { name: /480p/ }).first().click();
  await page.waitForFunction(() => document.querySelector('video').videoHeight === 480);
  return page;
}

/** watch notes how high the picture is, and for how long it stands still, until a time. */
async function watch(page, until) {
  return page.evaluate(async (until) => {
    const video = document.querySelector('video');
    const heights = [];
    let at = video.currentTime, since = Date.now(), still = 0;
    while (Date.now() < until) {
      await new Promise((done) => setTimeout(done, 100));
      if (heights.at(-1) !== video.videoHeight) heights.push(video.videoHeight);
      if (video.currentTime !== at) [at, since] = [video.currentTime, Date.now()];
      still = Math.max(still, (Date.now() - since) / 1000);
    }
    return { heights, still };
  }, until);
}

const stream = await ask('POST', '/v1/streams', { name: 'Slides', ladder: ['480p', '360p'] });
// Made before, so that sending it takes next to nothing of the machine.
const film = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'rungs-')), 'film.flv');
execFileSync(job.ffmpeg, [
  '-nostdin', '-v', 'error', '-f', 'lavfi', '-i', 'testsrc2=size=960x540:rate=15', '-t', String(length + 30), '-vf', `gblur=sigma=12:enable='lt(t,${blurred})'`,
  '-c:v', 'libx264', '-preset', 'ultrafast', '-g', '30', '-pix_fmt', 'yuv420p', '-b:v', '2M', '-an', film,
]);
const begun = Date.now();
const encoder = spawn(job.ffmpeg, ['-nostdin', '-v', 'error', '-re', '-i', film, '-c', 'copy', '-f', 'flv', `${stream.ingest.rtmp.url}/${stream.ingest.rtmp.key}`], { stdio: 'ignore' });
const { browser, close } = await launch(job.chromium);
try {
  for (const end = Date.now() + patience; (await ask('GET', `/v1/streams/${stream.id}`)).status !== 'live' && Date.now() < end; ) {
    await new Promise((done) => setTimeout(done, 200));
  }
  const deliveries = ['hls', 'dash'];
  const pages = await Promise.all(deliveries.map((delivery) => open(browser, stream, delivery)));
  const seen = await Promise.all(pages.map((page) => watch(page, begun + length * 1000)));
  const viewers = seen.map((s, i) => ({ delivery: deliveries[i], ...s }));
  fs.writeSync(1, JSON.stringify({ problems, viewers }));
} finally {
  encoder.kill('SIGKILL');
  fs.rmSync(path.dirname(film), { recursive: true });
  await close();
}
