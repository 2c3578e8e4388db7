"""Chromium for tests of the report's pages: headless, from a file, without a network."""

import shutil

import pytest

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"
)
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --window-size=1300,900"
).split()


def start():
    """Start a headless Chromium that logs its console."""
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


def load(browser, report, fragment="", page="index.html"):
    browser.get("about:blank")
    browser.get((report / page).as_uri() + fragment)
    wait(browser, "return document.documentElement.dataset.ready === 'true'")


def wait(browser, script, *arguments):
    """Wait until the page answers a script with something true, and return that.

    A script is one task of the page's: it never sees a table that is half drawn.
    """
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 60).until(
        lambda driver: driver.execute_script(script, *arguments)
    )


def wait_for(browser, selector):
    wait(browser, "return document.querySelector(arguments[0])", selector)


def texts(browser, selector):
    """The texts of all elements at one moment; elements themselves go when a table is redrawn."""
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((each) => each.innerText)",
        selector,
    )


def column(browser, table, number):
    return texts(browser, f"[data-table='{table}'] tbody td:nth-child({number})")


def status(browser, table):
    (text,) = texts(browser, f"[data-table='{table}'] [role=status]")
    return text


def press(browser, selector, key="ENTER"):
    """Send a key to an element, as a reader without a mouse does."""
    from selenium.webdriver.common.keys import Keys

    act(browser, selector, lambda element: element.send_keys(getattr(Keys, key)))


def click(browser, selector):
    act(browser, selector, lambda element: element.click())


def act(browser, selector, action):
    """Do something to an element once it is there, and again if it was redrawn meanwhile."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    def done(driver):
        action(driver.find_element("css selector", selector))
        return True

    WebDriverWait(browser, 60, ignored_exceptions=[StaleElementReferenceException]).until(done)
