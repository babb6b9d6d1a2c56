"""The errors a user can act on. Each message says what was wrong, the valid choices and what to do."""

from difflib import get_close_matches

MANY = 20  # choices; of more, only those that look like the name given are listed


class DexhotError(Exception):
    """Base of every error that dexhot raises on purpose; the command line prints it as one sentence."""


class FileFormatError(DexhotError):
    """A file is missing, truncated, of another schema or version, or holds values that cannot be."""


class NotFoundError(DexhotError):
    """A named thing (clip, object, hand, graph, ...) does not exist; the message lists what does, or what is near."""

    def __init__(self, kind: str, name: str, valid, hint: str = ""):
        names = sorted(map(str, valid))
        if len(names) > MANY:
            near = get_close_matches(name, names, n=5, cutoff=0.4)
            choices = f"{len(names)} others" + (f", such as {', '.join(near)}" if near else "")
        else:
            choices = ", ".join(names) or "none"
        super().__init__(f"no {kind} named {name!r}; available: {choices}." + (f" {hint}" if hint else ""))


class MeshError(DexhotError):
    """A mesh that cannot serve as an object, with the reason."""


class ClipError(DexhotError):
    """A demonstration that nobody can have made as its file has it: the field, what it is, what it should be."""


class UnreachableError(DexhotError):
    """The arm cannot follow the wrist; the message names the first frame that fails and by how much."""


class MissingExtraError(DexhotError):
    """An optional dependency is not installed; the message says what to install."""

    def __init__(self, what: str, extra: str):
        super().__init__(f"{what} needs an extra that is not installed: pip install 'dexhot[{extra}]'.")


class DownloadError(DexhotError):
    """A file could not be downloaded: no network, or a registry that lacks it."""


class LicenceError(DexhotError):
    """A dataset's terms were not accepted."""
