"""The page in a real browser: Chromium, headless, from a file, without a network."""

import base64
import dataclasses
import gzip
import json
import re

import pytest
from browsing import (
    act,
    click,
    column,
    load,
    needs_chromium,
    press,
    status,
    texts,
    wait,
    wait_for,
)
from report_rows import frame, record, trial

from trainer.display.progress import Display
from trainer.storage.records import RunDirectory
from tuning import trials
from tuning.report import build, importance, page
from tuning.report.claims import CLAIMS
from tuning.report.figures import FIGURES

#: Lines, a matrix, marks, boxes and dots: drawing all 38 takes longer than all else here.
SOME = ("1a", "1i", "2c", "4c", "5a", "App.1")


@pytest.fixture(scope="module")
def report(planted_runs, once):
    """The report of the planted runs, with some figures and the importances of two studies."""

    def build_report(out):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(importance, "MOST_STUDIES", 2)
            build.run(planted_runs, out, None, Display(), figures=SOME)

    return once("report", build_report)


@pytest.fixture(scope="module")
def small(once):
    """The report of two trials of the memory task, whose names look like markup, and of a run."""

    def build_report(home):
        folder = home / "runs/<script>alert(1)<"
        folder.mkdir(parents=True)
        values = {"task_options": {"x": "</script><b>"}, "activation": None}
        records = [record(name, task="memory", hparams=values) for name in ("00000", "00001")]
        lines = [json.dumps(dataclasses.asdict(each)) for each in records]
        (folder / "trials.jsonl").write_text("\n".join(lines) + "\n")
        run = RunDirectory(home / "runs/alone")
        alone = record("alone", task="memory", valid_loss=0.35, train_steps=1000)
        run.create(alone, {})
        steps = (0, 0.9), (250, 0.5), (500, 0.4), (1000, 0.35)
        run.write_metrics(
            [{"step": step, "train_loss": loss, "valid_loss": loss} for step, loss in steps],
            alone.identity,
        )
        build.run(home / "runs", home / "out", None, Display(), figures=FIGURES)

    return once("small", build_report) / "out"


@pytest.fixture
def opened(browser, report):
    """The freshly loaded page; fails if its console has an error afterwards."""
    browser.get("about:blank")
    browser.get_log("browser")
    load(browser, report)
    yield browser
    browser.execute_script("localStorage.clear(); sessionStorage.clear()")
    assert browser.get_log("browser") == []


def filtered(browser, table, text):
    """Wait until a table shows the rows that its filter keeps."""
    wait(
        browser,
        "const place = document.querySelector(arguments[0]);"
        "return place.querySelector('input').value === arguments[1]"
        " && !place.querySelector('[aria-busy]')",
        f"[data-table='{table}']",
        text,
    )


@needs_chromium
def test_figures_claims_tables_and_trials_are_there(opened):
    assert tuple(texts(opened, "figure b")) == SOME
    assert len(texts(opened, "figure svg")) == len(SOME)
    assert len(column(opened, "claims", 5)) == 23
    assert "supported" in column(opened, "claims", 5)
    assert len(column(opened, "table-App.2", 1)) == 25
    assert status(opened, "trials") == "6,420 rows, page 1 of 129"


@needs_chromium
def test_a_table_sorts_both_ways_and_says_so(opened):
    head = "[data-table='table-1'] thead th:nth-child(4)"
    press(opened, f"{head} button")
    wait_for(opened, f"{head}[aria-sort=ascending]")
    shares = column(opened, "table-1", 4)
    assert all(re.fullmatch(r"\d+\.\d %", text) for text in shares)
    up = [float(text.removesuffix(" %")) for text in shares]
    assert len(up) == 11 and up == sorted(up)
    press(opened, f"{head} button")
    wait_for(opened, f"{head}[aria-sort=descending]")
    assert column(opened, "table-1", 4) == shares[::-1]


@needs_chromium
def test_trials_filter_sort_and_turn_pages(opened):
    place, words = "[data-table='trials']", "memory lstm paper"
    act(opened, f"{place} input", lambda element: element.send_keys(f"{words} 160,000"))
    filtered(opened, "trials", f"{words} 160,000")
    assert status(opened, "trials").startswith("15 of")
    assert set(column(opened, "trials", 5)) == {"160,000"}
    for _ in " 160,000":
        press(opened, f"{place} input", "BACKSPACE")
    filtered(opened, "trials", words)
    assert status(opened, "trials") == "90 of 6,420 rows, page 1 of 2"
    assert set(column(opened, "trials", 2)) == {"memory"}
    assert set(column(opened, "trials", 3)) == {"LSTM"}
    head = f"{place} thead th:nth-child(13)"
    press(opened, f"{head} button")
    wait_for(opened, f"{head}[aria-sort=ascending]")
    losses = [float(text) for text in column(opened, "trials", 13)]
    assert losses == sorted(losses)
    click(opened, f"{place} .tools button:nth-of-type(2)")
    wait(
        opened,
        "return document.querySelector(arguments[0]).innerText.endsWith('page 2 of 2')",
        f"{place} [role=status]",
    )
    assert float(column(opened, "trials", 13)[0]) >= losses[-1]


@needs_chromium
def test_a_figure_opens_and_its_points_lead_to_their_runs(opened, planted):
    press(opened, "[data-figure='2c']")
    wait_for(opened, "#figure-dialog[open]")
    assert texts(opened, "#figure-dialog .drawing svg path")
    name = texts(opened, "#figure-dialog .points tbody a")[0]
    press(opened, "#figure-dialog .points tbody a")
    wait_for(opened, "#run-dialog[open] dd")
    run = planted.set_index("run").loc[name]
    (shown,) = texts(opened, "#run-dialog")
    rate = json.loads(run.hparams)["lr_init"]
    assert f"lr_init\t{float(f'{rate:.4g}')}"[:12] in shown
    assert f"units\n{run.units}" in shown
    said = "return [...document.querySelectorAll('#run-dialog text')].map((t) => t.textContent)"
    assert "training steps" in opened.execute_script(said)
    assert f"{run.train_steps:,}" in opened.execute_script(
        "return document.querySelector('#run-dialog svg').ariaLabel"
    )
    assert len(texts(opened, "#run-dialog svg .chance")) == 1
    assert "Objective: squared error per dimension of the recalled vector." in shown
    press(opened, "#run-dialog", "ESCAPE")
    wait(opened, "return !document.querySelector('#run-dialog').open && !location.hash")


@needs_chromium
def test_pointing_at_a_dot_names_its_run_and_a_click_opens_it(opened):
    from selenium.webdriver.common.action_chains import ActionChains

    click(opened, "[data-figure='2c']")
    wait_for(opened, "#figure-dialog[open]")
    # The middle of an element, by the browser's own geometry.
    middle = "const middle = (b) => [b.x + b.width / 2, b.y + b.height / 2];"
    # The marks of points; those of ticks have no clip-path.
    mark, plot = opened.execute_script(
        f"{middle} const dialog = document.querySelector('#figure-dialog');"
        "const at = (each) => middle(each.getBoundingClientRect());"
        "const marks = [...dialog.querySelectorAll('.drawing [clip-path] use')].map(at);"
        # The mark that is farthest from all others.
        "const apart = marks.map((a, i) => Math.min(...marks.map((b, j) => "
        "i === j ? Infinity : Math.hypot(a[0] - b[0], a[1] - b[1]))));"
        "return [marks[apart.indexOf(Math.max(...apart))], at(dialog.querySelector('.plot'))];"
    )
    actions = ActionChains(opened)
    actions.move_to_element_with_offset(
        opened.find_element("css selector", "#figure-dialog .plot"),
        mark[0] - plot[0],
        mark[1] - plot[1],
    ).perform()
    wait_for(opened, "#figure-dialog output:not(:empty)")
    (said,) = texts(opened, "#figure-dialog output")
    ring = opened.execute_script(
        f"{middle} return middle("
        "document.querySelector('#figure-dialog .mark').getBoundingClientRect())"
    )
    assert abs(ring[0] - mark[0]) < 3 and abs(ring[1] - mark[1]) < 3
    actions.click().perform()
    wait_for(opened, "#run-dialog[open]")
    assert texts(opened, "#run-dialog h2") == [f"Run {said.split(':')[0]}"]


@needs_chromium
def test_a_link_from_elsewhere_opens_its_run(opened, report, planted):
    run = planted.run[planted.arch == "+rnn"].iloc[0]
    quoted = run.replace("/", "%2F").replace("+", "%2B")
    opened.get("about:blank")
    opened.get((report / "index.html").as_uri() + f"#run={quoted}")
    wait_for(opened, "#run-dialog[open]")
    assert texts(opened, "#run-dialog h2") == [f"Run {run}"]
    opened.execute_script("location.hash = '#run=nothing'")
    wait(opened, "return document.querySelector('#run-dialog').innerText.includes('no such run')")


@needs_chromium
def test_a_study_shows_importances_and_its_trials_as_lines(opened, report, planted):
    search = planted[planted.iteration.notna()]
    study = opened.execute_script("return document.querySelector('#study').value")
    rows = search[search.study == study]
    assert len(rows) == search.study.value_counts().max()
    other = search.study[search.study != study].iloc[0]
    load(opened, report, f"#study={other.replace('/', '%2F')}")
    assert opened.execute_script("return document.querySelector('#study').value") == other
    opened.execute_script("location.hash = '#study=' + arguments[0]", study)
    wait(opened, "return document.querySelector('#study').value === arguments[0]", study)
    wait_for(opened, "#importance th")
    assert texts(opened, "#study-facts")[0].startswith(f"{len(rows)} trials, ")
    names = texts(opened, "#importance th")
    assert len(names) == 10 and set(names) <= set(json.loads(rows.hparams.iloc[0]))
    assert opened.execute_script("return document.querySelectorAll('#parallel .axis').length") == 9
    press(opened, "#parallel input", "HOME")
    wait(opened, "return document.querySelector('#parallel output').innerText.startsWith('1 %')")
    # One line is the best trial's; a click on its end opens its run.
    from selenium.webdriver.common.action_chains import ActionChains

    drawing = opened.find_element("css selector", "#parallel svg")
    x, y = opened.execute_script(
        "const [svg] = arguments, box = svg.getBoundingClientRect();"
        "svg.scrollIntoView({ block: 'center' });"
        "const [x, y] = svg.querySelector('.best').getAttribute('d').match(/[\\d.]+/g)"
        ".slice(-2).map(Number);"
        "return [x - box.width / 2, y - box.height / 2]",
        drawing,
    )
    ActionChains(opened).move_to_element_with_offset(drawing, x, y).click().perform()
    wait_for(opened, "#run-dialog[open] a[href^='#study']")
    best = rows.loc[rows.objective.idxmin()]
    assert texts(opened, "#run-dialog h2") == [f"Run {best.run}"]
    press(opened, "#run-dialog a")
    wait(opened, "return !document.querySelector('#run-dialog').open")
    click(opened, "#study-facts a")
    wait(opened, "return document.querySelector('[data-table=trials] input').value")
    assert status(opened, "trials").startswith(f"{len(rows)} of ")


@needs_chromium
def test_light_and_dark_differ_and_ink_follows(opened):
    script = (
        "const style = getComputedStyle(document.body);"
        "const text = document.querySelector('figure svg text');"
        "return [style.backgroundColor, style.color, getComputedStyle(text).fill]"
    )
    light = opened.execute_script(script)
    press(opened, "#theme")
    wait_for(opened, "#theme[aria-pressed=true]")
    dark = opened.execute_script(script)
    assert all(one_ != other for one_, other in zip(light, dark, strict=True))
    assert dark[1] == dark[2]


@needs_chromium
def test_the_theme_is_kept_over_a_reload(opened, report):
    press(opened, "#theme")
    wait_for(opened, "#theme[aria-pressed=true]")
    load(opened, report)
    wait_for(opened, "[data-theme=dark] #theme[aria-pressed=true]")


@needs_chromium
def test_a_figure_has_its_files_and_a_link_that_opens_there(opened, report):
    links = opened.execute_script(
        "return [...document.querySelectorAll('#figure-4c a')].map((a) => a.getAttribute('href'))"
    )
    assert links == [f"figures/4c.{kind}" for kind in page.KINDS]
    assert all((report / link).stat().st_size > 1000 for link in links)
    press(opened, "#figure-4c [data-link]")
    wait_for(opened, "#said:not(:empty)")
    address = opened.current_url
    assert address.endswith("#figure-4c")
    load(opened, report, "#figure-4c")
    place = "const box = document.querySelector('#figure-4c').getBoundingClientRect();"
    wait(opened, f"{place} return box.top >= 0 && box.top < innerHeight / 2")


@needs_chromium
def test_a_narrow_window_shows_each_verdict_with_its_rule(browser, report):
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        load(browser, report)
        boxes = browser.execute_script(
            "return [...document.querySelectorAll('[data-table=claims] td')].map((each) => {"
            "  const { left, right, height } = each.getBoundingClientRect();"
            "  return [each.dataset.label, left, right, height]; })"
        )
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    for label in ("verdict", "rule"):
        shown = [(left, right) for name, left, right, height in boxes if name == label and height]
        assert len(shown) == 23
        assert all(0 <= left < right <= 390 for left, right in shown)


@needs_chromium
def test_absent_figures_are_one_list_with_their_commands(browser, small):
    load(browser, small)
    assert texts(browser, "figure b") == ["2c"]
    named = texts(browser, "#missing p b")
    assert len(named) == len(set(named)) == 37
    (entry,) = browser.execute_script(
        "return [...document.querySelectorAll('.missing > li')].map((each) => each.innerText)"
        ".filter((text) => text.includes('3d text8 by units'))"
    )
    assert entry.startswith(
        "python -m tuning.sweep --gin_file=gin_configs/paper/figure_3_text8.gin"
    )
    assert "50 studies with the most trials" in texts(browser, "#importance")[0]
    assert column(browser, "objectives", 1) == ["memory"]
    assert column(browser, "objectives", 2) == [
        "squared error per dimension of the recalled vector"
    ]


@needs_chromium
def test_a_screen_reader_has_names_for_everything(opened):
    unnamed = opened.execute_script(
        "return [...document.querySelectorAll('button, a, input, svg[role=img]')].filter("
        "  (each) => !(each.ariaLabel || each.textContent.trim() || each.labels?.length)).length"
    )
    assert unnamed == 0
    ids = opened.execute_script("return [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    assert texts(opened, "main h2, main h3") and not texts(opened, "main h1")
    assert opened.execute_script("return document.documentElement.lang") == "en"


@needs_chromium
def test_a_run_of_the_trainer_shows_its_losses_over_steps(browser, small):
    load(browser, small, "#run=alone")
    wait_for(browser, "#run-dialog[open] svg")
    lines = browser.execute_script(
        "return Object.fromEntries(['train', 'valid', 'chance'].map((name) => [name,"
        " document.querySelector(`#run-dialog path.${name}`).getAttribute('d')"
        " .match(/[\\d.]+/g).map(Number)]))"
    )
    # The axes span 0 to 1000 steps, and 0 to 1.05 times the largest loss.
    x, y = (lambda step: 56 + 336 * step / 1000), (lambda loss: 220 - 210 * loss / (0.9 * 1.05))
    places = [x(0), y(0.9), x(250), y(0.5), x(500), y(0.4), x(1000), y(0.35)]
    assert lines["valid"] == pytest.approx(places, abs=0.1)
    # The means of the first two twentieths, in the middle of each.
    assert lines["train"] == pytest.approx([x(25), y(0.7), x(75), y(0.4)], abs=0.1)
    assert lines["chance"] == pytest.approx([56, y(0.69), 392], abs=0.1)
    ticks = browser.execute_script(
        "return [...document.querySelectorAll('#run-dialog text')].map((each) => each.textContent)"
    )
    assert {"training steps", "loss", "500", "1,000", "0.2", "0.8"} <= set(ticks)


@needs_chromium
def test_a_live_page_reloads_in_its_place_when_there_is_a_newer_version(browser, small, tmp_path):
    """The page of a running sweep, before and after a rebuild."""
    html = (small / "index.html").read_text()
    html = html.replace("LOOK = 2000, PAUSE = 3000", "LOOK = 50, PAUSE = 0")

    def write(version):
        live = html.replace("<html", f'<html data-version="{version}"', 1)
        (tmp_path / "index.html").write_text(live)
        (tmp_path / "version.js").write_text(f'reportVersion("{version}");')

    write("one")
    load(browser, tmp_path)
    own = "return document.documentElement.dataset.version === arguments[0]"
    place = "document.querySelector('[data-table=claims]')"
    head = "[data-table=claims] thead th:nth-child(2)"
    act(browser, "[data-table=claims] input", lambda element: element.send_keys("depth"))
    filtered(browser, "claims", "depth")
    press(browser, f"{head} button")
    press(browser, f"{head} button")
    order, top = column(browser, "claims", 2), f"return {place}.getBoundingClientRect().top"
    browser.execute_script(f"scrollTo(0, {place}.getBoundingClientRect().top + scrollY - 20)")
    before = browser.execute_script(top)
    write("two")
    wait(browser, own, "two")
    wait(browser, "return document.documentElement.dataset.ready === 'true'")
    assert column(browser, "claims", 2) == order != sorted(order)
    assert browser.execute_script(top) == pytest.approx(before, abs=1)
    focus = "return document.activeElement.closest('th').cellIndex"
    assert browser.execute_script(focus) == 1
    press(browser, "#live")
    wait_for(browser, "#live[aria-pressed=false]")
    write("three")
    browser.execute_script(
        "window.heard = []; const hear = reportVersion;"
        "reportVersion = (version) => { heard.push(version); hear(version); }"
    )
    wait(browser, "return heard.filter((version) => version === 'three').length > 1")
    assert browser.execute_script(own, "two")
    (tmp_path / "version.js").write_text('reportVersion("");')
    wait(browser, "return document.querySelector('#live').hidden")
    browser.execute_script("sessionStorage.clear()")


def test_the_page_needs_no_network(report):
    html = (report / "index.html").read_text()
    head = re.sub(r"<script type=.application/gzip.*?</script>", "", html, flags=re.S)
    namespaces = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink")
    for address in re.findall(r"https?://[^\s\"'`<]+", head):
        assert address in namespaces
    assert 'data-version="' not in head
    assert not re.search(r"<(link|script|img)[^>]+(href|src)=[\"'](?!data:)", head)


def test_packed_data_come_back():
    packed = page.pack({"a": [1, None, "ü"]})
    assert json.loads(gzip.decompress(base64.b64decode(packed))) == {"a": [1, None, "ü"]}
    assert packed == page.pack({"a": [1, None, "ü"]})


def test_text_from_runs_is_no_markup(small):
    assert "<script>alert" not in (small / "index.html").read_text()
    found, _ = trials.read(small.parent / "runs")
    assert found.study.unique().tolist() == ["<script>alert(1)<", "alone"]


def test_another_optimizer_has_columns_of_its_own_in_the_table_of_claims(monkeypatch):
    some = {name: CLAIMS[name] for name in ("only_gated_deep", "reruns")}
    monkeypatch.setattr(build, "CLAIMS", some)
    rows = [
        trial("parens", loss, depth=8, chance_loss=18.0, study=optimizer, optimizer=optimizer)
        for optimizer, loss in (("adam", 5.0), ("muon", 0.1))
        for _ in range(20)
    ]
    table = build._judge(frame(*rows)).set_index("claim")
    row = table.loc["At greater depth, only gated architectures solve them."]
    assert list(table)[:4] == ["paper", "result", "runs", "verdict"]
    assert (row.runs, row["runs with muon"]) == (20, 20)
    assert (row.verdict, row["verdict with muon"]) == ("not enough runs", "contradicted")
    assert not any("muon" in name for name in build._judge(frame(*rows[:20])))
