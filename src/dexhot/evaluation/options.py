"""What is evaluated: the controllers by name, and the options of an evaluation."""

from dataclasses import dataclass

BASELINES = ("frozen", "kinematic", "replay", "constant")
MINED = ("demonstration", "playback")  # rows that play a mined demonstration of the clip
MPC = "mpc"  # simulates per tick
NOT_CONTROLLERS = ("clip", "frames", "absent", "in_hand", "in_hand_deg", "reference_kind", "difficulty")  # of a row
EXPLAINED = {
    "frozen": "the hand stays where it begins",
    "kinematic": "the reference's targets",
    "replay": "the reference's targets, object-relative",
    "constant": "the mean of a fitted prior, object-relative",
    "planned": "plans before the start, then object-relative",
    "feedback": "the same plan, with the feedback network on its playback",
    "subsequences": "after DGrasp: 10 frames at a time, each planned from where the last one ended",
    "demonstration": "the mined demonstration, open loop",
    "playback": "the same, object-relative: the miner, an upper bound",
    MPC: "sampling control with the exact state, planning in the nominal world at each tick: an upper bound",
    "policy": "the network, which reacts to the observed object",
}


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated, and on what: the clips of a dataset, tracked by a hand with a profile of its servos."""

    controller: str = "planned"
    trials: int = 20  # perturbed worlds per clip; DexTrack has 1,000
    seed: int = 0  # of the planner
    seconds: float = 2.0  # planning time: CPU seconds, because one core plans here
    rollouts: int = 0  # in its place
    prior: str = ""
    arm: bool = False  # place the reference, in the arm's time; plan with the rig among the worlds, and play there
    policy: str = ""  # .onnx file of the controller policy
    feedback: str = ""  # .onnx file of a network on the playback of planned: a row beside it, on the same plan
    baselines: tuple[str, ...] = BASELINES  # rows beside the controller's; the frozen hand and replay always are
    demonstrations: str = ""  # folder of what the rows MINED play, CLIP.npz or CLIP.demonstration.npz
    panel: bool = False  # also the panel of each controller that is strict in the nominal world
    scores: bool = False  # also on disturbed references, and the clip's difficulty (table 15)
    dataset: str = "grab"
    hand: str = "leap_right"
    profile: str | None = None  # of the finger servos; None: the hand's own
    plain: bool = False  # references by DexTrack's eq. 5-7 alone
    policies: tuple[tuple[str, str], ...] = ()  # further rows: name and .onnx file
