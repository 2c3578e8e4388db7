"""Runs the project's commands as real processes.

`python(...)` starts an interpreter as a user does. A `ForkServer` forks its processes from one that
has imported modules already, but has computed nothing, so that no thread is lost. This is much
quicker, for commands that start many times: to be killed, or to refuse an argument.
"""

import contextlib
import dataclasses
import gc
import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

from trainer import lean

ROOT = pathlib.Path(__file__).resolve().parents[1]
#: A training that takes a second: the arguments that make parens small.
SMALL = (
    "--task=parens",
    "--arch=rnn",
    "--profile=smoke",
    "--num_params=3000",
    "--batch_size=8",
    "--gin_bindings=TrainConfig.task_options = {'num_steps': 12}",
)

#: Environment of processes that compile little: at its usual effort XLA takes seconds.
QUICK = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
#: The same on JAX, which compiles sooner than TensorFlow.
JAX = {"KERAS_BACKEND": "jax", **QUICK}

#: For `before`: the process kills itself when a file whose name begins so is put in place for the
#: `count`-th time, just before or just after.
KILL_AT = """
import os, signal
rename, count = os.replace, 0
def replace(source, target):
    global count
    count += os.path.basename(target).startswith({name!r})
    last = count == {count} and os.path.basename(target).startswith({name!r})
    if last and {before}:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
    if last:
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
"""


def children(pid):
    """List the child processes of a process."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                with open(f"/proc/{entry.name}/stat") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
            found += [int(entry.name)] * (parent == pid)
    return found


def environment(**changes):
    """This process's environment with the project and its tests importable and TensorFlow quiet.

    PyTorch is hidden: nothing needs it, but tensorboardX imports it wherever it is installed, which
    takes more than a second.
    """
    inherited = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    path = [ROOT, ROOT / "tests", ROOT / "tests" / "without_torch", *inherited]
    path = os.pathsep.join(map(str, path))
    return {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", **changes}


def jax_alone():
    """Changes to the environment that select JAX and hide TensorFlow."""
    path = [str(ROOT / "tests" / "without_tensorflow"), environment()["PYTHONPATH"]]
    return {**JAX, "PYTHONPATH": os.pathsep.join(path)}


@dataclasses.dataclass
class Finished:
    """How a process ended: `code` is negative for a signal, as `subprocess` has it."""

    code: int
    stdout: str
    stderr: str


def python(*arguments, cwd, timeout=300, **changes):
    """Run `python *arguments` in a directory, with changes to the environment."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment(**changes),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def check_tests(paths, which, marked, **changes):
    """Run tests in a process of their own, and assert that they pass.

    Args:
        paths: their files.
        which, marked: pytest's -k and -m.
        changes: to the environment, such as the backend.
    """
    options = ["-p", "no:cacheprovider", "-n", "0", "-W", "ignore", "--tb=short"]
    options += ["-k", which, "-m", marked]
    changes = {"PYTHONPATH": ROOT} | changes  # PyTorch may be the backend
    done = python("-m", "pytest", *options, *paths, cwd=ROOT, timeout=600, **changes)
    assert done.code == 0, done.stdout + done.stderr
    assert any(" passed" in line for line in done.stdout.splitlines()), done.stdout


class ForkServer:
    """Starts processes that have imported modules already.

    Args:
        directory: where the output of processes is kept.
        modules: names of the modules.
        changes: to the environment.
    """

    def __init__(self, directory, modules, **changes):
        self._directory, self._count = pathlib.Path(directory), 0
        self._parent = subprocess.Popen(
            [sys.executable, __file__, *modules],
            env=environment(**changes),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def start(self, module, *arguments, cwd, before="", **changes):
        """Start `python -m module *arguments`.

        Args:
            module: name of a module or package with a `run`, the console script.
            arguments: of the command line.
            cwd: the working directory.
            before: Python that is executed first.
            changes: to the environment.
        """
        self._count += 1
        files = [str(self._directory / f"{self._count}.{name}") for name in ("out", "err")]
        argv = [module, *map(str, arguments)]
        order = {"argv": argv, "cwd": str(cwd), "before": before, "files": files}
        pid = self._ask(order | {"environment": changes})
        return ForkedProcess(self, pid, *map(pathlib.Path, files))

    def run(self, module, *arguments, **options):
        """Run one to its end."""
        return self.start(module, *arguments, **options).wait()

    def close(self):
        self._parent.stdin.close()
        self._parent.wait(60)

    def _ask(self, order):
        self._parent.stdin.write(json.dumps(order) + "\n")
        self._parent.stdin.flush()
        return json.loads(self._parent.stdout.readline())


class ForkedProcess:
    """A process that a `ForkServer` started."""

    def __init__(self, server, pid, stdout, stderr):
        self.pid, self._server, self._files, self._code = pid, server, (stdout, stderr), None

    def poll(self):
        """The exit code, or None while it runs."""
        if self._code is None:
            status = self._server._ask({"poll": self.pid})
            self._code = None if status is None else os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, timeout=180):
        """Wait for the end; kill it if that takes too long."""
        self.wait_for(lambda: False, timeout)
        return Finished(self._code, *(file.read_text() for file in self._files))

    def wait_for(self, condition, timeout=180):
        """Wait until the condition holds or the process has ended; tell which, as a bool."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if condition():
                return True
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                raise TimeoutError(f"still running after {timeout} s")
            time.sleep(0.01)
        return False

    def kill(self, number):
        os.kill(self.pid, number)


def _serve():
    """Import the modules and fork a child for every order, which returns from here to run it."""
    names = sys.argv[1:]
    # Keras imports these wherever they are installed. Matplotlib, too, but runs draw their curves.
    with lean.without(*({"sklearn", "pandas", "torch", "jax"} - set(names))):
        for name in names:
            importlib.import_module(name)
    gc.freeze()  # The children need not go through these modules' objects.
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        order = json.loads(line)
        if "poll" in order:
            pid, status = os.waitpid(order["poll"], os.WNOHANG)
            answer = status if pid else None
        else:
            answer = os.fork()
            if not answer:
                return order
        print(json.dumps(answer), file=answers, flush=True)
    return None


def _obey(order):
    for path, descriptor in zip([os.devnull, *order["files"]], range(3), strict=True):
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(path, flags), descriptor)
    os.chdir(order["cwd"])
    os.environ.update(order["environment"])
    sys.argv = order["argv"]
    exec(order["before"], {})
    module = importlib.import_module(sys.argv[0])
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{sys.argv[0]}.__main__")
    module.run()


if __name__ == "__main__":
    ORDER = None
    with contextlib.suppress(KeyboardInterrupt):
        ORDER = _serve()
    if ORDER:
        _obey(ORDER)


def without_tensorflow(*arguments, cwd):
    """Run `python ARGUMENTS` on JAX, in a process whose children have no TensorFlow either."""
    return python(*arguments, cwd=cwd, **jax_alone())
