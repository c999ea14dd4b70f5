// Whether a stream is on air, found out as any viewer may: by its playlists.

/** refused: the address holds no more. away: nothing answers. */
export type OnAir = 'on' | 'off' | 'absent' | 'refused' | 'away';

/** askOnAir looks whether there is something to watch at a multivariant playlist that still goes on. */
export async function askOnAir(master: string, signal: AbortSignal): Promise<OnAir> {
  try {
    const answer = await fetch(master, { signal });
    if (!answer.ok) return stateOf(answer.status);
    const media = firstURI(await answer.text());
    if (media === undefined) return 'off';
    const list = await fetch(new URL(media, answer.url), { signal });
    if (!list.ok) return stateOf(list.status);
    return hasEnded(await list.text()) ? 'off' : 'on';
  } catch {
    return 'away';
  }
}

/** 503 is what a stream answers that has not begun. */
function stateOf(status: number): OnAir {
  if (status === 401 || status === 403) return 'refused';
  if (status === 404) return 'absent';
  return status === 503 ? 'off' : 'away';
}

/** firstURI is the first playlist that a multivariant playlist names. */
export function firstURI(text: string): string | undefined {
  return text
    .split('\n')
    .map((line) => line.trim())
    .find((line) => line !== '' && !line.startsWith('#'));
}

/** hasEnded reports whether a media playlist says that nothing comes any more. */
export function hasEnded(text: string): boolean {
  return /^#EXT-X-ENDLIST\s*$/m.test(text);
}
