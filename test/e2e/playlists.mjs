// node playlists.mjs DIR
//
// Reads each playlist of a live stream in DIR by two parsers that are not ours and
// compares what they see with what is known of it: NAME.m3u8 with NAME.json, {kind:
// "multivariant", "media", "delta" or "keys", and as far as they apply variants, sequence,
// skipped, segments, seconds, parts, hint, discontinuities, gaps}. Exit status: 0 nothing
// is wrong, 1 problems (one a line on stderr), 2 bad usage.

import fs from 'node:fs';
import path from 'node:path';
import { readers } from './lib/playlists.mjs';

const [dir, ...rest] = process.argv.slice(2);
if (!dir || rest.length > 0 || !fs.statSync(dir, { throwIfNoEntry: false })?.isDirectory()) {
  console.error('usage: node playlists.mjs DIR');
  process.exit(2);
}
const problems = [];
const files = fs.readdirSync(dir).filter((name) => name.endsWith('.m3u8'));
if (files.length === 0) problems.push(`${dir} holds no playlist`);
for (const file of files) {
  const text = fs.readFileSync(path.join(dir, file), 'utf8');
  const wanted = JSON.parse(fs.readFileSync(path.join(dir, file.replace(/m3u8$/, 'json')), 'utf8'));
  for (const [parser, read] of Object.entries(readers)) {
    try {
      const { seen, warnings } = read(text);
      problems.push(...warnings.map((w) => `${file}: ${parser} warns: ${w}`));
      for (const [name, value] of Object.entries(wanted)) {
        if (name in seen && !same(seen[name], value)) problems.push(`${file}: ${parser} sees ${name} ${seen[name]}, want ${value}`);
      }
    } catch (error) {
      problems.push(`${file}: ${parser} refuses it: ${error.message}`);
    }
  }
}
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log(`${files.length} playlists are well by ${Object.keys(readers).join(' and ')}`);

/** Seconds are sums of decimals. */
function same(a, b) {
  return typeof a === 'number' && typeof b === 'number' ? Math.abs(a - b) < 0.01 : a === b;
}
