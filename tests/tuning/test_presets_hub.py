"""Presets on the Hugging Face Hub, which a server on the loopback stands for."""

import json
import sys

import keras
import numpy as np
import pytest
from hub_server import serving
from made_presets import SMALL, make

import rnn_zoo
import trainer
from rnn_zoo.model import get_weights
from trainer import UserError
from tuning import presets

constants = pytest.importorskip("huggingface_hub.constants")
REPOSITORY = "me/cells"
TARGET = f"hf://{REPOSITORY}"


@pytest.fixture
def served(monkeypatch, tmp_path):
    with serving(REPOSITORY) as (endpoint, its):
        template = f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield its


@pytest.fixture
def mine(tmp_path):
    """A directory of two presets, one with weights."""
    make(tmp_path / "mine", "capacity/gru-300", SMALL)
    make(tmp_path / "mine", "capacity/gru-301", SMALL, weights=False)
    return tmp_path / "mine"


def test_what_is_uploaded_is_loaded(served, mine):
    assert f"/{REPOSITORY}/commit/" in presets.upload(mine, TARGET)
    full = [f"{TARGET}/capacity/gru-300", f"{TARGET}/capacity/gru-301"]
    assert rnn_zoo.list_presets(directory=TARGET) == full
    assert rnn_zoo.preset(full[0]) == rnn_zoo.preset(mine / "capacity/gru-300")
    weights = (get_weights(rnn_zoo.load(name)) for name in (full[0], mine / "capacity/gru-300"))
    keras.tree.map_structure(np.testing.assert_array_equal, *weights)
    with pytest.raises(ValueError, match=f"{TARGET} holds 2 presets; add the name of one"):
        rnn_zoo.load(TARGET)
    card = served.commits[-1]["README.md"].decode()
    assert f'rnn_zoo.load("{TARGET}/capacity/gru-300")' in card and "library_name: keras" in card
    assert str(rnn_zoo.preset(full[1])) in card


def test_a_repository_with_one_preset_needs_no_name(served, tmp_path):
    model = rnn_zoo.build_model("ugrnn", 1, 3, 2, 1, seed=0)
    rnn_zoo.save_preset(model, tmp_path / "one")
    presets.upload(tmp_path / "one", TARGET)
    again = rnn_zoo.load(TARGET)
    keras.tree.map_structure(np.testing.assert_array_equal, get_weights(again), get_weights(model))
    assert f'rnn_zoo.load("{TARGET}")' in served.commits[-1]["README.md"].decode()


def test_files_are_of_one_commit_and_an_old_one_can_be_named(served, mine, tmp_path):
    presets.upload(mine, TARGET)
    make(tmp_path / "next", "memory/gru-300", SMALL)
    presets.upload(tmp_path / "next", TARGET)
    assert rnn_zoo.preset(TARGET).name == "memory/gru-300"
    assert rnn_zoo.preset(f"{TARGET}@{served.sha(0)}/capacity/gru-300").name == "capacity/gru-300"
    by_branch = {path for _, path in served.requests if "/resolve/main/" in path}
    assert by_branch == {f"/{REPOSITORY}/resolve/main/index.json"}


def test_a_repository_is_private_on_demand(served, mine):
    presets.upload(mine, TARGET, private=True)
    assert served.is_private


def test_an_upload_leaves_other_files_and_removes_old_presets(served, mine, tmp_path):
    presets.upload(mine, TARGET)
    others = ("LICENSE", "notes/a.txt", "onnx/model.json", "capacity/own.safetensors")
    served.commits[-1] |= dict.fromkeys(others, b"mine")
    (tmp_path / "next").mkdir()
    make(tmp_path / "next", "capacity/gru-300", SMALL, weights=False)
    presets.upload(tmp_path / "next", TARGET)
    kept = {*others, "README.md", "capacity/gru-300.json", "index.json"}
    assert served.commits[-1].keys() == kept


def test_a_repository_of_other_files_is_left_alone(served, mine):
    served.is_made = True
    served.commits.append({".gitattributes": b"", "model.safetensors": b"theirs"})
    with pytest.raises(UserError, match="hf://me/cells holds other files and no presets; give a"):
        presets.upload(mine, TARGET)
    assert len(served.commits) == 1


def test_a_file_that_the_repository_ignores_is_named(served, mine):
    served.ignores = "capacity/gru-300.safetensors"
    with pytest.raises(UserError, match=r"gru-300\.safetensors not uploaded: its \.gitignore"):
        presets.upload(mine, TARGET)


def test_a_changed_file_is_refused(served, mine, tmp_path):
    presets.upload(mine, TARGET)
    served.commits[-1]["capacity/gru-300.safetensors"] += b"!"
    name = f"{TARGET}/capacity/gru-300"
    with pytest.raises(ValueError, match="it was changed or damaged; upload it again to hf://me"):
        rnn_zoo.load(name)
    (mine / "capacity/gru-300.json").write_text("{}")
    with pytest.raises(UserError, match="changed or damaged; restore it in"):
        presets.upload(mine, TARGET)
    assert len(served.commits) == 1


def test_a_preset_that_the_index_has_lost_is_not_removed(served, mine):
    presets.upload(mine, TARGET)
    index = json.loads((mine / "index.json").read_text())
    del index["capacity/gru-301"]
    (mine / "index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"gru-301\.json is a preset's, and .* does not name it"):
        presets.upload(mine, TARGET)
    assert len(served.commits) == 1


@pytest.mark.parametrize("file", ["index.json", "capacity/gru-300.safetensors"])
def test_a_damaged_copy_is_fetched_again(served, mine, tmp_path, file):
    presets.upload(mine, TARGET)
    name = f"{TARGET}/capacity/gru-300"
    expected = rnn_zoo.load(name).preset
    (copy,) = (tmp_path / "cache").rglob(f"snapshots/*/{file}")
    copy.write_bytes(copy.read_bytes()[:-9] + bytes(9))
    assert rnn_zoo.load(name).preset == expected


def test_a_file_that_is_far_too_large_is_not_fetched(served, mine, monkeypatch):
    presets.upload(mine, TARGET)
    served.commits[-1]["index.json"] = b" " * (10**7 + 1)
    with pytest.raises(ValueError, match=r"index.json has 10,000,001 bytes, and is not fetched"):
        rnn_zoo.load(TARGET)
    assert not [each for each in served.requests if each[0] == "GET" and "index" in each[1]]


@pytest.mark.parametrize("up", [False, True])
def test_a_server_writes_nothing_outside_of_the_cache(served, mine, tmp_path, up):
    presets.upload(mine, TARGET)
    mark = tmp_path / "mark"
    mark.write_text("mine")
    served.etag = "../" * 20 + str(mark)[1:] if up else str(mark)
    with pytest.raises(
        ValueError, match=r"index\.json has no hash but '.*mark', and is not fetched"
    ):
        rnn_zoo.load(TARGET)
    assert mark.read_text() == "mine"
    served.etag = ""
    with pytest.raises(ValueError, match=r"index\.json has no hash but "):
        rnn_zoo.load(TARGET)


def test_what_a_download_lacks_is_said(served, mine):
    presets.upload(mine, TARGET)
    served.claims = 5
    with pytest.raises(ValueError, match=r"index\.json cannot be fetched: .*[Cc]onsistency check"):
        rnn_zoo.load(TARGET)


@pytest.mark.parametrize(
    "name, message",
    [
        ("hf://me", "is not of the form hf://OWNER/NAME"),
        ("hf://me/none", "me/none: index.json cannot be fetched: .*; if it is private, log in"),
        (f"{TARGET}@v2", "@v2: index.json cannot be fetched: Revision Not Found"),
        (f"{TARGET}/capacity/lstm", "no preset 'hf://me/cells/capacity/lstm'; the nearest"),
    ],
)
def test_a_name_without_a_preset_is_one_line(served, mine, name, message):
    presets.upload(mine, TARGET)
    with pytest.raises(ValueError, match=message) as error:
        rnn_zoo.load(name)
    assert "\n" not in str(error.value)


def test_without_the_library_its_extra_is_named(mine, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: rnn_zoo.load(TARGET), lambda: presets.upload(mine, TARGET)):
        with pytest.raises((ValueError, UserError), match=r"pip install 'rnn-zoo\[hub\]'"):
            call()


def test_an_upload_that_is_refused_is_one_line(served, mine, monkeypatch):
    with pytest.raises(UserError, match="hf://you/cells: nothing was uploaded: ") as error:
        presets.upload(mine, "hf://you/cells")
    assert "\n" not in str(error.value) and not served.commits
    for target in (f"{TARGET}@main", f"{TARGET}/capacity/gru-300", "me/cells"):
        with pytest.raises(UserError, match=r"form hf://OWNER/NAME"):
            presets.upload(mine, target)


@pytest.mark.slow  # other presets are continued elsewhere
def test_a_run_continues_a_preset_of_the_hub(served, mine, tmp_path):
    presets.upload(mine, TARGET)
    name = f"{TARGET}/capacity/gru-300"
    config = rnn_zoo.preset(name).config | {"preset": name, "train_steps": 2}
    assert trainer.train(trainer.TrainConfig(**config), tmp_path / "run").status == "ok"
