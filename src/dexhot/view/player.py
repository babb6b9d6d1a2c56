"""The panel of the viewer: scrub, play, speed, and what is shown."""

import socket
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import viser
from viser import uplot

from dexhot.errors import DexhotError
from dexhot.view.shows import Show

RATE = 30.0  # Hz at which the browser is sent frames
SPEEDS = ("0.1x", "0.25x", "0.5x", "1x", "2x")
ACCENT = (11, 122, 117)
HINTS = {
    "ghost": "the reference at the same moment, blue",
    "frames": "of palm (or wrist) and object: x red, y green, z blue",
    "contacts": "fingertips that touch the object are orange",
}


def new_server(host: str, port: int) -> viser.ViserServer:
    """A viser server with the viewer's look; the scene is z-up. Raises DexhotError for an address that is not ours."""
    try:
        with socket.create_server((host, 0)):
            pass
    except OSError as e:
        raise DexhotError(f"--host {host} is no address of this machine ({e.strerror or e}); try 127.0.0.1.") from e
    server = viser.ViserServer(host=host, port=port, label="dexhot", verbose=False)
    server.gui.configure_theme(show_logo=False, show_share_button=False, brand_color=ACCENT)
    server.scene.set_up_direction("+z")
    return server


def look_at(server: viser.ViserServer, center: np.ndarray, away: np.ndarray, distance: float = 0.55) -> None:
    """Start the camera of a browser that connects: it looks at `center` (3,) from the side where `away` (3,) points,
    which is from the hand to the object, a little turned and from above."""
    side = np.array([away[0] + 0.6 * away[1], away[1] - 0.6 * away[0]])
    side = side / np.linalg.norm(side) if np.linalg.norm(side) > 1e-3 else np.array([0.8, -0.6])
    server.initial_camera.look_at = tuple(center)
    server.initial_camera.position = tuple(center + distance * np.array([0.9 * side[0], 0.9 * side[1], 0.44]))
    server.initial_camera.fov = np.radians(45)


def add_toggle(server: viser.ViserServer, name: str, handles: "Sequence[viser.SceneNodeHandle]") -> None:
    """A tick box that shows and hides `handles`."""
    box = server.gui.add_checkbox(name, True, hint=HINTS[name])

    @box.on_update
    def _(_event: "viser.GuiEvent[Any]") -> None:
        for handle in handles:
            handle.visible = box.value


class Player:
    """Plays a Show. `tick` advances it; `run` does so until interrupted."""

    def __init__(self, server: viser.ViserServer, show: Show):
        self.server, self.show = server, show
        gui = server.gui
        gui.add_markdown(f"### {show.name}\n{show.kind}")
        last = len(show.time) - 1
        self.slider = gui.add_slider("frame", 0, last, 1, 0)
        self.play = gui.add_button("Play")
        self.speed = gui.add_dropdown("speed", SPEEDS, initial_value="1x")
        self.text = gui.add_markdown("")
        for name, handles in show.layers.items():
            add_toggle(server, name, handles)
        if show.errors is not None:
            self._add_plot(show.errors)
        self.playing, self.position, self.shown = False, 0.0, -1
        self.play.on_click(lambda _: self.toggle())
        self.slider.on_update(lambda event: self._scrub(event.client is not None))
        look_at(server, show.center, show.away)
        self.draw()

    def toggle(self) -> None:
        """Play or pause; at the end, play again from the start."""
        self.playing = not self.playing
        self.play.label = "Pause" if self.playing else "Play"
        if self.playing and self.slider.value == len(self.show.time) - 1:
            self.position = 0.0

    def tick(self, seconds: float) -> None:
        """Advance by `seconds` of wall time, if playing; the clip starts again when it ends."""
        if not self.playing:
            return
        length = self.show.time[-1]
        self.position = (self.position + seconds * float(self.speed.value[:-1])) % max(length, 1e-9)
        self.slider.value = int(np.searchsorted(self.show.time, self.position, side="right")) - 1  # type: ignore[misc]
        self.draw()

    def run(self) -> None:
        """Play until KeyboardInterrupt."""
        last = time.monotonic()
        while True:
            time.sleep(max(0.0, 1.0 / RATE - (time.monotonic() - last)))
            now = time.monotonic()
            self.tick(now - last)
            last = now

    def draw(self) -> None:
        """Put the scene to the slider's frame."""
        frame = self._frame()
        if frame == self.shown:
            return
        self.shown = frame
        with self.server.atomic():
            self.show.draw(frame)
            self.text.content = (
                f"{self.show.time[frame]:.2f} s of {self.show.time[-1]:.2f} s  \n{self.show.text(frame)}"
            )

    def _frame(self) -> int:
        """The slider's frame; a number typed beside it may lie beyond the clip."""
        return min(max(int(self.slider.value), 0), len(self.show.time) - 1)

    def _scrub(self, by_hand: bool) -> None:
        if by_hand:
            self.position = float(self.show.time[self._frame()])
            self.draw()

    def _add_plot(self, errors: np.ndarray) -> None:
        self.server.gui.add_uplot(
            data=(np.asarray(self.show.time, float), np.asarray(errors, float)),
            series=(uplot.Series(label="s"), uplot.Series(label="object error, cm", stroke="#0b7a75", width=2)),
            scales={"x": uplot.Scale(time=False)},
            aspect=1.8,
        )
