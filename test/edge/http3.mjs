// node http3.mjs CHROMIUM HOST:PORT KEY
//
// Loads a page of an edge in Chromium by HTTP/3 alone and prints by what protocol things
// came, and whether they were right. KEY is the hash of the certificate's key, which no
// authority that Chromium knows vouches for.
import { createRequire } from 'node:module'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'

const require = createRequire(new URL('../e2e/package.json', import.meta.url))
const { chromium } = require('playwright-core')

const [executablePath, host, key] = process.argv.slice(2)
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'liuyun-chromium-'))
const browser = await chromium.launch({
  executablePath,
  args: [
    '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--enable-quic', `--origin-to-force-quic-on=${host}`, `--ignore-certificate-errors-spki-list=${key}`,
  ],
  env: { ...process.env, HOME: home },
})
try {
  const page = await browser.newPage()
  await page.goto(`https://${host}/page`)
  const found = await page.evaluate(async () => {
    const film = await (await fetch('/film')).arrayBuffer()
    const sum = new Uint8Array(await crypto.subtle.digest('SHA-256', film))
    const echo = await fetch('/echo', { method: 'POST', body: 'x'.repeat(100_000) })
    const echoed = (await echo.text()).length
    const broken = await fetch('/broken').then((answer) => answer.arrayBuffer()).then(() => false, () => true)
    const by = (name) => performance.getEntriesByType('resource').find((entry) => entry.name.endsWith(name))?.nextHopProtocol
    return {
      page: performance.getEntriesByType('navigation')[0].nextHopProtocol, film: by('/film'), echo: by('/echo'),
      size: film.byteLength, sum: btoa(String.fromCharCode(...sum)), echoed: String(echoed), broken,
    }
  })
  console.log(JSON.stringify(found))
} finally {
  await browser.close()
  fs.rmSync(home, { recursive: true, force: true })
}
