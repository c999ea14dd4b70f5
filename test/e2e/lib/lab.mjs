// The checks in the lab page: players that are not ours on our presentations.

import path from 'node:path';

/** Opens a manifest in a player; calls in the page are then made by name. */
async function open(page, { player, url }, job, ahead = 4) {
  await page.goto(job.lab, { waitUntil: 'load' });
  await page.waitForFunction(() => window.lab !== undefined);
  const lab = (name, ...args) => page.evaluate(([name, args]) => {
    const member = window.lab[name];
    return typeof member === 'function' ? member(...args) : member;
  }, [name, args]);
  await lab('open', player, url, ahead);
  return lab;
}

/**
 * Seeks, and takes each kind of track; then, opened anew, plays to the end, up and
 * down the ladder on the way.
 */
async function film(page, check, job) {
  const ahead = check.player.startsWith('shaka') ? 2 : 20;
  let lab = await open(page, check, job, ahead);
  const levels = await lab('levels');
  const of = (codec, height) => levels.findIndex((l) => l.codec.startsWith(codec) && l.height === height);
  const [low, high, av1] = [of('avc1', 180), of('avc1', 360), of('av01', 360)];
  const problems = low < 0 || high < 0 ? [`levels are ${JSON.stringify(levels)}`] : [];

  // The words come first: Shaka Player shows no segmented subtitles that are chosen
  // when all else of the film is loaded.
  const text = await lab('text');
  const words = {};
  for (const [i, [language, wanted]] of Object.entries(check.words).entries()) {
    words[language] = await lab('words', text.indexOf(language), 2 + i / 10, wanted);
  }
  const seeks = [];
  for (const at of [7.99, 3.3, 5.02, 9.97, 0.5]) seeks.push(await lab('seek', at));
  await page.locator('video').screenshot({ path: path.join(job.screenshots, `${check.name}.png`) });
  await lab('seek', 2);
  await lab('takeAudio', (await lab('audio')).findIndex((t) => t.channels === 6));
  const withSurround = await lab('playFrom', 2, 1.2);
  let withAv1 = [];
  if (av1 >= 0) {
    await lab('setLevel', av1);
    withAv1 = await lab('playFrom', 4.1, 2);
  }
  const mimes = await lab('mimes');
  problems.push(...await lab('problems'));

  // A short look ahead: what is chosen comes on show soon.
  lab = await open(page, check, job, 2);
  const played = await lab('playThrough', [[0.3, high], [4.3, low]]);
  problems.push(...await lab('problems'));
  return { problems, played, seeks, withSurround, text, words, withAv1, mimes };
}

/** Plays what has no picture, or no sound, to its end. */
async function simple(page, check, job) {
  const lab = await open(page, check, job);
  const end = await page.evaluate(async () => {
    const { video, until } = window.lab;
    video.currentTime = Math.max(0, video.duration - 2.5);
    video.play();
    await until('the end', () => video.ended);
    return { time: video.currentTime, duration: video.duration, total: video.getVideoPlaybackQuality().totalVideoFrames,
      audioBytes: video.webkitAudioDecodedByteCount };
  });
  return { problems: await lab('problems'), end };
}

/**
 * Plays what was recorded from its beginning to its end.
 *
 * hls.js 1.7 does not say that it has ended where a hole of less than its maxBufferHole
 * is before the end, as the delay of pictures makes one at each discontinuity: it is
 * enough that all that there is has been shown.
 */
async function recording(page, check, job) {
  const lab = await open(page, check, job);
  const played = await lab('playAll');
  return { problems: await lab('problems'), played };
}

/** Measures flashes and beeps. */
async function sync(page, check, job) {
  const lab = await open(page, check, job);
  const measured = await lab('flashesAndBeeps', 0.5, check.expected, check.frame);
  return { problems: await lab('problems'), measured };
}

export const labChecks = { film, recording, simple, sync };
