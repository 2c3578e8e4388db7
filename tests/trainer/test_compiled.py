"""Where compiled programs are kept, and how many."""

import os
import resource
import shutil
import sys
from collections import namedtuple

import pytest
from processes import python

from trainer import compiled, lean
from trainer.storage.files import is_full

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """An environment of its own, on a machine without a GPU and with a free disk."""
    jax = ("JAX_COMPILATION_CACHE_DIR", "JAX_COMPILATION_CACHE_MAX_SIZE")
    for name in ("RNN_ZOO_CACHE", "TF_XLA_FLAGS", "XLA_FLAGS", *jax):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, 10**12))
    return monkeypatch


def kept():
    """Return the directories that the backends would use."""
    flags = os.environ.get("TF_XLA_FLAGS", "").split()
    tensorflow = [flag.split("=")[1] for flag in flags if flag.startswith(compiled.FLAG)]
    return *tensorflow, *filter(None, [os.environ.get("JAX_COMPILATION_CACHE_DIR")])


def test_both_backends_keep_programs_in_the_user_s_cache_directory(tmp_path, environment):
    compiled.keep("tensorflow")
    compiled.keep("jax")
    root = tmp_path / "rnn-zoo" / "programs"
    assert sorted(map(str, root.iterdir())) == sorted(kept())
    assert all(path.stat().st_mode & 0o777 == 0o700 for path in root.iterdir())
    # Without a limit, JAX does not lock the directory.
    assert int(os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"]) == compiled.MAX_BYTES
    environment.setenv("RNN_ZOO_CACHE", str(tmp_path / "elsewhere"))
    assert compiled.directory() == tmp_path / "elsewhere" / "rnn-zoo" / "programs"
    environment.chdir(tmp_path)
    environment.setenv("RNN_ZOO_CACHE", "here")
    assert compiled.directory() == tmp_path / "here" / "rnn-zoo" / "programs"


def test_nothing_is_kept_if_it_is_off_or_the_disk_is_almost_full_or_read_only(
    tmp_path, environment
):
    environment.setenv("RNN_ZOO_CACHE", "off")
    compiled.keep("jax")
    environment.delenv("RNN_ZOO_CACHE")
    compiled.keep("torch")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    environment.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    compiled.keep("jax")
    environment.setenv("XDG_CACHE_HOME", str(tmp_path))
    environment.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12 - 1000, 1000))
    compiled.keep("tensorflow")
    assert kept() == ()


def test_nothing_is_kept_under_a_limit_on_the_size_of_files(environment):
    environment.setattr(resource, "getrlimit", lambda _: (10**6, resource.RLIM_INFINITY))
    compiled.keep("tensorflow")
    compiled.keep("jax")
    assert kept() == ()
    environment.setattr(resource, "getrlimit", lambda _: (10**12, resource.RLIM_INFINITY))
    compiled.keep("jax")
    assert len(kept()) == 1


def test_directories_that_the_user_chose_are_left_alone(environment):
    environment.setenv("TF_XLA_FLAGS", f"--other {compiled.FLAG}/own")
    environment.setenv("JAX_COMPILATION_CACHE_DIR", "/own")
    compiled.keep("tensorflow")
    compiled.keep("jax")
    assert kept() == ("/own", "/own")


def test_processes_of_other_threads_or_flags_have_programs_of_their_own(environment):
    seen = []
    for name, value in (("XLA_FLAGS", ""), ("XLA_FLAGS", "--a"), ("TF_NUM_INTRAOP_THREADS", "7")):
        environment.setenv(name, value)
        # A child inherits the variables that its parent has set.
        compiled.keep("tensorflow")
        compiled.keep("jax")
        assert len(kept()) == 2
        seen.append(kept())
    assert len(set(seen)) == 3


def test_the_programs_that_were_not_used_for_longest_go_first(tmp_path):
    for age in range(10):
        path = tmp_path / "key" / f"{age}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 100)
        os.utime(path, (1e9 - age, 1e9 - 1000))
    compiled.prune(tmp_path, 1000)
    assert len(list(path.parent.iterdir())) == 10
    compiled.prune(tmp_path, 999)
    assert sorted(found.name for found in path.parent.iterdir()) == list("0123456")
    (path.parent / "0-atime").write_bytes(b"x" * 8)
    compiled.prune(tmp_path, 0)
    assert [found.name for found in path.parent.iterdir()] == ["0-atime"]


def test_a_program_that_a_killed_process_left_does_not_keep_others_from_writing(environment):
    compiled.keep("jax")
    jax_cache = pytest.importorskip("jax._src.lru_cache")
    cache = jax_cache.LRUCache(kept()[0], max_size=10**6)
    cache.put("whole", b"x")
    cache.put("half", b"x")
    (cache.path / "half-atime").unlink()
    with pytest.raises(FileNotFoundError):
        cache.put("other", b"x")
    compiled.keep("jax")
    cache.put("other", b"x")
    assert [cache.get(name) for name in ("whole", "half", "other")] == [b"x", None, b"x"]


def test_a_full_disk_is_recognised_in_tensorflow_s_errors():
    assert is_full(RuntimeError("/cache/x.pb; No space left on device [Op:__inference]"))
    assert not is_full(RuntimeError("out of memory"))


def test_keras_does_without_packages_that_its_importer_has(tmp_path):
    lacking = "import sys\nlacks = sys.modules.get('wsgiref', 0) is None\n"
    (tmp_path / "keras.py").write_text(lacking)
    code = (
        "from trainer import lean\n"
        "with lean.keras_without('wsgiref', 'colorsys'):\n"
        "    import keras, wsgiref\n"
        "print(keras.lacks, wsgiref.__name__)\n"
    )
    done = python("-c", code, cwd=tmp_path)
    assert (done.code, done.stdout) == (0, "True wsgiref\n"), done.stderr


def test_packages_are_hidden_only_while_others_are_imported():
    import json

    before = sys.modules.copy()
    with lean.without("json", "this_package_does_not_exist", "wsgiref"):
        import json as again

        with pytest.raises(ImportError):
            import wsgiref
    import wsgiref  # noqa: F401

    assert again is json
    assert "this_package_does_not_exist" not in sys.modules
    assert before.keys() <= sys.modules.keys()
