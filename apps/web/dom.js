// Small helpers over the document. Texts are set as text, never as HTML: prompts are anyone's.

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** A new element. Attributes that are functions become listeners, `text` its text, false none. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (name === 'text') element.textContent = value;
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** A decorative picture of the sprite icons.svg. */
export function makeIcon(name) {
  const space = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(space, 'svg');
  const use = document.createElementNS(space, 'use');
  svg.setAttribute('aria-hidden', 'true');
  use.setAttribute('href', `icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** Replaces a select's options by [value, label] pairs, keeping what was chosen if it is left. */
export function fillSelect(select, options) {
  const chosen = select.value;
  select.replaceChildren(...options.map(([value, label]) => make('option', { value, text: label })));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}

/** Sets text only where it differs, so that nothing is announced or laid out for nothing. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Buttons marked data-close close their dialog. A click beside a dialog's contents does, too. */
export function armDialogs() {
  for (const dialog of document.querySelectorAll('dialog')) {
    for (const button of dialog.querySelectorAll('[data-close]')) {
      button.addEventListener('click', () => dialog.close());
    }
    if (dialog.id === 'mask-dialog') continue;  // a stray click must not lose a mask
    dialog.addEventListener('mousedown', (event) => {
      if (event.target === dialog) dialog.close();
    });
  }
}
