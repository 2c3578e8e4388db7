"""Files that are written whole, and locks, even if other processes interfere."""

import contextlib
import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from rnn_zoo import files


def test_one_of_many_threads_holds_a_lock(tmp_path):
    held, most = 0, []

    def work():
        nonlocal held
        for _ in range(20):
            with files.locked(tmp_path / "lock", patience=60):
                held += 1
                most.append(held)
                held -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 80 and not os.listdir(tmp_path)


def test_the_lock_of_a_file_that_was_replaced_does_not_count(tmp_path, monkeypatch):
    """One owner ends and another begins, between this one's open and its lock."""
    path, lock, other = tmp_path / "lock", fcntl.flock, contextlib.ExitStack()

    def replace_and_lock(descriptor, operation):
        monkeypatch.setattr(fcntl, "flock", lock)
        path.unlink()
        other.enter_context(files.locked(path))
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", replace_and_lock)
    with other, pytest.raises(BlockingIOError), files.locked(path):
        pytest.fail("two have the lock")


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "directory"])
def test_only_regular_files_are_replaced(tmp_path, kind):
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        (tmp_path / "mine").write_text("mine")
        path.symlink_to("mine" if kind == "link" else "gone")
    before, held = os.lstat(path), sorted(os.listdir(tmp_path))
    with pytest.raises(OSError, match=f"it is not a regular file.*{kind}"), files.whole(path):
        pytest.fail("it is written")
    assert os.lstat(path).st_ino == before.st_ino and sorted(os.listdir(tmp_path)) == held


def test_text_is_utf_8_and_may_name_any_file(tmp_path):
    with files.whole(tmp_path / "text", "w") as file:
        file.write("é" + os.fsdecode(b"runs/\xff"))
    assert (tmp_path / "text").read_bytes() == "é".encode() + rb"runs/\udcff"


def test_errors_of_writes_name_the_file(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(OSError, match="No space left") as error,
        files.whole(tmp_path / "a") as file,
    ):
        file.write(b"new")
    assert error.value.filename == str(tmp_path / "a") and not os.listdir(tmp_path)

    def read_only(_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left") as error:
        patch.setattr(os, "unlink", read_only)
        with files.whole(tmp_path / "a"):
            pass
    assert error.value.filename == str(tmp_path / "a")
    with pytest.raises(FileNotFoundError) as error, files.whole(tmp_path / "gone/a"):
        pytest.fail("it is written")
    assert error.value.filename == str(tmp_path / "gone/a")


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path):
    """But not what a living one writes, nor anything else."""
    code = (
        "import os, signal\nfrom rnn_zoo.files import whole\n"
        f"with whole({str(tmp_path / 'data.json')!r}) as file:\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    (leftover,) = os.listdir(tmp_path)
    assert re.fullmatch(r"\.data\.json\.[0-9a-f]{8}\.partial", leftover)
    mine = [".data.json.partial", ".other.json.01234567.partial", ".data.json.0123456.partial"]
    for name in mine:
        (tmp_path / name).touch()
    (tmp_path / ".data.json.89abcdef.partial").symlink_to(mine[0])
    with files.whole(tmp_path / "data.json") as first:
        first.write(b"first")
        with files.whole(tmp_path / "data.json") as second:
            second.write(b"second")
        assert leftover not in os.listdir(tmp_path)
    assert (tmp_path / "data.json").read_bytes() == b"first"
    expected = [*mine, ".data.json.89abcdef.partial", "data.json"]
    assert sorted(os.listdir(tmp_path)) == sorted(expected)


def test_a_file_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    lock = fcntl.flock

    def remove_and_lock(descriptor, operation):
        monkeypatch.setattr(fcntl, "flock", lock)
        (path,) = tmp_path.iterdir()
        path.unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_and_lock)
    with files.whole(tmp_path / "data") as file:
        file.write(b"whole")
    assert (tmp_path / "data").read_bytes() == b"whole"
