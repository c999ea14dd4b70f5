/**
 * opened begins with a details open or not, by {@attach}; later it is the person who
 * opens and closes it. The attribute would be set anew with whatever else changes there.
 */
export function opened(yes: boolean): (details: HTMLDetailsElement) => void {
  return (details) => {
    details.open = yes;
  };
}
