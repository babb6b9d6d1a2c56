"""Hand, object and physics of a reference, loaded once and passed down."""

from dataclasses import dataclass, replace

from dexhot.data.types import Reference
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import load_object
from dexhot.paths import PHYSICS
from dexhot.robots.robot_hand import RobotHand, load_hand
from dexhot.robots.servos import profile as servo_profile
from dexhot.simulation.physics import Physics, load_physics

OLD = "dextrack"


@dataclass(frozen=True)
class Setup:
    """What a reference is simulated, scored and drawn with."""

    hand: RobotHand
    asset: ObjectAsset
    physics: Physics


def load_setup(reference: Reference, version: str = PHYSICS, profile: str | None = None) -> Setup:
    """The reference's hand and object with the benchmark physics or another version; see `physics_of`. Raises
    NotFoundError when one of them is missing."""
    hand, asset = load_hand(reference.hand), load_object(reference.object_name)
    return Setup(hand, asset, physics_of(reference, version, profile))


def physics_of(reference: Reference, version: str = PHYSICS, profile: str | None = None) -> Physics:
    """The physics with the servo `profile`; default: the one for which the reference's squeeze was computed.

    Raises NotFoundError for an unknown version or profile. Physics 1 has one profile for all.
    """
    physics = load_physics(version)
    return physics if physics.servo and not profile else replace(physics, servo=profile_of(reference, profile))


def profile_of(reference: Reference, profile: str | None = None) -> str | None:
    """`profile` if known, else the one the reference was retargeted for; None: the hand's own.

    References older than the servo profiles were retargeted for DexTrack's servo.
    """
    made = reference.provenance
    name = profile or made.get("servo") or (OLD if "retarget" in made else None)
    return servo_profile(name).name if name else None
