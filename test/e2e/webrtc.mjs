// node webrtc.mjs < job.json
//
// A stream by WebRTC, with a browser at both ends: a page publishes a clock by WHIP,
// in two sizes at once, another watches it by WHEP, and the embedded player in the
// usual way and in real time. Then a person goes live from the console, and an encoder
// sends what WebRTC cannot carry. The job: {chromium, ffmpeg, url, key}. The answer:
// {problems: [...], delay: {p50, p95} from the drawing of the clock to its picture at the viewer
// in milliseconds, begins: milliseconds from the offer to the first picture, height,
// narrow: [{rate in Mb/s, 0 for as much as there is, height, seconds, lost packets}]}.

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { launch } from './lib/chromium.mjs';
import { Line } from './lib/line.mjs';
import { accept, offer, publish, watch } from './lib/webrtc.mjs';

const patience = 60_000; // bounds the test, judges nothing
const job = JSON.parse(fs.readFileSync(0, 'utf8'));
const problems = [];
const answer = { problems, narrow: [] };
const { browser, close } = await launch(job.chromium, ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream']);
// Another origin than the server's: what pages elsewhere may do is tested as well.
const elsewhere = http.createServer((_, response) => response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>elsewhere</title>'));
await new Promise((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
const origin = `http://127.0.0.1:${elsewhere.address().port}/`;

async function open(context, address = origin) {
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  page.on('pageerror', (error) => problems.push(`a page threw ${error}`));
  await page.goto(address);
  return page;
}

async function ask(method, path, body) {
  const response = await fetch(job.url + path, {
    method, headers: { Authorization: `Bearer ${job.key}`, 'Content-Type': 'application/json' }, body: body && JSON.stringify(body),
  });
  return response.json();
}

async function until(what, look, time = patience) {
  for (const end = Date.now() + time; Date.now() < end; ) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`${what} did not come about`);
}

/** What a browser publishes, another one watches. */
async function browsers() {
  const stream = await ask('POST', '/v1/streams', { name: 'By a browser' });
  const whip = new URL(stream.ingest.whip.url, job.url).href;
  const whep = new URL(stream.playback.whep, job.url).href;
  const sender = await open(context);

  const refused = await sender.evaluate(publish, { url: whip, key: 'lys_wrong' });
  if (refused.status !== 403) problems.push(`a wrong key is answered with ${refused.status}`);
  const published = await sender.evaluate(publish, { url: whip, key: stream.ingest.rtmp.key, clock: true });
  if (published.status !== 201 || published.state !== 'connected') problems.push(`to publish: ${JSON.stringify(published)}`);
  const health = await until('the stream', async () => {
    const now = await ask('GET', `/v1/streams/${stream.id}`);
    return now.status === 'live' && now.health?.height === 360 && now.health.audio_codec !== '' && now.health;
  });
  if (!/^Mozilla/.test(health.encoder)) problems.push(`the encoder calls itself ${health.encoder}`);

  const viewer = await open(context);
  const seen = await viewer.evaluate(watch, { url: whep, pictures: 150 });
  if (seen.status !== 201) problems.push(`to watch: ${JSON.stringify(seen)}`);
  Object.assign(answer, { delay: seen.delay, begins: seen.begins, height: seen.height });
  if (seen.height !== 360) problems.push(`the largest layer has 360 lines, the viewer gets ${seen.height}`);
  if (seen.backwards > 0) problems.push(`the clock went back ${seen.backwards} times`);
  if (!(seen.sound > 0)) problems.push('no sound came');
  await viewer.evaluate(() => window.leave());

  // The embedded player: usual, then in real time, and back when that ends.
  const embed = await open(context, `${job.url}/embed/${stream.id}`);
  const plays = (realTime) => embed.waitForFunction((realTime) => {
    const video = document.querySelector('video');
    return video && (video.srcObject !== null) === realTime && !video.paused && video.readyState >= 2 && video.currentTime > 0.5;
  }, realTime);
  await embed.evaluate(() => undefined);
  await embed.waitForFunction(() => document.querySelector('video')?.readyState >= 2);
  await embed.evaluate(() => document.querySelector('video').play());
  await plays(false);
  const choose = async (item) => {
    await embed.mouse.move(200, 200 + Math.random() * 50);
    await embed.getByRole('button', { name: 'Delay', exact: false }).click();
    await embed.getByRole('menuitemradio', { name: item }).click();
  };
  await choose(/^Real time/);
  await plays(true);
  await choose(/^Usual/);
  await plays(false);

  await sender.evaluate(() => window.leave());
  await until('the end of the publisher', async () => (await ask('GET', `/v1/streams/${stream.id}`)).status !== 'live');
}

/** A person goes live from the console, first with a wrong key. */
async function fromTheConsole() {
  const stream = await ask('POST', '/v1/streams', { name: 'From the console' });
  const page = await open(context, `${job.url}/console/`);
  await page.getByLabel('API key').fill(job.key);
  await page.keyboard.press('Enter');
  await page.getByText('Your first video').waitFor();
  await page.goto(`${job.url}/console/streams/${stream.id}`);
  await page.getByRole('button', { name: 'Go live from this browser' }).click();
  const part = page.getByRole('region', { name: 'Go live from this browser' });
  await part.getByLabel('Size').selectOption({ label: '480p' });
  await part.getByRole('button', { name: 'Show me first' }).click();
  await page.waitForFunction(() => document.querySelector('video[aria-label="What you send"]')?.videoHeight === 480);
  await part.getByLabel('Stream key').fill('lys_wrong');
  await part.getByRole('button', { name: 'Go live' }).click();
  await part.getByRole('alert').getByText('The stream key is not good.').waitFor();
  await part.getByLabel('Stream key').fill(stream.ingest.rtmp.key);
  await part.getByRole('button', { name: 'Go live' }).click();
  await part.getByText(/^Live, [\d.]+ [kM]b\/s$/).waitFor();
  await until('the picture of the camera', async () => {
    const now = await ask('GET', `/v1/streams/${stream.id}`);
    return now.status === 'live' && now.health?.height === 480 && now.health.audio_codec !== '';
  });
  await part.getByRole('button', { name: 'End' }).click();
  await part.getByText('Ready').waitFor();
  await until('the end of the broadcast', async () => (await ask('GET', `/v1/streams/${stream.id}`)).status !== 'live');
  await page.close();
}

/** An encoder sends B-frames and AAC: that is refused, and carried where there is a ladder. */
async function fromAnEncoder(ladder) {
  const stream = await ask('POST', '/v1/streams', { name: 'By an encoder', ladder });
  const whep = new URL(stream.playback.whep, job.url).href;
  const encoder = spawn(job.ffmpeg, [
    '-nostdin', '-v', 'error', '-re', '-f', 'lavfi', '-i', 'testsrc2=size=640x480:rate=25', '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000',
    '-c:v', 'libx264', '-preset', 'ultrafast', '-bf', '2', '-b_strategy', '0', '-threads', '1', '-g', '50', '-pix_fmt', 'yuv420p', '-c:a', 'aac', '-ac', '2',
    '-f', 'flv', `${stream.ingest.rtmp.url}/${stream.ingest.rtmp.key}`,
  ], { stdio: 'ignore' });
  try {
    await until('the encoder\'s picture', async () => (await ask('GET', `/v1/streams/${stream.id}`)).status === 'live');
    const viewer = await open(context);
    if (ladder.length === 0) {
      const refused = await viewer.evaluate(watch, { url: whep, pictures: 1 });
      if (refused.status !== 409 || !refused.text.includes('B-frames')) problems.push(`B-frames are answered with ${JSON.stringify(refused)}`);
      await stays(stream);
    } else {
      // A machine with other work on it may shed the rendition for a while.
      const seen = await until('a picture by WebRTC', async () => {
        const seen = await viewer.evaluate(watch, { url: whep, pictures: 60 }).catch(() => ({ status: 0 }));
        if (seen.status !== 201) await viewer.evaluate(() => window.leave?.());
        return seen.status === 201 && seen;
      }, 4 * patience);
      if (!(seen.height > 0 && seen.height <= 480 && seen.sound > 0)) problems.push(`what an encoder sends is seen as ${JSON.stringify(seen)}`);
      await viewer.evaluate(() => window.leave());
    }
    await viewer.close();
  } finally {
    encoder.kill('SIGKILL');
  }
}

/** Who asks the player for real time where there is none goes on as before. */
async function stays(stream) {
  const page = await open(context, `${job.url}/embed/${stream.id}`);
  await page.waitForFunction(() => document.querySelector('video')?.readyState >= 2, undefined, { timeout: patience });
  await page.evaluate(() => {
    document.querySelector('video').muted = true;
    return document.querySelector('video').play();
  });
  await page.mouse.move(200, 200);
  await page.getByRole('button', { name: 'Delay', exact: false }).click();
  const refusal = page.waitForResponse((r) => r.url().endsWith('/whep') && r.request().method() === 'POST');
  await page.getByRole('menuitemradio', { name: /^Real time/ }).click();
  await refusal;
  await page.waitForFunction(() => {
    const { srcObject, paused, seeking, readyState, currentTime } = document.querySelector('video');
    window.first ??= srcObject === null && readyState >= 2 && !seeking && !paused ? currentTime : undefined;
    return currentTime > window.first + 1;
  }, undefined, { timeout: patience });
  await page.close();
}

/** Who watches by a line that carries less than what is on show is given less, and more when it carries that again. */
async function narrow() {
  const stream = await ask('POST', '/v1/streams', { name: 'By a narrow line', ladder: ['360p'] });
  // Noise needs all the bits that it may have. It is made before, so that a machine with
  // other work on it keeps up with the smaller rendition.
  const film = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'narrow-')), 'film.flv');
  execFileSync(job.ffmpeg, [
    '-nostdin', '-v', 'error', '-f', 'lavfi', '-i', 'testsrc2=size=640x480:rate=25,noise=alls=60:allf=t', '-t', '30',
    '-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-threads', '1', '-g', '50', '-pix_fmt', 'yuv420p', '-b:v', '2M', '-maxrate', '2M', '-bufsize', '1M', film,
  ]);
  const encoder = spawn(job.ffmpeg, ['-nostdin', '-v', 'error', '-re', '-stream_loop', '-1', '-i', film, '-c', 'copy', '-f', 'flv', `${stream.ingest.rtmp.url}/${stream.ingest.rtmp.key}`], { stdio: 'ignore' });
  const viewer = await open(context);
  let line;
  try {
    await until('the smaller rendition', async () => (await ask('GET', `/v1/streams/${stream.id}`)).health?.rungs?.[0]?.state === 'made');
    const { sdp, port } = await viewer.evaluate(offer, { url: new URL(stream.playback.whep, job.url).href });
    line = await Line.to(port);
    await viewer.evaluate(accept, { sdp, port: line.port });
    for (const [rate, height] of [[Infinity, 480], [1_300_000, 360], [Infinity, 480]]) {
      line.rate = rate;
      const begun = performance.now();
      await viewer.waitForFunction((height) => document.querySelector('video').videoHeight === height, height)
        .catch(() => { throw new Error(`${height} lines are not on show by a line of ${rate} bits a second`); });
      answer.narrow.push({ rate: rate === Infinity ? 0 : rate / 1e6, height, seconds: Math.round(performance.now() - begun) / 1000, lost: line.lost });
      const first = await viewer.evaluate(() => window.seen());
      await until(`pictures of ${height} lines`, async () => await viewer.evaluate(() => window.seen()) >= first + 75);
    }
  } finally {
    await viewer.close();
    line?.close();
    encoder.kill('SIGKILL');
    fs.rmSync(path.dirname(film), { recursive: true });
  }
}

const context = await browser.newContext({ locale: 'en' });
try {
  await browsers();
  await fromTheConsole();
  await fromAnEncoder([]);
  await fromAnEncoder(['360p']);
  await narrow();
} catch (error) {
  problems.push(String(error.stack ?? error));
} finally {
  await close();
  elsewhere.close();
}
fs.writeSync(1, JSON.stringify(answer));
