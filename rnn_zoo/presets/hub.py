"""Presets on the Hugging Face Hub: hf://OWNER/NAME, or hf://OWNER/NAME@REVISION.

A repository holds what a directory of presets does. Its files are kept in the Hub's own cache.
"""

import pathlib
import re
from types import ModuleType

SCHEME = "hf://"
_PATTERN = re.compile(
    r"hf://(?P<repository>[^/@]+/[^/@]+)(?:@(?P<revision>[^/@]+))?(?:/(?P<rest>.+))?"
)


class Repository:
    """A repository as a directory whose files are downloaded when they are asked for.

    All files come from the commit of the first one.

    Args:
        repository: OWNER/NAME.
        revision: a branch, tag or commit; the main branch if None.
    """

    def __init__(self, repository: str, revision: str | None = None):
        self.repository, self.revision = repository, revision
        self._commit = revision

    def __str__(self):
        return f"{SCHEME}{self.repository}" + (f"@{self.revision}" if self.revision else "")

    def joinpath(self, path: str) -> pathlib.Path:
        """Return the local copy of a file.

        Raises:
            ValueError: there is no such file, or it cannot be downloaded.
        """
        hub = library()
        try:
            found = pathlib.Path(hub.hf_hub_download(self.repository, path, revision=self._commit))
        except Exception as error:  # of the library, the network or the disk
            raise ValueError(f"{self}: {path} cannot be fetched: {reason(error)}") from None
        self._commit = found.parents[path.count("/")].name
        return found


def parse(name: str) -> tuple[Repository, str | None]:
    """Return the repository that a name begins with, and what follows.

    Raises:
        ValueError: it does not have the form hf://OWNER/NAME[@REVISION][/TASK/PRESET].
    """
    match = _PATTERN.fullmatch(name)
    if not match:
        raise ValueError(f"{name!r} is not of the form hf://OWNER/NAME[@REVISION][/TASK/PRESET]")
    return Repository(match["repository"], match["revision"]), match["rest"]


def library() -> ModuleType:
    """Return `huggingface_hub`.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import huggingface_hub
    except ImportError:
        raise ValueError(
            "presets on the Hugging Face Hub need huggingface_hub: pip install 'rnn-zoo[hub]'"
        ) from None
    return huggingface_hub


def reason(error: BaseException) -> str:
    """Return what an error of the Hub says, in one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    # The first of several has an HTTP status and the number of a request.
    text = next(filter(None, [*lines[1:], *lines]), type(error).__name__)
    status = getattr(getattr(error, "response", None), "status_code", None)
    hint = "; if it is private, log in with `hf auth login`" if status in (401, 403, 404) else ""
    return f"{text.rstrip('.')}{hint}"
