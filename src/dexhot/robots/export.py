"""Writes urdf/<robot>/<robot>.{xml,urdf} from the robots' numbers: `python -m dexhot.robots.export`.

A test holds the files up to date.
"""

from pathlib import Path

from dexhot.data.files import write_text
from dexhot.paths import share_dir
from dexhot.robots.arm import FLANGE_SITE, arm_hand_spec, fr3_model, fr3_spec
from dexhot.robots.joints import shipped_joints
from dexhot.robots.model import RobotModel
from dexhot.robots.robot_hand import RobotHand, list_hands, load_hand
from dexhot.robots.urdf import RobotPart, to_urdf


def exports() -> dict[Path, str]:
    """The text of every generated file, by its path below urdf/."""
    arm = RobotPart(fr3_model(), shipped_joints("fr3"))
    robots = {"fr3": (fr3_spec(), [arm])}
    for name in list_hands():
        hand = load_hand(name)
        robots[name] = (hand.spec(), [_part(hand)])
    hand = load_hand("leap_right")
    robots["fr3_leap_right"] = (arm_hand_spec(hand), [arm, _part(hand, FLANGE_SITE)])
    texts = {}
    for name, (spec, parts) in robots.items():
        spec.modelname = name
        spec.compile()
        texts[Path(name) / f"{name}.xml"] = spec.to_xml()
        texts[Path(name) / f"{name}.urdf"] = to_urdf(name, parts)
    return texts


def _part(hand: RobotHand, parent: str = "") -> RobotPart:
    assert isinstance(hand.model, RobotModel)  # shipped hands have a `source`
    return RobotPart(hand.model, hand.joints, parent, hand.mount)


if __name__ == "__main__":
    for path, text in exports().items():
        print(write_text(share_dir() / "urdf" / path, text))
