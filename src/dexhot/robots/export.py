"""Writes urdf/<robot>/<robot>.{xml,urdf,srdf} from the robots' models: `python -m dexhot.robots.export`.

A test checks that the files are up to date.
"""

from pathlib import Path

from dexhot.data.files import write_text
from dexhot.paths import share_dir
from dexhot.robots.arm import arm_hand_spec, fr3_model, fr3_spec
from dexhot.robots.description import describe
from dexhot.robots.joints import shipped_joints
from dexhot.robots.model import RobotModel
from dexhot.robots.robot_hand import list_hands, load_hand
from dexhot.robots.urdf import RobotPart, to_urdf


def exports() -> dict[Path, str]:
    """The text of every generated file, by its path below urdf/."""
    arm = RobotPart(fr3_model(), shipped_joints("fr3"))
    robots = {"fr3": (fr3_spec(), [arm])}
    for name in list_hands():
        hand = load_hand(name)
        assert isinstance(hand.model, RobotModel)  # shipped hands have a `source`
        robots[name] = (hand.spec(), [RobotPart(hand.model, hand.joints)])
    texts = {}
    for name, (spec, parts) in robots.items():
        spec.modelname = name
        spec.compile()
        texts[Path(name) / f"{name}.xml"] = spec.to_xml()
        texts[Path(name) / f"{name}.urdf"] = to_urdf(name, parts)
    hand = load_hand("leap_right")
    rig, spec = describe(hand), arm_hand_spec(hand)
    spec.modelname = rig.name
    spec.compile()
    found = {"xml": spec.to_xml(), "urdf": rig.urdf, "srdf": rig.srdf}
    return texts | {Path(rig.name) / f"{rig.name}.{kind}": text for kind, text in found.items()}


if __name__ == "__main__":
    for path, text in exports().items():
        print(write_text(share_dir() / "urdf" / path, text))
