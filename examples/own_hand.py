"""From the URDF of your own robot hand to a clip retargeted to it: python examples/own_hand.py FOLDER

Here a shipped hand's URDF replaces yours. docs/add_a_hand.md explains what to check in the draft.
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

    # 2. A draft of its hand.yaml, as `dexhot hand add` writes it: fingers, fingertips, palm frame and postures are
    #    inferred from the geometry. Check it with `dexhot hand show --picture` and correct it.
    config, remarks = propose(model, "my_hand", beside=folder)
    write_text(folder / "hand.yaml", as_yaml(config, remarks))

    # 3. From here on the path of its hand.yaml identifies the hand, also in commands (--hand).
    hand = load_hand(str(folder / "hand.yaml"))
    print(f"{hand.name}: {len(hand.joints)} joints, fingertips {', '.join(hand.tip_sites)}")

    # 4. Retarget a demonstration. Good: under 2 mm of penetration, a saturation under 0.1.
    trajectory, asset = generate("lift", "box", seed=0)
    save_object(asset)
    reference = retarget(trajectory, hand, asset)
    save(reference, folder / "reference.npz")
    figures = summarise(reference, trajectory, hand, asset)
    print({key: round(figures[key], 3) for key in ("tip_error_mm", "penetration_mm", "saturation")})
    return reference


if __name__ == "__main__":
    main(Path(sys.argv[1]))
