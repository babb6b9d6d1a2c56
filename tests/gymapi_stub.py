"""A stand-in for Isaac Gym: the calls that dexhot_isaacgym.gym_worlds makes, on states that a test feeds.

DOFs are in another order than the hand vector's, as Isaac Gym sorts them, and quaternions are xyzw.
"""

import sys
import types
from collections.abc import Callable
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import torch


class Gym:
    """`feed(gym, steps)` is called after every physics step; it writes dofs (N, J, 2), roots (N, 2, 13), forces."""

    def __init__(self):
        self.feed: Callable[[Gym, int], None] = lambda gym, steps: None
        self.steps, self.assets, self.environments, self.targets = 0, {}, [], None
        self.fetched = {}  # after a refresh: what the task may read

    def create_sim(self, device, graphics, engine, parameters):
        self.parameters = parameters
        return "sim"

    def add_ground(self, sim, plane):
        self.plane = plane

    def load_asset(self, sim, root, name, options):
        robot = ElementTree.parse(f"{root}/{name}").getroot()
        joints = [j.get("name") for j in robot.findall("joint") if j.get("type") != "fixed"]
        merged = {j.find("child").get("link") for j in robot.findall("joint") if j.get("type") == "fixed"}
        bodies = [link.get("name") for link in robot.findall("link") if link.get("name") not in merged]
        return SimpleNamespace(name=name, robot=robot, joints=sorted(joints), bodies=bodies, options=options)

    def get_asset_dof_names(self, asset):
        return asset.joints

    def get_asset_rigid_body_names(self, asset):
        return asset.bodies

    def create_env(self, sim, lower, upper, per_row):
        self.environments.append([])
        return self.environments[-1]

    def create_actor(self, env, asset, pose, name, group, mask):
        links = [SimpleNamespace(mass=1.0, inertia=SimpleNamespace(x=vec3(1, 0, 0), y=vec3(0, 1, 0), z=vec3(0, 0, 1)))]
        kind = [(name, float) for name in ("stiffness", "damping", "effort", "armature")] + [("driveMode", int)]
        dofs, shapes = np.zeros(len(asset.joints), kind), [SimpleNamespace(friction=1.0)]
        env.append(SimpleNamespace(asset=asset, group=group, mask=mask, links=links, dofs=dofs, shapes=shapes))
        return len(env) - 1

    def get_actor_dof_properties(self, env, actor):
        return env[actor].dofs.copy()

    def set_actor_dof_properties(self, env, actor, properties):
        env[actor].dofs = properties

    def get_actor_rigid_shape_properties(self, env, actor):
        return env[actor].shapes

    def set_actor_rigid_shape_properties(self, env, actor, shapes):
        env[actor].shapes = shapes

    def get_actor_rigid_body_properties(self, env, actor):
        return env[actor].links

    def set_actor_rigid_body_properties(self, env, actor, links, recompute):
        assert not recompute
        env[actor].links = links

    def prepare_sim(self, sim):
        n, hand = len(self.environments), self.environments[0][0].asset
        self.dofs, self.roots = torch.zeros(n, len(hand.joints), 2), torch.zeros(n, 2, 13)
        self.forces = torch.zeros(n, len(hand.bodies) + 1, 3)
        self.read = {name: getattr(self, name).clone() for name in ("dofs", "roots", "forces")}

    def acquire_dof_state_tensor(self, sim):
        return self.read["dofs"].view(-1, 2)

    def acquire_actor_root_state_tensor(self, sim):
        return self.read["roots"].view(-1, 13)

    def acquire_net_contact_force_tensor(self, sim):
        return self.read["forces"].view(-1, 3)

    def refresh_dof_state_tensor(self, sim):
        self.read["dofs"][:] = self.dofs

    def refresh_actor_root_state_tensor(self, sim):
        self.read["roots"][:] = self.roots

    def refresh_net_contact_force_tensor(self, sim):
        self.read["forces"][:] = self.forces

    def set_dof_state_tensor_indexed(self, sim, tensor, actors, count):
        assert actors.dtype == torch.int32 and len(actors) == count and not (actors % 2).any()
        self.dofs[actors.long() // 2] = tensor.view_as(self.dofs)[actors.long() // 2]

    def set_actor_root_state_tensor_indexed(self, sim, tensor, actors, count):
        assert actors.dtype == torch.int32 and len(actors) == count
        self.roots.view(-1, 13)[actors.long()] = tensor[actors.long()]

    def set_dof_position_target_tensor(self, sim, targets):
        self.targets = targets.clone()

    def simulate(self, sim):
        self.steps += 1
        self.feed(self, self.steps)

    def fetch_results(self, sim, wait):
        assert wait


def vec3(x: float, y: float, z: float) -> SimpleNamespace:
    return SimpleNamespace(x=x, y=y, z=z)


def install(monkeypatch) -> Gym:
    """Put the stand-in where `import isaacgym` finds it; returns the gym that it will give."""
    gym, package = Gym(), types.ModuleType("isaacgym")
    api, tensors = types.ModuleType("isaacgym.gymapi"), types.ModuleType("isaacgym.gymtorch")
    api.acquire_gym = lambda: gym
    api.SimParams = lambda: SimpleNamespace(physx=SimpleNamespace())
    api.PlaneParams = api.AssetOptions = api.Transform = SimpleNamespace
    api.Vec3, api.SIM_PHYSX, api.UP_AXIS_Z, api.DOF_MODE_POS = vec3, "physx", "z", 1
    tensors.wrap_tensor = tensors.unwrap_tensor = lambda tensor: tensor
    package.gymapi, package.gymtorch = api, tensors
    for module in (package, api, tensors):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delitem(sys.modules, "dexhot_isaacgym.gym_worlds", raising=False)
    return gym
