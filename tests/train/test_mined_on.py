"""What `dexhot mine` takes: references, and demonstrations, which are mined anew on their references."""

import numpy as np

from dexhot.data.files import save
from dexhot_train.mining.clip_job import load_reference


def test_a_demonstration_stands_for_its_reference(tmp_path, shipped):
    path = save(shipped, tmp_path / "teleoperated")
    np.testing.assert_array_equal(load_reference(path).q, shipped.reference.q)
