"""The graphs that can be brought up, by name."""

from dexhot.errors import NotFoundError
from dexhot.nodes.graph import Graph
from dexhot.nodes.graphs.capture import CAPTURE
from dexhot.nodes.graphs.real_track import REAL_TRACK
from dexhot.nodes.graphs.replay import REPLAY

GRAPHS = {graph.name: graph for graph in (REAL_TRACK, REPLAY, CAPTURE)}


def load_graph(name: str) -> Graph:
    """The graph called `name`. Raises NotFoundError."""
    if name not in GRAPHS:
        raise NotFoundError("graph", name, GRAPHS)
    return GRAPHS[name]
