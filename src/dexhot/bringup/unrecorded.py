"""The folder of a bring-up that recorded nothing, such as one that could not start: removed, as nothing in it is lost.

before = files_in(planned.folder)  # what `plan` wrote: parameters, a run's or a capture's description, its inputs
launcher.run(planned)
clear_up(planned, before)
"""

import shutil
from pathlib import Path

from dexhot.bringup.graph import Plan
from dexhot.data.bags import contents
from dexhot.data.rosbag.folder import bag_files
from dexhot.data.topics import LIFE
from dexhot.errors import FileFormatError
from dexhot.scratch import remove_scratch


def files_in(folder: Path) -> frozenset[Path]:
    """Files and links in a folder and those below it."""
    return frozenset(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def has_bag(folder: Path) -> bool:
    """Whether a run's or a capture's folder has a bag."""
    return (folder / "bag").is_dir() and bool(bag_files(folder / "bag"))


def clear_up(planned: Plan, before: frozenset[Path]) -> bool:
    """At the end of a bring-up: remove its scratch folder, or the folder of one that should have been recorded and was
    not. Returns whether it was the latter."""
    remove_scratch(planned.folder)
    if not planned.recorded or not planned.folder.is_dir():
        return False
    return remove_unrecorded(planned.folder, before, of_images=planned.graph.name == "capture")


def nothing_recorded(folder: Path) -> str:
    """What to say after `clear_up` has removed a folder."""
    return f"nothing was recorded: {folder} is removed"


def remove_unrecorded(folder: Path, before: frozenset[Path], of_images: bool = False) -> bool:
    """Remove the folder of a bring-up if all its files are from `before` the start: no bag, nothing of anyone else's.
    The bring-up has made it (`new_run_folder` refuses one that exists).

    of_images: of a capture, also with a bag in which there are only the nodes' reports about themselves (LIFE).
    Returns whether it was removed.
    """
    made = files_in(folder) - before
    if made and not (of_images and all(path.parent == folder / "bag" for path in made) and _silent(folder / "bag")):
        return False
    shutil.rmtree(folder)
    return True


def _silent(bag: Path) -> bool:
    try:
        return all(topic.endswith(LIFE) for topic in contents(bag).counts)
    except FileFormatError:  # damaged: perhaps something can be read of it
        return False
