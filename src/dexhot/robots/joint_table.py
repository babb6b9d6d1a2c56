"""The joint table of any robot: a shipped one's rows of urdf/joints.yaml, or those of a user's hand.yaml."""

from dexhot.robots.joints import Joint, shipped_joints


def joint_table(robot: str) -> tuple[Joint, ...]:
    """The rows of `robot` ("leap_right", "fr3", ..., or the path of a hand.yaml) in table order.

    Raises NotFoundError, listing the robots, and FileFormatError for an invalid hand.yaml.
    """
    if robot.endswith((".yaml", ".yml")):
        from dexhot.robots.robot_hand import load_hand  # MuJoCo, which the rows of a shipped robot do without

        return load_hand(robot).joints
    return shipped_joints(robot)
