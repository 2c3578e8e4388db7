"""Presets on the Hugging Face Hub: hf://OWNER/NAME, or hf://OWNER/NAME@REVISION.

A repository holds what a directory of presets does. Its files are kept in the Hub's own cache.
"""

import pathlib
import re
from types import ModuleType

from rnn_zoo.presets.card import most_bytes

SCHEME = "hf://"
_ETAG = re.compile(r"[\w-]+")
_STATUS = re.compile(r"\d{3} (Client|Server) Error")
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

    def joinpath(self, path: str, again: bool = False) -> pathlib.Path:
        """Return the local copy of a file.

        Args:
            path: its path in the repository.
            again: whether to download it even if there is a copy.

        Raises:
            ValueError: there is no such file, or it cannot or should not be downloaded.
        """
        hub = library()
        self._check(path)
        try:
            found = pathlib.Path(
                hub.hf_hub_download(
                    self.repository, path, revision=self._commit, force_download=again
                )
            )
        except Exception as error:  # of the library, the network or the disk
            raise ValueError(f"{self}: {path} cannot be fetched: {reason(error)}") from None
        self._commit = found.parents[path.count("/")].name
        return found

    def _check(self, path):
        """Refuse a file that is far too large, or that the cache would not keep in its place."""
        hub = library()
        try:
            url = hub.hf_hub_url(self.repository, path, revision=self._commit)
            found = hub.get_hf_file_metadata(url)
        except Exception:  # of the library or the network; the download will say why
            return
        if (found.size or 0) > most_bytes(path):
            raise ValueError(f"{self}: {path} has {found.size:,} bytes, and is not fetched")
        # The library takes it for the name of the copy, whatever path it is.
        if not _ETAG.fullmatch(found.etag or ""):
            raise ValueError(f"{self}: {path} has no hash but {found.etag!r}, and is not fetched")


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
    # The first of several may have an HTTP status and the number of a request alone.
    said = [line for line in lines if line and not _STATUS.match(line)]
    text = next(iter(said or filter(None, lines)), "")
    if " " not in text:  # such as the missing key of an answer
        text = f"{type(error).__name__} {text}".strip()
    status = getattr(getattr(error, "response", None), "status_code", None)
    hint = "; if it is private, log in with `hf auth login`" if status in (401, 403, 404) else ""
    return f"{text.rstrip('.')}{hint}"
