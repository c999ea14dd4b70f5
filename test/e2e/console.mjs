// node console.mjs < job.json
//
// One person's way through the console of a running server, from signing in to
// signing out, in a browser as large as the job says and in its language. The job:
// {name, chromium, url, key, clip, phone, language, theme, screenshots: folder,
// subtitles: folder}. The answer: {problems: [...], steps: [{name, seconds}]}.

import fs from 'node:fs';
import { launch } from './lib/chromium.mjs';
import { chooseQuality, compare, embed, play, remove, seek, subtitle } from './lib/console-asset.mjs';
import { find, progress, signIn, signOut, spoiled, upload } from './lib/console-assets.mjs';
import { documentation, keys, nodes, tenants, usage, webhooks } from './lib/console-manage.mjs';
import { openSite } from './lib/console-site.mjs';
import { edges, sites } from './lib/console-sites.mjs';
import { Visitor } from './lib/console-visitor.mjs';

const story = { signIn, upload, progress, play, seek, chooseQuality, subtitle, embed, compare, spoiled, find, keys, webhooks, sites, edges, nodes, usage, tenants, remove, documentation, signOut };

const job = JSON.parse(fs.readFileSync(0, 'utf8'));
const { browser, close } = await launch(job.chromium);
const site = await openSite();
const visitor = await Visitor.enter(browser, job, site);
const steps = [];
try {
  for (const [name, step] of Object.entries(story)) {
    const begun = performance.now();
    if (!await visitor.attempt(name, step)) break; // what follows stands on it
    steps.push({ name, seconds: Math.round(performance.now() - begun) / 1000 });
  }
} finally {
  await close();
  site.close();
}
fs.writeSync(1, JSON.stringify({ problems: visitor.problems, steps }));
