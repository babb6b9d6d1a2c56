"""Plans tried in simulated worlds: the object where it was observed, perturbed worlds and, where the reference is
placed, the embedded rig. Costs and verdicts are of whole clips, batched."""

from dataclasses import dataclass
from functools import cached_property

import mujoco
import numpy as np
from scipy.spatial import cKDTree

from dexhot.control.controllers import following_object
from dexhot.data.types import Reference
from dexhot.geometry.equivalents import reduced_angle
from dexhot.geometry.poses import compose, inverse, lowest, transform
from dexhot.geometry.rotations import quat_angle, quat_rotate
from dexhot.metrics.add_s import surface_points
from dexhot.metrics.success import strict_limits
from dexhot.metrics.tracking_errors import LIFT, position_error
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.object_offset import object_offset
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.rollouts.arm_batch import ArmSimulator
from dexhot.rollouts.floating import displaced_state
from dexhot.rollouts.until_lost import UntilLost
from dexhot.rollouts.with_arm import WithArm
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.perturbation import worlds as named_worlds

EVERY = 3  # frames: 20 a second are judged
QUERIES, CLOUD = 60, 4000  # points of the quick ADD-S; the judge's has 200
LOST = 8.0  # cm that the object is off: over the strict limit, and no plan recovers from it
UNIT_POSITION, UNIT_ROTATION, SATURATION = 0.03, np.radians(30), 3.0  # m and rad of an error of 1; errors saturate
CLEARANCE = 0.001  # m above the table at which a lifted object does not rest on it


@dataclass(frozen=True)
class TrialWorld:
    """A world to try plans in."""

    state: np.ndarray  # (ns,) at the reference's first frame
    model: mujoco.MjModel | ArmSimulator  # of the floating scene, or the embedded rig
    moved: tuple[np.ndarray, ...] | None = None  # centre, shift, turn by which playback moves the wrist here


class Trials:
    """Rolls plans out; row t of its states is the reference's frame t + 1.

    A rollout of the floating hand that has lost the object ends there, and keeps its last state.
    """

    def __init__(self, reference: Reference, simulator: MujocoSimulator, arm: ArmSimulator | None = None):
        self.reference, self.scene = reference, simulator.scene
        self.floating = simulator
        self._until_lost = UntilLost(simulator, self._lost)
        self.simulator = WithArm(self._until_lost, arm.state_size) if arm is not None else self._until_lost
        self.arm_world = TrialWorld(arm.first_state, arm) if arm is not None else None
        asset = simulator.scene.object
        assert asset is not None
        self.asset: ObjectAsset = asset
        self.frames = np.unique(np.r_[np.arange(EVERY, len(reference.q), EVERY), len(reference.q) - 1])
        self.limits = strict_limits(reference, asset)
        self.rollouts, self._on_rigs = 0, 0  # begun; control steps simulated on rigs

    def world(self, observed: np.ndarray, model: mujoco.MjModel | None = None) -> TrialWorld:
        """The nominal world, or another model's, with the object at pose `observed` (7,)."""
        moved = object_offset(self.asset.symmetry, self.reference.object_pose[0], observed)
        state = displaced_state(self.reference, self.floating, observed)
        return TrialWorld(state, model or self.floating.model, moved)

    def perturbed(self, observed: np.ndarray, count: int, seed: int, name: str = "worlds_v2") -> list[TrialWorld]:
        """`count` worlds of a named set, each with the object displaced from where it is observed: playback does not
        know by how much."""
        how, rng, here = named_worlds(name), np.random.default_rng(seed), self.world(observed)
        out = []
        for drawn in (how.draw(rng) for _ in range(count)):
            state = displaced_state(self.reference, self.floating, observed, drawn.offset, drawn.yaw)
            out.append(TrialWorld(state, drawn.model(self.scene), here.moved))
        return out

    def roll(self, targets: np.ndarray, worlds: list[TrialWorld]) -> tuple[np.ndarray, np.ndarray]:
        """Targets (N, T, 6+n), one per world of `worlds` (N) -> states (N, T - 1, ns), diverged (N,)."""
        targets = np.array(targets)
        lower, upper = self.scene.lower, self.scene.upper
        for k, world in enumerate(worlds):
            if world.moved is not None and any(part.any() for part in world.moved[1:]):
                targets[k] = following_object(self.reference, targets[k], world.moved)
        controls = np.clip(targets[:, :-1], lower, upper)
        size = self.simulator.state_size
        starts = np.stack([np.pad(world.state, (0, size - len(world.state))) for world in worlds])
        batch = self.simulator.rollout(starts, controls, [world.model for world in worlds])  # type: ignore[misc]
        self.rollouts += len(worlds)
        self._on_rigs += sum(isinstance(world.model, ArmSimulator) for world in worlds) * controls.shape[1]
        return batch.states, batch.diverged

    @property
    def control_steps(self) -> int:
        """Simulated so far."""
        return self._until_lost.control_steps + self._on_rigs

    def _lost(self, pose: np.ndarray, step: int) -> np.ndarray:
        """(N,) bool: the object at poses (N, 7) is too far off after so many control steps."""
        wanted = self.reference.object_pose[step]
        lost: np.ndarray = ~(self._distance(pose[:, None], wanted[None])[:, 0] < LOST)
        return lost

    def cost(self, states: np.ndarray, diverged: np.ndarray) -> np.ndarray:
        """(N,) smooth cost of whole clips: the object's saturated error, its mean, its worst frame and its last one."""
        pose, wanted = self._poses(states)
        at, to = self._center(pose), self._center(wanted)
        error = np.hypot(np.linalg.norm(at - to, axis=-1) / UNIT_POSITION, self._angle(pose, wanted) / UNIT_ROTATION)
        error = SATURATION * np.tanh(error / SATURATION)
        mixed = 0.5 * error.mean(axis=1) + 0.3 * error.max(axis=1) + 0.2 * error[:, -1]
        return np.where(diverged, SATURATION, mixed)

    def strict(self, states: np.ndarray, diverged: np.ndarray, worlds: list[TrialWorld]) -> np.ndarray:
        """(N,) bool, a quick estimate of success_strict: every third frame, fewer surface points, the table's contact
        by the object's height, no self-penetration; no hand error on the rig."""
        pose, wanted = self._poses(states)
        limits, distance = self.limits, self._distance(pose, wanted)
        angle = np.degrees(self._angle(pose, wanted))
        good = (distance.max(axis=1) < limits["judged_T_max_cm"]) & (angle.max(axis=1) < limits["judged_R_max_deg"])
        good &= (distance[:, -1] < limits["judged_T_final_cm"]) & ~diverged
        floating = np.array([not isinstance(world.model, ArmSimulator) for world in worlds])
        good[floating] &= self._hand_error(states[floating]) < limits["E_hand"]
        lifted = self._lifted
        if lifted.any() and good.any():
            table = self.reference.table_height + CLEARANCE
            off = lowest(pose[good][:, lifted], self._hull) > table
            good[good] = (off & (distance[good][:, lifted] < 5.0)).mean(axis=1) >= limits["hold_rate"]
        verdict: np.ndarray = good
        return verdict

    def _poses(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.floating.object_pose(states[:, self.frames - 1]), self.reference.object_pose[self.frames]

    def _center(self, pose: np.ndarray) -> np.ndarray:
        """(..., 3) the object's centre of symmetry at poses (..., 7)."""
        center: np.ndarray = pose[..., :3] + quat_rotate(pose[..., 3:], np.asarray(self.asset.symmetry.center, float))
        return center

    def _angle(self, pose: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        return reduced_angle(self.asset.symmetry, np.broadcast_to(wanted[:, 3:], pose[..., 3:].shape), pose[..., 3:])

    def _distance(self, pose: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """(N, F) cm that decide: ADD-S of a symmetric object."""
        if self.asset.symmetry.kind == "none":
            return 100 * position_error(pose, wanted)
        moved = transform(compose(inverse(wanted), pose)[:, :, None], self._cloud[None, None, :QUERIES])
        nearest = self._tree.query(moved.reshape(-1, 3))[0].reshape(moved.shape[:3])
        distance: np.ndarray = 100 * nearest.mean(axis=-1)
        return distance

    def _hand_error(self, states: np.ndarray) -> np.ndarray:
        """(N,) E_hand (metrics.success.hand_errors)."""
        q, r = self.floating.joint_positions(states[:, self.frames - 1]), self.reference
        palm, wanted = palm_poses(r.base_quat, q), palm_poses(r.base_quat, r.q[self.frames])
        wrist = 0.5 * quat_angle(palm[..., 3:], wanted[:, 3:]) + 0.5 * position_error(palm, wanted)
        fingers = np.abs(q[..., 6:] - r.q[self.frames, 6:]).mean(axis=-1)
        error: np.ndarray = 0.5 * wrist.mean(axis=1) + 0.5 * fingers.mean(axis=1)
        return error

    @cached_property
    def _hull(self) -> np.ndarray:
        from scipy.spatial import ConvexHull

        corners = self.asset.corners
        return corners[ConvexHull(corners).vertices]

    @cached_property
    def _lifted(self) -> np.ndarray:
        """(F,) bool: the reference's lifted frames among the judged ones."""
        height = lowest(self.reference.object_pose, self._hull)
        lifted: np.ndarray = height[self.frames] > height[0] + LIFT
        return lifted

    @cached_property
    def _cloud(self) -> np.ndarray:
        return surface_points(self.asset.vertices, self.asset.faces, CLOUD)

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self._cloud)
