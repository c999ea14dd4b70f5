import { routeOf, type Route } from './routes';

/** Router follows the browser's history: links of the console change the page without loading it anew. */
export class Router {
  path = $state(location.pathname);
  query = $state.raw(new URLSearchParams(location.search));
  readonly route: Route = $derived(routeOf(this.path));

  /** go shows another address of the console. */
  go(address: string, replace = location.href === new URL(address, location.href).href): void {
    if (replace) history.replaceState(null, '', address);
    else history.pushState(null, '', address);
    this.read();
  }

  /** setQuery changes the address's query and leaves the place in the history as it is. */
  setQuery(changes: Readonly<Record<string, string>>): void {
    const query = new URLSearchParams(this.query);
    for (const [name, value] of Object.entries(changes)) {
      if (value) query.set(name, value);
      else query.delete(name);
    }
    history.replaceState(history.state, '', query.size > 0 ? `?${query}` : location.pathname);
    this.read();
  }

  /** start follows links and the back button until the returned function is called. */
  start(): () => void {
    const read = () => this.read();
    const click = (event: MouseEvent) => this.click(event);
    window.addEventListener('popstate', read);
    document.addEventListener('click', click);
    return () => {
      window.removeEventListener('popstate', read);
      document.removeEventListener('click', click);
    };
  }

  private read(): void {
    this.path = location.pathname;
    this.query = new URLSearchParams(location.search);
  }

  private click(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element).closest?.('a');
    if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return;
    if (!link.pathname.startsWith('/console/')) return;
    event.preventDefault();
    this.go(link.pathname + link.search);
    window.scrollTo(0, 0);
  }
}
