import { locales, type Locale } from './i18n';

/** What the viewer chose, remembered between visits. */
export interface Settings {
  locale?: Locale;
  volume?: number;
  muted?: boolean;
  facts?: boolean;
}

const storageKey = 'liuyun.player';

/** loadSettings returns what was remembered; nothing where storage is off or holds nonsense. */
export function loadSettings(): Settings {
  try {
    const stored = JSON.parse(localStorage.getItem(storageKey) ?? '{}') as Record<string, unknown>;
    const settings: Settings = {};
    const locale = locales.find((l) => l.id === stored.locale)?.id;
    if (locale) settings.locale = locale;
    if (typeof stored.volume === 'number' && stored.volume >= 0 && stored.volume <= 1) settings.volume = stored.volume;
    if (typeof stored.muted === 'boolean') settings.muted = stored.muted;
    if (typeof stored.facts === 'boolean') settings.facts = stored.facts;
    return settings;
  } catch {
    return {};
  }
}

/** saveSettings merges changes into what is remembered. */
export function saveSettings(changes: Settings): void {
  try {
    localStorage.setItem(storageKey, JSON.stringify({ ...loadSettings(), ...changes }));
  } catch {
    // Private windows may refuse storage: the page works without.
  }
}
