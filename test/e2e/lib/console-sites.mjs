// The story's sites and edges: a site is made, set, purged and deleted, and the map of
// edges is looked at. The one edge is the machine of the cloud itself; others are made up.

/** A site is made, gets a rule, is purged and watched, and deleted. */
export async function sites(v) {
  const { page, says } = v;
  await v.to('sites');
  await page.getByText(says.firstSite).waitFor();
  await v.look('sites-empty');
  await v.press(v.button(says.newSite).first());
  await v.dialog().getByLabel(says.siteName).fill('Shop 商城');
  await v.dialog().getByLabel(says.hosts).fill('WWW.example.org\n*.example.net');
  await v.dialog().getByLabel(says.originAddress).fill('https://origin.example.org');
  await v.look('site-new');
  await v.press(v.button(says.createSite, v.dialog()));
  await page.getByRole('heading', { level: 1, name: 'Shop 商城' }).waitFor();

  await v.press(v.button(says.addRule));
  await page.getByLabel(says.path, { exact: true }).fill('/images/*');
  await page.getByLabel(says.keepFor).fill('7d');
  await v.look('site-settings');
  await v.press(v.button(says.save));
  await page.getByText(says.saved).waitFor();
  const { data: [site] } = await (await v.api('/v1/sites')).json();
  v.expect(`the site is ${JSON.stringify(site)}`, site.hosts.join() === 'www.example.org,*.example.net' && site.rules.length === 1 && site.rules[0].ttl === 604_800);

  await v.press(page.getByText(says.traffic, { exact: true }));
  await page.getByRole('heading', { name: says.noRequest }).waitFor();
  const panel = page.getByRole('region', { name: says.purge, exact: true });
  await panel.getByRole('textbox', { name: says.oneAddress }).fill('https://www.example.org/film.mp4');
  await v.press(v.button(says.purge, panel));
  await panel.locator('[data-purge]').filter({ hasText: 'www.example.org/film.mp4' }).getByText(says.done, { exact: true }).waitFor();
  await v.press(v.button(says.purgeAll, panel));
  await v.press(v.button(says.purgeAll, v.dialog()));
  await panel.locator('[data-status="done"]').nth(1).waitFor();
  await v.press(v.button(says.watch));
  await page.getByText(says.waitsForRequests).waitFor();
  await v.look('site');
  await v.press(v.button(says.stopWatching));

  await v.press(v.button(says.delete));
  await v.press(v.button(says.delete, v.dialog()));
  await page.getByText(says.firstSite).waitFor();
  v.expect('a deleted site is still there', (await (await v.api('/v1/sites')).json()).data.length === 0);
}

/** The page draws the edges there are, however many, and without one says how to get one. */
export async function edges(v) {
  const { page, says } = v;
  const map = page.getByRole('region', { name: says.mapOfEdges });
  await v.to('edges');
  await map.getByRole('button', { name: new RegExp(`[ ,]${says.ready}`) }).waitFor();
  await v.look('edges');
  await page.route('**/v1/edges?*', (route) => route.fulfill({ json: { data: [], next: '' } }));
  await page.reload();
  await page.getByText(says.noEdge).waitFor();
  await v.look('edges-empty');
  await v.press(v.button(says.addEdge));
  v.expect('the dialog does not begin with an edge', await v.dialog().getByRole('radio', { name: says.serveAsEdge }).isChecked());
  await v.look('edge-new');
  await v.press(v.button(says.close, v.dialog()));
  await page.unroute('**/v1/edges?*');
  for (const count of [7, 100]) {
    await page.route('**/v1/edges?*', (route) => route.fulfill({ json: { data: madeUp(count), next: '' } }));
    await page.reload();
    await map.waitFor();
    await v.look(`edges-${count}`);
    if (count > 7) await v.press(v.phone ? map.locator('summary').first() : map.getByRole('button', { name: says.showEdges }).first());
    await page.waitForResponse(/\/v1\/edges\?/); // what is opened stays so when there is news
    await v.press(map.getByRole('button', { name: new RegExp(`^edge-0[ ,]+${says.ready}`) }));
    await v.dialog().getByRole('heading', { name: 'edge-0' }).waitFor();
    await v.look(`edges-${count}-one`);
    await v.press(v.button(says.close, v.dialog()));
    await page.unroute('**/v1/edges?*');
  }
}

/** madeUp is some edges in regions, one in ten of them away, and two shields. */
function madeUp(count) {
  const regions = Math.ceil(count / 15) + 1;
  return Array.from({ length: count }, (_, i) => {
    const away = i % 10 === 3;
    const shield = i >= count - 2;
    const egress = away ? 0 : (i + 1) * 4e7;
    return {
      id: `nod_${i}`, name: shield ? `shield-${i}` : `edge-${i}`, region: `region-${i % regions}`, url: shield ? '' : `https://e${i}.example`, shield,
      state: away ? 'away' : i % 10 === 5 ? 'behind' : 'ready', seen_at: new Date(Date.now() - (away ? 3_600_000 : 1000)).toISOString(),
      load: away ? 0 : (i % 11) / 10, requests: egress / 4e6, hit_ratio: away ? 0 : 0.9, egress, ingress: egress / 10, capacity: 1e10, stored: i * 1e10, waiting: i % 3,
    };
  });
}
