// Names of languages, in the language of the page.

/** languageName turns "en" or "zho" into its name in the page's locale; the code itself when unknown. */
export function languageName(code: string | undefined, locale: string): string {
  if (!code || code === 'und') return '';
  try {
    return new Intl.DisplayNames([locale], { type: 'language' }).of(code) ?? code;
  } catch {
    return code;
  }
}
