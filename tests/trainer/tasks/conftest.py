import random

import pytest

LETTERS = " abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="session")
def text():
    """A text of 4,000 of the 27 symbols, not equally often."""
    source = random.Random(2017)
    return "".join(source.choices(LETTERS, weights=range(60, 6, -2), k=4000))


@pytest.fixture(scope="session")
def text_file(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text"
    path.write_text(text)
    return path
