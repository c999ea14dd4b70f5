import type { BufferController, MediaPlayerClass } from 'dashjs';

/** What an extension of a part of dash.js gets: the part, whose methods it replaces by its own. */
interface Extension {
  readonly parent: Pick<BufferController, 'hasBufferAtTime' | 'getBuffer'>;
}

/**
 * mendSeeks puts right what dash.js 5.2 does wrong when the viewer seeks. It is to be
 * called before the player is initialized.
 */
export function mendSeeks(player: Pick<MediaPlayerClass, 'extend'>): void {
  player.extend('BufferController', beforeNoHole, true);
  player.extend('NotFragmentedTextBufferController', neverComplete, true);
}

/**
 * beforeNoHole: a seek over what is not buffered leaves a hole. After a seek back to
 * before it, dash.js goes on loading behind the hole, or not at all, and playback jumps
 * over the hole or stays stuck. Where a hole lies ahead, the time counts as not
 * buffered: then dash.js drops what is behind the hole and loads from its start.
 */
function beforeNoHole(this: Extension) {
  const { parent } = this;
  const has = parent.hasBufferAtTime;
  return {
    hasBufferAtTime: (time: number) => {
      const ranges = parent.getBuffer()?.getAllBufferRanges() as TimeRanges | null | undefined;
      return has(time) && (!ranges || ranges.length === 0 || time >= ranges.start(ranges.length - 1));
    },
  };
}

/**
 * neverComplete: dash.js takes any seek as a sign that the subtitles are loaded, and drops
 * the file that is on its way. It marks them as loaded itself when the file is there.
 */
function neverComplete() {
  return { getContinuousBufferTimeForTargetTime: () => NaN };
}
