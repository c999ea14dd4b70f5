// The ladder as the page draws it: from the report where there is one, else
// from what the manifest says.

import type { Level } from '../engine/engine';
import { codecName, frameRate, levelName } from './format';
import type { Rendition } from './report';

export interface Rung {
  readonly key: string;
  readonly name: string;
  readonly codec: string;
  readonly frameRate: string;
  readonly peak: number;
  /** 0 when unknown */
  readonly average: number;
  readonly vmaf?: number;
}

/** ladder lists rungs from the largest to the smallest. */
export function ladder(renditions: readonly Rendition[], levels: readonly Level[]): Rung[] {
  const rungs = renditions.length > 0 ? renditions.map(fromReport) : levels.map(fromLevel);
  return rungs.sort((a, b) => b.peak - a.peak);
}

/** rungOf finds the rung that a level of an engine is. */
export function rungOf(level: Level | undefined, rungs: readonly Rung[]): Rung | undefined {
  if (!level) return undefined;
  const name = levelName(level.width, level.height);
  const codec = codecName(level.codec);
  const distance = (r: Rung) => Math.abs(r.peak - level.bitrate);
  return rungs.filter((r) => r.name === name && r.codec === codec).sort((a, b) => distance(a) - distance(b))[0];
}

function fromReport(r: Rendition, i: number): Rung {
  return {
    key: r.id ?? String(i),
    name: levelName(r.width ?? 0, r.height ?? 0) || (r.id ?? ''),
    codec: codecName(r.codecs ?? r.codec),
    frameRate: frameRate(r.frame_rate),
    peak: r.bandwidth ?? r.average_bandwidth ?? 0,
    average: r.average_bandwidth ?? 0,
    ...(r.vmaf !== undefined && { vmaf: r.vmaf }),
  };
}

function fromLevel(l: Level, i: number): Rung {
  return {
    key: String(i),
    name: levelName(l.width, l.height),
    codec: codecName(l.codec),
    frameRate: frameRate(l.frameRate),
    peak: l.bitrate,
    average: 0,
  };
}
