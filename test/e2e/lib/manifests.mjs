// All checks of a folder, in order.

import * as checks from './checks.mjs';
import { readDash } from './dash.mjs';
import { readHls } from './hls.mjs';
import { Tree } from './tree.mjs';

/**
 * Checks every manifest under dir.
 * @returns {{problems: string[], summary: string}}
 */
export function checkManifests(dir) {
  const tree = new Tree(dir);
  const problems = [];
  const hls = readHls(tree, problems);
  const dash = readDash(tree, problems);
  if (hls.length + dash.length === 0) problems.push(`${dir}: holds no manifest`);

  for (const presentation of hls) {
    common(tree, presentation, problems);
    checks.checkTarget(presentation, problems);
    checks.checkIFrames(presentation, problems);
    checks.checkBandwidth(tree, presentation, target(presentation), problems);
  }
  for (const presentation of dash) {
    common(tree, presentation, problems);
    const sibling = hls.find((h) => checks.folder(h.file) === checks.folder(presentation.file));
    if (!sibling) continue;
    checks.checkSameSegments(sibling, presentation, problems);
    checks.checkBandwidth(tree, presentation, target(sibling), problems);
  }
  checks.checkStoryboards(tree, problems);

  const renditions = [...hls, ...dash].reduce((sum, p) => sum + p.renditions.length, 0);
  return { problems, summary: `${hls.length} HLS and ${dash.length} DASH presentations, ${renditions} renditions` };
}

function common(tree, presentation, problems) {
  checks.checkFiles(tree, presentation, problems);
  checks.checkTotals(presentation, problems);
  checks.checkBoundaries(presentation, problems);
}

function target({ renditions }) {
  return Math.max(...renditions.map((r) => r.target));
}
