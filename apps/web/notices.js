// What the page says outside its forms: to screen readers, in passing, and about the connection.

import { byId, make, setText } from './dom.js';

/** Said by screen readers when they have a moment. */
export function announce(text) {
  setText(byId('announcer'), text);
}

/** A message that goes by itself. */
export function notify(text) {
  const notice = make('p', { class: 'notice', text });
  byId('notices').append(notice);
  setTimeout(() => notice.remove(), 7000);
}

/** Shows the state of the connection; `retry` is offered while it is lost. */
export function makeConnectionNotice(retry) {
  const place = byId('connection');
  let ticking = null;
  return ({ lost, error, waitMs }) => {
    clearInterval(ticking);
    place.classList.toggle('lost', lost);
    if (!lost) {
      place.replaceChildren();
      return;
    }
    const reason = error?.status > 0 && error.status !== 503
      ? error.plainMessage : 'No connection to the server.';
    const wait = make('span', { 'aria-hidden': 'true' });
    place.replaceChildren(make('span', { text: reason }), wait, make('button', {
      type: 'button', class: 'link', text: 'Try now', click: retry }));
    if (waitMs == null) return;
    const until = Date.now() + waitMs;
    const tick = () => setText(wait, ` Next try in ${Math.max(1, Math.round((until - Date.now()) / 1000))} s. `);
    tick();
    ticking = setInterval(tick, 1000);
  };
}
