// Runs http-cache-tests, and writes the list of tests and their results.
//
//   node client.mjs SUITE_FOLDER BASE_URL RESULTS_FILE IDS
//
// IDS are separated by commas; none means all. Prints from time to time how many tests are done.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [suite, base, file, ids] = process.argv.slice(2)
const load = path => import(pathToFileURL(`${suite}/${path}`))
const there = path => existsSync(`${suite}/${path}`)
const about = JSON.parse(readFileSync(`${suite}/package.json`, 'utf8'))

// npm's release lacks a folder that the repository has, and its runner takes `fetch` as an argument.
const edition = there('test-engine') ? 'repository' : 'release'
const engine = edition === 'repository' ? 'test-engine/client' : 'client'
const { runTests, getResults } = await load(`${engine}/runner.mjs`)
const { testResults } = await load(`${engine}/test.mjs`)
const suites = [...(await load('tests/index.mjs')).default]
if (there('tests/surrogate-control.mjs')) {
  suites.push((await load('tests/surrogate-control.mjs')).default)
}

const wanted = new Set(ids ? ids.split(',') : [])
const isWanted = test => !test.browser_only && (wanted.size === 0 || wanted.has(test.id))
const chosen = suites.map(suite => ({ ...suite, tests: suite.tests.filter(isWanted) }))
const tests = chosen.flatMap(suite => suite.tests)

const show = () => console.log(`${Object.keys(testResults).length}/${tests.length}`)
show()
const shown = setInterval(show, 500)
if (edition === 'release') {
  const fetch = createRequire(`${suite}/package.json`)('node-fetch')
  await runTests(chosen, fetch, false, base)
} else {
  await runTests(chosen, false, base)
}
clearInterval(shown)

const describe = test => ({ id: test.id, name: test.name, kind: test.kind || 'required' })
const results = getResults()
const found = { version: about.version, edition, tests: tests.map(describe), results }
writeFileSync(file, JSON.stringify(found))
// Open connections would keep this process running.
process.exit(0)
