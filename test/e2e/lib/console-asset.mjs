// The story's middle: one asset, watched, completed, embedded elsewhere, deleted.

import fs from 'node:fs';
import path from 'node:path';
import { patience, until } from './console-visitor.mjs';

/** The player shows pictures that move; at a desk the keyboard starts it. */
export async function play(v) {
  const { page, says } = v;
  await opened(page);
  await v.look('asset');
  const start = v.button(says.play, page.locator('.player'));
  if (v.phone) await v.press(start.first());
  else {
    await v.tabTo(start);
    await page.keyboard.press('Enter');
  }
  await moves(v, page, 'the player');
  await v.look('playing');
}

async function opened(frame) {
  await frame.waitForFunction(() => document.querySelector('video')?.readyState >= 2, undefined, { timeout: patience });
}

/** moves holds what a frame plays to its word: frames are decoded, and pictures of two times differ. */
async function moves(v, frame, what) {
  const at = async (seconds) => {
    await frame.waitForFunction((s) => document.querySelector('video').currentTime >= s, seconds, { timeout: patience });
    return frame.evaluate(picture);
  };
  const first = await at(0.3);
  const second = await at(1.5);
  const frames = await frame.evaluate(() => {
    const { totalVideoFrames: total, droppedVideoFrames: dropped, corruptedVideoFrames: corrupted } = document.querySelector('video').getVideoPlaybackQuality();
    return { total, dropped, corrupted };
  });
  const difference = first.reduce((sum, value, i) => sum + Math.abs(value - second[i]), 0) / first.length;
  v.expect(`${what}: frames are ${JSON.stringify(frames)}`, frames.total - frames.dropped >= 5 && frames.corrupted === 0);
  v.expect(`${what}: the picture is of one colour`, Math.max(...second) - Math.min(...second) > 30);
  v.expect(`${what}: two pictures differ by ${difference}`, difference > 0.5);
}

/** picture reads what the video shows, 32 × 18 samples of red, green and blue. */
function picture() {
  const canvas = new OffscreenCanvas(32, 18).getContext('2d');
  canvas.drawImage(document.querySelector('video'), 0, 0, 32, 18);
  return [...canvas.getImageData(0, 0, 32, 18).data].filter((_, i) => i % 4 < 3);
}

/** The time bar shows a picture of the time that is pointed at, and goes there. */
export async function seek(v) {
  const { page, says } = v;
  await page.evaluate(() => document.querySelector('video').pause());
  const bar = page.getByRole('slider', { name: says.position });
  await bar.scrollIntoViewIfNeeded();
  const box = await bar.boundingBox();
  const point = { x: box.x + box.width * 0.6, y: box.y + box.height / 2 };
  const touch = v.phone ? await v.context.newCDPSession(page) : undefined;
  const finger = (type, ...points) => touch.send('Input.dispatchTouchEvent', { type, touchPoints: points });
  if (touch) {
    await finger('touchStart', { x: box.x + box.width * 0.2, y: point.y });
    await finger('touchMove', point);
  } else await page.mouse.move(point.x, point.y, { steps: 4 });
  await page.locator('.bubble img').waitFor();
  await page.waitForFunction(() => document.querySelector('.bubble img')?.naturalWidth > 0, undefined, { timeout: patience });
  await v.look('storyboard');
  if (touch) await finger('touchEnd');
  else await page.mouse.click(point.x, point.y);
  await page.waitForFunction(() => {
    const { currentTime, duration, seeking, readyState } = document.querySelector('video');
    return !seeking && readyState >= 2 && Math.abs(currentTime / duration - 0.6) < 0.03;
  }, undefined, { timeout: patience });
}

/** The menu has the rungs, and what is chosen comes on show. */
export async function chooseQuality(v) {
  const { page, says } = v;
  const heights = [];
  for (const which of ['last', 'first']) {
    await wake(v);
    await v.press(v.button(new RegExp(`^${says.quality}`)));
    const rungs = page.getByRole('menuitemradio').filter({ hasText: 'b/s' }); // not the automatic one
    if (which === 'last') await v.look('qualities');
    const rung = rungs[which]();
    const height = Number(/(\d+)p/.exec(await rung.textContent())[1]);
    await v.press(rung);
    await page.waitForFunction((h) => document.querySelector('video').videoHeight === h, height, { timeout: patience });
    heights.push(height);
  }
  v.expect(`qualities of ${heights} lines were shown`, heights[0] < heights[1]);
}

/** wake brings the controls of the player on show. */
async function wake(v) {
  if (v.phone) return; // a player that rests shows them
  const box = await v.page.locator('.stage').boundingBox();
  await v.page.mouse.move(box.x + 40, box.y + 40);
  await v.page.mouse.move(box.x + 60, box.y + 60);
}

/** A file of subtitles is added, and the player shows its words. */
export async function subtitle(v) {
  const { page, says, job } = v;
  await v.press(v.button(says.addSubtitles));
  await v.dialog().getByLabel(says.subtitlesFile).setInputFiles(path.join(job.subtitles, says.file));
  await v.look('subtitles');
  await v.press(v.button(says.addSubtitles, v.dialog()));
  const menu = page.locator('.player').getByRole('button', { name: says.subtitles, exact: true });
  await menu.waitFor();
  await opened(page);
  await wake(v);
  await v.press(menu);
  await v.press(page.getByRole('menuitemradio', { name: says.language }));
  await page.evaluate(() => { document.querySelector('video').currentTime = 2; });
  await page.waitForFunction((line) => [...document.querySelector('video').textTracks]
    .some((t) => t.mode === 'showing' && [...t.activeCues ?? []].some((c) => c.text === line)), says.line, { timeout: patience });
  await v.look('subtitled');
}

/** What the console gives to copy plays in a page of another site, as a frame and as a script. */
export async function embed(v) {
  const { page, says, site } = v;
  const section = page.getByRole('region', { name: says.embed });
  for (const kind of ['frame', 'script']) {
    if (kind === 'script') await section.getByText(says.asScript).click();
    const code = await v.copied(says.embed);
    v.expect(`the code of the ${kind} is ${code}`, code.startsWith(kind === 'frame' ? '<iframe ' : '<script '));
    site.pages.set(`/${kind}`, code);
    const other = await v.context.newPage();
    await other.goto(`${site.url}/${kind}`);
    const element = await other.waitForSelector('iframe');
    const frame = await element.contentFrame();
    await opened(frame);
    await frame.evaluate(() => document.querySelector('video').play());
    await moves(v, frame, `the ${kind} on another site`);
    await other.screenshot({ path: v.file(`embed-${kind}`) });
    await other.close();
  }
}

/** A worker compares the asset with its source; its page is part of ours, in our language and colours, and can do nothing to us. */
export async function compare(v) {
  const { page, says, job } = v;
  const section = page.getByRole('region', { name: says.comparison });
  await section.scrollIntoViewIfNeeded();
  await v.look('not-compared');
  await v.press(v.button(says.compareStart, section));
  const element = await page.waitForSelector('.comparison iframe');
  const frame = await element.contentFrame();
  await frame.waitForSelector('.moment');
  await page.waitForFunction(() => document.querySelector('.comparison iframe').clientHeight !== 900, undefined, { timeout: patience }); // what it is before the page says its height
  const colours = () => [getComputedStyle(document.documentElement).getPropertyValue('--ground').trim(), document.documentElement.lang].join(' ');
  const [ours, theirs] = [await page.evaluate(colours), await frame.evaluate(colours)];
  v.expect(`the report is ${theirs}, the console ${ours}`, theirs === ours.replace(/ zh.*/, ' zh-Hans'));
  const alone = await frame.evaluate(() => {
    const barred = (what) => { try { what(); return false; } catch { return true; } };
    return { origin, cookie: barred(() => document.cookie), parent: barred(() => parent.document.title), inside: document.documentElement.scrollHeight - innerHeight, wide: document.documentElement.scrollWidth - innerWidth };
  });
  v.expect(`the report is ${JSON.stringify(alone)}`, alone.origin === 'null' && alone.cookie && alone.parent && alone.inside <= 1 && alone.wide <= 0);
  const drawn = await frame.evaluate(() => ['circle', '.bars rect', '.line', '.pair img'].map((s) => document.querySelectorAll(s).length));
  v.expect(`circles, bars, lines and pictures are ${drawn}`, drawn.every((n) => n > 0));

  // It follows the console's colours, and is not loaded anew for it.
  await frame.evaluate(() => { window.marked = true; });
  for (const colorScheme of [job.theme === 'dark' ? 'light' : 'dark', job.theme]) {
    await page.emulateMedia({ colorScheme });
    const ground = await until('the console is of other colours', () => page.evaluate((scheme) => document.documentElement.dataset.theme === scheme && getComputedStyle(document.documentElement).getPropertyValue('--ground').trim(), colorScheme));
    await frame.waitForFunction((ours) => window.marked && getComputedStyle(document.documentElement).getPropertyValue('--ground').trim() === ours, ground, { timeout: patience });
  }

  // A link in it goes to its picture in our page; there the divider is in reach of the keyboard.
  const link = frame.locator('tbody a[href^="#moment-"]').first();
  await link.scrollIntoViewIfNeeded();
  const top = await page.evaluate(() => scrollY);
  await link.click(); // taps are not brought to the right place in a frame that has a process of its own
  await page.waitForFunction((before) => scrollY > before + 200, top, { timeout: patience });
  const range = frame.locator('.moment input[type=range]').first();
  await frame.waitForFunction(() => document.activeElement?.type === 'range', undefined, { timeout: patience });
  await page.keyboard.press('ArrowRight');
  v.expect(`the divider is at ${await range.inputValue()}`, await range.inputValue() === '51');
  const map = frame.locator('.moment .saliency').first();
  await frame.locator('.moment .check input').first().click();
  v.expect('it is not shown where people look', await map.isVisible());
  await v.look('compared');
  const address = await v.page.getByRole('link', { name: says.openAlone }).getAttribute('href');
  const answer = await fetch(new URL(address, job.url)); // whoever has it may see it
  v.expect(`the report is answered ${answer.status}`, answer.ok && (await answer.text()).includes('</html>'));
}

/** The asset goes, with all that was made of it, and the webhook is told. */
export async function remove(v) {
  const { page, says, site } = v;
  const [asset] = (await (await v.api('/v1/assets?status=ready')).json()).data;
  await v.to('assets');
  await v.press(page.getByRole('link', { name: asset.name }));
  await v.press(v.button(says.delete));
  await v.dialog().waitFor();
  await v.look('deleting');
  await v.press(v.button(says.delete, v.dialog()));
  await page.getByRole('heading', { level: 1, name: says.assets }).waitFor();
  await page.getByRole('link', { name: 'holiday.mov' }).waitFor();
  v.expect('a deleted asset is still listed', await page.getByRole('link', { name: asset.name }).count() === 0);
  v.expect('a deleted asset still plays', (await v.api(asset.playback.hls)).status === 404);
  await until('the call that it was deleted', () => site.calls.some((c) => c.type === 'asset.deleted' && c.data.id === asset.id));
}
