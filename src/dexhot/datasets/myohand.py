"""Kinematics of the MyoHand, the musculoskeletal hand that MyoDM's clips give joint angles of."""

from pathlib import Path

import mujoco
import numpy as np

ASSETS = "myosuite/envs/myo/assets/hand"
PARTS = (ASSETS, "myosuite/simhive/myo_sim", "myosuite/simhive/object_sim", "myosuite/simhive/furniture_sim")

# Keypoints in MediaPipe order: a joint's anchor, or the site of a fingertip.
KEYPOINTS = (
    *(("joint", name) for name in ("flexion", "cmc_flexion", "mp_flexion", "ip_flexion")),
    ("site", "THtip"),
    *(
        point
        for number, tip in zip("2345", ("IFtip", "MFtip", "RFtip", "LFtip"))
        for point in (*(("joint", f"{j}{number}_flexion") for j in ("mcp", "pm", "md")), ("site", tip))
    ),
)

# DIP angles are unreliable, and so are the tips; the little finger's base exceeds its limits in most frames.
CONFIDENCE = np.array([1.0] * 4 + [0.9] + [1.0, 1.0, 0.9, 0.7] * 3 + [0.7, 0.4, 0.3, 0.2])


class MyoHand:
    """Forward kinematics of the right MyoHand from the unpacked wheel at `folder`."""

    def __init__(self, folder: Path):
        self.model = mujoco.MjModel.from_xml_path(str(folder / ASSETS / "myohand_tabletop.xml"))
        self.data = mujoco.MjData(self.model)

    def keypoints(self, q: np.ndarray) -> np.ndarray:
        """Joint angles (T, 29), six of the arm's base and 23 of the hand -> keypoints (T, 21, 3), world, m."""
        out = np.zeros((len(q), 21, 3))
        for t, angles in enumerate(q):
            self.data.qpos[:] = angles
            mujoco.mj_kinematics(self.model, self.data)
            for k, (kind, name) in enumerate(KEYPOINTS):
                out[t, k] = self.data.joint(name).xanchor if kind == "joint" else self.data.site(name).xpos
        return out


def object_centre(folder: Path, name: str) -> np.ndarray:
    """(3,) centre of mass of an object in the source's simulation: of visual mesh and contact pieces together."""
    simhive = "../../../../simhive"
    model = mujoco.MjModel.from_xml_path(
        _written(
            folder / ASSETS / f"only_{name}.xml",
            f"""<mujoco><compiler angle="radian" meshdir="{simhive}/myo_sim/"/>
            <include file="{simhive}/object_sim/common.xml"/><include file="{simhive}/object_sim/{name}/assets.xml"/>
            <worldbody><body name="{name}" childclass="grab"><freejoint/>
            <include file="{simhive}/object_sim/{name}/body.xml"/></body></worldbody></mujoco>""",
        )
    )
    center: np.ndarray = model.body(name).ipos.copy()
    return center


def _written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)
