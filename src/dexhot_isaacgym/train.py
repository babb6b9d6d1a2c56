"""`python -m dexhot_isaacgym.train FOLDER --out RUN`: rl_games' PPO on an exported task, with tracker.yaml.

Not run on a machine without Isaac Gym and rl_games.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

CONFIG = Path(__file__).with_name("tracker.yaml")


class RlGamesEnvironment:
    """The task as rl_games' IVecEnv."""

    def __init__(self, task: Any, boxes: Any):
        """boxes: gym.spaces."""
        self.task = task
        policy, critic = task.reset()
        limits = {"low": float("-inf"), "high": float("inf")}
        self.info = {
            "observation_space": boxes.Box(shape=(policy.shape[1],), **limits),
            "state_space": boxes.Box(shape=(critic.shape[1],), **limits),
            "action_space": boxes.Box(low=-1.0, high=1.0, shape=(task.action_size,)),
            "agents": 1,
        }

    def reset(self) -> dict[str, Any]:
        """Begin new episodes."""
        policy, critic = self.task.reset()
        return {"obs": policy, "states": critic}

    def step(self, actions: Any) -> tuple[Any, Any, Any, dict[str, Any]]:
        """Observations, rewards, ends, and which of these are no failures (`time_outs`)."""
        step = self.task.step(actions)
        infos = {"time_outs": step.truncated, **{"reward/" + name: part.mean() for name, part in step.parts.items()}}
        return {"obs": step.policy, "states": step.critic}, step.reward, step.terminated | step.truncated, infos

    def get_number_of_agents(self) -> int:
        """Per environment."""
        return 1

    def get_env_info(self) -> dict[str, Any]:
        """Spaces."""
        return self.info

    def set_train_info(self, env_frames: int, *_: Any) -> None:
        """Nothing depends on progress."""

    def get_env_state(self) -> None:
        """Nothing beyond the network's checkpoint is kept."""

    def set_env_state(self, state: Any) -> None:
        """As `get_env_state`."""


def configuration(environments: int, seed: int, device: int, out: Path) -> dict[str, Any]:
    """tracker.yaml with this run's values."""
    told: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    parameters = told["params"]
    parameters["seed"] = seed
    config = parameters["config"]
    given, horizon = config["num_actors"], config["horizon_length"]
    config["num_actors"], config["train_dir"] = environments, str(out)
    config["device"] = config["device_name"] = f"cuda:{device}" if device >= 0 else "cpu"
    for part in (config, config["central_value_config"]):  # as many minibatches as with the file's environments
        part["minibatch_size"] = environments * horizon // (given * horizon // part["minibatch_size"])
    return told


def main(arguments: list[str] | None = None) -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="what `dexhot export ... --to isaacgym` wrote")
    parser.add_argument("--out", type=Path, default=Path("isaacgym_tracker"), help="folder of rl_games' run")
    parser.add_argument("--envs", type=int, default=8192, help="environments")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", type=int, default=0, help="GPU; -1: PhysX on the CPU")
    parser.add_argument("--checkpoint", default="", help="of rl_games, to go on from")
    args = parser.parse_args(arguments)

    from dexhot_isaacgym.gym_worlds import GymWorlds  # Isaac Gym wants to be imported before torch  # isort: skip
    from gym import spaces
    from rl_games.common import env_configurations, vecenv
    from rl_games.torch_runner import Runner

    from dexhot_isaacgym.bundle import Bundle
    from dexhot_isaacgym.tracking import TorchTrackingTask

    bundle = Bundle(args.folder, f"cuda:{args.device}" if args.device >= 0 else "cpu")
    task = TorchTrackingTask(bundle, GymWorlds(bundle, args.envs, args.device), args.seed)
    environment = RlGamesEnvironment(task, spaces)
    vecenv.register("DEXHOT", lambda config_name, num_actors, **_: environment)
    env_configurations.register("dexhot_tracking", {"vecenv_type": "DEXHOT", "env_creator": lambda **_: environment})
    runner = Runner()
    runner.load(configuration(args.envs, args.seed, args.device, args.out))
    runner.run({"train": True, "play": False, "checkpoint": args.checkpoint or None})


if __name__ == "__main__":
    main()
