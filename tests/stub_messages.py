"""Messages of packages that only a ROS distribution has, generated from rosbags' definitions: for tests without one.

They check types as rclpy's do, and go through the wire format: what a node would publish is what a reader decodes.
"""

import sys
from types import ModuleType
from typing import Any

from rosbags.interfaces import Nodetype

from dexhot.data.bags import typestore
from dexhot.ros.core.message_class import message_class


def install(monkeypatch, *msgtypes: str) -> list[type]:
    """Make "package/msg/Name" importable for this test; returns the classes."""
    made = []
    for msgtype in msgtypes:
        package, _, name = msgtype.split("/")
        module = sys.modules.get(f"{package}.msg")
        if module is None or not hasattr(module, "__stub__"):
            module = ModuleType(f"{package}.msg")
            module.__stub__ = True
            parent = ModuleType(package)
            parent.msg = module
            monkeypatch.setitem(sys.modules, package, parent)
            monkeypatch.setitem(sys.modules, f"{package}.msg", module)
        setattr(module, name, stub(msgtype))
        made.append(getattr(module, name))
    return made


def stub(msgtype: str) -> type:
    """A message class with the fields of `msgtype`, all of them sequences of messages, which are type-checked."""
    fields = typestore().fielddefs[msgtype][1]
    kinds = {}
    for name, (node, detail) in fields:
        assert node == Nodetype.SEQUENCE and detail[0][0] == Nodetype.NAME, f"{msgtype}.{name} is no list of messages"
        kinds[name] = message_class(detail[0][1])

    def __init__(self, **given: Any) -> None:
        assert given.keys() <= kinds.keys(), f"{msgtype} has no {given.keys() - kinds.keys()}"
        for name, kind in kinds.items():
            values = list(given.get(name, []))
            assert all(type(value) is kind for value in values), f"{msgtype}.{name} is a list of {kind.__name__}"
            setattr(self, name, values)

    return type(msgtype.rpartition("/")[2], (), {"__init__": __init__, "msgtype": msgtype})
