/* The page of the atlas ----------------------------------------------------------------------- */

async function start() {
  startTheme();
  const place = find("[data-table=atlas]");
  new DataTable(place, await piece("atlas"), place.dataset.caption, 1000);
  document.documentElement.dataset.ready = "true";
}

start().catch((error) => {
  find("#failure").textContent = `Cannot show the table: ${error.message}. `
    + "This page needs a browser released in 2023 or later.";
});
