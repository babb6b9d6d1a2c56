"""The scene of a running graph: the newest joint and object states, the reference's ghost at the current index."""

from dataclasses import dataclass, field

import mujoco
import numpy as np
import viser

from dexhot.data.types import Reference
from dexhot.robots.arm import FR3_HOME
from dexhot.robots.kinematics.wrist import wrist_to_palm
from dexhot.simulation.setup import load_setup
from dexhot.view.player import add_toggle, look_at
from dexhot.view.render import ghost_scene
from dexhot.view.stage import Stage

STATE_RGB = {"tracking": "#12805c", "holding": "#b7791f", "fault": "#b8322b"}


@dataclass
class Snapshot:
    """State of the robot and the object at one moment."""

    arm_q: np.ndarray  # (7,)
    hand_q: np.ndarray  # (n,)
    object_pose: np.ndarray  # (7,)
    target: np.ndarray | None = None  # (6+n,) the controller's
    frame: int | None = None  # of the reference; None while nothing is tracked
    safety: str = "waiting for the graph"
    reason: str = ""
    note: str = ""  # what else a person should see: of teleoperation, the clutch and the assistance
    ages: dict[str, float] = field(default_factory=dict)  # name -> age of the last message, s
    object_sigma: float | None = None  # m, the largest of its position


class LiveView:
    """Shows Snapshots of a run that tracks `reference`."""

    def __init__(self, server: viser.ViserServer, reference: Reference):
        self.server, self.reference = server, reference
        self.stage = Stage(server, ghost_scene(reference, load_setup(reference), arm=True))
        self.target = server.scene.add_frame("/frames/target", axes_length=0.045, axes_radius=0.001)
        server.gui.add_markdown(f"### {reference.name}\nlive")
        self.state = server.gui.add_html("")
        self.text = server.gui.add_markdown("")
        layers = self.stage.layers
        layers["frames"].append(self.target)
        for name, handles in layers.items():
            add_toggle(server, name, handles)
        away = reference.object_pose[:, :3].mean(axis=0) - reference.q[:, :3].mean(axis=0)
        look_at(server, np.concatenate([reference.object_pose[:, :3], reference.q[:, :3]]), away, margin=0.3)
        hand_q = reference.q[0, 6:]
        self.show(Snapshot(FR3_HOME, hand_q, reference.object_pose[0]))

    def pose(self, now: Snapshot) -> int:
        """Pose the scene at `now` without drawing it; returns the frame of the ghost."""
        scene, data, ref = self.stage.scene, self.stage.data, self.reference
        frame = int(np.clip(now.frame or 0, 0, len(ref.q) - 1))
        scene.set_joints(data, np.concatenate([now.arm_q, now.hand_q]))
        data.qpos[scene.object_qpos] = now.object_pose
        scene.show_ghost(data, ref.q[frame], ref.object_pose[frame])
        mujoco.mj_kinematics(scene.model, data)
        return frame

    def show(self, now: Snapshot) -> None:
        """Draw `now`."""
        frame, ref = self.pose(now), self.reference
        with self.server.atomic():
            self.stage.update(self.stage.touching())
            if now.target is not None:
                pose = wrist_to_palm(now.target[:6], ref.base_quat)
                self.target.position, self.target.wxyz = pose[:3], pose[3:]
            self.state.content = _badge(now.safety, now.reason)
            self.text.content = self._text(now, frame)

    def _text(self, now: Snapshot, frame: int) -> str:
        lines = [f"frame {frame} of {len(self.reference.q) - 1}"] if now.frame is not None else ["no clip is tracked"]
        if now.frame is not None:
            off = 100 * np.linalg.norm(now.object_pose[:3] - self.reference.object_pose[frame, :3])
            lines.append(f"object: {off:.2f} cm from the reference")
        lines += [now.note] if now.note else []
        if now.object_sigma is not None:
            lines.append(f"object: known to {1000 * now.object_sigma:.1f} mm (sigma)")
        lines += [f"{what}: {_age(age)} old" for what, age in now.ages.items()]
        return "  \n".join(lines)


def _age(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.0f} s"


def _badge(state: str, reason: str) -> str:
    color = STATE_RGB.get(state, "#5b6472")
    style = f"background:{color};color:#fff;border-radius:99px;padding:3px 14px;margin:0 12px;font-weight:600"
    return f'<span style="{style}">{state}</span> <span style="color:#5b6472">{reason}</span>'
