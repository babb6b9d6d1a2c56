"""Proximal policy optimisation with an imitation term and, as an option, a discriminator, in one loop.

Schulman et al. 2017, with generalised advantage estimation, clipped values and a learning rate that follows the
policy's change (Rudin et al. 2022). The loss has DexTrack's eq. 4 added, || a - a^L || for actions drawn from the
policy; the reward the discriminator's term (learners/discriminator.py).

On one backend the same seed gives the same curve, also where a training was killed and resumed: a checkpoint has the
networks, the optimisers, the random states and the task's own state.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dexhot.errors import DexhotError
from dexhot_train.learners.discriminator import Discriminator
from dexhot_train.learners.networks import Actor, Critic
from dexhot_train.task.vector import Observations, VectorTask

BAD = 20  # updates in a row with a non-finite loss or gradient, after which training ends
FAR = 1.5  # factor of the desired divergence beyond which an update ends and the learning rate is changed
RECENT = 100  # episodes that the statistics are averaged over


@dataclass(frozen=True)
class PPOOptions:
    """Settings of the learner."""

    steps: int = 24  # per world and iteration
    epochs: int = 4
    minibatches: int = 4
    gamma: float = 0.98
    lam: float = 0.95
    clip: float = 0.2
    learning_rate: float = 5e-4
    desired_kl: float = 0.01  # of an iteration's whole update; the learning rate follows it; 0: stays
    entropy: float = 0.001
    value: float = 1.0  # weight of the value loss
    clip_value: bool = True
    max_gradient: float = 1.0
    reward_scale: float = 0.1
    hidden: tuple[int, ...] = (256, 128)
    std: float = 0.3  # of the first policy
    fixed_std: bool = False
    gain: float = 1.0  # of the policy's output
    imitation: float = 0.0  # weight of eq. 4
    discriminator: float = 0.0  # weight of the adversarial reward; 0: no discriminator
    task_share: float = 0.5  # lambda of eq. 4 in the residual hand agent's paper
    discriminator_hidden: tuple[int, ...] = (64, 64)
    discriminator_rate: float = 1e-4

    def iterations(self, steps: int, worlds: int) -> int:
        """That many control steps in all worlds take, the last one whole."""
        return -(-steps // (worlds * self.steps))


@dataclass
class Experience:
    """An iteration's transitions: (T, N, ...) while it is collected, flat (T N, ...) in the update."""

    policy: Tensor
    critic: Tensor
    action: Tensor
    mean: Tensor
    log_probability: Tensor
    value: Tensor
    reward: Tensor
    ended: Tensor  # terminated or truncated
    expert: Tensor
    has_expert: Tensor
    applied: Tensor


class PPO:
    """Networks, optimisers and random states of a training, and its loop: `for row in ppo.train(iterations)`."""

    def __init__(
        self,
        task: VectorTask,
        options: PPOOptions | None = None,
        seed: int = 0,
        expert: tuple[np.ndarray, np.ndarray] | None = None,
        actor: Actor | None = None,
    ):
        """expert: states (B, S) and actions (B, A) for the discriminator; it needs them. Without columns of actions
        (B, 0) it compares states alone. actor: in place of a new plain one."""
        o = self.options = options or PPOOptions()
        self.task = task
        if o.discriminator and (expert is None or not len(expert[0])):
            raise DexhotError(
                "the discriminator needs an expert's states and actions: give a clip with a demonstration."
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.actor = actor or Actor(task.policy_size, task.action_size, o.hidden, o.std, o.fixed_std, o.gain)
            self.critic = Critic(task.critic_size, o.hidden)
            compared = expert[1].shape[1] if expert is not None else 0  # columns of actions
            self.discriminator = (
                Discriminator(task.state_size, compared, o.discriminator_hidden) if o.discriminator else None
            )
        learnt = [p for n in (self.actor, self.critic) for p in n.parameters() if p.requires_grad]
        self.optimiser = torch.optim.Adam(learnt, lr=o.learning_rate)
        if self.discriminator is not None and expert is not None:
            self.expert = tuple(torch.as_tensor(x, dtype=torch.float32) for x in expert)
            self.judge_optimiser = torch.optim.Adam(self.discriminator.parameters(), lr=o.discriminator_rate)
        self.generator = torch.Generator().manual_seed(seed)
        self.rate = o.learning_rate
        self.iteration, self.steps, self.skipped, self._bad = 0, 0, 0, 0
        self.recent: list[dict[str, float]] = []
        self.observations: Observations | None = None

    def train(
        self, iterations: int, progress: Callable[[int, int], object] | None = None
    ) -> Iterator[dict[str, float]]:
        """Train until `iterations` are done in all; yields a row of figures after each.

        Raises DexhotError where losses stay non-finite.
        """
        if self.observations is None:
            self.observations = self.task.reset()
            self.actor.normaliser.update(torch.as_tensor(self.observations.policy))
            self.critic.normaliser.update(torch.as_tensor(self.observations.critic))
        while self.iteration < iterations:
            experience = self._collect()
            figures = self._judge(experience) if self.discriminator is not None else {}
            advantage, target = self._advantages(experience)
            figures |= self._update(experience, advantage, target)
            self.actor.normaliser.update(experience.policy.flatten(0, 1))
            self.critic.normaliser.update(experience.critic.flatten(0, 1))
            self.iteration += 1
            self.steps += self.task.size * self.options.steps
            if progress:
                progress(self.iteration, iterations)
            yield {"iteration": self.iteration, "steps": self.steps} | figures | self._episodes()

    @torch.no_grad()
    def _collect(self) -> Experience:
        """One iteration's transitions. A truncated step is paid the value of the state that it led to."""
        o, rows = self.options, []
        for _ in range(o.steps):
            seen = self.observations
            assert seen is not None
            policy, critic = torch.as_tensor(seen.policy), torch.as_tensor(seen.critic)
            mean = self.actor(policy)
            noise = torch.randn(mean.shape, generator=self.generator)
            action = mean + torch.exp(self.actor.log_std) * noise
            label, known = self.task.expert() if o.imitation else (np.zeros(mean.shape), np.zeros(len(mean), bool))
            step = self.task.step(action.double().numpy())
            value = self.critic(critic)
            reward = o.reward_scale * torch.as_tensor(np.nan_to_num(step.reward), dtype=torch.float32)
            later = o.gamma * self.critic(torch.as_tensor(step.last_critic))
            reward += torch.where(torch.as_tensor(step.truncated), later, torch.zeros(()))
            rows.append(
                (
                    *(policy, critic, action, mean, self.actor.log_probability(mean, action), value, reward),
                    torch.as_tensor(step.terminated | step.truncated).float(),
                    torch.as_tensor(label, dtype=torch.float32),
                    torch.as_tensor(known).float(),
                    torch.as_tensor(step.applied, dtype=torch.float32),
                )
            )
            self.observations = step.observations
            self.recent = (self.recent + step.finished)[-RECENT:]
        return Experience(*(torch.stack(column) for column in zip(*rows)))

    def _judge(self, e: Experience) -> dict[str, float]:
        """Train the discriminator on the iteration's pairs, then add its reward."""
        assert self.discriminator is not None
        o, d = self.options, self.discriminator
        states = e.policy.flatten(0, 1)[:, : self.task.state_size]
        actions = e.applied.flatten(0, 1)[:, : self.expert[1].shape[1]]
        losses = []
        for part in self._parts(len(states)):
            drawn = torch.randint(len(self.expert[0]), (len(part),), generator=self.generator)
            expert = self.expert[0][drawn], self.expert[1][drawn]
            d.normaliser.update(torch.cat([torch.cat(expert, -1), torch.cat([states[part], actions[part]], -1)]))
            loss = d.loss(expert, (states[part], actions[part]))
            self._step(self.judge_optimiser, loss, d)
            losses.append(float(loss.detach()))
        reward = d.reward(states, actions, o.task_share).view(e.reward.shape)
        e.reward += o.reward_scale * o.discriminator * reward
        with torch.no_grad():
            own, theirs = torch.sigmoid(d(states, actions)).mean(), torch.sigmoid(d(*self.expert)).mean()
        return {
            "discriminator_loss": float(np.mean(losses)),
            "discriminator_policy": float(own),
            "discriminator_expert": float(theirs),
            "imitation_reward": float(reward.mean()),
        }

    @torch.no_grad()
    def _advantages(self, e: Experience) -> tuple[Tensor, Tensor]:
        """(T, N) generalised advantages, and the values' targets."""
        o = self.options
        assert self.observations is not None
        following = self.critic(torch.as_tensor(self.observations.critic))
        advantage, running = torch.zeros_like(e.reward), torch.zeros_like(following)
        for t in reversed(range(len(e.reward))):
            goes_on = 1.0 - e.ended[t]
            delta = e.reward[t] + o.gamma * goes_on * following - e.value[t]
            running = delta + o.gamma * o.lam * goes_on * running
            advantage[t], following = running, e.value[t]
        return advantage, advantage + e.value

    def _update(self, e: Experience, advantage: Tensor, target: Tensor) -> dict[str, float]:
        """Epochs over the iteration's transitions in minibatches, fewer where the policy has changed enough."""
        o, kl = self.options, 0.0
        flat = {name: getattr(e, name).flatten(0, 1) for name in e.__dataclass_fields__}
        weight = advantage.flatten()
        weight = (weight - weight.mean()) / (weight.std() + 1e-8)
        old_std, target = torch.exp(self.actor.log_std).detach().clone(), target.flatten()
        sums: dict[str, list[float]] = {}
        for _ in range(o.epochs):
            for part in self._parts(len(weight)):
                b = {name: x[part] for name, x in flat.items()}
                mean, value = self.actor(b["policy"]), self.critic(b["critic"])
                ratio = torch.exp(self.actor.log_probability(mean, b["action"]) - b["log_probability"])
                clipped = ratio.clamp(1 - o.clip, 1 + o.clip)
                losses = {
                    "policy_loss": -torch.min(ratio * weight[part], clipped * weight[part]).mean(),
                    "value_loss": self._value_loss(value, b["value"], target[part]),
                    "entropy": self.actor.entropy(),
                }
                loss = losses["policy_loss"] + o.value * losses["value_loss"] - o.entropy * losses["entropy"]
                if o.imitation:
                    losses["imitation_loss"] = self._imitation_loss(mean, b["expert"], b["has_expert"])
                    loss = loss + o.imitation * losses["imitation_loss"]
                self._step(self.optimiser, loss, self.actor, self.critic)
                for name, x in losses.items():
                    sums.setdefault(name, []).append(float(x.detach()))
            kl = self._divergence(flat["policy"], flat["mean"], old_std)
            if o.desired_kl and kl > FAR * o.desired_kl:
                break
        self._follow_kl(kl)
        figures = {name: float(np.mean(x)) for name, x in sums.items()}
        spread = float(torch.exp(self.actor.log_std.detach()).mean())
        return figures | {"std": spread, "kl": kl, "learning_rate": self.rate, "skipped": float(self.skipped)}

    def _imitation_loss(self, mean: Tensor, expert: Tensor, known: Tensor) -> Tensor:
        """Eq. 4 over the states that have an expert."""
        noise = torch.randn(mean.shape, generator=self.generator)
        drawn = mean + torch.exp(self.actor.log_std) * noise
        away = torch.sqrt(((drawn - expert) ** 2).sum(-1) + 1e-8)
        return (known * away).sum() / known.sum().clamp(min=1.0)

    def _value_loss(self, value: Tensor, old: Tensor, target: Tensor) -> Tensor:
        error = (value - target) ** 2
        if self.options.clip_value:
            near = old + (value - old).clamp(-self.options.clip, self.options.clip)
            error = torch.max(error, (near - target) ** 2)
        return error.mean()

    @torch.no_grad()
    def _divergence(self, policy: Tensor, old_mean: Tensor, old_std: Tensor) -> float:
        """Mean Kullback-Leibler divergence of the policy from the one that acted, over observations (B, P)."""
        std = torch.exp(self.actor.log_std)
        apart = (old_std**2 + (old_mean - self.actor(policy)) ** 2) / (2 * std**2)
        return float((torch.log(std / old_std) + apart - 0.5).sum(-1).mean())

    def _follow_kl(self, kl: float) -> None:
        """A smaller learning rate where an update has changed the policy by more than the desired divergence, or a
        larger one.

        Once per iteration: within one the divergence only grows, so a rate that followed it from minibatch to minibatch
        would be raised at the beginning and cut at the end of every iteration, whatever it was.
        """
        if not self.options.desired_kl:
            return
        if kl > FAR * self.options.desired_kl:
            self.rate = max(1e-5, self.rate / 1.5)
        elif kl < self.options.desired_kl / FAR:
            self.rate = min(1e-2, self.rate * 1.5)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate

    def _step(self, optimiser: torch.optim.Optimizer, loss: Tensor, *networks: nn.Module) -> None:
        """One step down the gradient, limited for each network by itself: a large error of the critic must not silence
        the actor. None where it is not finite. Raises DexhotError after BAD of these in a row."""
        optimiser.zero_grad()
        loss.backward()
        norms = [nn.utils.clip_grad_norm_(network.parameters(), self.options.max_gradient) for network in networks]
        if torch.isfinite(loss) and all(torch.isfinite(norm) for norm in norms):
            self._bad = 0
            optimiser.step()
            return
        self._bad += 1
        self.skipped += 1
        if self._bad >= BAD:
            raise DexhotError(
                f"iteration {self.iteration + 1}: {BAD} updates in a row had a non-finite loss or gradient; the last "
                "checkpoint is from before. Resume it with a smaller learning rate, or look for a non-finite reward."
            )

    def _parts(self, count: int) -> list[Tensor]:
        """Random minibatches of indices."""
        return list(torch.randperm(count, generator=self.generator).chunk(self.options.minibatches))

    def _episodes(self) -> dict[str, float]:
        """Means over the last episodes; those of success over the ones that began with the clip."""
        if not self.recent:
            return {}
        means = {name: float(np.mean([row[name] for row in self.recent])) for name in self.recent[0] if name != "clip"}
        whole = [row for row in self.recent if row.get("from_first")]
        if whole:
            means |= {f"whole/{n}": float(np.mean([r[n] for r in whole])) for n in ("completed", "tracked", "T_err_cm")}
        return means

    def state(self) -> dict[str, Any]:
        """All that `load` needs to go on exactly."""
        assert self.observations is not None, "train first"
        networks = {"actor": self.actor.state_dict(), "critic": self.critic.state_dict()}
        optimisers = {"ppo": self.optimiser.state_dict()}
        if self.discriminator is not None:
            networks["discriminator"] = self.discriminator.state_dict()
            optimisers["discriminator"] = self.judge_optimiser.state_dict()
        return {
            "networks": {name: dict(x) for name, x in networks.items()},
            "optimisers": optimisers,
            "generator": self.generator.get_state(),
            "counters": [self.iteration, self.steps, self.skipped, self._bad],
            "rate": self.rate,
            "recent": self.recent,
            "observations": [self.observations.policy, self.observations.critic],
            "task": self.task.snapshot(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from `state`. Raises DexhotError for one of another network or task."""
        networks: dict[str, nn.Module] = {"actor": self.actor, "critic": self.critic}
        optimisers = {"ppo": self.optimiser}
        if self.discriminator is not None:
            networks["discriminator"] = self.discriminator
            optimisers["discriminator"] = self.judge_optimiser
        try:
            for name, network in networks.items():
                network.load_state_dict(state["networks"][name])
            for name, optimiser in optimisers.items():
                optimiser.load_state_dict(state["optimisers"][name])
        except (KeyError, RuntimeError, ValueError) as e:
            raise DexhotError(f"the checkpoint is of another network: {e}. Resume with its own settings.") from e
        self.generator.set_state(state["generator"])
        self.iteration, self.steps, self.skipped, self._bad = state["counters"]
        self.rate, self.recent = state["rate"], state["recent"]
        self.observations = Observations(*state["observations"])
        self.task.restore(state["task"])
