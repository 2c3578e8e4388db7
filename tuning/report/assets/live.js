/* Live reports -------------------------------------------------------------------------------- */

/** Milliseconds between checks for a new version, and of rest after the reader's last input. */
const LOOK = 2000, PAUSE = 3000;
const PLACE = "rnn-zoo-place";

/** Reloads the page when the report has been rebuilt, unless the reader is busy. */
function startLive() {
  const own = document.documentElement.dataset.version;
  if (!own) return;
  const button = find("#live");
  button.hidden = false;
  button.onclick = () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    kept.session.setItem("rnn-zoo-live", button.getAttribute("aria-pressed"));
  };
  button.setAttribute("aria-pressed", kept.session.getItem("rnn-zoo-live") || "true");
  find("#as-of").textContent = `as of ${new Date(document.lastModified).toLocaleTimeString()}`;
  let touched = -Infinity;
  for (const kind of ["keydown", "pointerdown", "wheel", "input"]) {
    window.addEventListener(kind, () => { touched = performance.now(); }, { passive: true });
  }
  const timer = setInterval(look, LOOK);
  // Called by version.js.
  window.reportVersion = (version) => {
    if (!version) {
      clearInterval(timer);
      button.hidden = true;
    }
    // One reload per version, even if the page on disk has another one.
    const isNew = version && version !== own && kept.session.getItem("rnn-zoo-asked") !== version;
    const isBusy = find("dialog[open]") || performance.now() - touched < PAUSE;
    if (!isNew || isBusy || button.getAttribute("aria-pressed") !== "true") return;
    kept.session.setItem("rnn-zoo-asked", version);
    kept.session.setItem(PLACE, JSON.stringify(place()));
    history.scrollRestoration = "manual";
    location.reload();
  };
}

/** Loads version.js anew; a page from a file cannot fetch, but can run scripts. */
function look() {
  const script = make("script", { src: `version.js?${Date.now()}` });
  script.onload = script.onerror = () => script.remove();
  document.head.append(script);
}

/** The reader's place: the element at the top of the window, the focus, and each table's state. */
function place() {
  const above = [...document.querySelectorAll("main [id]")].filter((each) => each.getBoundingClientRect().top < 60);
  const mark = above.at(-1) || find("#main");
  return {
    mark: mark.id,
    offset: mark.getBoundingClientRect().top,
    focus: pathTo(document.activeElement),
    study: find("#study").value,
    details: [...document.querySelectorAll("details")].map((each) => each.open),
    tables: Object.fromEntries([...tablesByName].map(([name, table]) => [name, table.state])),
  };
}

function pathTo(element) {
  const steps = [];
  for (let at = element; at && at !== document.body; at = at.parentElement) {
    if (at.id) return [`#${CSS.escape(at.id)}`, ...steps].join(" > ");
    steps.unshift(`:nth-child(${[...at.parentElement.children].indexOf(at) + 1})`);
  }
  return steps.length ? ["body", ...steps].join(" > ") : "body";
}

async function restorePlace() {
  const saved = JSON.parse(kept.session.getItem(PLACE));
  if (!saved) return;
  kept.session.removeItem(PLACE);
  history.scrollRestoration = "auto";
  for (const [name, state] of Object.entries(saved.tables)) {
    if (tablesByName.has(name)) tablesByName.get(name).state = state;
  }
  document.querySelectorAll("details").forEach((each, i) => { each.open = Boolean(saved.details[i]); });
  if (saved.study) await openStudy(saved.study);
  find(saved.focus)?.focus({ preventScroll: true });
  const mark = document.getElementById(saved.mark);
  if (mark) window.scrollBy(0, mark.getBoundingClientRect().top - saved.offset);
}

