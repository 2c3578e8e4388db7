"""Commands that tests run, and their refusals."""

#: Arguments of a training, but for its size.
PARENS = ("--task=parens", "--arch=gru")


def tree(directory):
    """Return path -> content of all files below a directory, except a killed process's lease."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.startswith("lease.")
    }


def assert_refused(done, *parts):
    assert done.code == 2, done
    # On a busy machine, starting takes long enough to be shown.
    assert all(line.startswith("starting ") for line in done.stdout.splitlines()), done.stdout
    assert done.stderr.startswith("error: ")
    assert done.stderr.endswith("\n")
    assert done.stderr.count("\n") == 1, done.stderr
    for part in parts:
        assert part in done.stderr, (part, done.stderr)
