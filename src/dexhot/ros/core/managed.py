"""A managed (lifecycle) node whose transitions report errors and roll back.

rclpy swallows exceptions of transition callbacks, has no way to raise an error from ACTIVE, and forgets the state
machine of a destroyed node. Here an exception is logged and makes the transition a FAILURE, and `fault` deactivates.
Node names are unique per domain and machine.
"""

import traceback
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from dexhot.errors import DexhotError
from dexhot.ros.core.claim import Claim

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class ManagedNode(LifecycleNode):
    """Calls `setup`, `start`, `stop` and `teardown`, which are optional and may raise."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self.fault_reason = ""
        self.resting = "not configured yet"  # why it is not active, if not because of a fault
        self.active = False
        self._claim: Claim | None = None

    # Implemented by subclasses

    def setup(self) -> None:
        """Configure: load files, make publishers, subscriptions, loops and services."""

    def start(self) -> None:
        """Activate: publishers are open; loops and subscriptions open after it returns."""

    def stop(self) -> None:
        """Deactivate, also on a fault: loops and subscriptions are closed, publishers still open for a last message."""

    def teardown(self) -> None:
        """Clean up or shut down: release resources of setup (files, threads, devices)."""

    def publish_diagnostics(self) -> None:
        """Report a fault or an activation at once."""

    # What subclasses use

    @property
    def state(self) -> str:
        """unconfigured, inactive, active or finalized."""
        return str(self._state_machine.current_state[1])

    def fault(self, reason: str) -> None:
        """Enter a fault that this node cannot recover from: log it, report it on /diagnostics, deactivate (calls
        `stop`).

        Latched: the ERROR stays until the node is activated again.
        """
        if self.fault_reason:
            return
        self.fault_reason = reason
        self.get_logger().error(f"fault: {reason}")
        if self.active:
            self.trigger_deactivate()
        self.publish_diagnostics()

    def guarded(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Result of `callback`; its exception is a fault and gives None."""
        try:
            return callback(*args)
        except Exception as e:
            self.failed(callback, e)
        return None

    def failed(self, callback: Callable[..., Any], error: Exception) -> None:
        """Turn an exception of `callback` into a fault; other than DexhotError it is logged with its traceback."""
        if isinstance(error, DexhotError):
            return self.fault(str(error))
        self.get_logger().error("".join(traceback.format_exception(error)))
        self.fault(f"{getattr(callback, '__name__', str(callback))}: {type(error).__name__}: {error}")

    # Lifecycle

    def destroy_node(self) -> None:
        """Also destroy the state machine, which rclpy forgets: it would keep the participant until garbage
        collection."""
        if self._claim is not None:
            self._claim.release()
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """unconfigured -> inactive; stays unconfigured, without leftovers, if `setup` raises."""
        return self._transition("configure", self._configure, state, undo=self._release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """inactive -> active; stays inactive if `start` raises."""
        result = self._transition("activate", self._activate, state, undo=self._abort)
        self.publish_diagnostics()  # the requester need not wait for the next period
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """active -> inactive, even if `stop` raises."""
        self._close()
        self.resting = "it was deactivated"
        self._transition("deactivate", self.stop)
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """inactive -> unconfigured."""
        self._release()
        self.resting = "it was cleaned up"
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """any -> finalized."""
        if self.active:
            self.on_deactivate(state)
        self._release()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Error in a transition -> unconfigured."""
        self._release()
        return SUCCESS

    def _configure(self, state: LifecycleState) -> None:
        self.fault_reason = ""
        self._claim = Claim(self.get_fully_qualified_name())
        self.setup()
        super().on_configure(state)
        self.resting = "not activated yet"

    def _activate(self, state: LifecycleState) -> None:
        self.fault_reason = ""
        super().on_activate(state)
        self.start()
        if self.fault_reason:
            raise DexhotError(self.fault_reason)
        self.active = True

    def _close(self) -> None:
        """Callbacks no longer run."""
        self.active = False

    def _abort(self) -> None:
        """Close the publishers after a failed activation."""
        self._close()
        super().on_deactivate(LifecycleState("activating", 0))

    def _release(self) -> None:
        """Release everything made in setup, also after a partial setup."""
        self._close()
        self._transition("clean up", self.teardown)
        self._destroy_entities()
        if self._claim is not None:
            self._claim.release()

    def _destroy_entities(self) -> None:
        """Destroy what setup made on the node."""

    def _transition(
        self, name: str, work: Callable[..., Any], *args: Any, undo: Callable[[], None] | None = None
    ) -> TransitionCallbackReturn:
        """Do `work`; an exception is logged (with traceback unless it is a DexhotError), rolled back, and a FAILURE."""
        try:
            work(*args)
            return SUCCESS
        except Exception as e:
            self.fault_reason = f"could not {name}: {e}"
            text = str(e) if isinstance(e, DexhotError) else traceback.format_exc()
            self.get_logger().error(f"could not {name}: {text}")
            if undo is not None:
                undo()
            return FAILURE
