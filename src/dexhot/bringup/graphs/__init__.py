"""The graphs that can be brought up, by name."""

from dexhot.bringup.graph import Graph
from dexhot.bringup.graphs.capture import CAPTURE
from dexhot.bringup.graphs.real_track import REAL_TRACK
from dexhot.bringup.graphs.replay import REPLAY
from dexhot.bringup.graphs.teleop import TELEOP_GRAPH
from dexhot.bringup.graphs.watch import WATCH
from dexhot.errors import NotFoundError

GRAPHS = {graph.name: graph for graph in (REAL_TRACK, REPLAY, CAPTURE, WATCH, TELEOP_GRAPH)}


def load_graph(name: str) -> Graph:
    """The graph called `name`. Raises NotFoundError."""
    if name not in GRAPHS:
        raise NotFoundError("graph", name, GRAPHS)
    return GRAPHS[name]
