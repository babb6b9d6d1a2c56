"""The part that calls Isaac Gym. Not run on a machine without Isaac Gym: tests give it a stand-in for gymapi.

An environment keeps its clip and its physics (friction, mass, inertia, servo gain): Isaac Gym fixes them when it is
made. Quaternions are xyzw there. Fingers do not touch each other, and a torque limit does not fall with speed.
"""

from __future__ import annotations

from typing import Any

import isaacgym  # noqa: F401  (before torch, as Isaac Gym wants it)
from isaacgym import gymapi, gymtorch

import torch  # isort: skip
from torch import Tensor

from dexhot_isaacgym.bundle import Bundle
from dexhot_isaacgym.rotations import from_xyzw, to_xyzw
from dexhot_isaacgym.tracking import WorldState

TOUCH = 0.1  # N: a fingertip's link with more contact force touches something
SPACING = 0.5  # m, half the width of an environment


class GymWorlds:
    """N environments of a hand on its wrist joints and a free object, over a plane."""

    def __init__(self, bundle: Bundle, size: int, device: int = 0):
        """device: the GPU's number; -1: PhysX on the CPU."""
        self.bundle, self.size, self.substeps = bundle, size, bundle["substeps"]
        row = torch.arange(size, device=bundle.device)
        count, worlds = bundle.physics.shape[:2]
        self.clip, self.world = row % count, row // count % worlds
        self.gym = gymapi.acquire_gym()
        self.sim = self.gym.create_sim(max(device, 0), -1, gymapi.SIM_PHYSX, self._parameters(device >= 0))
        plane = gymapi.PlaneParams()
        plane.normal, plane.distance = gymapi.Vec3(0.0, 0.0, 1.0), -bundle["table_height"]
        plane.static_friction = plane.dynamic_friction = bundle["friction"][0]
        self.gym.add_ground(self.sim, plane)
        self._make_environments()
        self.gym.prepare_sim(self.sim)
        self._acquire()

    def reset(self, rows: Tensor, q: Tensor, qd: Tensor, object_pose: Tensor, object_twist: Tensor) -> None:
        """Put environments `rows` (M,) into states, without a step."""
        names = self._order
        self.dofs[rows] = torch.stack([q, qd], -1)[:, names].to(self.dofs.dtype)
        pose = torch.cat([object_pose[:, :3], to_xyzw(object_pose[:, 3:]), object_twist], 1)
        self.roots[rows, 1] = pose.to(self.roots.dtype)
        self.targets[rows] = q[:, names].to(self.targets.dtype)
        self.touching[rows] = False
        hands, objects = (2 * rows + k for k in (0, 1))
        for actors, write, tensor in (
            (hands, self.gym.set_dof_state_tensor_indexed, self._dof_state),
            (objects, self.gym.set_actor_root_state_tensor_indexed, self._root_state),
        ):
            chosen = actors.to(torch.int32).contiguous()
            write(self.sim, tensor, gymtorch.unwrap_tensor(chosen), len(chosen))

    def step(self, targets: Tensor) -> None:
        """A control step with position targets (N, 6+n), or (N, substeps, 6+n)."""
        for k in range(self.substeps):
            now = targets if targets.dim() == 2 else targets[:, k]
            self.targets[:] = now[:, self._order].to(self.targets.dtype)
            self.gym.set_dof_position_target_tensor(self.sim, gymtorch.unwrap_tensor(self.targets))
            self.gym.simulate(self.sim)
        self.gym.fetch_results(self.sim, True)
        self.gym.refresh_dof_state_tensor(self.sim)
        self.gym.refresh_actor_root_state_tensor(self.sim)
        self.gym.refresh_net_contact_force_tensor(self.sim)
        self.touching = self.forces[:, self._tip_bodies].norm(dim=-1) > TOUCH

    def state(self) -> WorldState:
        """Of the present."""
        dofs, root = (x.to(self.bundle.dtype) for x in (self.dofs[:, self._back], self.roots[:, 1]))
        pose = torch.cat([root[:, :3], from_xyzw(root[:, 3:7])], 1)
        return WorldState(dofs[..., 0], dofs[..., 1], pose, root[:, 7:], self.touching.clone())

    def _parameters(self, on_gpu: bool) -> Any:
        parameters = gymapi.SimParams()
        parameters.dt, parameters.substeps = self.bundle["timestep"], 1
        parameters.up_axis, parameters.gravity = gymapi.UP_AXIS_Z, gymapi.Vec3(*self.bundle["gravity"])
        parameters.use_gpu_pipeline = parameters.physx.use_gpu = on_gpu
        physx = parameters.physx  # IsaacGymEnvs' settings for hands
        physx.solver_type, physx.num_position_iterations, physx.num_velocity_iterations = 1, 8, 0
        physx.contact_offset, physx.rest_offset, physx.bounce_threshold_velocity = 0.002, 0.0, 0.2
        physx.max_depenetration_velocity, physx.default_buffer_size_multiplier = 1000.0, 5.0
        return parameters

    def _make_environments(self) -> None:
        b, gym = self.bundle, self.gym
        fixed = gymapi.AssetOptions()
        fixed.fix_base_link, fixed.disable_gravity, fixed.collapse_fixed_joints = True, True, True
        fixed.default_dof_drive_mode = gymapi.DOF_MODE_POS
        free = gymapi.AssetOptions()
        free.override_com = free.override_inertia = False
        assets = {
            name: gym.load_asset(self.sim, str(b.folder), name, options)
            for names, options in ((b["hands"], fixed), (b["objects"], free))
            for name in sorted(set(names))
        }
        first = assets[b["hands"][0]]
        there = list(gym.get_asset_dof_names(first))
        order = [b["joints"].index(name) for name in there]
        self._order = torch.tensor(order, device=b.device)
        self._back = torch.argsort(self._order)
        bodies = list(gym.get_asset_rigid_body_names(first))
        self._tip_bodies = torch.tensor([bodies.index(name) for name in b["tip_links"]], device=b.device)
        corner = gymapi.Vec3(SPACING, SPACING, SPACING)
        below = gymapi.Vec3(-SPACING, -SPACING, 0.0)
        for i in range(self.size):
            env = gym.create_env(self.sim, below, corner, int(self.size**0.5) or 1)
            clip, ratios = int(self.clip[i]), b.physics[self.clip[i], self.world[i]]
            at = gymapi.Transform()
            hand = gym.create_actor(env, assets[b["hands"][clip]], at, "hand", i, 1)  # 1: no self-contact
            body = gym.create_actor(env, assets[b["objects"][clip]], at, "object", i, 0)
            self._set_servos(env, hand, order, float(ratios[2]))
            for actor in (hand, body):
                shapes = gym.get_actor_rigid_shape_properties(env, actor)
                for shape in shapes:
                    shape.friction = b["friction"][0] * float(ratios[0])
                gym.set_actor_rigid_shape_properties(env, actor, shapes)
            links = gym.get_actor_rigid_body_properties(env, body)
            mass, inertia = float(ratios[1]), float(ratios[1] * ratios[3])
            links[0].mass *= mass
            for axis in (links[0].inertia.x, links[0].inertia.y, links[0].inertia.z):
                axis.x, axis.y, axis.z = inertia * axis.x, inertia * axis.y, inertia * axis.z
            gym.set_actor_rigid_body_properties(env, body, links, False)
        self.bodies = len(bodies) + 1

    def _set_servos(self, env: Any, hand: Any, order: list[int], gain: float) -> None:
        b = self.bundle
        properties = self.gym.get_actor_dof_properties(env, hand)
        for k, joint in enumerate(order):
            scale = gain if joint >= 6 else 1.0
            properties["driveMode"][k] = gymapi.DOF_MODE_POS
            properties["stiffness"][k] = scale * float(b.stiffness[joint])
            properties["damping"][k] = scale * float(b.damping[joint])
            properties["effort"][k] = float(b.effort[joint])
            properties["armature"][k] = float(b.armature[joint])
        self.gym.set_actor_dof_properties(env, hand, properties)

    def _acquire(self) -> None:
        gym, n = self.gym, self.size
        self._dof_state = gym.acquire_dof_state_tensor(self.sim)
        self._root_state = gym.acquire_actor_root_state_tensor(self.sim)
        forces = gym.acquire_net_contact_force_tensor(self.sim)
        self.dofs = gymtorch.wrap_tensor(self._dof_state).view(n, -1, 2)  # in Isaac Gym's order
        self.roots = gymtorch.wrap_tensor(self._root_state).view(n, 2, 13)  # hand, object
        self.forces = gymtorch.wrap_tensor(forces).view(n, self.bodies, 3)
        self.targets = torch.zeros_like(self.dofs[..., 0]).contiguous()
        self.touching = torch.zeros(n, len(self._tip_bodies), dtype=torch.bool, device=self.dofs.device)
