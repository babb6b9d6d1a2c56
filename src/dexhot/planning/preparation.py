"""Planning in a thread of its own while the robot waits for its start.

What it plans for depends on the observations alone, in their order: it begins once the object has been at rest for
STEADY of them, and again when the object moves meanwhile. So a replay of the same observations plans for the same pose.
"""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import numpy as np

from dexhot.errors import DexhotError
from dexhot.planning.planned import ChosenPlan, Planned
from dexhot.planning.search import Budget, Cancelled
from dexhot.tracking.object_state import ObjectState

STEADY = 15  # observations, 0.25 s
AT_REST = 0.002  # m between the first and the last of them


class Preparation:
    """Chooses `controller`'s plan. Feed it observations until the clip starts."""

    def __init__(self, controller: Planned):
        self.controller = controller
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="planned")
        self.budget: Budget | None = None
        self.restarts = 0  # because the object moved while it was planned for
        self.again()

    def again(self) -> None:
        """Forget the plan, and plan once the object is at rest."""
        if self.budget is not None:
            self.budget.cancel.set()
        self.recent: deque[np.ndarray] = deque(maxlen=STEADY)
        self.pending: Future[ChosenPlan] | None = None
        self.pose = np.zeros(7)
        self.controller.chosen = None
        self.refusal = ""

    def observe(self, observed: ObjectState) -> None:
        """An observation before the start."""
        if self.pending is not None:
            if not self.pending.done() and self.controller.moved(observed.pose, self.pose):
                self.restarts += 1
                self.again()
            return
        self.recent.append(observed.pose.copy())
        still = len(self.recent) == STEADY and np.linalg.norm(self.recent[0][:3] - observed.pose[:3]) < AT_REST
        if still and not self.controller.moved(observed.pose, self.recent[0]):
            self.pose, self.budget = observed.pose.copy(), self.controller.budget()
            self.pending = self.thread.submit(self.controller.plan, self.pose, self.budget)

    def wait(self, timeout: float | None = None) -> None:
        """Until the plan under way is chosen or refused."""
        if self.pending is not None:
            with suppress(DexhotError, Cancelled, TimeoutError):  # `problem` has it
                self.pending.result(timeout)

    def problem(self) -> str:
        """Why the clip cannot start yet, or at all (then `refusal` is set); "" once a plan is chosen."""
        if self.pending is None:
            return self.refusal or "planning has not begun: the object is not at rest, or not seen"
        if not self.pending.done():
            return "planning"
        if self.controller.chosen is None and not self.refusal:
            error = self.pending.exception()
            if error is None:
                self.controller.chosen = self.pending.result()
            else:
                self.refusal = str(error)
        return self.refusal

    def begin(self, observed: ObjectState) -> str:
        """The clip starts with the object as observed: "" where its plan fits, else why it must not; then it plans
        again."""
        self.wait()
        if why := self.problem():
            return why
        assert self.controller.chosen is not None
        why = self.controller.moved(observed.pose, self.controller.chosen.observed)
        if why:
            self.again()
        return why

    def close(self) -> None:
        """End the planning under way."""
        if self.budget is not None:
            self.budget.cancel.set()
        self.thread.shutdown(wait=True)
