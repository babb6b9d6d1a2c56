"""`dexhot bench teleop`: from an image of a hand to the hand's command, in the live graph on the embedded rig.

The hand is a recorded video's (hand_video/human_hand_video.mp4 of $DEXHOT_SHARED_DATA), played at its rate; an image is
stamped when it is read. `glass_to_motor_ms_p99` ends at the recorder's receipt of the command.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from dexhot.errors import DexhotError, NotFoundError

DURATION, QUICK_DURATION = 60.0, 15.0  # s of tracking
VIDEO = Path("hand_video") / "human_hand_video.mp4"


def run(quick: bool = False) -> dict[str, Any]:
    """Metrics. Raises NotFoundError without the video."""
    from dexhot.bringup import launcher
    from dexhot.bringup.graph import plan
    from dexhot.bringup.graphs import load_graph
    from dexhot.progress import progress
    from dexhot.rollouts.teleop_run import latencies
    from dexhot.ros.core.claim import own_domain

    seconds, place = QUICK_DURATION if quick else DURATION, find_video()
    with tempfile.TemporaryDirectory(prefix="dexhot-bench-") as scratch:
        given = {"camera": f"video:{place}", "clutch": "auto", "duration": str(seconds), "record": f"{scratch}/run"}
        own_domain()
        planned = plan(load_graph("teleop"), given, os.environ)
        with open(f"{scratch}/log", "w+") as log, progress("teleoperating", seconds, by_clock=True):
            if launcher.run(planned, log):
                log.seek(0)
                raise DexhotError(f"the graph died during the measurement:\n{log.read()[-2000:]}")
        found = latencies(planned.folder)
    if "images" not in found:
        raise DexhotError("no image led to a hand command: check the graph's output with `dexhot up teleop`.")
    return {"metrics": found, "subset": {"seconds": seconds, "video": place.name}}


def find_video() -> Path:
    """The video to play. Raises NotFoundError."""
    place = Path(os.environ.get("DEXHOT_SHARED_DATA", "")) / VIDEO
    if not place.is_file():
        raise NotFoundError(
            "video of a hand", str(place), (), f"Set DEXHOT_SHARED_DATA to the folder that has {VIDEO}."
        )
    return place
