// The story of live.mjs: a stream, from the form that makes it until it is deleted.

import { spawn } from 'node:child_process';
import { patience, until } from './console-visitor.mjs';

const name = 'Town hall 市民大会';
const rate = 25;

/** Encoder is an ffmpeg that sends pictures with their numbers, and a tone. */
export class Encoder {
  said = '';

  constructor(job) {
    this.job = job;
  }

  start(address) {
    const { ffmpeg, pictures } = this.job;
    this.begun = Date.now();
    this.child = spawn(ffmpeg, [
      '-nostdin', '-v', 'error', '-re', '-f', 'lavfi', '-i', `${pictures},scale=320:180`, '-re', '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000',
      '-c:v', 'libx264', '-preset', 'ultrafast', '-threads', '1', '-g', '50', '-pix_fmt', 'yuv420p', '-b:v', '400k', '-c:a', 'aac', '-ac', '2',
      ...(address.startsWith('rtsp:') ? ['-rtsp_transport', 'tcp', '-f', 'rtsp'] : ['-f', 'flv']), address,
    ], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.child.stderr.on('data', (text) => (this.said += text));
  }

  stop() {
    this.child?.kill('SIGKILL');
    this.child = undefined;
  }
}

export async function signIn(v) {
  const { page, says, job } = v;
  await page.goto(`${job.url}/console/`);
  await page.getByLabel(says.apiKey).fill(job.key);
  await page.keyboard.press('Enter');
  await page.getByText(says.firstVideo).waitFor();
}

/** A stream is made, by keyboard at a desk; the console says where to send, and with which key. */
export async function create(v) {
  const { page, says, job } = v;
  await v.to('streams');
  await page.getByText(says.firstStream).waitFor();
  await v.look('streams-empty');
  const add = page.locator('.page-head').getByRole('button', { name: says.newStream });
  if (v.phone) await v.press(add);
  else {
    await v.tabTo(add);
    await page.keyboard.press('Enter');
  }
  await v.dialog().waitFor();
  await v.dialog().getByRole('textbox', { name: says.name }).fill(name);
  await v.look('stream-new');
  if (v.phone) await v.press(v.button(says.create, v.dialog()));
  else await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name }).waitFor();
  v.id = new URL(page.url()).pathname.split('/').pop();

  const server = await v.copied(says.server);
  const key = await v.copied(says.streamKey);
  v.address = `${server}/${key}`;
  v.expect(`the address is ${server}`, /^rtmp:\/\/127\.0\.0\.1:\d+\/live$/.test(server));
  v.expect('the key is not a key', /^lys_\w{20,}$/.test(key));
  v.expect('the key is on show before it is asked for', await page.getByText(key).count() === 0);
  await v.press(v.button(says.showKey));
  await page.getByText(key, { exact: true }).waitFor();
  await v.look('stream-idle');
  await page.locator('label').filter({ hasText: says.ffmpeg }).click();
  const command = await v.copied(says.ffmpeg);
  v.expect(`the command is ${command}`, command.startsWith('ffmpeg ') && command.endsWith(` -f flv "${v.address}"`));

  await page.locator('label').filter({ hasText: /^RTSP$/ }).click();
  const camera = await v.copied(says.addressWithKey);
  v.expect(`a camera's address is ${camera}`, /^rtsp:\/\/127\.0\.0\.1:\d+\/live\/lys_\w+$/.test(camera) && camera.endsWith(`/${key}`));
  if (job.protocol === 'rtsp') v.address = camera;
  await v.look('stream-rtsp');
  await page.locator('label').filter({ hasText: /^RTMP$/ }).click();
}

/** Another viewer comes too early, to the page for other sites. */
export async function wait(v) {
  const { says, job } = v;
  v.other = await v.context.newPage();
  await v.other.goto(`${job.url}/embed/${v.id}`);
  await v.other.getByText(says.notOnAir).waitFor();
  await v.lookAt(v.other, 'embed-off');
}

/** The encoder begins: the console says so, and shows what it sends; the viewer who waited sees it too. */
export async function goLive(v) {
  const { page, says, encoder } = v;
  await page.bringToFront();
  encoder.start(v.address);
  await page.locator('main [data-status="live"]').waitFor();
  await moves(v, page, 'the preview');
  await moves(v, v.other, 'the embedded player');
  await page.waitForFunction(() => Number.parseFloat(document.querySelector('[data-health="fps"]')?.textContent) > 20, undefined, { timeout: patience });
  // Who watches and what they got is counted: the page itself and the embedded player.
  await page.waitForFunction(() => ['most', 'sent', 'taken'].every((what) => Number.parseFloat(document.querySelector(`[data-audience="${what}"]`)?.textContent) > 0), undefined, { timeout: patience });
  await wake(v);
  await page.waitForFunction(() => Number.parseFloat(document.querySelector('.latency')?.textContent) < 6, undefined, { timeout: patience });
  await v.button(says.delay).waitFor();
  const shown = Number.parseFloat(await page.locator('.latency').textContent());
  const { number } = await page.evaluate(picture);
  v.latency = { shown, measured: (Date.now() - encoder.begun) / 1000 - number / rate };
  await v.look('stream-live');
  await v.other.bringToFront();
  await wake(v, v.other);
  await v.lookAt(v.other, 'embed-live');
  await page.bringToFront();
}

/** What was on air before is gone back to, and from there to what happens now. */
export async function rewind(v) {
  const { page, says } = v;
  const bar = page.getByRole('slider', { name: says.position });
  await page.waitForFunction(() => {
    const slider = document.querySelector('[role="slider"]');
    return slider.ariaValueMax - slider.ariaValueMin >= 8;
  }, undefined, { timeout: patience });
  const before = await page.evaluate(picture);
  await wake(v);
  const box = await bar.boundingBox();
  const place = [box.x + box.width * 0.1, box.y + box.height / 2];
  if (v.phone) await page.touchscreen.tap(...place);
  else await page.mouse.click(...place);
  await page.waitForFunction((n) => {
    const { seeking, readyState } = document.querySelector('video');
    return !seeking && readyState >= 2 && window.pictureOf().number < n;
  }, before.number - 3 * rate, { timeout: patience });
  const back = v.button(says.toLive);
  await back.waitFor();
  const said = await page.locator('.latency').textContent();
  v.expect(`how far behind it is: ${said}`, /^−0:\d\d$/.test(said));
  await moves(v, page, 'what was gone back to');
  await wake(v);
  await v.look('stream-behind');
  const behind = await page.evaluate(picture);
  if (v.phone) {
    // The controls hide by themselves, and the look at the page may have outlasted them.
    // Whether a tap has come there is for the page to say: it may come later than is waited for.
    await back.evaluate((button) => button.addEventListener('click', () => (button.dataset.pressed = ''), { once: true }));
    await until('the way back to live is pressed', async () => {
      await wake(v);
      await back.tap({ timeout: 2000 }).catch(() => undefined);
      return page.locator('button[data-pressed]').count();
    });
  } else {
    await back.focus();
    await page.keyboard.press('Enter');
  }
  await v.button(says.delay).waitFor();
  await page.waitForFunction((n) => window.pictureOf().number > n, behind.number + 3 * rate, { timeout: patience });
  await moves(v, page, 'the player that is live again');
}

/** Who comes late, and asks for it, begins with what was first, and goes on from there. */
export async function startOver(v) {
  // The other viewer makes room: three players that wait for playlists at one origin
  // need more connections than a browser makes to it by HTTP/1.1.
  await v.other.goto('about:blank');
  const late = await v.context.newPage();
  await late.goto(`${v.job.url}/embed/${v.id}?start=over`);
  await late.evaluate(`window.pictureOf = ${picture}`);
  await late.waitForFunction((n) => {
    const video = document.querySelector('video'); // whose first picture has the number 0
    return video?.readyState >= 2 && !video.seeking && window.pictureOf().number < n;
  }, 4 * rate, { timeout: patience });
  await late.evaluate(() => {
    document.querySelector('video').muted = true;
    return document.querySelector('video').play();
  });
  await moves(v, late, 'the player that starts over');
  const { number } = await late.evaluate(picture);
  v.expect(`it has jumped to picture ${number}`, number < 12 * rate);
  await late.close();
  await v.other.bringToFront();
  await v.other.goto(`${v.job.url}/embed/${v.id}`);
  await v.other.locator('video').waitFor();
  await v.other.evaluate(() => {
    document.querySelector('video').muted = true;
    return document.querySelector('video').play();
  });
  await moves(v, v.other, 'the other player, once more');
  await v.page.bringToFront();
  await fallBehind(v);
}

/** Who watches what happens now, and falls behind without wanting to, is brought back. */
async function fallBehind(v) {
  const { page } = v;
  const behind = 12;
  await page.waitForFunction((behind) => document.querySelector('video').currentTime > behind + 1, behind, { timeout: patience });
  await page.evaluate(async (behind) => {
    const video = document.querySelector('video');
    await new Promise((done) => {
      video.addEventListener('seeked', done, { once: true });
      video.currentTime -= behind; // as no control of the player does it
    });
    for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame); // what is shown is of that moment, or of a later one
  }, behind);
  await page.waitForFunction(() => Number.parseFloat(document.querySelector('.latency').textContent) < 6, undefined, { timeout: patience });
  await moves(v, page, 'the player that was brought back');
}

/** What is on air is recorded, and what was there a moment ago becomes a clip. */
export async function keep(v) {
  const { page, says } = v;
  await v.press(v.button(says.record));
  const recording = page.getByRole('link', { name: says.toRecording });
  await recording.waitFor();
  await v.press(v.button(says.clip));
  await v.dialog().waitFor();
  await v.look('stream-clip');
  await v.press(v.button(says.makeClip, v.dialog()));
  const clip = page.getByRole('link', { name: says.toClip });
  await clip.waitFor();
  v.kept = await Promise.all([recording, clip].map(async (link) => (await link.getAttribute('href')).split('/').pop()));
  await v.look('stream-recording');
}

/** Another key is made; who is on air stays there. */
export async function rotate(v) {
  const { page, says } = v;
  await v.press(v.button(says.anotherKey));
  await v.dialog().waitFor();
  await v.look('stream-rotate');
  await v.press(v.button(says.anotherKey, v.dialog()));
  await v.dialog().waitFor({ state: 'detached' });
  const key = await v.copied(says.streamKey);
  v.expect('the key is the one before', !v.address.endsWith(key));
  v.address = v.address.replace(/lys_\w+$/, key);
  v.expect('another key ended the stream', await page.locator('main [data-status="live"]').count() === 1);
  await moves(v, page, 'the player after another key');
}

/** The encoder goes: that is said at once, and when it does not come back, all is as before. */
export async function lose(v) {
  const { page, says, encoder } = v;
  encoder.stop();
  await page.locator('main [data-status="reconnecting"]').waitFor();
  await v.look('stream-away');
  await v.to('streams');
  await page.locator('main [data-status="reconnecting"]').waitFor();
  await v.look('streams');
  await page.locator('main [data-status="idle"]').waitFor();
  await v.press(page.getByRole('link', { name }));
  await page.getByRole('heading', { level: 1, name }).waitFor();
  await page.locator('main [data-status="idle"]').waitFor();
  v.expect('a stream that is not on air has a player', await page.locator('video').count() === 0);
  await v.other.getByText(says.notOnAir).waitFor();
  v.expect(`the encoder said ${encoder.said}`, encoder.said === '');
}

/** What was kept is there, though nobody sends any more. */
export async function kept(v) {
  for (const id of v.kept) {
    const asset = await until(`asset ${id} is ready`, async () => {
      const found = await (await v.api(`/v1/assets/${id}`)).json();
      return ['ready', 'failed'].includes(found.status) && found;
    });
    v.expect(`asset ${id} is ${JSON.stringify(asset)}`, asset.status === 'ready' && asset.duration > 1 && asset.recording?.stream === v.id);
  }
}

/** The stream is stopped while an encoder sends: that is asked about, and the encoder goes. Started, it waits again; with nobody there it is stopped at once. */
export async function halt(v) {
  const { page, says, encoder } = v;
  const stop = v.button(says.stop);
  const start = v.button(says.start);
  const state = (name) => page.locator(`main [data-status="${name}"]`).waitFor();
  encoder.start(v.address);
  await state('live');
  await v.press(stop);
  await v.dialog().waitFor();
  await v.look('stream-stop');
  await v.press(v.button(says.stop, v.dialog()));
  await state('stopped');
  await v.dialog().waitFor({ state: 'detached' });
  await until('the encoder goes', () => encoder.child.exitCode !== null);
  await v.other.getByText(says.notOnAir).waitFor();
  await page.locator('video').waitFor({ state: 'detached' });
  await v.look('stream-stopped');
  await v.to('streams');
  await state('stopped');
  await v.look('streams-stopped');
  await v.press(page.getByRole('link', { name }));
  await page.getByRole('heading', { level: 1, name }).waitFor();
  await start.waitFor();
  if (!v.phone) await start.focus(); // which stays there
  for (const [button, then] of [[start, 'idle'], [stop, 'stopped'], [start, 'idle']]) {
    if (v.phone) await v.press(button);
    else await page.keyboard.press('Enter');
    await state(then);
    await page.locator('[aria-busy="true"]').waitFor({ state: 'detached' });
    v.expect(`it is asked before it is ${then}`, await v.dialog().count() === 0);
  }
  const { stopped } = await (await v.api(`/v1/streams/${v.id}`)).json();
  v.expect('the API says that it is stopped', stopped === false);
}

export async function remove(v) {
  const { page, says } = v;
  await v.other.close();
  await v.press(v.button(says.delete));
  await v.press(v.button(says.delete, v.dialog()));
  await page.getByText(says.firstStream).waitFor();
  v.expect('a deleted stream is there', (await v.api(`/v1/streams/${v.id}`)).status === 404);
}

/** moves waits until the numbers of the pictures on show have grown by a second. */
async function moves(v, page, what) {
  await page.evaluate(`window.pictureOf = ${picture}`);
  await page.waitForFunction(() => document.querySelector('video')?.readyState >= 2 && window.pictureOf().number > 0, undefined, { timeout: patience });
  const seen = [];
  await until(`pictures in ${what}`, async () => {
    const { number } = await page.evaluate(picture);
    if (seen.at(-1) !== number) seen.push(number);
    return number - seen[0] >= rate;
  });
  v.expect(`${what}: the numbers ${seen} do not grow`, seen.every((number, i) => i === 0 || number > seen[i - 1]));
  v.expect(`${what}: only the pictures ${seen} in a second`, seen.length >= 3);
}

/** picture reads the number of the picture on show, as testkit.FrameNumber does. */
function picture() {
  const video = document.querySelector('video');
  const canvas = new OffscreenCanvas(160, 90).getContext('2d', { willReadFrequently: true });
  canvas.drawImage(video, 0, 0, 160, 90);
  const { data } = canvas.getImageData(0, 0, 160, 90);
  let number = 0;
  for (let bit = 0; bit < 16; bit++) if (data[4 * (10 * 160 + 10 * bit + 5) + 1] > 127) number |= 1 << bit;
  return { number, at: video.currentTime };
}

/** wake brings the controls of the player on show. */
async function wake(v, page = v.page) {
  await page.locator('.stage').scrollIntoViewIfNeeded();
  const box = await page.locator('.stage').boundingBox();
  if (v.phone) {
    if (await page.locator('.overlay.hidden').count() > 0) await page.touchscreen.tap(box.x + 40, box.y + 40);
    return;
  }
  await page.mouse.move(box.x + 40, box.y + 40);
  await page.mouse.move(box.x + 60, box.y + 60);
}
