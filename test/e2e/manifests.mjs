// node manifests.mjs DIR
//
// Reads every HLS and DASH manifest under DIR with parsers that are not ours and
// checks them against each other and against the files. Exit status: 0 nothing
// is wrong, 1 problems (one a line on stderr), 2 bad usage.

import fs from 'node:fs';
import { checkManifests } from './lib/manifests.mjs';

const [dir, ...rest] = process.argv.slice(2);
if (!dir || rest.length > 0 || !fs.statSync(dir, { throwIfNoEntry: false })?.isDirectory()) {
  console.error('usage: node manifests.mjs DIR');
  process.exit(2);
}
const { problems, summary } = checkManifests(dir);
for (const problem of problems) console.error(problem);
if (problems.length > 0) {
  console.error(`${problems.length} problems in ${dir}`);
  process.exit(1);
}
console.log(`${dir}: ${summary}: all good`);
