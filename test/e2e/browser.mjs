// node browser.mjs < job.json
//
// Does the checks of a job in one Chromium and prints what each found, as JSON.
// The job: {chromium, lab: address of the lab page, screenshots: folder, lanes,
// checks: [{name, kind, ...}]}. The answer, a line for each check as it is done:
// {name, problems: [...], ...}. What pictures and times are right is for the caller
// to say; this only looks.

import fs from 'node:fs';
import { launch } from './lib/chromium.mjs';
import { labChecks } from './lib/lab.mjs';
import { checkPage } from './lib/page.mjs';

// A check that takes longer than this has come to nothing, even on a slow machine.
const LIMIT = 240; // seconds

const kinds = { ...labChecks, page: checkPage };

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

async function tooLong() {
  await new Promise((done) => setTimeout(done, LIMIT * 1000).unref());
  throw new Error(`not done after ${LIMIT} s`);
}

/** One check in a context of its own: nothing is remembered from another. */
async function one(check) {
  const problems = [];
  const context = await browser.newContext(check.context ?? { viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  page.on('pageerror', (error) => problems.push(`page: ${error.message}`));
  page.on('console', (message) => message.type() === 'error' && problems.push(`console: ${message.text()} ${message.location().url}`));
  page.on('response', (response) => response.status() >= 400 && problems.push(`HTTP ${response.status()} ${response.url()}`));
  let found = {};
  try {
    found = await Promise.race([kinds[check.kind](page, check, job), tooLong()]);
  } catch (error) {
    problems.push(String(error.message).split('\n', 1)[0]);
  }
  await context.close();
  return { ...found, name: check.name, problems: [...problems, ...(found.problems ?? [])] };
}
