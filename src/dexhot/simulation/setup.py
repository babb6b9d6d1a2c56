"""Hand, object and physics of a reference, loaded once and passed down."""

from dataclasses import dataclass

from dexhot.data.types import Reference
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import load_object
from dexhot.robots.robot_hand import RobotHand, load_hand
from dexhot.simulation.physics import Physics, load_physics


@dataclass(frozen=True)
class Setup:
    """What a reference is simulated, judged and drawn with."""

    hand: RobotHand
    asset: ObjectAsset
    physics: Physics


def load_setup(reference: Reference) -> Setup:
    """The reference's hand and object in the benchmark physics. Raises NotFoundError when one of them is not here."""
    return Setup(load_hand(reference.hand), load_object(reference.object_name), load_physics())
