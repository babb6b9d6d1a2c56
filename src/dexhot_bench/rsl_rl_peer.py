"""rsl-rl-lib (PyPI) on our tasks, with our learner's settings: the peer of dexhot_train.learners.ppo."""

import contextlib
import io
from typing import Any

import torch
from rsl_rl.env import VecEnv
from rsl_rl.runners import OnPolicyRunner
from tensordict import TensorDict

from dexhot_train.learners.ppo import PPOOptions
from dexhot_train.task.vector import Observations, VectorTask


class PeerEnvironment(VecEnv):  # type: ignore[misc]
    """A VectorTask as rsl_rl's VecEnv."""

    def __init__(self, task: VectorTask, reward_scale: float):
        self.task, self.reward_scale = task, reward_scale
        self.num_envs, self.num_actions, self.device = task.size, task.action_size, "cpu"
        self.cfg: dict[str, Any] = {}
        self.max_episode_length = 10**6
        self.episode_length_buf = torch.zeros(task.size, dtype=torch.long)
        self.seen = task.reset()

    def get_observations(self) -> TensorDict:
        return _tensors(self.seen)

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        step = self.task.step(actions.double().numpy())
        self.seen = step.observations
        reward = self.reward_scale * torch.as_tensor(step.reward, dtype=torch.float32)
        done = torch.as_tensor(step.terminated | step.truncated)
        return _tensors(self.seen), reward, done, {"time_outs": torch.as_tensor(step.truncated)}


def _tensors(seen: Observations) -> TensorDict:
    groups = {"policy": torch.as_tensor(seen.policy), "critic": torch.as_tensor(seen.critic)}
    return TensorDict(groups, batch_size=[len(seen.policy)])


def peer_configuration(o: PPOOptions) -> dict[str, Any]:
    """rsl_rl's configuration of the same learner; imitation and discriminator it has not."""
    network = {"class_name": "MLPModel", "hidden_dims": list(o.hidden), "activation": "elu", "obs_normalization": True}
    gaussian = {"class_name": "GaussianDistribution", "init_std": o.std, "std_type": "log"}
    return {
        "num_steps_per_env": o.steps,
        "save_interval": 10**6,
        "obs_groups": {"actor": ["policy"], "critic": ["critic"]},
        "actor": network | {"distribution_cfg": gaussian},
        "critic": network,
        "algorithm": {
            "class_name": "PPO",
            "num_learning_epochs": o.epochs,
            "num_mini_batches": o.minibatches,
            "clip_param": o.clip,
            "gamma": o.gamma,
            "lam": o.lam,
            "value_loss_coef": o.value,
            "entropy_coef": o.entropy,
            "learning_rate": o.learning_rate,
            "max_grad_norm": o.max_gradient,
            "use_clipped_value_loss": o.clip_value,
            "schedule": "adaptive" if o.desired_kl else "fixed",
            "desired_kl": o.desired_kl or None,
        },
    }


def train_peer(task: VectorTask, options: PPOOptions, iterations: int, seed: int) -> None:
    """Train on the task, as `PPO.train` does."""
    torch.manual_seed(seed)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its networks and a table per iteration
        runner = OnPolicyRunner(PeerEnvironment(task, options.reward_scale), peer_configuration(options))
        runner.learn(iterations)
