// Runs the tests for HTTP caches of npm's http-cache-tests against a cache, with their
// own origin: node httpcache.mjs PORT starts that, node httpcache.mjs run BASE runs them
// and prints, by kind, how many passed and why the others did not.
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'

const require = createRequire(new URL('../e2e/package.json', import.meta.url))
const root = dirname(require.resolve('http-cache-tests/package.json'))
const from = (path) => import(pathToFileURL(`${root}/${path}`).href)

const [what, base] = process.argv.slice(2)
if (what !== 'run') {
  Object.assign(process.env, { npm_config_protocol: 'http', npm_config_port: what, npm_config_pidfile: '/dev/null' })
  await from('server/server.mjs')
} else {
  const { runTests, getResults } = await from('client/runner.mjs')
  const { default: suites } = await from('tests/index.mjs')
  const { default: surrogate } = await from('tests/surrogate-control.mjs')
  const { default: fetch } = await import(pathToFileURL(require.resolve('node-fetch')).href)
  suites.push(surrogate) // as the tests' own command line does
  await runTests(suites, fetch, false, base)
  const results = getResults()
  const kinds = {}
  for (const test of suites.flatMap((suite) => suite.tests)) {
    const result = results[test.id]
    if (result === undefined) continue // for browsers alone
    const kind = (kinds[test.kind ?? 'required'] ??= { passed: 0, all: 0, failed: {} })
    kind.all++
    if (result === true) kind.passed++
    else kind.failed[test.id] = result.join(': ')
  }
  console.log(JSON.stringify(kinds))
}
