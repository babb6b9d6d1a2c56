"""What may assist teleoperation, by the name or file that the parameter `policy` gives."""

from dexhot.control.assistance import Agent, correction_bound
from dexhot.control.grasp_assist import GraspAssist, HeldGrasp
from dexhot.control.known_motion import KnownMotionAgent, check_motion_agent, knows_motion
from dexhot.control.policy import OnnxNetwork
from dexhot.control.residual_agent import ResidualAgent, check_agent
from dexhot.data.types import PolicyCard, Reference
from dexhot.errors import DexhotError
from dexhot.paths import share_dir
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.physics import Physics
from dexhot.simulation.setup import load_setup

NONE, GRASP = "", "grasp"
BUILT_IN = (NONE, GRASP)  # else a file


def agent_file(policy: str) -> str:
    """The file of an agent; a shipped one may be given by its name, such as assist_leap."""
    shipped = share_dir() / "policies" / f"{policy}.onnx"
    return str(shipped) if shipped.is_file() else policy


def check_agent_of(card: PolicyCard, scene: Reference, motion: Reference | None, physics: Physics) -> None:
    """Raise DexhotError, naming every difference, unless a file's agent fits the scene and the motion that the user
    will repeat (None: no reference was given)."""
    if not knows_motion(card):
        return check_agent(card, scene, physics)
    if motion is None:
        raise DexhotError(
            f"policy {card.name} corrects a user who repeats a known motion: give that motion by reference:=FILE "
            "(`dexhot retarget` makes one), or policy:=grasp or none."
        )
    check_motion_agent(card, motion, physics)


def agent_of(policy: str, scene: Reference, motion: Reference | None = None) -> Agent | None:
    """The agent for a scene; None for "", or where the scene's reference has no grasp. `motion`: what the user
    repeats. Raises DexhotError for a file that does not fit, by the difference."""
    if policy == NONE:
        return None
    if policy == GRASP:
        known = scene.provenance.get("teleop", {}).get("grasp")
        hand = load_hand(scene.hand)
        bound = correction_bound(hand)
        return GraspAssist(hand, scene.base_quat, HeldGrasp.from_dict(known), bound) if known else None
    setup = load_setup(scene)
    network = OnnxNetwork(policy)
    check_agent_of(network.card, scene, motion, setup.physics)
    if motion is not None and knows_motion(network.card):
        return KnownMotionAgent(network, motion, setup.physics)
    return ResidualAgent(network, scene, setup.asset, setup.physics)
