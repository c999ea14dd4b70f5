import { createContext } from 'svelte';
import type { Client } from '../../api/client';
import { Problem } from '../../api/problem';
import type { components } from '../../api/schema';
import type { Asset, Session } from '../../api/types';
import type { Key } from '../messages';
import type { Live } from './live.svelte';
import type { Router } from './router.svelte';
import type { Toasts } from './toasts.svelte';
import type { Uploads } from './uploads.svelte';
import type { Words } from './words.svelte';

/** What every page of a signed-in viewer uses. */
export interface Console {
  readonly client: Client;
  readonly live: Live;
  readonly router: Router;
  readonly toasts: Toasts;
  readonly uploads: Uploads;
  readonly session: Session;
}

export const [getConsole, setConsole] = createContext<Console>();

/** may reports whether the session has a scope. */
export function may(session: Session, scope: string): boolean {
  return session.scopes.includes('admin') || session.scopes.includes(scope);
}

/** sentence begins as a sentence does what the server says as a part of one. */
const sentence = (text: string): string => (/^[a-z]+ /.test(text) ? text[0]!.toUpperCase() + text.slice(1) : text);

type Code = components['schemas']['Problem']['code'];

const meaning: Readonly<Record<Code, Key>> = {
  invalid: 'faultInvalid',
  not_found: 'faultNotFound',
  forbidden: 'faultForbidden',
  conflict: 'faultConflict',
  unavailable: 'faultUnavailable',
  storage_full: 'faultStorageFull',
  limit: 'faultLimit',
  canceled: 'faultCanceled',
  internal: 'faultInternal',
};

/**
 * explain says what went wrong in the viewer's language. The server's sentences are
 * English: in another language the meaning of the code goes before them.
 */
export function explain(error: unknown, { t, locale }: Pick<Words, 't' | 'locale'>): string {
  if (!(error instanceof Problem)) return t('problemUnknown', { detail: String(error) });
  if (error.status === 0) return error.code === 'unreadable' ? t('problemUnreadable') : t('problemOffline');
  const fields = error.fields.map((f) => [f.location?.replace(/^body\./, ''), f.message].filter(Boolean).join(': '));
  const detail = [sentence(error.detail), ...fields].filter(Boolean).join(' ');
  return inWords(meaning[error.code as Code], detail, { t, locale }) || t('problemStatus', { status: error.status });
}

/** explainFailure says why an asset could not be processed, as explain does; invalid is what is wrong with it then. */
export function explainFailure({ code, message }: NonNullable<Asset['error']>, words: Pick<Words, 't' | 'locale'>, invalid: Key = 'faultMedia'): string {
  return inWords(code === 'invalid' ? invalid : meaning[code as Code], sentence(message), words);
}

const warned: Readonly<Record<string, Key>> = {
  alpha: 'warningAlpha',
  audio_left_out: 'warningAudioLeftOut',
  cap: 'warningCap',
  clock: 'warningClock',
  cover_art: 'warningCoverArt',
  cut_off: 'warningCutOff',
  damaged: 'warningDamaged',
  dolby_vision: 'warningDolbyVision',
  interlaced: 'warningInterlaced',
  mirrored: 'warningMirrored',
  more: 'warningMore',
  more_video: 'warningMoreVideo',
  no_picture: 'warningNoPicture',
  no_sound: 'warningNoSound',
  not_optimized: 'warningNotOptimized',
  picture_subtitles: 'warningPictureSubtitles',
  saliency: 'warningSaliency',
  silent_audio: 'warningSilentAudio',
  standard_ladder: 'warningStandardLadder',
  subtitles_left_out: 'warningSubtitlesLeftOut',
  timestamps: 'warningTimestamps',
  variable_frame_rate: 'warningVariableFrameRate',
};

/** explainWarning says what was strange about an asset, as explain does. */
export function explainWarning({ code, message }: Asset['warnings'][number], words: Pick<Words, 't' | 'locale'>): string {
  return inWords(warned[code], sentence(message), words);
}

/** inWords puts what a code means before what the server says. */
function inWords(key: Key | undefined, detail: string, { t, locale }: Pick<Words, 't' | 'locale'>): string {
  if (!key || (detail && locale === 'en')) return detail;
  return detail ? t('problemDetail', { meaning: t(key), detail }) : t(key);
}
