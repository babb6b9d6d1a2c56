"""What may assist teleoperation, by the name or file that the parameter `policy` gives."""

from dexhot.control.assistance import Agent, correction_bound
from dexhot.control.grasp_assist import GraspAssist, HeldGrasp
from dexhot.control.policy import OnnxNetwork
from dexhot.control.residual_agent import ResidualAgent
from dexhot.data.types import Reference
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.setup import load_setup

NONE, GRASP = "", "grasp"
BUILT_IN = (NONE, GRASP)  # else a file


def agent_of(policy: str, scene: Reference) -> Agent | None:
    """The agent for a scene; None for "", or where the scene's reference has no grasp. Raises DexhotError for a
    file that does not fit, by the difference."""
    if policy == NONE:
        return None
    if policy == GRASP:
        known = scene.provenance.get("teleop", {}).get("grasp")
        hand = load_hand(scene.hand)
        bound = correction_bound(hand)
        return GraspAssist(hand, scene.base_quat, HeldGrasp.from_dict(known), bound) if known else None
    setup = load_setup(scene)
    return ResidualAgent(OnnxNetwork(policy), scene, setup.asset, setup.physics)
