"""Verdict on mined clips in words, from the scores of their Demonstrations, for one clip or many."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from dexhot.data.types import Demonstration
from dexhot.metrics.judge import METRICS, with_unit
from dexhot.metrics.success import passes
from dexhot_train.mining.mine import placed

SUCCESS, NOT_ON_ARM, UNTRIED, NO_SUCCESS, REFUSED, NOT_MINED = (
    "success",
    "fails on the arm",
    "success, not tried on the arm",
    "no success",
    "refused",
    "not mined",
)
NEVER_LIFTED, TOO_HEAVY, DROPPED = "never lifted", "too heavy", "dropped"


@dataclass(frozen=True)
class ClipVerdict:
    """Verdict on one clip."""

    outcome: str  # SUCCESS, UNTRIED, NOT_ON_ARM, NO_SUCCESS, REFUSED, or NOT_MINED: its worker was killed
    causes: tuple[str, ...] = ()  # NEVER_LIFTED, TOO_HEAVY, DROPPED
    reason: str = ""  # in words and numbers; may be empty

    @property
    def success(self) -> bool:
        """Success in every world in which the clip was tried."""
        return self.outcome in (SUCCESS, UNTRIED)


def verdict(demonstration: Demonstration) -> ClipVerdict:
    """Strict success on the floating hand is a success only where the arm, if it was tried there, succeeds too."""
    s = demonstration.scores
    lifts = s["reference_lifted_frames"] > 0
    causes, told = [], []
    if lifts and s["lifted_frames"] == 0:
        causes.append(NEVER_LIFTED)
        told.append("the object was never lifted, though the reference lifts it")
    elif not _meets(s, "hold_rate"):
        causes.append(DROPPED)
        told.append(f"the object was held for {s['hold_rate']:.0%} of the frames in which it is lifted")
    failed = not s["success_strict"]
    if failed and s.get("holds_kg") is not None and s["mass_kg"] > s["holds_kg"]:
        causes.append(TOO_HEAVY)
        told.append(f"its mass is {s['mass_kg']:.2f} kg, and these fingertips hold at most {s['holds_kg']:.2f} kg")
    if not failed:
        if s.get("success_strict_arm") is False:
            return ClipVerdict(NOT_ON_ARM, (), "strict success on the floating hand, but not on the embedded rig")
        why = [] if lifts else ["the reference lifts nothing"]
        if "success_strict_arm" in s:
            return ClipVerdict(SUCCESS, (), "; ".join(why))
        untried = "mined without the arm" if placed(demonstration.reference) else "the reference is not placed"
        return ClipVerdict(UNTRIED, (), "; ".join([*why, untried]))
    for name, limit in s["strict_limits"].items():
        if name != "hold_rate" and not _meets(s, name):
            title, unit, digits, _ = METRICS[name]
            value = with_unit(f"{s[name]:.{digits}f}", unit)
            told.append(f"{title.lower()} {value}, limit {with_unit(f'{limit:.3g}', unit)}")
    return ClipVerdict(NO_SUCCESS, tuple(causes), "; ".join(told))


def _meets(scores: dict[str, Any], metric: str) -> bool:
    """Whether the strict limit of one metric is met."""
    limit = scores["strict_limits"][metric]
    return passes(scores | {"strict_limits": {metric: limit}}, "success_strict")


def totals(verdicts: list[ClipVerdict]) -> dict[str, int]:
    """Nonzero counts of clips per outcome, then per cause of failure."""
    counts = {"clips": len(verdicts), "successes": sum(v.success for v in verdicts)}
    outcomes = Counter(v.outcome for v in verdicts)
    causes = Counter(cause for v in verdicts for cause in v.causes)
    order = (SUCCESS, UNTRIED, NOT_ON_ARM, NO_SUCCESS, REFUSED, NOT_MINED)
    return counts | {o: outcomes[o] for o in order if outcomes[o]} | dict(causes.most_common())


def row(v: ClipVerdict, scores: dict[str, Any]) -> dict[str, str]:
    """The cells of the clip's row in a run's table."""
    if v.outcome in (REFUSED, NOT_MINED):
        return {"result": v.outcome, "error": "", "held": "", "perturbed": "", "why": v.reason}
    return {
        "result": v.outcome,
        "error": f"{scores['judged_T_cm']:.2f} cm, {scores['judged_R_deg']:.1f}°",
        "held": "" if scores["hold_rate"] is None else f"{scores['hold_rate']:.0%}",
        "perturbed": f"{scores['robustness']:.0%}",
        "why": v.reason,
    }
