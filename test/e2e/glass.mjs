// node glass.mjs < job.json
//
// Watches a live stream in the program's own player and reads the clock that is
// burnt into its pictures (see clockGraph in bench/live_glass.go): how long after a
// picture was made it comes on show. The job: {chromium, url, realTime, settle,
// seconds}; in real time the player is told to watch by WebRTC. The answer: {samples:
// milliseconds of each picture, stalls, shown: what the player says}.

import fs from 'node:fs';
import { launch } from './lib/chromium.mjs';

const job = JSON.parse(fs.readFileSync(0, 'utf8'));
const { browser, close } = await launch(job.chromium);
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 720 } });
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  await page.goto(job.url);
  await page.waitForFunction(() => document.querySelector('video')?.readyState >= 2, undefined, { timeout: 60_000 });
  await page.evaluate(() => document.querySelector('video').play());
  if (job.realTime) {
    await page.mouse.move(200, 200);
    await page.getByRole('button', { name: 'Delay', exact: false }).click();
    await page.getByRole('menuitemradio', { name: /^Real time/ }).click();
    await page.waitForFunction(() => {
      const video = document.querySelector('video');
      return video.srcObject !== null && video.readyState >= 2 && !video.paused;
    }, undefined, { timeout: 60_000 });
  }
  await new Promise((done) => setTimeout(done, job.settle * 1000));
  const found = await page.evaluate(measure, { seconds: job.seconds, wanted: Boolean(job.realTime) });
  fs.writeSync(1, JSON.stringify({ ...found, problems }));
} finally {
  await close();
}

/** measure reads the clock of each picture that is presented, for so many seconds. */
async function measure({ seconds, wanted }) {
  const video = document.querySelector('video');
  const canvas = new OffscreenCanvas(160, 90).getContext('2d', { willReadFrequently: true });
  const samples = [];
  let stalls = 0;
  video.addEventListener('waiting', () => stalls++);
  const end = performance.now() + seconds * 1000;
  await new Promise((done) => {
    const note = (now, { expectedDisplayTime }) => {
      canvas.drawImage(video, 0, 0, 160, 90);
      const { data } = canvas.getImageData(0, 0, 160, 90);
      let clock = 0;
      for (let bit = 0; bit < 16; bit++) if (data[4 * (10 * 160 + 10 * bit + 5) + 1] > 127) clock |= 1 << bit;
      // It is on show at the next refresh of the screen, not before.
      const at = performance.timeOrigin + Math.max(performance.now(), expectedDisplayTime);
      samples.push((((at - clock) % 65536) + 65536) % 65536);
      if (performance.now() < end) video.requestVideoFrameCallback(note);
      else done();
    };
    video.requestVideoFrameCallback(note);
    setTimeout(done, seconds * 1000 + 5000);
  });
  if (wanted !== (video.srcObject !== null)) throw new Error('the player has changed the way in which it watches');
  return { samples: samples.map(Math.round), stalls, shown: document.querySelector('.latency')?.textContent ?? '' };
}
