"""The page in a real browser: Chromium, headless, from a file, without a network."""

import base64
import dataclasses
import gzip
import json
import re
import shutil

import pytest
from report_rows import capacity, frame, record, trial

from trainer.display.progress import Display
from tuning.report import build, page, trials

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"
)
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --window-size=1300,900"
).split()


@pytest.fixture(scope="module")
def report(planted_runs, tmp_path_factory):
    """The report of the planted runs, with one run whose name has to be quoted."""
    out = tmp_path_factory.mktemp("report")
    build.run(planted_runs, out, None, Display())
    return out


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, report):
    """The page, loaded anew; afterwards there must be no error on its console."""
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get((report / "index.html").as_uri())
    wait(browser, "return document.documentElement.dataset.ready === 'true'")
    yield browser
    assert browser.get_log("browser") == []


def wait(browser, script):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 30).until(lambda driver: driver.execute_script(script))


def all_of(browser, selector):
    return browser.find_elements("css selector", selector)


def one(browser, selector):
    return browser.find_element("css selector", selector)


def press(browser, element, key="ENTER"):
    """As a keyboard does it, without a mouse."""
    from selenium.webdriver.common.keys import Keys

    element.send_keys(getattr(Keys, key))


def texts(browser, table, column):
    cells = all_of(browser, f"[data-table='{table}'] tbody td:nth-child({column})")
    return [cell.text for cell in cells]


@needs_chromium
def test_every_figure_and_table_is_there(opened):
    assert len(all_of(opened, "figure")) == 38
    assert len(all_of(opened, "figure svg")) == 38
    assert len(texts(opened, "claims", 5)) == 23
    assert "supported" in texts(opened, "claims", 5)
    assert len(texts(opened, "table-App.2", 1)) == 25
    count = one(opened, "[data-table='trials'] [role=status]").text
    assert re.match(r"11,880 rows, page 1 of 238", count)


@needs_chromium
def test_a_table_sorts_both_ways_and_says_so(opened):
    head = all_of(opened, "[data-table='table-1'] thead th")[3]
    button = one(head, "button")
    press(opened, button)
    up = [float(text) for text in texts(opened, "table-1", 4)]
    assert up == sorted(up) and head.get_attribute("aria-sort") == "ascending"
    press(opened, button)
    assert [float(text) for text in texts(opened, "table-1", 4)] == up[::-1]
    assert head.get_attribute("aria-sort") == "descending"


@needs_chromium
def test_trials_filter_sort_and_turn_pages(opened):
    place = "[data-table='trials']"
    one(opened, f"{place} input").send_keys("memory lstm paper 160,000")
    wait(opened, f"return document.querySelector(\"{place} [role=status]\").innerText[0] === '4'")
    assert set(texts(opened, "trials", 5)) == {"160,000"}
    for _ in "160,000":
        press(opened, one(opened, f"{place} input"), "BACKSPACE")
    wait(opened, f"return document.querySelector(\"{place} [role=status]\").innerText[0] === '2'")
    assert set(texts(opened, "trials", 2)) == {"memory"}
    assert set(texts(opened, "trials", 3)) == {"LSTM"}
    assert one(opened, f"{place} [role=status]").text.startswith("270 of 11,880 rows, page 1 of 6")
    press(opened, all_of(opened, f"{place} thead button")[12])
    losses = [float(text) for text in texts(opened, "trials", 13)]
    assert losses == sorted(losses)
    all_of(opened, f"{place} .tools button")[1].click()
    assert float(texts(opened, "trials", 13)[0]) >= losses[-1]
    assert "page 2 of 6" in one(opened, f"{place} [role=status]").text


@needs_chromium
def test_a_figure_opens_and_its_points_lead_to_their_runs(opened, planted):
    press(opened, one(opened, "[data-figure='2c']"))
    wait(opened, "return document.querySelector('#figure-dialog').open")
    assert all_of(opened, "#figure-dialog .drawing svg path")
    link = one(opened, "#figure-dialog .points tbody a")
    run = planted.set_index("run").loc[link.text]
    press(opened, link)
    wait(opened, "return document.querySelector('#run-dialog').open")
    wait(opened, "return document.querySelectorAll('#run-dialog dd').length > 10")
    shown = one(opened, "#run-dialog").text
    assert link.get_attribute("href").split("#run=")[1]
    rate = json.loads(run.hparams)["lr_init"]
    assert f"lr_init\n{float(f'{rate:.4g}')}"[:12] in shown
    assert f"units\n{run.units}" in shown
    assert all_of(opened, "#run-dialog svg path")
    press(opened, one(opened, "#run-dialog"), "ESCAPE")
    wait(opened, "return !document.querySelector('#run-dialog').open && !location.hash")


@needs_chromium
def test_pointing_at_a_dot_names_its_run_and_a_click_opens_it(opened):
    from selenium.webdriver.common.action_chains import ActionChains

    one(opened, "[data-figure='2c']").click()
    wait(opened, "return document.querySelector('#figure-dialog .points tbody')")
    # The middle of a point's mark, by the browser's own geometry; a tick has no clip-path.
    place = opened.execute_script(
        "const marks = document.querySelectorAll('#figure-dialog .drawing [clip-path] use');"
        "const box = marks[3].getBoundingClientRect();"
        "return [box.x + box.width / 2, box.y + box.height / 2]"
    )
    plot = one(opened, "#figure-dialog .plot").rect
    offset = opened.execute_script("return [scrollX, scrollY]")
    across = place[0] - (plot["x"] - offset[0] + plot["width"] / 2)
    down = place[1] - (plot["y"] - offset[1] + plot["height"] / 2)
    actions = ActionChains(opened)
    actions.move_to_element_with_offset(one(opened, "#figure-dialog .plot"), across, down).perform()
    said = one(opened, "#figure-dialog output").text
    mark = one(opened, "#figure-dialog .mark").rect
    assert abs(mark["x"] - offset[0] + mark["width"] / 2 - place[0]) < 3
    assert abs(mark["y"] - offset[1] + mark["height"] / 2 - place[1]) < 3
    actions.click().perform()
    wait(opened, "return document.querySelector('#run-dialog').open")
    assert one(opened, "#run-dialog h2").text == f"Run {said.split(':')[0]}"


@needs_chromium
def test_a_link_from_elsewhere_opens_its_run(opened, report, planted):
    run = planted.run[planted.arch == "+rnn"].iloc[0]
    quoted = run.replace("/", "%2F").replace("+", "%2B")
    opened.get("about:blank")
    opened.get((report / "index.html").as_uri() + f"#run={quoted}")
    wait(opened, "return document.querySelector('#run-dialog').open")
    assert one(opened, "#run-dialog h2").text == f"Run {run}"
    opened.execute_script("location.hash = '#run=nothing'")
    wait(opened, "return document.querySelector('#run-dialog').innerText.includes('no such run')")


@needs_chromium
def test_light_and_dark_differ_and_ink_follows(opened):
    script = (
        "const style = getComputedStyle(document.body);"
        "const text = document.querySelector('figure svg text');"
        "return [style.backgroundColor, style.color, getComputedStyle(text).fill]"
    )
    light = opened.execute_script(script)
    press(opened, one(opened, "#theme"))
    dark = opened.execute_script(script)
    assert one(opened, "#theme").get_attribute("aria-pressed") == "true"
    assert all(one_ != other for one_, other in zip(light, dark, strict=True))
    assert dark[1] == dark[2]


@needs_chromium
def test_a_screen_reader_has_names_for_everything(opened):
    unnamed = opened.execute_script(
        "return [...document.querySelectorAll('button, a, input, svg[role=img]')].filter("
        "  (each) => !(each.ariaLabel || each.textContent.trim() || each.labels?.length)).length"
    )
    assert unnamed == 0
    ids = opened.execute_script("return [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    levels = [int(head.tag_name[1]) for head in all_of(opened, "main h1, main h2, main h3")]
    assert levels and set(levels) <= {2, 3}
    assert opened.execute_script("return document.documentElement.lang") == "en"


def test_the_page_needs_no_network(report):
    html = (report / "index.html").read_text()
    head = re.sub(r"<script type=.application/gzip.*?</script>", "", html, flags=re.S)
    namespaces = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink")
    for address in re.findall(r"https?://[^\s\"'`<]+", head):
        assert address in namespaces
    assert not re.search(r"<(link|script|img)[^>]+(href|src)=[\"'](?!data:)", head)


def test_packed_data_come_back():
    packed = page.pack({"a": [1, None, "ü"]})
    assert json.loads(gzip.decompress(base64.b64decode(packed))) == {"a": [1, None, "ü"]}
    assert packed == page.pack({"a": [1, None, "ü"]})


def test_text_from_runs_is_no_markup(tmp_path):
    folder = tmp_path / "runs/<script>alert(1)<"
    folder.mkdir(parents=True)
    values = {"task_options": {"x": "</script><b>"}, "activation": None}
    line = json.dumps(dataclasses.asdict(record("00000", hparams=values)))
    (folder / "trials.jsonl").write_text(line + "\n")
    build.run(tmp_path / "runs", tmp_path / "out", None, Display())
    assert "<script>alert" not in (tmp_path / "out/index.html").read_text()
    found, _ = trials.read(tmp_path / "runs")
    assert found.study.tolist() == ["<script>alert(1)<"]


def test_captions_say_how_many_trials_of_which_profile():
    rows = [trial("memory", 1.0), trial("memory", 1.0), trial("memory", 1.0, study="t")]
    rows.append(capacity(1.0, study="t", max_params=3000, profile=None))
    rows.append(trial("memory", None, study="t"))
    theirs = trial("memory", 1.0, source="published", study="u", profile=None)

    def all_of_it(trials):
        return trials

    assert build.caption(all_of_it, frame()) == "No runs yet."
    ours = "5 trials, 2 to 3 a study, 1 of them diverged; profile laptop; budget 1,000 to 3,000."
    assert build.caption(all_of_it, frame(*rows)) == ours
    both = f"{ours} published: 1 trials, 1 a study; budget 1,000."
    assert build.caption(all_of_it, frame(*rows, theirs)) == both
