"""How three papers evaluate fits of hand and object: split, filter, masks, alignment, number of clips, published rows.

Where a paper leaves a choice open, `open_choices` names it and what is done here.
"""

from dataclasses import dataclass, field

from dexhot.errors import NotFoundError

CATEGORIES = {  # HOTrack's of DexYCB, which TF-HOT takes over
    "box": ("003_cracker_box", "004_sugar_box", "008_pudding_box", "009_gelatin_box"),
    "bottle": ("006_mustard_bottle", "021_bleach_cleanser"),
    "can": ("002_master_chef_can", "005_tomato_soup_can", "007_tuna_fish_can", "010_potted_meat_can"),
    "bowl": ("024_bowl",),
}
HO3D_V2 = (  # evaluation sequences, in the order of a submission
    "SM1", "MPM10", "MPM11", "MPM12", "MPM13", "MPM14", "SB11", "SB13", "AP10", "AP11", "AP12", "AP13", "AP14",
)  # fmt: skip


@dataclass(frozen=True)
class ProtocolPart:
    """A paper's evaluation on one dataset."""

    dataset: str  # "dexycb", "ho3d"
    split: str
    recipe: str  # of config/recipes
    objects: tuple[str, ...] = ()  # DexYCB: only these; () all
    sequences: tuple[str, ...] = ()  # HO-3D: only these; () all of the split
    sides: tuple[str, ...] = ("right",)
    contact_within: float = (
        0.0  # m: frames whose hand joints are farther from the object's vertices are left out; 0: none
    )
    boxed: bool = False  # a detector's keypoints are looked for in the box of the hand's mask
    expected: int = 0  # clips or frames with the whole dataset; 0: not published
    unit: str = "videos"
    metrics: tuple[str, ...] = ()
    published: dict[str, dict[str, float]] = field(default_factory=dict)  # row -> metric -> value


@dataclass(frozen=True)
class Protocol:
    """Of one paper."""

    name: str
    masks: str
    keypoints: str
    alignment: str
    parts: tuple[ProtocolPart, ...]
    open_choices: tuple[str, ...] = ()

    def part(self, dataset: str) -> ProtocolPart:
        """Raises NotFoundError for a dataset that the paper does not use."""
        for part in self.parts:
            if part.dataset == dataset:
                return part
        raise NotFoundError(f"dataset of protocol {self.name}", dataset, [part.dataset for part in self.parts])


PROTOCOLS = {
    "tfhot": Protocol(
        "tfhot",
        masks="the dataset's segmentation (TF-HOT, appendix A)",
        keypoints="a detector's 2D joints in the boxes of the hand's masks (TF-HOT, section 3.1)",
        alignment="none: camera space",
        parts=(
            ProtocolPart(
                "dexycb",
                "s0 test, right hands, four categories",
                "tfhot_dexycb",
                objects=tuple(name for names in CATEGORIES.values() for name in names),
                boxed=True,
                expected=384,
                metrics=("mpjpe_cm", "j2d_px", "t_err_cm", "r_err_deg"),
                published={
                    "HOTrack": {"mpjpe_cm": 2.90, "j2d_px": 24.41, "t_err_cm": 2.61, "r_err_deg": 19.70},
                    "HOISDF": {"mpjpe_cm": 1.01, "j2d_px": 5.02, "t_err_cm": 2.92, "r_err_deg": 40.10},
                    "TF-HOT": {"mpjpe_cm": 2.56, "j2d_px": 11.14, "t_err_cm": 2.39, "r_err_deg": 30.12},
                },
            ),
        ),
        open_choices=(
            "the split is HOTrack's, which is in its download alone; s0's test split of the four categories is taken",
            "the paper's keypoints are MMPose's; --keypoints rtmpose has its hand model, the default the embedded one",
            "r_err is the raw rotation error; that up to the object's symmetry stands beside it",
        ),
    ),
    "handypriors": Protocol(
        "handypriors",
        masks="the dataset's segmentation; the paper's come from PointRend",
        keypoints="a detector's 2D joints; the paper starts from HandOccNet",
        alignment="root (wrist) for joints and mesh, Procrustes for the rows (PA) and the AUC",
        parts=(
            ProtocolPart(
                "dexycb",
                "s0 test, right hands in contact",
                "handypriors",
                contact_within=0.05,
                metrics=(
                    "joint_pa_cm", "joint_root_cm", "mesh_pa_cm", "mesh_root_cm", "joint_auc", "object_2d_cm",
                    "object_3d_cm",
                ),
                published={
                    "ArtiBoost": {
                        "joint_pa_cm": 0.65, "joint_root_cm": 1.12, "mesh_pa_cm": 0.69, "mesh_root_cm": 1.21,
                        "joint_auc": 0.870, "object_2d_cm": 3.01, "object_3d_cm": 6.78,
                    },
                    "HOMan": {
                        "joint_pa_cm": 1.84, "joint_root_cm": 4.41, "mesh_pa_cm": 1.80, "mesh_root_cm": 4.34,
                        "joint_auc": 0.644, "object_2d_cm": 15.21, "object_3d_cm": 95.07,
                    },
                    "HandOccNet": {
                        "joint_pa_cm": 0.62, "joint_root_cm": 1.16, "mesh_pa_cm": 0.66, "mesh_root_cm": 1.20,
                        "joint_auc": 0.877,
                    },
                    "Semi": {"object_2d_cm": 9.20, "object_3d_cm": 47.77},
                    "HandyPriors": {
                        "joint_pa_cm": 0.52, "joint_root_cm": 0.81, "mesh_pa_cm": 0.51, "mesh_root_cm": 0.89,
                        "joint_auc": 0.896, "object_2d_cm": 0.96, "object_3d_cm": 3.79,
                    },
                },
            ),
            ProtocolPart(
                "ho3d",
                "evaluation: mustard bottle, meat can, bleach cleanser",
                "handypriors",
                sequences=("SM1", "MPM10", "MPM11", "MPM12", "MPM13", "MPM14", "MPM15", "SB11", "SB13"),
                metrics=("object_2d_cm", "object_3d_cm"),
                published={
                    "ArtiBoost": {"object_2d_cm": 6.41, "object_3d_cm": 10.83},
                    "HOMan": {"object_2d_cm": 4.60, "object_3d_cm": 41.33},
                    "Semi": {"object_2d_cm": 2.06, "object_3d_cm": 26.35},
                    "HandyPriors": {"object_2d_cm": 1.67, "object_3d_cm": 3.22},
                },
            ),
        ),
        open_choices=(
            "contact: a joint within 5 cm of the object's vertices, ArtiBoost's setting, which the paper follows",
            "the 2D error's unit is given as cm: pixels are scaled by the object's depth over the focal length",
            "the Chamfer distance is the mean of both directions, not squared",
            "the paper names SM11 and MPM10-15; HO-3D's evaluation split has SM1 and MPM10-14",
        ),
    ),
    "homan": Protocol(
        "homan",
        masks="the truth's, as in its figure 4; the paper's tables use tracked 100DOH boxes and PointRend",
        keypoints="a detector's 2D joints; the paper starts from FrankMocap",
        alignment="none for vertices; scale and translation for joints; Procrustes for the challenge's mesh error",
        parts=(
            ProtocolPart(
                "ho3d",
                "evaluation, 13 sequences of v2",
                "homan",
                sequences=HO3D_V2,
                expected=11524,
                unit="frames",
                metrics=(
                    "hand_vertex_cm", "joint_scale_cm", "object_vertex_cm", "add_s_cm", "penetration_mm", "contact",
                    "mesh_pa_cm", "f5", "f15",
                ),
                published={
                    "independent": {
                        "hand_vertex_cm": 26.2, "joint_scale_cm": 5.2, "object_vertex_cm": 12.1, "add_s_cm": 7.7,
                        "penetration_mm": 3.2, "contact": 0.258,
                    },
                    "HOMan": {
                        "hand_vertex_cm": 8.6, "joint_scale_cm": 5.4, "object_vertex_cm": 8.0, "add_s_cm": 3.8,
                        "penetration_mm": 2.8, "contact": 0.775, "mesh_pa_cm": 1.47, "f5": 0.39, "f15": 0.88,
                    },
                    "Hasson 2020": {"mesh_pa_cm": 1.14, "f5": 0.42, "f15": 0.93},
                    "Hampali 2020": {"mesh_pa_cm": 1.06, "f5": 0.51, "f15": 0.94},
                    "Liu 2021": {"mesh_pa_cm": 0.95, "f5": 0.53, "f15": 0.96},
                },
            ),
        ),
        open_choices=(
            "Liu 2021's F-scores are swapped in the paper's table 3; here they are not",
            "11,525 frames are given; evaluation.txt has 11,524",
            "the split's hands are withheld: without evaluation_xyz.json and evaluation_verts.json (released later) "
            "only the object is scored here, and the challenge scores the submission",
        ),
    ),
}  # fmt: skip
WILD = {  # recordings without truth: TF-HOT table 1, right half; HOMan table 2 (Core50)
    "HOTrack": {"j2d_px": 27.60, "iou_object": 0.735, "sd_object_mm": 5.66},
    "HOISDF": {"j2d_px": 25.33, "iou_object": 0.258, "sd_object_mm": 16.0},
    "TF-HOT": {"j2d_px": 6.68, "iou_object": 0.786, "sd_object_mm": 5.59},
    "HOMan, independent": {"contact": 0.073, "penetration_mm": 0.6},
    "HOMan, joint": {"contact": 0.895, "penetration_mm": 1.2},
}
WILD_METRICS = ("j2d_px", "iou_object", "sd_object_mm", "penetration_mm", "contact")


def protocol(name: str) -> Protocol:
    """Raises NotFoundError."""
    if name not in PROTOCOLS:
        raise NotFoundError("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]
