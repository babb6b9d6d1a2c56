"""What an evidence file holds that the one in its place would lack: `dexhot perceive` asks before it is lost."""

from collections.abc import Iterable
from pathlib import Path

from dexhot.data.files import UNREADABLE, header
from dexhot.errors import DexhotError


def check_replaced(path: Path, object_name: str, prompted: Iterable[str], force: bool = False) -> None:
    """Raise DexhotError if the evidence at `path` was made with an object other than `object_name` ("": hands only), or
    with prompts on something that is not `prompted` now; with `force`, never.

    A prompt may move: a better click on the same thing loses nothing.
    """
    if force or not path.is_file():
        return
    try:
        made = header(path)["fields"].get("provenance", {})
    except UNREADABLE:
        return
    lost = [f"poses and masks of {made['object']}"] if made.get("object", "") not in ("", object_name) else []
    lost += [f"the prompt on {name}" for name in made.get("prompts", {}) if name not in prompted]
    if lost:
        raise DexhotError(
            f"{path} has {' and '.join(lost)}, which the new evidence would lack; give the same --object and --prompt, "
            "another --out, or --force."
        )
