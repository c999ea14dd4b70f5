import { createContext } from 'svelte';
import { locales, localeOf, message, type Key, type Locale } from './i18n';
import { loadSettings, saveSettings } from './settings';

/** Words speaks the viewer's language; components that call t follow a change of it. */
export class Words {
  locale = $state<Locale>(loadSettings().locale ?? localeOf(navigator.languages));

  t = (key: Key, values?: Readonly<Record<string, string | number>>): string => message(this.locale, key, values);

  /** other is the language that the switch leads to. */
  get other() {
    return locales.find((l) => l.id !== this.locale)!;
  }

  choose(locale: Locale): void {
    this.locale = locale;
    saveSettings({ locale });
  }
}

export const [getWords, setWords] = createContext<Words>();
