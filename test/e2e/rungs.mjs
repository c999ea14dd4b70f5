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
const patience = 180_000; // bounds the test, judges nothing
const blurred = 45; // seconds without detail, of
const length = 60; // each time that the film is sent
const problems = [];

const pause = (time) => new Promise((done) => setTimeout(done, time));

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

/** watch notes from now on how high the picture is, and for how long it stands still. */
async function watch(page) {
  await page.evaluate(() => {
    const video = document.querySelector('video');
    const seen = (window.seen = { heights: [], still: 0 });
    let at = video.currentTime, since = Date.now();
    setInterval(() => {
      if (seen.heights.at(-1) !== video.videoHeight) seen.heights.push(video.videoHeight);
      if (video.currentTime !== at) [at, since] = [video.currentTime, Date.now()];
      seen.still = Math.max(seen.still, (Date.now() - since) / 1000);
    }, 100);
  });
}

/** until waits until 480p is in a state. */
async function until(state) {
  for (const end = Date.now() + patience; Date.now() < end; ) {
    const { health } = await ask('GET', `/v1/streams/${stream.id}`);
    if (health?.rungs.find((rung) => rung.name === '480p')?.state === state) return;
    await pause(200);
  }
  throw new Error(`480p is not ${state}`);
}

const stream = await ask('POST', '/v1/streams', { name: 'Slides', ladder: ['480p', '360p'] });
// Made before, so that sending it takes next to nothing of the machine.
const film = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'rungs-')), 'film.flv');
execFileSync(job.ffmpeg, [
  '-nostdin', '-v', 'error', '-f', 'lavfi', '-i', 'testsrc2=size=960x540:rate=10', '-t', String(length), '-vf', `gblur=sigma=12:enable='lt(t,${blurred})'`,
  '-c:v', 'libx264', '-preset', 'ultrafast', '-g', '20', '-pix_fmt', 'yuv420p', '-b:v', '2M', '-an', film,
]);
const encoder = spawn(job.ffmpeg, ['-nostdin', '-v', 'error', '-re', '-stream_loop', '-1', '-i', film, '-c', 'copy', '-f', 'flv', `${stream.ingest.rtmp.url}/${stream.ingest.rtmp.key}`], { stdio: 'ignore' });
const { browser, close } = await launch(job.chromium);
try {
  await until('made');
  const deliveries = ['hls', 'dash'];
  const pages = await Promise.all(deliveries.map((delivery) => open(browser, stream, delivery)));
  await Promise.all(pages.map(watch));
  await until('spare');
  await until('made');
  const heights = (page) => page.evaluate(() => window.seen.heights);
  const back = async (page) => (await heights(page)).length > 1 && (await heights(page)).at(-1) === 480;
  for (const end = Date.now() + 20_000; !(await Promise.all(pages.map(back))).every(Boolean) && Date.now() < end; ) await pause(200);
  await pause(3000); // whether they go on
  const viewers = await Promise.all(pages.map(async (page, i) => ({ delivery: deliveries[i], ...(await page.evaluate(() => window.seen)) })));
  fs.writeSync(1, JSON.stringify({ problems, viewers }));
} finally {
  encoder.kill('SIGKILL');
  fs.rmSync(path.dirname(film), { recursive: true });
  await close();
}
