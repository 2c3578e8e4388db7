/* The page ------------------------------------------------------------------------------------ */

const tablesByName = new Map();

/** Opens the run, or the study, that the address names. */
async function followHash() {
  const [, kind, quoted] = location.hash.match(/^#(run|study)=(.+)$/) || [];
  if (kind !== "run") find("#run-dialog").close();
  if (!kind) return;
  let name = quoted;
  try {
    name = decodeURIComponent(quoted);
  } catch {
    // A malformed link; openRun reports that there is no such run.
  }
  if (kind === "run") return openRun(name);
  find("#figure-dialog").close();
  await openStudy(name);
  find("#studies").scrollIntoView();
}

/** Tells readers, with or without a screen, that something was done. */
function say(text) {
  find("#said").textContent = text;
}

async function copy(text, done, otherwise) {
  try {
    await navigator.clipboard.writeText(text);
    say(done);
  } catch {
    say(otherwise);
  }
}

function clicked({ target }) {
  const { link, copy: command } = target.closest("[data-link], [data-copy]")?.dataset || {};
  if (link) {
    history.replaceState(null, "", `#${link}`);
    copy(location.href, "Link copied", "The address of this page is the link");
  }
  if (command) copy(command, "Command copied", "This browser forbids copying");
}

async function start() {
  startTheme();
  document.addEventListener("click", clicked);
  for (const button of document.querySelectorAll("button.open")) {
    button.onclick = () => openFigure(button.dataset.figure);
  }
  find("#run-dialog").addEventListener("close", () => {
    if (location.hash.startsWith("#run=")) history.replaceState(null, "", location.pathname + location.search);
  });
  window.addEventListener("hashchange", followHash);
  const [tables, trials] = await Promise.all([piece("tables"), piece("trials")]);
  for (const place of document.querySelectorAll("[data-table]")) {
    const { table, caption } = place.dataset;
    tablesByName.set(table, new DataTable(place, table === "trials" ? trials : tables[table], caption));
  }
  await startStudies(trials);
  await followHash();
  await restorePlace();
  startLive();
  document.documentElement.dataset.ready = "true";
}

start().catch((error) => {
  find("#failure").textContent = `Cannot show tables and runs: ${error.message}. `
    + "This page needs a browser released in 2023 or later.";
});
