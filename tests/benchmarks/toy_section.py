"""A section of `benchmarks.gpu` whose items wait, fail or die as they say."""

import os
import time


def prepare(name, compile=0.0, fails=False, dies=False):
    time.sleep(compile)
    if fails:
        raise MemoryError("no room for it")
    if dies:
        os.abort()
    began = time.monotonic()
    return lambda seconds: {"waited": time.monotonic() - began, "seconds": seconds}
