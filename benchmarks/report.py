"""python -m benchmarks.report: cost of a report of a hundred thousand trials.

Writes simulated results of all the paper's sweeps (`benchmarks.planted`) and makes their report in
a separate process. Measures the process's wall time and peak memory, the page's size and, if
Chromium is installed, the seconds until the page is ready in it.
"""

import argparse
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

from benchmarks import machine, planted

#: Fraction of the paper's number of trials; it gives 100,800 trials and reruns.
SCALE = 0.24
REPEATS = 3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=SCALE)
    arguments = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as directory:
        runs, out = pathlib.Path(directory, "runs"), pathlib.Path(directory, "report")
        count = planted.write(runs, arguments.scale)
        began = time.monotonic()
        command = [sys.executable, "-m", "tuning.report", f"--runs={runs}", f"--out={out}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - began
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        size = (out / "index.html").stat().st_size / 1e6
        print(f"{count:,} trials: {seconds:.1f} s, peak {peak:,.0f} MB, page of {size:.1f} MB")
        if shutil.which("chromium") and shutil.which("chromedriver"):
            times = sorted(load(out / "index.html") for _ in range(REPEATS))
            print(f"ready in Chromium after {times[len(times) // 2]:.2f} s (median of {REPEATS})")


def load(path):
    """Measure the seconds from requesting the page in a new browser until its tables exist."""
    from selenium import webdriver
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    options.page_load_strategy = "none"  # The page is ready before it has read all runs.
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-sync"):
        options.add_argument(flag)
    options.add_argument("--disable-background-networking")
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        began = time.monotonic()
        driver.get(path.as_uri())
        ready = "return document.documentElement.dataset.ready === 'true'"
        WebDriverWait(driver, 60, poll_frequency=0.02).until(lambda d: d.execute_script(ready))
        return time.monotonic() - began
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
