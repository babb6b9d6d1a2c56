"""Fixtures of the learners' tests."""

import copy
from dataclasses import replace

import pytest

BEFORE = 40  # frames


@pytest.fixture(scope="session")
def _grasp_reference(_lift_reference):
    whole = _lift_reference
    start = whole.grasp_start - BEFORE
    rows = {name: getattr(whole, name)[start:] for name in ("q", "target", "contact", "object_pose")}
    return replace(whole, **rows, grasp_start=BEFORE, grasp_end=whole.grasp_end - start)


@pytest.fixture
def grasp_reference(_grasp_reference):
    """The parametric lift from shortly before the grasp, which is half of its frames; a copy of one's own."""
    return copy.deepcopy(_grasp_reference)


@pytest.fixture(scope="module")
def retargeted_once():
    """Clips that commands name are retargeted for the first of them alone."""
    from dexhot_train.task import clips

    found, whole = {}, clips.retargeted_clip

    def remembered(*of):
        if of not in found:
            found[of] = whole(*of)
        reference, setup = found[of]
        return copy.deepcopy(reference), setup

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "retargeted_clip", remembered)
        yield
