import type { MediaPlayerClass } from 'dashjs';

/** What dash.js notes of a download, and how it is given up. */
interface Noted {
  readonly request?: { readonly firstByteDate: Date | null; readonly bytesLoaded: number; readonly endDate: Date | null };
  readonly abort?: () => void;
  onloadend?: (() => void) | undefined;
}

/** silent is how long a server may take until the first byte, in milliseconds; hls.ts has the same. */
const silent = 1500;

/** held is how long one may take that answers otherwise: while control nodes are away an edge waits five seconds for a part that is to come. */
const held = 8000;

/**
 * leaveTheSilent has downloads fail whose first byte does not come, while also() says that
 * there is another server. dash.js knows only a limit for the whole of an answer, which a
 * slow line needs most of. It is given up as dash.js itself gives up one whose bytes stop:
 * aborted, then told that it has ended. Of a stream that is live a server that holds what
 * was asked for is told from one that is gone by what it answers at once, whoever is away.
 */
export function leaveTheSilent(player: Pick<MediaPlayerClass, 'addRequestInterceptor'>, also: () => boolean, live = false): void {
  player.addRequestInterceptor((request) => {
    const noted = request.customData as Noted | undefined;
    const media = noted?.request;
    if (media && also()) {
      const begun = () => media.endDate || media.firstByteDate || media.bytesLoaded > 0;
      const leave = () => {
        if (begun()) return;
        const ended = noted.onloadend;
        noted.onloadend = undefined; // where fetch loads, aborting tells of the end too
        noted.abort?.();
        ended?.();
      };
      let lives = false;
      if (live) setTimeout(() => begun() || void answers(request.url).then((yes) => (lives = yes)), silent / 2);
      setTimeout(() => (lives ? setTimeout(leave, held - silent) : leave()), silent);
    }
    return Promise.resolve(request);
  });
}

/** answers says whether the server of an address answers at all: this it has itself, wherever it runs. */
function answers(address: string): Promise<boolean> {
  return fetch(new URL('/embed.js', address), { method: 'HEAD', mode: 'no-cors', cache: 'no-store' }).then(() => true, () => false);
}
