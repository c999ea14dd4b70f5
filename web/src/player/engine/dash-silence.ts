import type { MediaPlayerClass } from 'dashjs';

/** What dash.js notes of a download, and how it is given up. */
interface Noted {
  readonly request?: { readonly firstByteDate: Date | null; readonly bytesLoaded: number; readonly endDate: Date | null };
  readonly abort?: () => void;
  onloadend?: (() => void) | undefined;
}

/** silent is how long a server may take until the first byte, in milliseconds; hls.ts has the same. */
const silent = 1500;

/**
 * leaveTheSilent has downloads fail whose first byte does not come, while also() says that
 * there is another server. dash.js knows only a limit for the whole of an answer, which a
 * slow line needs most of. It is given up as dash.js itself gives up one whose bytes stop:
 * aborted, then told that it has ended.
 */
export function leaveTheSilent(player: Pick<MediaPlayerClass, 'addRequestInterceptor'>, also: () => boolean): void {
  player.addRequestInterceptor((request) => {
    const noted = request.customData as Noted | undefined;
    const media = noted?.request;
    if (media && also()) {
      setTimeout(() => {
        if (media.endDate || media.firstByteDate || media.bytesLoaded > 0) return;
        const ended = noted.onloadend;
        noted.onloadend = undefined; // where fetch loads, aborting tells of the end too
        noted.abort?.();
        ended?.();
      }, silent);
    }
    return Promise.resolve(request);
  });
}
