"use strict";

/** Storage of the browser, or a stand-in where it is turned off. */
const kept = (() => {
  try {
    localStorage.getItem("theme");
    return { local: localStorage, session: sessionStorage };
  } catch {
    const none = { getItem: () => null, setItem: () => {}, removeItem: () => {} };
    return { local: none, session: none };
  }
})();

{
  const theme = kept.local.getItem("rnn-zoo-theme")
    || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.theme = theme;
}
