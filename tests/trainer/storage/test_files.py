"""Files that are written whole, even if processes are killed or others interfere."""

import os
import pathlib

import pytest

from rnn_zoo.files import locked, whole
from trainer import UserError
from trainer.storage import files


def test_temporary_files_of_killed_writers_are_removed(tmp_path):
    class Kill(BaseException):
        pass

    folder = tmp_path / "trial_1" / "checkpoints"
    folder.mkdir(parents=True)
    for path in (tmp_path / "record.json", folder / "step-1"):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Kill):
            patch.setattr(os, "unlink", lambda _: None)
            with whole(path, "w") as file:
                file.write("half")
                raise Kill
    mine = [tmp_path / ".gitignore", tmp_path / ".notes.partial", tmp_path / "a.0123abcd.partial"]
    for path in mine:
        path.touch()
    assert len(list(tmp_path.rglob(".*.*.partial"))) == 2
    files.remove_leftovers(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(mine)


def test_temporary_files_are_not_removed_through_links(tmp_path):
    mine = tmp_path / "other/.data.12345678.partial"
    mine.parent.mkdir()
    mine.touch()
    (tmp_path / "run/trial_0").mkdir(parents=True)
    for place in ("zz", "trial_0/checkpoints"):
        (tmp_path / "run" / place).symlink_to(tmp_path / "other")
    files.remove_leftovers(tmp_path / "run")
    assert mine.exists()


@pytest.mark.parametrize("place", ["checkpoints", "events", "trial_00004", "trial_00001/events"])
def test_a_directory_that_is_a_link_is_refused(tmp_path, place):
    (tmp_path / "run/trial_00001").mkdir(parents=True)
    (tmp_path / "run/best").symlink_to("trial_00001")
    files.refuse_links(tmp_path / "run")
    (tmp_path / "run" / place).symlink_to(tmp_path)
    with pytest.raises(UserError, match=rf"run/{place} is a symbolic link, .*; replace it by"):
        files.refuse_links(tmp_path / "run")


def write(path, text):
    with files.whole_directory(path) as directory:
        (directory / "model").write_text(text)


def test_a_second_writer_of_a_directory_is_refused(tmp_path):
    with files.whole_directory(tmp_path / "out") as directory:
        (directory / "model").write_text("first")
        with pytest.raises(UserError, match=r"another process is writing .*/out"):
            write(tmp_path / "out", "second")
    assert (tmp_path / "out/model").read_text() == "first"
    write(tmp_path / "out", "third")
    assert (tmp_path / "out/model").read_text() == "third"
    assert os.listdir(tmp_path) == ["out"] and os.listdir(tmp_path / "out") == ["model"]


def test_a_file_of_somebody_below_a_directory_is_kept(tmp_path):
    def write():
        with files.whole_directory(tmp_path / "out") as directory:
            (directory / "assets").mkdir()
            (directory / "model").touch()

    write()
    mine = tmp_path / "out/assets/words.txt"
    mine.write_text("mine")
    with pytest.raises(UserError, match=r"out holds assets/words\.txt, which would be lost"):
        write()
    assert mine.read_text() == "mine" and os.listdir(tmp_path) == ["out"]
    mine.unlink()
    write()


@pytest.mark.parametrize("is_link", [False, True])
def test_a_file_or_a_link_in_place_of_a_directory_is_kept(tmp_path, is_link):
    (tmp_path / "mine").mkdir()
    (tmp_path / "out").symlink_to("mine") if is_link else (tmp_path / "out").write_text("mine")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(UserError, match="out is a symbolic" if is_link else "out is not a dir"):
        write(tmp_path / "out", "new")
    assert sorted(os.listdir(tmp_path)) == before


def test_a_directory_survives_a_kill_between_two_renames(tmp_path, monkeypatch):
    class Kill(BaseException):
        pass

    write(tmp_path / "out", "old")
    rename = os.replace

    def replace(source, target):
        if os.path.basename(target) == "out":
            raise Kill
        rename(source, target)

    with monkeypatch.context() as patch, pytest.raises(Kill):
        patch.setattr(os, "replace", replace)
        write(tmp_path / "out", "new")
    assert sorted(os.listdir(tmp_path)) == [".out.old", ".out.partial"]
    with pytest.raises(ZeroDivisionError), files.whole_directory(tmp_path / "out"):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["out"] and (tmp_path / "out/model").read_text() == "old"


@pytest.mark.parametrize("state", ["partial", "old"])
@pytest.mark.parametrize("make", [os.mkfifo, pathlib.Path.touch])
def test_a_leftover_of_another_kind_is_removed(tmp_path, make, state):
    make(tmp_path / f".out.{state}")
    write(tmp_path / "out", "new")
    assert os.listdir(tmp_path) == ["out"] and (tmp_path / "out/model").read_text() == "new"


def test_links_are_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to("mine")
    with pytest.raises(OSError, match="link"), locked(tmp_path / "link"):
        pass
    with pytest.raises(OSError, match="link"):
        files.open_to_append(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe"):
        files.open_to_append(tmp_path / "pipe")


def test_too_large_a_file_is_not_read(tmp_path):
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(files.MAX_BYTES + 1)
    with pytest.raises(OSError, match="File too large"):
        files.read_bytes(tmp_path / "huge")
    (tmp_path / "small").write_bytes(b"12345")
    assert files.read_bytes(tmp_path / "small", 5) == b"12345"
    with pytest.raises(OSError, match="File too large"):
        files.read_bytes(tmp_path / "small", 4)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    """The kernel's error names none."""
    with pytest.raises(OSError, match=r"'/proc/self/mem'"):
        files.read_bytes("/proc/self/mem")


def test_a_directory_with_other_files_is_kept(tmp_path, monkeypatch):
    write(tmp_path / "out", "first")
    (tmp_path / "out/notes").mkdir()
    with pytest.raises(UserError, match="out holds notes, which would be lost; choose another dir"):
        write(tmp_path / "out", "second")
    assert (tmp_path / "out/model").read_text() == "first"
    assert os.listdir(tmp_path) == ["out"]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="holds out, which would be lost"):
        write(".", "second")
    (tmp_path / "out/notes").rmdir()
    write("out", "second")
    assert (tmp_path / "out/model").read_text() == "second"


def test_a_directory_in_place_of_the_lock_is_one_line(tmp_path):
    (tmp_path / ".out.lock").mkdir()
    with pytest.raises(
        UserError, match=r"\.out\.lock is a directory in place of a lock; remove it"
    ):
        write(tmp_path / "out", "new")
    assert os.listdir(tmp_path) == [".out.lock"]


@pytest.mark.parametrize("text", ["No space left on device", "Disk quota exceeded"])
def test_a_full_disk_is_recognised_in_errors_of_others(text):
    assert files.is_full(RuntimeError(f"RESOURCE_EXHAUSTED: /x; {text} [Op:SaveV2]"))
    assert not files.is_full(RuntimeError("RESOURCE_EXHAUSTED: out of memory"))
