"""Estimators as a lab would bring them, for `dexhot perceive --hands|--masks|--poses tests.lab_estimators:FUNCTION`
and `dexhot fit --regressor`."""

import itertools

import numpy as np

from dexhot.perception.protocols import HandSighting, MeshSighting, ObjectSighting

HAND, THING = (slice(190, 270), slice(250, 350)), (slice(300, 360), slice(400, 480))  # rows, columns
POSE = np.eye(4)
POSE[:3, 3] = 0.1, 0.05, 0.7


def sighting(side="right", by=0.0, confidence=0.95):
    x = np.linspace(0, 1, 21)
    pixels = np.stack([300 + by + 40 * np.cos(6 * x), 200 + 60 * x], 1)
    return HandSighting(side, pixels, confidence, float(side == "right"))


class LabHands:
    """Sees a right hand in every image, and notes the boxes that it is given."""

    def __init__(self, seen=None):
        self.boxes, self.given, self.seen = {}, [], seen

    def __call__(self, color):
        self.given.append(self.boxes)
        self.boxes = {}
        return [sighting()] if self.seen is None else next(self.seen)


class LabMasks:
    """A hand in HAND and an object in THING, of what is prompted; no hand in images of `without`."""

    def __init__(self, without=()):
        self.prompts, self.number, self.without = {}, 0, without

    def start(self, color, prompts):
        self.prompts = prompts
        return self.follow(color)

    def follow(self, color):
        labels = np.zeros(color.shape[:2], np.uint8)
        if 1 in self.prompts and self.number not in self.without:
            labels[HAND] = 1
        if 2 in self.prompts:
            labels[THING] = 2
        self.number += 1
        return labels


class LabPoses:
    """Poses with the given confidences, in the order of calls; notes each call."""

    def __init__(self, confidences=()):
        self.confidences, self.calls = iter(confidences), []

    def _next(self):
        return ObjectSighting(POSE, next(self.confidences, 0.9), 1.0)

    def register(self, camera, color, depth, mask):
        self.calls.append(("register", mask))
        return self._next()

    def follow(self, camera, color, depth, time, hidden):
        self.calls.append(("follow", hidden))
        return self._next()


class LabRegressor:
    """Gives what `answers` has, in the order of calls, of images with a mask; notes what it is given."""

    def __init__(self, answers):
        self.answers, self.given = iter(answers), []

    def __call__(self, camera, color, mask):
        self.given.append((camera, color, mask))
        return next(self.answers)


class LabMeshes:
    """Gives these meshes, one for each hand of an image, in the order of calls."""

    def __init__(self, *given):
        self.given = iter(given)

    def __call__(self, camera, color, hands):
        return [next(self.given, None) for _ in hands]


def meshes():
    return LabMeshes(*[MeshSighting("open", np.full((760, 3), float(k))) for k in range(3)])


def hands(side):
    return LabHands()


def masks():
    return LabMasks()


def poses(asset, camera):
    return LabPoses()


def regressor(asset, camera):
    """Of POSE in every image."""
    return LabRegressor(itertools.repeat((POSE, 0.8)))


def boxes():
    """A detector whose boxes are those of the sighting and of THING, 8 px larger."""
    pixels, (rows, columns) = sighting().pixels, THING
    hand = [*(pixels.min(axis=0) - 8), *(pixels.max(axis=0) + 8), 0.7]
    thing = [columns.start - 8, rows.start - 8, columns.stop + 8, rows.stop + 8, 0.6]
    return lambda color: {"right": np.array([hand]), "object": np.array([thing])}


def mesher():
    return lambda color, mask: MESHES_OF_IMAGES.pop()(color, mask)


MESHES_OF_IMAGES = []  # functions of color and mask, of the calls to come
