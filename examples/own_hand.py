"""Your own robot hand: from its URDF to a clip retargeted to it: python examples/own_hand.py FOLDER

A shipped hand's URDF stands in for yours. docs/add_a_hand.md says what to check in the draft.
"""

import shutil
import sys
from pathlib import Path

from dexhot.data.files import save, write_text
from dexhot.data.types import Reference
from dexhot.datasets.parametric import generate
from dexhot.objects.library import save_object
from dexhot.paths import share_dir
from dexhot.retargeting.retarget import retarget
from dexhot.retargeting.summary import summarise
from dexhot.robots.proposal import as_yaml, propose
from dexhot.robots.robot_hand import load_hand


def main(folder: Path) -> Reference:
    """Write hand.urdf, hand.yaml and reference.npz into `folder`."""
    # 1. Your URDF (or MJCF).
    model = shutil.copy(share_dir() / "urdf" / "allegro_right" / "allegro_right.urdf", folder / "hand.urdf")

    # 2. A draft of its hand.yaml: fingers, fingertips, palm frame and postures are guessed from the geometry. It is
    #    what `dexhot hand add` writes; correct it by hand, and look at it with `dexhot hand show --picture`.
    config, remarks = propose(model, "my_hand", beside=folder)
    write_text(folder / "hand.yaml", as_yaml(config, remarks))

    # 3. From here on a hand is the path of its hand.yaml, in every command too (--hand).
    hand = load_hand(str(folder / "hand.yaml"))
    print(f"{hand.name}: {len(hand.joints)} joints, fingertips {', '.join(hand.tip_sites)}")

    # 4. A demonstration on it, and how well it fits: under 2 mm of penetration and 0.1 of saturation is good.
    trajectory, asset = generate("lift", "box", seed=0)
    save_object(asset)
    reference = retarget(trajectory, hand, asset)
    save(reference, folder / "reference.npz")
    figures = summarise(reference, trajectory, hand, asset)
    print({key: round(figures[key], 3) for key in ("tip_error_mm", "penetration_mm", "saturation")})
    return reference


if __name__ == "__main__":
    main(Path(sys.argv[1]))
