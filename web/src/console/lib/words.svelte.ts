import { createContext } from 'svelte';
import { Words as PlayerWords } from '../../player/lib/words.svelte';
import { message, type Key } from '../messages';

/** Words speaks the viewer's language in the console; the player inside it follows. */
export class Words {
  readonly player = new PlayerWords();

  get locale() {
    return this.player.locale;
  }

  t = (key: Key, values?: Readonly<Record<string, string | number>>): string => message(this.locale, key, values);

  /** count is t, with the key's singular (key + "One") where the language has one. */
  count = (key: Key, n: number): string => {
    const one = `${key}One` as Key;
    return this.t(n === 1 ? one : key, { n: this.number(n) });
  };

  number = (n: number, digits = 0): string => n.toLocaleString(this.locale, { maximumFractionDigits: digits });
  /** figure writes a measured or reckoned number with the three digits that count. */
  figure = (n: number): string => n.toLocaleString(this.locale, { maximumSignificantDigits: 3 });
  money = (n: number, currency: string): string => n.toLocaleString(this.locale, { style: 'currency', currency, currencyDisplay: 'code', maximumSignificantDigits: 3 });
  percent = (fraction: number): string => (Math.floor(fraction * 100) / 100).toLocaleString(this.locale, { style: 'percent' });

  /** when writes a time as people say it: today's by how long ago, others by their date. */
  when = (time: string | null): string => {
    if (!time) return '–';
    const minutes = (Date.parse(time) - Date.now()) / 60_000;
    const relative = new Intl.RelativeTimeFormat(this.locale, { numeric: 'auto' });
    if (Math.abs(minutes) < 1) return this.t(minutes > 0.05 ? 'soon' : 'justNow');
    if (Math.abs(minutes) < 60) return relative.format(Math.trunc(minutes), 'minute');
    if (Math.abs(minutes) < 24 * 60) return relative.format(Math.trunc(minutes / 60), 'hour');
    return this.date(time);
  };

  date = (time: string): string => {
    const day = new Date(time);
    const year = day.getFullYear() === new Date().getFullYear() ? {} : { year: 'numeric' as const };
    return day.toLocaleDateString(this.locale, { month: 'short', day: 'numeric', ...year });
  };

  full = (time: string | null): string =>
    time ? new Date(time).toLocaleString(this.locale, { dateStyle: 'medium', timeStyle: 'medium' }) : '–';

  /** span writes seconds as "3 min" or "2 h 5 min". */
  span = (seconds: number): string => {
    if (seconds < 90) return this.t('seconds', { n: Math.max(1, Math.round(seconds)) });
    const minutes = Math.round(seconds / 60);
    if (minutes < 90) return this.t('minutes', { n: minutes });
    return this.t('hours', { h: Math.floor(minutes / 60), m: minutes % 60 });
  };
}

export const [getWords, setWords] = createContext<Words>();
