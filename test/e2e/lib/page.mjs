// The program's own player page, as `liuyun play` serves it.

import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

// How long the page may take for one thing, in ms. It bounds the test, it judges
// nothing: a machine with other work on it is slow, and is not wrong.
const patience = 60_000;

const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The page at one size: it plays by each engine, its controls work, and nobody is shut out. */
export async function checkPage(page, check, job) {
  const problems = [];
  const shot = (name) => page.screenshot({ path: path.join(job.screenshots, `${check.name}${name}.png`) });
  await page.goto(check.url);
  await ready(page);
  problems.push(...await accessible(page, 'at the start'), ...await fits(page));

  await page.evaluate(() => window.liuyunPlayer.video.play());
  await playsTo(page, 1.2);
  await shot('');
  problems.push(...await quality(page, shot));
  if (!check.context?.hasTouch) problems.push(...await storyboard(page, shot));

  problems.push(...await dashSeeks(page), ...await subtitles(page));
  await page.evaluate(() => {
    const { video } = window.liuyunPlayer;
    video.currentTime = 4;
    return video.play();
  });
  await playsTo(page, 5);
  await shot('-dash');
  const stats = await page.evaluate(() => {
    window.liuyunPlayer.video.pause();
    return { ...window.liuyunPlayer.stats(), corrupted: window.liuyunPlayer.video.getVideoPlaybackQuality().corruptedVideoFrames };
  });
  if (stats.engine !== 'dash' || stats.frames === 0 || stats.corrupted > 0) problems.push(`statistics: ${JSON.stringify(stats)}`);
  problems.push(...await accessible(page, 'with DASH'));
  return { problems, stats };
}

async function ready(page, engine = 'hls') {
  await comes(page, `${engine} is ready`, (engine) => {
    const player = window.liuyunPlayer;
    return player?.engine === engine && player.levels().length > 0 && player.video.readyState >= 2;
  }, engine);
}

async function playsTo(page, seconds) {
  await comes(page, `it plays to ${seconds} s`, (s) => window.liuyunPlayer.video.currentTime >= s, seconds);
}

/** comes waits until something holds in the page, and says how it stands there when it does not come. */
async function comes(page, what, holds, argument) {
  try {
    await page.waitForFunction(holds, argument, { timeout: patience });
  } catch {
    const stands = await page.evaluate(() => {
      const { video, ...player } = window.liuyunPlayer;
      const { currentTime, readyState, networkState, paused, seeking, error } = video;
      const buffered = Array.from({ length: video.buffered.length }, (_, i) => [video.buffered.start(i), video.buffered.end(i)]);
      return JSON.stringify({ currentTime, readyState, networkState, paused, seeking, error: error?.message, buffered, visible: document.visibilityState, ...player.stats() });
    });
    throw new Error(`not in time: ${what}: ${stands}`);
  }
}

/** The menu of qualities offers every rung, and a chosen one comes on show. */
async function quality(page, shot) {
  const problems = [];
  await page.mouse.move(200, 200);
  await page.mouse.move(220, 220);
  await page.getByRole('button', { name: /^Quality/ }).click();
  const items = page.getByRole('menu', { name: 'Quality' }).getByRole('menuitemradio');
  const levels = await page.evaluate(() => window.liuyunPlayer.levels().length);
  if (await items.count() !== levels + 1) problems.push(`the menu of qualities has ${await items.count()} items for ${levels} levels`);
  await page.evaluate(() => window.liuyunPlayer.video.pause()); // the looks take long on a slow machine, and the film is short
  await page.waitForTimeout(300); // the menu rises for 160 ms, and half-clear text has no contrast
  await shot('-menu');
  problems.push(...await accessible(page, 'with the menu open'));
  await page.evaluate(() => window.liuyunPlayer.video.play());
  await items.filter({ hasText: '180p' }).filter({ hasText: 'H.264' }).first().click();
  await page.waitForFunction(() => window.liuyunPlayer.stats().height === 180, undefined, { timeout: patience })
    .catch(() => problems.push('180p was chosen, and did not come on show'));
  return problems;
}

/** Takes DASH, seeks over sound that is slow to come, and back to just before it: then it comes. */
async function dashSeeks(page) {
  const slow = '**/audio/*/00003.m4s';
  await page.route(slow, () => undefined);
  await page.evaluate(() => {
    const { video } = window.liuyunPlayer;
    video.pause();
    video.currentTime = 1; // on a slow machine it may have come to where the sound is missing
    return window.liuyunPlayer.setEngine('dash');
  });
  await ready(page, 'dash');
  const problems = [];
  try {
    await seek(page, 7.99);
    await page.unroute(slow);
    for (const time of [3.3, 5.02]) await seek(page, time);
  } catch {
    problems.push(`DASH does not seek there and back: ${await page.evaluate(() => JSON.stringify(window.liuyunPlayer.stats()))}`);
  }
  return problems;
}

async function seek(page, seconds) {
  await page.evaluate((s) => { window.liuyunPlayer.video.currentTime = s; }, seconds);
  await comes(page, `${seconds} s is gone to`, () => !window.liuyunPlayer.video.seeking && window.liuyunPlayer.video.readyState >= 2);
}

/** Each language of subtitles comes on show, also when the viewer seeks before its file has come. */
async function subtitles(page) {
  const problems = [];
  for (const [i, words] of ['The river begins here.', '江水从这里开始。'].entries()) {
    const files = '**/subtitles.vtt';
    let goOn;
    const held = new Promise((done) => (goOn = done));
    await page.route(files, (route) => held.then(() => route.continue()));
    await page.mouse.move(200 + i, 200);
    await page.getByRole('button', { name: 'Subtitles' }).click();
    await page.getByRole('menu', { name: 'Subtitles' }).getByRole('menuitemradio').nth(i + 1).click();
    await seek(page, 2 + i / 10);
    goOn();
    await page.waitForFunction((words) => [...window.liuyunPlayer.video.textTracks].some((t) => t.mode === 'showing' && t.activeCues?.[0]?.text === words), words, { timeout: patience })
      .catch(() => problems.push(`subtitles do not come: ${words}`));
    await page.unroute(files);
  }
  return problems;
}

/** Pointing at the time bar shows a picture of that time. */
async function storyboard(page, shot) {
  const box = await page.getByRole('slider', { name: 'Position' }).boundingBox();
  await page.mouse.move(box.x + box.width * 0.6, box.y + box.height / 2, { steps: 4 });
  const picture = page.locator('.bubble img');
  await picture.waitFor({ state: 'visible', timeout: patience });
  await page.waitForFunction(() => document.querySelector('.bubble img')?.naturalWidth > 0, undefined, { timeout: patience });
  await shot('-storyboard');
  const when = await page.locator('.bubble .when').textContent();
  return when?.trim() === '0:06' || when?.trim() === '0:05' ? [] : [`at 60 % of ten seconds the bubble says ${when}`];
}

/** Nothing lies beyond the right edge. */
export async function fits(page) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  return over > 0 ? [`the page is ${over} px too wide`] : [];
}

export async function accessible(page, when) {
  // By evaluate, since the page's own policy rightly refuses a script from elsewhere.
  const violations = await page.evaluate(async (source) => {
    if (!window.axe) (0, eval)(source);
    return (await window.axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes.map((n) => n.target.join(' ')).join(', ')}`);
  }, axe);
  return violations.map((v) => `axe ${when}: ${v}`);
}
