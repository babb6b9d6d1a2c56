"""The four Adroit tasks (Rajeswaran et al., RSS 2018) of gymnasium-robotics, with the paper's rewards."""

from typing import Any

import numpy as np

from dexhot.errors import DexhotError, MissingExtraError

ENVIRONMENTS = {
    "door": "AdroitHandDoor-v1",
    "hammer": "AdroitHandHammer-v1",
    "pen": "AdroitHandPen-v1",
    "relocate": "AdroitHandRelocate-v1",
}
TASKS = tuple(ENVIRONMENTS)
OBJECT_DOFS = {"door": 2, "hammer": 7, "pen": 6, "relocate": 6}  # of the state's end, the rest are the hand's
REACH = 0.1  # weight of the distance from the palm to what it takes
SPEED = 0.1  # s/rad, scale of joint velocities in the state


class AdroitTask:
    """One simulated task at 100 Hz. Actions are in -1 to 1 per actuator; half a range is `action_range`, rad or m."""

    def __init__(self, name: str):
        if name not in ENVIRONMENTS:
            raise DexhotError(f"no task {name!r}; one of {', '.join(TASKS)}.")
        self.name = name
        self.env = _make(ENVIRONMENTS[name])
        self.action_range: np.ndarray = self.env.act_rng  # (A,)
        self.action_size = len(self.action_range)
        self.state_size = len(self.reset(0))

    @property
    def actuators(self) -> list[str]:
        """Names of the actuators, in the order of an action."""
        return [self.env.model.actuator(k).name for k in range(self.env.model.nu)]

    def reset(self, seed: int) -> np.ndarray:
        """The state (S,) at the start; the seed decides where door, nail, pen or target are."""
        observation, _ = self.env.reset(seed=seed)
        return self._state(observation)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """State (S,), task reward and whether the goal is reached now."""
        observation, reward, _, _, info = self.env.step(action)
        # Their term for reaching the handle is paid for distance; it is a cost in the paper's code and here.
        return self._state(observation), float(reward) - 2 * REACH * self._reach(), bool(info["success"])

    def hand_speed(self) -> np.ndarray:
        """The hand's joint velocities, rad/s and m/s."""
        speed: np.ndarray = self.env.data.qvel[: -OBJECT_DOFS[self.name]]
        return speed

    def _state(self, observation: np.ndarray) -> np.ndarray:
        """What the environment observes, and the hand's joint velocities."""
        return np.concatenate([observation, np.clip(SPEED * self.hand_speed(), -3.0, 3.0)]).astype(np.float32)

    def _reach(self) -> float:
        """Distance from the palm to handle, hammer or ball, m; 0 for the pen, which is in the hand."""
        if self.name == "pen":
            return 0.0
        data = self.env.data
        if self.name == "door":
            thing, palm = data.site_xpos[self.env.handle_site_id], data.site_xpos[self.env.grasp_site_id]
        else:
            thing, palm = data.xpos[self.env.obj_body_id], data.site_xpos[self.env.S_grasp_site_id]
        return float(np.linalg.norm(palm - thing))


def _make(name: str) -> Any:
    try:
        import farama_notifications
        import gymnasium

        farama_notifications.notifications.pop("gymnasium_robotics", None)  # printed at import: rewards have changed
        import gymnasium_robotics
    except ModuleNotFoundError as error:
        raise MissingExtraError("the Adroit tasks", "assist") from error
    gymnasium.register_envs(gymnasium_robotics)
    return gymnasium.make(name, disable_env_checker=True).unwrapped
