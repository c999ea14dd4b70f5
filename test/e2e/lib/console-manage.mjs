// The story's other pages: keys, webhooks, nodes, usage, tenants, documentation.

import { until } from './console-visitor.mjs';

/** A key is shown once, works, and is refused when it was revoked. */
export async function keys(v) {
  const { page, says } = v;
  await v.to('keys');
  await v.press(v.button(says.createKey));
  await v.dialog().getByLabel(says.name).fill('editing room');
  await v.look('key-new');
  await v.press(v.button(says.create, v.dialog()));
  await v.dialog().getByText(says.onlyNow).waitFor();
  await v.look('key-made');
  const secret = await v.copied('editing room');
  v.expect(`the new key ${secret.slice(0, 4)}… does not open the list`, (await v.api('/v1/assets', secret)).status === 200);
  await v.press(v.button(says.close, v.dialog()));
  v.expect('the secret stays on the page', !(await page.content()).includes(secret));
  await v.look('keys');
  await v.press(v.button(`${says.revoke}: editing room`));
  await v.press(v.button(says.revoke, v.dialog()));
  await page.getByRole('row').filter({ hasText: 'editing room' }).waitFor({ state: 'detached' });
  v.expect('a revoked key still opens the list', (await v.api('/v1/assets', secret)).status === 401);
}

/** A webhook is made and called; a delivery can be sent again. */
export async function webhooks(v) {
  const { page, says, site } = v;
  await v.to('webhooks');
  await v.look('webhooks-empty');
  await v.press(v.button(says.addWebhook));
  await v.dialog().getByLabel(says.address).fill(`${site.url}/hook`);
  await v.look('webhook-new');
  await v.press(v.button(says.create, v.dialog()));
  await v.dialog().getByText(says.onlyNow).waitFor();
  await v.press(v.button(says.close, v.dialog()));
  await v.look('webhooks');
  await v.press(page.getByRole('link', { name: `${site.url}/hook` }));
  await v.press(v.button(says.sendTest));
  await until('the test call', () => site.calls.length > 0);
  const delivery = page.locator('details').first();
  await delivery.getByText(says.delivered).waitFor();
  await v.press(delivery.locator('summary'));
  await v.look('deliveries');
  await v.press(v.button(says.resend, delivery));
  await until('the call that is sent again', () => site.calls.length > 1);
  v.expect('what is sent again is another event', site.calls[0].id !== undefined && site.calls[0].id === site.calls[1].id);
}

/** This machine and its load are shown. */
export async function nodes(v) {
  const { page, says } = v;
  await v.to('nodes');
  const card = page.locator('main li').filter({ hasText: says.ready });
  await card.waitFor();
  v.expect('there is not one node', await card.count() === 1);
  const load = Number(await card.getByRole('progressbar', { name: new RegExp(`^${says.load}`) }).getAttribute('aria-valuenow'));
  v.expect(`the load is ${load} %`, load >= 0 && load <= 100);
  await v.look('nodes');
}

/** What was encoded is counted. */
export async function usage(v) {
  const { page, says } = v;
  await v.to('usage');
  const minutes = page.locator('label').filter({ hasText: says.minutes }).locator('.total');
  await minutes.waitFor();
  v.expect(`minutes encoded: ${await minutes.textContent()}`, Number(await minutes.textContent()) > 0);
  await v.press(page.locator('summary').filter({ hasText: says.asTable }));
  await v.look('usage');
}

export async function tenants(v) {
  await v.to('tenants');
  await v.page.getByRole('table').waitFor();
  await v.look('tenants');
}

/** The pages of the API's documentation. */
export async function documentation(v) {
  const { page, job } = v;
  await page.goto(`${job.url}/docs`);
  await page.getByRole('heading', { level: 2, name: 'Assets' }).waitFor();
  await v.look('docs');
  await page.locator('summary').first().click();
  await v.look('docs-open');
}
