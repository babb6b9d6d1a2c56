"""The quality of service of every topic, by name; part of the API: a change of reliability is a breaking change.

`sensor` follows REP 2003 (published with the system default, subscribed as best effort). The control path (`state`,
`command`) is reliable and deep: a replay is exact only if no message was lost.
"""

from rclpy.qos import QoSDurabilityPolicy, QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy

from dexhot.errors import NotFoundError


def _profile(reliable: bool, depth: int, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=QoSReliabilityPolicy.RELIABLE if reliable else QoSReliabilityPolicy.BEST_EFFORT,
        durability=QoSDurabilityPolicy.TRANSIENT_LOCAL if latched else QoSDurabilityPolicy.VOLATILE,
    )


PUBLISH = {
    "sensor": _profile(True, 10),  # images, clouds, markers
    "state": _profile(True, 100),  # joint states, object states, heartbeats: small, and none may be lost
    "command": _profile(True, 100),  # targets and commands
    "latched": _profile(
        True, 10, latched=True
    ),  # also for late joiners; 10, so that none is overwritten before it is sent
}
SUBSCRIBE = PUBLISH | {
    "sensor": _profile(False, 5),
    "newest": _profile(False, 1),  # of which only the last counts
    "latched": _profile(True, 1, latched=True),
    "static": _profile(True, 100, latched=True),  # /tf_static, with many publishers
}


def publish_profile(name: str) -> QoSProfile:
    """The profile that a publisher of kind `name` offers."""
    return _named(PUBLISH, name)


def subscribe_profile(name: str) -> QoSProfile:
    """The profile that a subscriber of kind `name` requests."""
    return _named(SUBSCRIBE, name)


def _named(profiles: dict[str, QoSProfile], name: str) -> QoSProfile:
    if name not in profiles:
        raise NotFoundError("quality of service", name, profiles)
    return profiles[name]
