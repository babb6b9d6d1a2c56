"""The panel of the viewer: slider, playback, speed, and visible layers."""

import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import viser
from viser import uplot

from dexhot.errors import DexhotError
from dexhot.view.shows import HUMAN_PLACES, Show

RATE = 30.0  # Hz, rate of frames sent to the browser
FOV = np.radians(45)
CURSOR_RATE = 10.0  # Hz, rate of the plot's time cursor, with which the whole plot is sent
SPEEDS = ("0.1x", "0.25x", "0.5x", "1x", "2x")
ACCENT = (11, 122, 117)
KEYS = "Space plays and pauses, ← → step, Home and End jump, ↑ ↓ change the speed."
HINTS = {
    "human hand": "the demonstrator's hands: right teal, left violet",
    "convex pieces": "collision geometry of the object",
    "camera": "camera pose of the recording",
    "points": "the depth image",
    "ghost": "the reference at the same moment, blue",
    "frames": "axes of palm (or wrist) and object: x red, y green, z blue",
    "contacts": "fingertips that touch the object are orange",
}


def new_server(host: str, port: int) -> viser.ViserServer:
    """A viser server with the viewer's look; the scene is z-up. Raises DexhotError for an address that is not this
    machine's."""
    try:
        with socket.create_server((host, 0)):
            pass
    except OSError as e:
        raise DexhotError(f"--host {host} is not an address of this machine ({e.strerror or e}); try 127.0.0.1.") from e
    server = viser.ViserServer(host=host, port=port, label="dexhot", verbose=False)
    server.gui.configure_theme(show_logo=False, show_share_button=False, brand_color=ACCENT)
    server.scene.set_up_direction("+z")
    return server


def look_at(server: viser.ViserServer, points: np.ndarray, away: np.ndarray, margin: float = 0.12) -> None:
    """Set the initial camera of connecting browsers: it shows `points` (N, 3) with `margin` m around them, from
    the direction `away` (3,), from the hand to the object, slightly rotated and from above."""
    center = 0.5 * (points.min(axis=0) + points.max(axis=0))
    radius = float(np.linalg.norm(points - center, axis=1).max()) + margin
    side = np.array([away[0] + 0.6 * away[1], away[1] - 0.6 * away[0]])
    side = side / np.linalg.norm(side) if np.linalg.norm(side) > 1e-3 else np.array([0.8, -0.6])
    server.initial_camera.look_at = tuple(center)
    server.initial_camera.position = tuple(
        center + radius / np.sin(FOV / 2) * np.array([0.9 * side[0], 0.9 * side[1], 0.44])
    )
    server.initial_camera.fov = FOV


def add_toggle(server: viser.ViserServer, name: str, handles: "Sequence[viser.SceneNodeHandle]") -> None:
    """A checkbox that shows and hides `handles`."""
    box = server.gui.add_checkbox(name, all(handle.visible for handle in handles), hint=HINTS[name])

    @box.on_update
    def _(_event: "viser.GuiEvent[Any]") -> None:
        for handle in handles:
            handle.visible = box.value


class Player:
    """Plays a Show. `tick` advances it; `run` does so until interrupted."""

    def __init__(self, server: viser.ViserServer, show: Show):
        self.server, self.show = server, show
        gui, last = server.gui, len(show.time) - 1
        gui.add_markdown(f"### {show.name}\n{show.kind}")
        moves = last > 0
        self.slider = gui.add_slider("frame", 0, max(last, 1), 1, 0, visible=moves)
        self.play = gui.add_button("Play", visible=moves)
        self.speed = gui.add_dropdown("speed", SPEEDS, initial_value="1x", visible=moves)
        if moves:
            self._add_keys(last)
        self.text = gui.add_markdown("")
        for name, handles in show.layers.items():
            add_toggle(server, name, handles)
        if show.place_human is not None:
            self._add_places(show.place_human)
        self.plot = None if show.errors is None else TimePlot(server, show.time, show.errors)
        self.playing, self.position, self.shown = False, 0.0, -1
        self.play.on_click(lambda _: self.toggle())
        self.slider.on_update(lambda event: self._scrub(event.client is not None))
        look_at(server, show.points, show.away)
        self.draw()

    def _add_keys(self, last: int) -> None:
        """Add playback buttons, and keyboard shortcuts."""
        gui = self.server.gui
        steps = gui.add_button_group("step", ("|◀", "◀", "▶", "▶|"))
        ways = {"|◀": -last, "◀": -1, "▶": 1, "▶|": last}
        steps.on_click(lambda event: self.step(ways[event.target.value]))
        gui.add_markdown(KEYS)
        keys: dict[str, tuple[str, Callable[[], None]]] = {
            "space": ("Play or pause", self.toggle),
            "arrowleft": ("One frame back", lambda: self.step(-1)),
            "arrowright": ("One frame forward", lambda: self.step(1)),
            "home": ("To the start", lambda: self.step(-last)),
            "end": ("To the end", lambda: self.step(last)),
            "arrowup": ("Faster", lambda: self.change_speed(1)),
            "arrowdown": ("Slower", lambda: self.change_speed(-1)),
        }
        for key, (label, act) in keys.items():
            gui.add_command(label, hotkey=key).on_trigger(lambda _, act=act: act())  # type: ignore[arg-type,misc]

    def _add_places(self, place: Callable[[str], None]) -> None:
        where = self.server.gui.add_dropdown("human hand is", HUMAN_PLACES)
        where.on_update(lambda _: place(where.value))

    def step(self, frames: int) -> None:
        """Pause, and move by that many frames within the clip."""
        if self.playing:
            self.toggle()
        self.slider.value = min(max(self._frame() + frames, 0), len(self.show.time) - 1)  # type: ignore[misc]
        self._scrub(by_hand=True)

    def change_speed(self, by: int) -> None:
        """Change to the next of SPEEDS, up (1) or down (-1)."""
        chosen = min(max(SPEEDS.index(self.speed.value) + by, 0), len(SPEEDS) - 1)
        self.speed.value = SPEEDS[chosen]  # type: ignore[misc]

    def toggle(self) -> None:
        """Play or pause; at the end, play again from the start."""
        self.playing = not self.playing
        self.play.label = "Pause" if self.playing else "Play"
        if self.playing and self.slider.value == len(self.show.time) - 1:
            self.position = 0.0

    def tick(self, seconds: float) -> None:
        """Advance by `seconds` of wall time, if playing; the clip repeats."""
        if not self.playing:
            return
        length = self.show.time[-1]
        self.position = (self.position + seconds * float(self.speed.value[:-1])) % max(length, 1e-9)
        self.slider.value = int(np.searchsorted(self.show.time, self.position, side="right")) - 1  # type: ignore[misc]
        self.draw()

    def run(self, ended: Callable[[], bool]) -> None:
        """Play until `ended`."""
        last = time.monotonic()
        while not ended():
            time.sleep(max(0.0, 1.0 / RATE - (time.monotonic() - last)))
            now = time.monotonic()
            self.tick(now - last)
            last = now

    def draw(self) -> None:
        """Show the slider's frame."""
        frame = self._frame()
        if frame == self.shown:
            return
        self.shown = frame
        with self.server.atomic():
            self.show.draw(frame)
            if self.plot is not None:
                self.plot.point_at(frame, at_once=not self.playing)
            self.text.content = (
                f"{self.show.time[frame]:.2f} s of {self.show.time[-1]:.2f} s  \n{self.show.text(frame)}"
            )

    def _frame(self) -> int:
        """The slider's frame; a typed number may be beyond the clip."""
        return min(max(int(self.slider.value), 0), len(self.show.time) - 1)

    def _scrub(self, by_hand: bool) -> None:
        if by_hand:
            self.position = float(self.show.time[self._frame()])
            self.draw()


class TimePlot:
    """The object's error over the clip, with a line at the shown frame."""

    def __init__(self, server: viser.ViserServer, seconds: np.ndarray, errors: np.ndarray):
        self.seconds, self.errors, self.sent = np.asarray(seconds, float), np.asarray(errors, float), -np.inf
        self.top = max(1.05 * float(np.nanmax(self.errors)), 1e-3)
        self.handle = server.gui.add_uplot(
            data=self.data(0),
            series=(
                uplot.Series(label="s"),
                uplot.Series(label="object error, cm", stroke="#0b7a75", width=2),
                uplot.Series(label="now", stroke="#b8322b", width=1),
            ),
            scales={"x": uplot.Scale(time=False)},
            aspect=1.8,
        )

    def data(self, frame: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, error and cursor: zero except at the frame, where x is repeated three times for a vertical line."""
        at = np.insert(np.arange(len(self.seconds)), frame, [frame, frame])
        cursor = np.zeros(len(at))
        cursor[frame + 1] = self.top
        return self.seconds[at], self.errors[at], cursor

    def point_at(self, frame: int, at_once: bool) -> None:
        """Move the line to a frame; unless `at_once`, at most at CURSOR_RATE."""
        if at_once or time.monotonic() - self.sent > 1 / CURSOR_RATE:
            self.handle.data, self.sent = self.data(frame), time.monotonic()
