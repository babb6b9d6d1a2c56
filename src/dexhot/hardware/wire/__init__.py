"""One MuJoCo world behind the protocols of both robots, so that the real drivers run without hardware."""
