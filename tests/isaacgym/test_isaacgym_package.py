"""The package for Isaac Gym: Python 3.8, what it imports, its folder, the learner's configuration, the worker."""

import ast
import io
import json
import sys
import tomllib
import types
from pathlib import Path
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest
from setuptools import find_packages

torch = pytest.importorskip("torch")

import gymapi_stub  # noqa: E402
from dexhot.cli import main  # noqa: E402
from dexhot.errors import DexhotError  # noqa: E402
from dexhot.robots.kinematics.hand import HandModel  # noqa: E402
from dexhot_isaacgym import train  # noqa: E402
from dexhot_isaacgym.bundle import Bundle  # noqa: E402
from dexhot_isaacgym.worker import WorkerWorlds  # noqa: E402
from dexhot_train import isaacgym_export  # noqa: E402
from dexhot_train.isaacgym_export import export_isaacgym, floating_urdf, object_urdf  # noqa: E402
from dexhot_train.task import wire  # noqa: E402
from dexhot_train.task.clips import task_clip  # noqa: E402
from dexhot_train.task.randomisation import NOTHING  # noqa: E402
from dexhot_train.task.starts import StartOptions  # noqa: E402
from dexhot_train.task.tracking import TaskOptions  # noqa: E402

ROOT = Path(__file__).parents[2]
SHARED = ("wire", "rewards", "termination")  # of dexhot_train.task
FILES = [*(ROOT / "src/dexhot_isaacgym").glob("*.py"), *(ROOT / f"src/dexhot_train/task/{name}.py" for name in SHARED)]
FILES += [ROOT / "src/dexhot_train/__init__.py", ROOT / "src/dexhot_train/task/__init__.py"]
NEWER = {"removeprefix", "removesuffix", "bit_count", "pairwise", "zip_longest_strict", "cache"}  # than Python 3.8
THERE = {"isaacgym", "torch", "numpy", "yaml", "gym", "rl_games", "dexhot_isaacgym", "dexhot_train"}
QUICK = TaskOptions(randomisation=NOTHING, worlds=1, references=1, starts=StartOptions(1.0, 1.0, 0.0, 0.0, plans=1))


@pytest.fixture(scope="module")
def clip(_lift_reference, lift):
    from dexhot.robots.robot_hand import load_hand
    from dexhot.simulation.physics import load_physics
    from dexhot.simulation.setup import Setup

    return task_clip(_lift_reference, Setup(load_hand("leap_right"), lift[1], load_physics()))


@pytest.fixture(scope="module")
def folder(clip, tmp_path_factory):
    return export_isaacgym([clip], tmp_path_factory.mktemp("isaac") / "task", QUICK)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_python_3_8_reads_it(path):
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    later = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
    assert later or path.name == "__init__.py", "annotations of Python 3.8 need the import from __future__"
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            assert not isinstance(node.left, ast.Dict) and not isinstance(node.right, ast.Dict), "dict | dict"
        if isinstance(node, ast.Attribute):
            assert node.attr not in NEWER
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "zip":
            assert not node.keywords, "zip(strict)"
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
            assert not isinstance(node.args[1], ast.BinOp), "isinstance(x, A | B)"


def test_it_imports_nothing_that_its_interpreter_lacks():
    for path in FILES:
        names = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {a.name for a in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(
                    node.module if node.module != "dexhot_train.task" else f"dexhot_train.task.{node.names[0].name}"
                )
        for name in names:
            top = name.split(".")[0]
            assert top in sys.stdlib_module_names or top in THERE, f"{path.name}: {name}"
            assert top != "dexhot_train" or name.split(".")[-1] in SHARED, f"{path.name}: {name}"


def test_lint_reads_it_as_python_3_8():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    assert settings["per-file-target-version"]["src/dexhot_isaacgym/**"] == "py38"
    assert "FA102" in settings["lint"]["select"]


def test_neither_colcon_nor_the_wheel_takes_it():
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    packages = find_packages(str(ROOT / "src"), exclude=found["exclude"])
    assert "dexhot_train" in packages and not [name for name in packages if "isaacgym" in name]
    assert (ROOT / "src/dexhot_isaacgym/COLCON_IGNORE").is_file()


def test_the_hands_urdf_moves_as_the_hand(clip, folder):
    """Palm and fingertips, by MuJoCo's reader of the URDF and by the package's own kinematics."""
    text = floating_urdf(clip.setup.hand, clip.reference.base_quat)
    spec = mujoco.MjSpec.from_string(text)
    spec.compiler.fusestatic = False
    model = spec.compile()
    data, bundle = mujoco.MjData(model), Bundle(folder, dtype=torch.float64)
    nominal = HandModel(clip.setup.hand, (), clip.reference.base_quat)
    assert {model.joint(k).name for k in range(model.njnt)} == set(bundle["joints"])
    rng = np.random.default_rng(0)
    for _ in range(5):
        q = rng.uniform(-0.4, 0.4, len(bundle["joints"]))
        nominal.move(q)
        wanted = nominal.points()[: nominal.tips]
        found = bundle.tips(torch.zeros(1, dtype=torch.long), torch.as_tensor(q[None]))[0].numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-9)
        for name, value in zip(bundle["joints"], q):
            data.joint(name).qpos[0] = value
        mujoco.mj_kinematics(model, data)
        palm = bundle.palm(torch.zeros(1, dtype=torch.long), torch.as_tensor(q[None]))[0].numpy()
        np.testing.assert_allclose(data.body("palm").xpos, palm[:3], atol=1e-6)
        assert abs(data.body("palm").xquat @ palm[3:]) == pytest.approx(1.0, abs=1e-7)
        there = [data.body(name).xpos for name in clip.setup.hand.tip_sites]
        np.testing.assert_allclose(there, wanted, atol=1e-6)


def test_the_objects_urdf_has_its_mass_and_pieces(clip):
    text, meshes = object_urdf(clip.asset)
    spec = mujoco.MjSpec.from_string(text, assets={name: obj.encode() for name, obj in meshes.items()})
    spec.compiler.inertiafromgeom, spec.compiler.balanceinertia = 0, False
    model = spec.compile()
    assert len(meshes) == model.ngeom == len(clip.asset.pieces)
    assert f'mass value="{clip.asset.mass:.10g}"' in text
    lowest = min(float(line.split()[3]) for obj in meshes.values() for line in obj.splitlines() if line[0] == "v")
    assert lowest == pytest.approx(clip.asset.vertices[:, 2].min(), abs=1e-6)


def test_the_command_writes_a_folder_and_touches_no_other(clip, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(isaacgym_export, "TaskOptions", lambda **_: QUICK)
    monkeypatch.setattr("dexhot_train.task.clips.load_task_clip", lambda name, profile: clip)
    call = ["export", "lift.npz", "--to", "isaacgym", "--out", str(tmp_path / "new" / "task"), "--json"]
    assert main(call) in (0, None)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["clips"] == 1 and (tmp_path / "new" / "task" / "task.json").is_file()
    assert main(call) == 1 and "exists; name a new folder" in capsys.readouterr().err


def test_the_command_exports_no_test_clip(clip, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("dexhot_train.task.clips.load_task_clip", lambda name, profile: clip)
    name = clip.reference.name.partition("/")[2]
    monkeypatch.setattr("dexhot_train.curriculum.variations.splits", lambda dataset: {"test": [name]})
    assert main(["export", "lift.npz", "--to", "isaacgym", "--out", str(tmp_path / "task")]) == 1
    assert "nothing may be trained on it" in capsys.readouterr().err and not (tmp_path / "task").exists()


def test_what_isaac_gym_cannot_have_is_refused(clip, tmp_path):
    from dataclasses import replace

    high = replace(clip, reference=replace(clip.reference, table_height=0.1))
    with pytest.raises(DexhotError, match="one table for all environments"):
        export_isaacgym([clip, high], tmp_path / "a", QUICK)
    coupled = replace(clip, setup=replace(clip.setup, hand=SimpleNamespace(name="x", coupled={"a": True})))
    with pytest.raises(DexhotError, match="coupled joints"):
        export_isaacgym([coupled], tmp_path / "b", QUICK)


def test_the_configuration_is_for_8192_environments():
    told = train.configuration(8192, 3, 0, Path("run"))["params"]
    config = told["config"]
    assert config["num_actors"] == 8192 and told["seed"] == 3 and config["device"] == "cuda:0"
    assert config["num_actors"] * config["horizon_length"] % config["minibatch_size"] == 0
    assert {"value_bootstrap", "central_value_config"} <= set(config)
    fewer = train.configuration(64, 0, -1, Path("run"))["params"]["config"]
    assert fewer["minibatch_size"] == 64 * 16 // 4 and fewer["device"] == "cpu"


def test_rl_games_gets_the_task_and_its_configuration(folder, monkeypatch):
    """With stand-ins for Isaac Gym and rl_games: what is registered, and a step through it."""
    gymapi_stub.install(monkeypatch)
    seen = {}

    class Runner:
        def load(self, told):
            seen["told"] = told

        def run(self, how):
            environment = seen["vecenv"]("dexhot_tracking", 4)
            first = environment.reset()
            after, reward, done, infos = environment.step(torch.zeros(4, 22))
            assert (
                first["obs"].shape == after["obs"].shape == (4, *environment.get_env_info()["observation_space"].shape)
            )
            assert after["states"].shape[1] == environment.get_env_info()["state_space"].shape[0]
            assert reward.shape == done.shape == infos["time_outs"].shape == (4,) and how["train"]
            seen["ran"] = True

    made = {
        "gym": {"spaces": SimpleNamespace(Box=lambda **k: SimpleNamespace(**k))},
        "rl_games.common": {
            "vecenv": SimpleNamespace(register=lambda name, make: seen.update(vecenv=make)),
            "env_configurations": SimpleNamespace(register=lambda name, told: seen.update(name=name, kind=told)),
        },
        "rl_games.torch_runner": {"Runner": Runner},
        "rl_games": {},
    }
    for name, members in made.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    train.main([str(folder), "--envs", "4", "--device", "-1"])
    assert seen["ran"] and seen["name"] == seen["told"]["params"]["config"]["env_name"]
    assert seen["kind"]["vecenv_type"] == "DEXHOT" and seen["told"]["params"]["config"]["num_actors"] == 4


def test_the_worker_speaks_the_protocol(clip, folder, monkeypatch):
    """Messages as WorkerSimulator sends them; the physics is the stand-in's, which does not move."""
    gymapi_stub.install(monkeypatch)
    asked, answers, bundle = io.BytesIO(), io.BytesIO(), Bundle(folder, dtype=torch.float64)
    values = {"version": wire.VERSION, "clips": bundle["clips"], "size": 3, "worlds": [[None]]}
    rows = {"rows": np.arange(3), "clip": np.zeros(3, int), "world": np.zeros(3, int)}
    start = {name: bundle.arrays[f"start_{name}"][:3].numpy() for name in ("q", "qd", "object_pose", "object_twist")}
    wire.send(asked, "step", arrays={"controls": np.zeros((3, 4, 22))})
    wire.send(asked, "open", values | {"clips": ["other"]}, {"physics": np.ones((1, 1, 5))})
    wire.send(asked, "open", values, {"physics": np.full((1, 1, 5), 0.9)})
    wire.send(asked, "reset", arrays=rows | start)
    wire.send(asked, "reading")
    wire.send(asked, "reset", arrays=rows | start | {"world": np.ones(3, int)})
    wire.send(asked, "step", arrays={"controls": np.zeros((3, 4, 22))})
    wire.send(asked, "close")
    asked.seek(0)
    wire.serve(asked, answers, WorkerWorlds(str(folder), -1))
    answers.seek(0)
    told = [wire.receive(answers) for _ in range(8)]
    assert [operation for operation, _, _ in told] == [
        *("error", "error", "open", "reset", "reading", "error", "step", "close")
    ]
    assert "send open first" in told[0][1]["text"] and "other" in told[1][1]["text"]
    assert "keeps its clip and physics" in told[5][1]["text"]
    assert told[2][1] == {"substeps": 4}
    np.testing.assert_array_equal(told[2][2]["assigned"], np.zeros((3, 2)))
    reading = told[4][2]
    for name, value in start.items():
        np.testing.assert_allclose(reading[name], value, atol=1e-6)
    np.testing.assert_allclose(reading["tips"], bundle.tips(torch.zeros(3).long(), bundle.start_q[:3]), atol=1e-5)
    assert reading["tip_contact"].dtype == bool and not reading["diverged"].any()


def test_a_worlds_whose_numbers_break_is_told(clip, folder, monkeypatch):
    gym = gymapi_stub.install(monkeypatch)
    worker = WorkerWorlds(str(folder), -1)
    told = {"version": wire.VERSION, "clips": Bundle(folder)["clips"], "size": 2, "worlds": [[None]]}
    worker.open(told, np.ones((1, 1, 5)))

    def broken(gym, steps):
        gym.roots[1, 1] = float("nan")

    gym.feed = broken
    reading = worker.step(np.zeros((2, 4, 22)))
    assert list(reading["diverged"]) == [False, True]
    assert all(np.isfinite(reading[name]).all() for name in ("q", "object_pose", "tips"))


def test_a_folder_of_another_version_is_refused(folder, tmp_path):
    told = json.loads((folder / "task.json").read_text())
    (tmp_path / "task.json").write_text(json.dumps(told | {"version": 9}))
    with pytest.raises(ValueError, match="has version 9, this package reads 1"):
        Bundle(tmp_path)


def test_both_sides_have_the_same_version():
    from dexhot_isaacgym import bundle

    assert bundle.VERSION == isaacgym_export.VERSION
