// Light or dark: the system's choice until someone makes another here.

const ITEM = 'tintype.theme';

export function armTheme(button) {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const show = () => {
    const chosen = localStorage.getItem(ITEM);
    const theme = chosen ?? (system.matches ? 'dark' : 'light');
    document.documentElement.dataset.theme = theme;
    button.setAttribute('aria-label', theme === 'dark' ? 'Change to light' : 'Change to dark');
  };
  button.addEventListener('click', () => {
    const next = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
    // The system's own choice is not stored, so that the page keeps following it.
    if ((next === 'dark') === system.matches) localStorage.removeItem(ITEM);
    else localStorage.setItem(ITEM, next);
    show();
  });
  system.addEventListener('change', show);
  show();
}
