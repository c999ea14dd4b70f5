// Chromium as the checks need it: nothing of its own on the network, no rest for
// pages that are not in front, and a home that is gone afterwards.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';

/** launch starts the browser at executable, with more arguments; close ends it and removes what it wrote. */
export async function launch(executable, more = []) {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'liuyun-chromium-'));
  const browser = await chromium.launch({
    executablePath: executable,
    headless: true,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
      '--disable-sync', '--autoplay-policy=no-user-gesture-required', '--mute-audio',
      '--disable-background-timer-throttling', '--disable-backgrounding-occluded-windows', '--disable-renderer-backgrounding', ...more,
    ],
    env: { ...process.env, HOME: profile },
  });
  const close = async () => {
    await browser.close();
    fs.rmSync(profile, { recursive: true, force: true });
  };
  return { browser, close };
}
