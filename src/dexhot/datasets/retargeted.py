"""A human demonstration by name, retargeted to a hand."""

from dexhot.data.types import Reference
from dexhot.datasets.human_clip import human_clip
from dexhot.retargeting.retarget import retarget, retarget_options
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.physics import load_physics
from dexhot.simulation.setup import Setup


def retargeted_clip(
    name: str, hand: str = "leap_right", profile: str | None = None, plain: bool = False
) -> tuple[Reference, Setup]:
    """Of a clip as `human_clip` names them, with the servo `profile`, by default the hand's own. plain: by DexTrack's
    eq. 5-7 alone. Raises NotFoundError for an unknown clip or hand; DexhotError for a clip that cannot be
    retargeted."""
    trajectory, asset = human_clip(name)
    setup = Setup(load_hand(hand), asset, load_physics(profile=profile))
    return retarget(trajectory, setup.hand, asset, retarget_options(profile, plain)), setup
