"""text8 as a TensorFlow Datasets builder, from small files in a manual directory."""

import gzip
import zipfile

import pytest
from on_backend import tensorflow_only

from trainer.errors import UserError

pytestmark = tensorflow_only
tfds = pytest.importorskip("tensorflow_datasets")


@pytest.fixture(scope="module", autouse=True)
def registered():
    import trainer.tasks.text8_tfds  # noqa: F401 - registers the builder

    tfds.disable_progress_bar()


def put(directory, kind, text):
    """Write the text to the manual directory of TFDS."""
    directory.mkdir(exist_ok=True)
    data = text.encode()
    if kind == "text8":
        (directory / kind).write_bytes(data)
    elif kind == "text8.gz":
        (directory / kind).write_bytes(gzip.compress(data))
    else:
        with zipfile.ZipFile(directory / kind, "w") as archive:
            archive.writestr("text8", data)


def load(tmp_path, **options):
    config = tfds.download.DownloadConfig(manual_dir=str(tmp_path / "manual"))
    return tfds.load(
        "text8/manual",
        data_dir=str(tmp_path / "data"),
        download_and_prepare_kwargs={"download_config": config},
        **options,
    )


def read(dataset):
    (example,) = dataset.as_numpy_iterator()
    assert example.keys() == {"text"}
    return example["text"].decode()


@pytest.mark.parametrize("kind", ["text8", "text8.gz", "text8.zip"])
def test_the_three_kinds_of_files_give_the_splits(tmp_path, text, kind):
    put(tmp_path / "manual", kind, text)
    splits, info = load(tmp_path, with_info=True)
    parts = {name: read(dataset) for name, dataset in splits.items()}
    n = len(text)
    assert parts == {
        "train": text[: n * 90 // 100],
        "valid": text[n * 90 // 100 : n * 95 // 100],
        "eval": text[n * 95 // 100 :],
    }
    assert {name: split.num_examples for name, split in info.splits.items()} == dict.fromkeys(
        parts, 1
    )


def test_one_split_alone_and_again_without_the_file(tmp_path, text):
    put(tmp_path / "manual", "text8", text)
    assert read(load(tmp_path, split="valid")) == text[3600:3800]
    (tmp_path / "manual" / "text8").unlink()
    assert read(load(tmp_path, split="eval")) == text[3800:]


def test_the_configurations_are_listed():
    builder = tfds.builder_cls("text8")
    assert set(builder.builder_configs) == {"download", "manual"}


def test_without_a_configuration_it_is_the_download(tmp_path):
    builder = tfds.builder("text8", data_dir=str(tmp_path))
    assert builder.builder_config.name == "download"


def test_a_missing_file_is_named(tmp_path):
    (tmp_path / "manual").mkdir()
    (tmp_path / "manual" / "text9").write_text("another file")
    with pytest.raises(UserError, match=r"manual has none of text8, text8\.gz, text8\.zip"):
        load(tmp_path)


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(Exception, match=r"manual"):
        load(tmp_path)


def test_a_file_with_a_foreign_byte_is_refused(tmp_path, text):
    put(tmp_path / "manual", "text8", text + "!")
    with pytest.raises(UserError, match="offset 4,000"):
        load(tmp_path)
