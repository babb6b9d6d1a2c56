"""Controllers by name. Each branch imports its own controller: a node that plays one back loads no planner or network
(0.4 s of its start).
"""

from types import SimpleNamespace

from dexhot.control.controllers import Controller, Kinematic, Playback
from dexhot.data.files import load
from dexhot.data.types import Demonstration, Reference
from dexhot.errors import NotFoundError
from dexhot.objects.library import load_object
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.physics import Physics

CONTROLLERS = ("kinematic", "playback", "mpc", "planned", "policy")


def make_controller(name: str, reference: Reference, policy: str, physics: Physics, p: SimpleNamespace) -> Controller:
    """The controller `name`; `policy`: a Demonstration file, required by playback, the initial plan of mpc; the network
    of policy (.onnx or its card).

    `p` holds the parameters of config/nodes/controller.yaml. Raises NotFoundError, FileFormatError.
    """
    if name == "kinematic":
        return Kinematic(reference, physics)
    if name == "playback":
        return Playback(
            load(policy, Demonstration), p.fade, p.object_relative, load_object(reference.object_name).symmetry
        )
    if name == "mpc":
        from dexhot.control.mpc import Mpc, MpcOptions
        from dexhot.simulation.backend import MujocoSimulator
        from dexhot.simulation.scene import floating_scene

        scene = floating_scene(
            load_hand(reference.hand),
            load_object(reference.object_name),
            reference.base_quat,
            physics,
            reference.table_height,
        )
        options = MpcOptions(p.samples, p.iterations, p.horizon, p.replan, p.delay, p.seed)
        demonstration = load(policy, Demonstration) if policy else None
        return Mpc(reference, MujocoSimulator(scene), options, demonstration)
    if name == "planned":
        from dexhot.control.policy import OnnxNetwork
        from dexhot.planning.planned import Planned, PlannedOptions
        from dexhot.planning.prior import load_prior
        from dexhot.simulation.setup import Setup

        setup = Setup(load_hand(reference.hand), load_object(reference.object_name), physics)
        budget = p.planning_seconds, p.planning_rollouts, p.planning_limit
        feedback = OnnxNetwork(p.feedback) if p.feedback else None
        planning = PlannedOptions(*budget, p.fade, p.seed)
        return Planned(reference, setup, load_prior(p.prior, reference, setup.asset), planning, feedback=feedback)
    if name == "policy":
        from dexhot.control.policy import OnnxNetwork, Policy

        return Policy(reference, OnnxNetwork(policy), load_object(reference.object_name), physics)
    raise NotFoundError("controller", name, CONTROLLERS)
