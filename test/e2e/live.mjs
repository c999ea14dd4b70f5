// node live.mjs < job.json
//
// One person's way with a live stream through the console of a running server:
// it is made, an encoder sends to it by what the console says, it is watched there
// and on a page of its own, and the encoder goes. The job is that of console.mjs,
// with {ffmpeg, pictures, protocol} for the encoder. The answer: {problems: [...], steps:
// [{name, seconds}], latency: {shown, measured} in seconds}.

import fs from 'node:fs';
import { launch } from './lib/chromium.mjs';
import { Visitor } from './lib/console-visitor.mjs';
import { create, Encoder, goLive, halt, keep, kept, lose, remove, rewind, rotate, signIn, startOver, wait } from './lib/live.mjs';

const story = { signIn, create, wait, goLive, rewind, startOver, keep, rotate, lose, kept, halt, remove };

const job = JSON.parse(fs.readFileSync(0, 'utf8'));
const { browser, close } = await launch(job.chromium);
const visitor = await Visitor.enter(browser, job);
visitor.encoder = new Encoder(job);
const steps = [];
try {
  for (const [name, step] of Object.entries(story)) {
    const begun = performance.now();
    if (!await visitor.attempt(name, step)) break; // what follows stands on it
    steps.push({ name, seconds: Math.round(performance.now() - begun) / 1000 });
  }
} finally {
  visitor.encoder.stop();
  await close();
}
// Who looks whether a stream is on air that is not hears 503, and the browser notes that.
const told = (problem) => problem.includes('503') && /\/play\/str_\w+\/master\.m3u8$/.test(problem.trim());
fs.writeSync(1, JSON.stringify({ problems: visitor.problems.filter((p) => !told(p)), steps, latency: visitor.latency }));
