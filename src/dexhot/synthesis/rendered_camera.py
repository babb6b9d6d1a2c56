"""A depth camera before a rendered person, live: a clip's motion, forward and back again, drawn as it is read.

`stage` takes seconds, before anything starts: it makes the clip's motion physical and places the camera. Its result is
a file of a trajectory, from which `RenderedCamera` draws colour and depth in real time, with a RealSense's noise.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mujoco
import numpy as np

from dexhot.data.files import load
from dexhot.data.types import HandObjectTrajectory
from dexhot.errors import ClipError
from dexhot.geometry.cameras import pinhole
from dexhot.hardware.camera.drawn import DrawnCamera
from dexhot.humans.skin import HandPose
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import load_object
from dexhot.synthesis.clip import FOVY, SHORTEST, Options, act, cast, generators, hand_track
from dexhot.synthesis.mirror import one_side
from dexhot.synthesis.motion import shape_of
from dexhot.synthesis.noise import noise_level, noisy_color, noisy_depth
from dexhot.synthesis.scene import SceneRenderer, draw_look
from dexhot.synthesis.view import choose_view

STAGED = "staged"  # entry of the provenance: what the pictures need beside the motion


def stage(
    clip: HandObjectTrajectory, asset: ObjectAsset, side: str, seed: int, width: int, height: int
) -> HandObjectTrajectory:
    """The clip as a person from `seed` performs it with the hand of `side`, as far as it is in view of a camera of that
    image size; `camera_of` it is the camera's pose. Raises ClipError, NoRendererError."""
    clip = one_side(clip, asset, side)
    shapes = {side: shape_of(clip, side)}
    people, random, rate = cast(shapes, seed), generators(seed, clip.name), Options.rate
    acted = act(clip, people, asset, rate)
    motion, keypoints = acted.motion, acted.keypoints
    camera, centre = pinhole(width, height, FOVY), motion.object_pose[:, :3].mean(axis=0)
    with SceneRenderer(camera, people, asset, draw_look(random["look"]), clip.table_height, centre) as renderer:
        view = choose_view(renderer, camera, motion, acted.points, keypoints, random["view"])
    if view.frames.stop - view.frames.start < SHORTEST:
        raise ClipError(f"{clip.name} cannot be brought into view of a camera {view.distance:.2f} m away.")
    kept = {"seed": seed, "shape": shapes[side].tolist(), "camera": view.world_T_camera.tolist()}
    return HandObjectTrajectory(
        clip.name,
        motion.time[view.frames] - motion.time[view.frames][0],
        {side: hand_track(side, keypoints[side][view.frames], motion.poses[side][view.frames])},
        clip.object_name,
        motion.object_pose[view.frames],
        table_height=clip.table_height,
        provenance={STAGED: kept, "clip_provenance": clip.provenance},
    )


def camera_of(staged: HandObjectTrajectory) -> np.ndarray:
    """(7,) world_T_camera."""
    return np.array(staged.provenance[STAGED]["camera"])


class RenderedCamera(DrawnCamera):
    """Draws in a thread of its own, as OpenGL belongs to one. Without shadows and motion blur: they take the longest.

    Raises FileFormatError for a file that is not of `stage`, NoRendererError without OpenGL.
    """

    def __init__(
        self,
        file: Path,
        width: int,
        height: int,
        fps: float,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.staged = load(file, HandObjectTrajectory)
        self.name = f"rendered person of {self.staged.name}"
        self.level = noise_level(Options.level)
        self.random = generators(self.staged.provenance[STAGED]["seed"], self.staged.name)
        self.painter = ThreadPoolExecutor(1, "camera")
        super().__init__(pinhole(width, height, FOVY), fps, clock, sleep)
        self.painter.submit(self._prepare).result()
        self.begin = clock()  # the first picture takes a second

    def _prepare(self) -> None:
        staged, kept = self.staged, self.staged.provenance[STAGED]
        [side] = staged.hands
        self.side, self.poses = side, [HandPose.from_vector(row) for row in staged.hands[side].parameters]
        people = cast({side: np.array(kept["shape"])}, kept["seed"])
        centre = staged.object_pose[:, :3].mean(axis=0)
        asset, look = load_object(staged.object_name), draw_look(self.random["look"])
        self.renderer = SceneRenderer(self.intrinsics, people, asset, look, staged.table_height, centre)
        self.renderer.renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        self.renderer.aim(camera_of(staged))
        self._draw(0)

    def draw(self, t: float) -> tuple[np.ndarray, np.ndarray]:
        return self.painter.submit(self._draw, frame_at(t, len(self.poses))).result()

    def _draw(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        renderer, camera = self.renderer, self.intrinsics
        renderer.pose({self.side: self.poses[k]}, self.staged.object_pose[k])
        depth = noisy_depth(renderer.depth(), camera, self.level, self.random["depth"])
        return noisy_color(renderer.color(), camera, self.level, self.random["color"]), depth

    def close(self) -> None:
        """Release the renderer's memory."""
        self.painter.submit(self.renderer.close)
        self.painter.shutdown()


def frame_at(t: float, count: int) -> int:
    """Number of the frame at time t (s): all `count` forward, then back, and so on, so that nothing ever jumps."""
    k = round(t * Options.rate) % (2 * count - 2)
    return min(k, 2 * count - 2 - k)
