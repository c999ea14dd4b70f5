// DASH through npm's mpd-parser.

import { parse } from 'mpd-parser';
import { timed } from './presentation.mjs';

/**
 * Reads every manifest of the tree.
 * @returns {import('./presentation.mjs').Presentation[]}
 */
export function readDash(tree, problems) {
  return tree.files('.mpd').map((file) => read(tree, file, problems)).filter(Boolean);
}

function read(tree, file, problems) {
  let manifest;
  try {
    manifest = parse(tree.read(file), {
      manifestUri: tree.url(file),
      eventHandler: ({ type, message }) => {
        if (type === 'warn') problems.push(`${file}: mpd-parser warns: ${message}`);
      },
    });
  } catch (error) {
    problems.push(`${file}: mpd-parser: ${error.message}`);
    return undefined;
  }
  const renditions = manifest.playlists.map((p) => rendition(tree, file, p, p.attributes.RESOLUTION ? 'video' : 'audio'));
  for (const [kind, type] of [['AUDIO', 'audio'], ['SUBTITLES', 'text']]) {
    for (const group of Object.values(manifest.mediaGroups[kind])) {
      for (const member of Object.values(group)) {
        renditions.push(...member.playlists.map((p) => rendition(tree, file, p, type)));
      }
    }
  }
  return { file, duration: manifest.duration, renditions: unique(renditions) };
}

/** A presentation of sound alone is listed both as playlists and as a group. */
function unique(renditions) {
  return [...new Map(renditions.map((r) => [r.name, r])).values()];
}

function rendition(tree, file, playlist, type) {
  const { attributes, segments } = playlist;
  const made = {
    name: `${file}: ${attributes.NAME}`,
    type,
    bandwidth: attributes.BANDWIDTH,
    frameRate: attributes['FRAME-RATE'],
    segments: timed(segments.map((s) => ({ file: tree.resolve(s.resolvedUri, file), duration: s.duration }))),
  };
  const map = segments[0]?.map;
  if (map) made.init = tree.resolve(map.resolvedUri, file);
  return made;
}
