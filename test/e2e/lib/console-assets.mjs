// The story's beginning and end: signing in and out, uploads, the list.

import fs from 'node:fs';
import { patience, until } from './console-visitor.mjs';

const name = 'Big Buck Bunny 大雄兔.mp4';

export async function signIn(v) {
  const { page, says, job } = v;
  await page.goto(`${job.url}/console/`);
  const key = page.getByLabel(says.apiKey);
  await key.waitFor();
  await v.look('signin');
  await key.fill(job.key);
  await (v.phone ? v.press(v.button(says.signIn)) : page.keyboard.press('Enter'));
  await page.getByText(says.firstVideo).waitFor();
  await v.look('empty');
}

export async function signOut(v) {
  await v.page.goto(`${v.job.url}/console/`);
  await v.press(v.button(v.says.signedInAs));
  await v.press(v.button(v.says.signOut));
  await v.page.getByLabel(v.says.apiKey).waitFor();
}

/** An upload is cut by a reload, and goes on with the same file where it stopped. */
export async function upload(v) {
  const { page, job, says } = v;
  const clip = { name, mimeType: 'video/mp4', buffer: fs.readFileSync(job.clip) };
  const offsets = [];
  page.on('request', (r) => r.method() === 'PATCH' && r.url().includes('/v1/uploads/') && offsets.push(Number(r.headers()['upload-offset'])));

  const network = await v.context.newCDPSession(page);
  const throttle = (bytes) => network.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: bytes });
  await network.send('Network.enable');
  await throttle(clip.buffer.length / 30); // slow enough to look around in the middle
  const chooser = await addVideos(v);
  await chooser.setFiles(clip);
  await page.waitForFunction(() => Number(document.querySelector('[data-state="sending"] [role="progressbar"]')?.getAttribute('aria-valuenow')) >= 10, undefined, { timeout: patience });
  await v.look('uploading');

  await page.reload();
  await throttle(-1);
  await page.locator('[data-state="interrupted"]').waitFor();
  await page.locator('main [data-status="uploading"]').waitFor();
  await v.look('interrupted');
  await watchProgress(page);
  if (v.phone) {
    const again = page.waitForEvent('filechooser');
    await v.press(page.locator('[data-state]').locator('label'));
    await (await again).setFiles(clip);
  } else await drop(page, clip);
  await page.locator('[data-state="done"]').waitFor();
  v.expect(`PATCH from ${offsets}: it does not go on in the middle`, offsets.length === 2 && offsets[0] === 0 && offsets[1] > 0 && offsets[1] < clip.buffer.length);
  v.expect('the tray offers nothing to clear', await v.button(says.clearDone).isVisible());
}

/** addVideos opens the dialog, by keyboard at a desk, takes the quick preset and asks for a file. */
async function addVideos(v, quick = true) {
  const { page, says } = v;
  const add = page.locator('.page-head').getByRole('button', { name: says.addVideos });
  const file = page.getByLabel(says.chooseFiles);
  const preset = page.getByLabel(says.preset);
  const settings = page.locator('summary').filter({ hasText: says.settings });
  if (v.phone) {
    await v.press(add);
    await v.press(settings);
    if (quick) await preset.selectOption('veryfast');
    await v.look('adding');
    const chooser = page.waitForEvent('filechooser');
    await v.press(v.dialog().locator('label').filter({ has: file }));
    return chooser;
  }
  await v.tabTo(add);
  await page.keyboard.press('Enter');
  await v.dialog().waitFor();
  await v.tabTo(settings);
  await page.keyboard.press('Enter');
  await v.tabTo(preset);
  if (quick) await page.keyboard.press('ArrowUp');
  v.expect(`the preset is ${await preset.inputValue()}`, await preset.inputValue() === (quick ? 'veryfast' : 'medium'));
  await v.look('adding');
  await v.tabTo(file);
  const chooser = page.waitForEvent('filechooser');
  await page.keyboard.press('Enter');
  return chooser;
}

/** drop lets go of a file over the page. */
async function drop(page, { name, mimeType, buffer }) {
  await page.evaluate(({ name, type, text }) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name, { type }));
    for (const event of ['dragenter', 'dragover', 'drop']) document.body.dispatchEvent(new DragEvent(event, { bubbles: true, cancelable: true, dataTransfer }));
  }, { name, type: mimeType, text: buffer.toString('base64') });
}

/** watchProgress notes every state and percentage that the page shows of its first asset. */
async function watchProgress(page) {
  await page.evaluate(() => {
    window.shown = new Set();
    const note = () => {
      const status = document.querySelector('main [data-status]')?.getAttribute('data-status');
      const bar = document.querySelector('main [role="progressbar"]')?.getAttribute('aria-valuenow');
      if (status) window.shown.add(`${status} ${bar ?? ''}`.trim());
    };
    new MutationObserver(note).observe(document.body, { subtree: true, childList: true, attributes: true });
    note();
  });
}

/** What is made of the upload is followed live, in its own page at a desk, in the list on a phone. */
export async function progress(v) {
  const { page } = v;
  if (!v.phone) {
    await v.press(page.locator('[data-state="done"]').getByRole('link', { name }));
    await page.getByRole('heading', { level: 1 }).waitFor();
  }
  await page.waitForFunction(() => [...window.shown].some((s) => /^processing [1-9]\d?$/.test(s)), undefined, { timeout: patience });
  await v.look('processing');
  await page.locator('main [data-status="ready"]').waitFor();
  await v.press(v.button(v.says.clearDone));
  if (v.phone) {
    await v.look('assets');
    await v.press(page.getByRole('link', { name }));
  } else {
    // By keyboard: back to the list, and from there to the asset again.
    await v.to('assets');
    await page.locator('main [data-status="ready"]').waitFor();
    await v.look('assets');
    await v.tabTo(page.getByRole('link', { name }));
    await page.keyboard.press('Enter');
  }
  await page.getByRole('heading', { level: 1, name }).waitFor();
}

/** What is no video fails, and its page says why. */
export async function spoiled(v) {
  const { page, says } = v;
  await v.to('assets');
  const chooser = await addVideos(v, false);
  await chooser.setFiles({ name: 'holiday.mov', mimeType: 'video/quicktime', buffer: Buffer.from('no media '.repeat(2000)) });
  await page.locator('main [data-status="failed"]').waitFor();
  await v.press(v.button(says.clearDone));
  await v.press(page.getByRole('link', { name: 'holiday.mov' }));
  await page.getByText(says.failed).waitFor();
  await v.look('failed');
}

/** The list is searched, filtered, and shown in another way. */
export async function find(v) {
  const { page, says } = v;
  const items = page.locator('main .item');
  const there = async (...names) => {
    await until(`${names} in the list`, async () => JSON.stringify((await items.getByRole('link').allTextContents()).sort()) === JSON.stringify(names.sort()));
  };
  await v.to('assets');
  await there(name, 'holiday.mov');
  await page.getByLabel(says.search).fill('BUNNY');
  await there(name);
  await page.getByLabel(says.filter).selectOption('failed');
  await page.getByText(says.noMatch).waitFor();
  await v.look('nomatch');
  await v.press(v.button(says.clearFilter));
  await there(name, 'holiday.mov');
  await page.getByLabel(says.filter).selectOption('failed');
  await there('holiday.mov');
  await page.getByLabel(says.filter).selectOption('');
  await there(name, 'holiday.mov');
  await v.press(v.button(says.list));
  await page.getByRole('table').waitFor();
  await v.look('list');
  await v.press(v.button(says.grid));
  await v.press(page.getByRole('link', { name }));
  await page.getByRole('heading', { level: 1, name }).waitFor();
}
