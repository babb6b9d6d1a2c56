"""Priors over plans: the tries that are kept, what each kind proposes, and its file."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.data.files import load, save
from dexhot.data.types import PRIORS, PriorCard
from dexhot.datasets import splits
from dexhot.errors import DexhotError, FileFormatError, NotFoundError
from dexhot.paths import share_dir
from dexhot.planning.plan_features import plan_features, plan_layout
from dexhot.planning.prior import SHIPPED, NetworkPrior, load_prior
from dexhot.planning.structured import plan_sigma
from dexhot.retargeting.placement import place
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.setup import load_setup
from dexhot_bench import prior as bench
from dexhot_train.prior.fit import PriorOptions, export_prior, fit_prior, fitted, proposed
from dexhot_train.prior.networks import Keys, fit_network, spread
from dexhot_train.prior.tries import ClipTries, TryOptions, clips_for, tried
from dexhot_train.terms import FREE, grab_terms

SIGMA = plan_sigma(16)
FEATURES = sum(part["size"] for part in plan_layout(load_hand("leap_right")))


def serially(function, jobs):
    for job in jobs:
        yield job, function(job)


@pytest.fixture(autouse=True)
def briefly(monkeypatch):
    monkeypatch.setattr("dexhot_train.prior.networks.UPDATES", 300)


def clip(k: int, plan: np.ndarray, **given) -> ClipTries:
    """Of features that `k` decides."""
    features = np.sin(np.arange(FEATURES) * (1.0 + k)).astype(np.float32)
    plans = np.stack([plan, np.zeros(38)]).astype(np.float32)
    told = {"plans": plans, "world": np.zeros(2, int), "cost": np.array([0.1, 2.0]), "strict": np.array([True, False])}
    return ClipTries(f"parametric/lift-box-{k}", f"object_{k}", features, plan, 3, **told | given)


@pytest.fixture
def clips():
    """Four, of plans that point in other directions."""
    return [clip(k, 2.0 * SIGMA * np.eye(38)[k]) for k in range(4)]


@pytest.fixture
def untrained(monkeypatch):
    """Nearly, and of a short integration: for what does not depend on what is learned."""
    monkeypatch.setattr("dexhot_train.prior.networks.UPDATES", 20)
    monkeypatch.setattr("dexhot_train.prior.networks.STEPS", 2)


def of(network, one: ClipTries) -> NetworkPrior:
    return NetworkPrior(lambda *seen: proposed(network, *seen), one.features, 38)


def test_no_test_clip_is_trained_on(tmp_path):
    named = splits("grab")
    assert clips_for(TryOptions("grab")) == [f"grab/{clip}" for clip in named["train"]]
    assert all(name.startswith("parametric/") for name in clips_for(TryOptions()))
    assert clips_for(TryOptions(clips=2)) == clips_for(TryOptions())[:2]
    with pytest.raises(DexhotError, match="one of parametric, grab"):
        clips_for(TryOptions("hot3d"))
    with pytest.raises(DexhotError, match="no references"):
        clips_for(TryOptions(sets=(str(tmp_path),)))


def test_a_file_of_a_test_clip_is_refused(tmp_path, lift_reference):
    held_out = save(replace(lift_reference, name=f"grab/{splits('grab')['test_unseen_clip'][0]}"), tmp_path / "r.npz")
    with pytest.raises(DexhotError, match="nothing may be trained on it"):
        tried((str(held_out), TryOptions(), tmp_path))


def test_tries_are_stored_with_their_costs_and_a_clip_is_not_searched_again(tmp_path, grasp_reference, monkeypatch):
    path = save(grasp_reference, tmp_path / "lift.npz")
    job = (str(path), TryOptions(seeds=2, rollouts=42, keep=0.0), tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    found = tried(job)
    assert found.plans.shape == (84, 38) and found.kept == 2 and set(found.world) == set(range(12))
    assert found.strict.any() and found.cost[found.strict].mean() < found.cost.max()
    np.testing.assert_array_equal(found.features, plan_features(grasp_reference, load_setup(grasp_reference).asset))
    monkeypatch.setattr("dexhot_train.prior.tries.scene_of", lambda name: pytest.fail("searched again"))
    again = tried(job)
    np.testing.assert_array_equal(again.plans, found.plans)
    assert (again.name, again.object_name, again.kept) == (found.name, found.object_name, found.kept)


def test_features_are_about_the_grasp_wherever_a_clip_was_placed(lift_reference, lift_setup):
    features = plan_features(lift_reference, lift_setup.asset)
    placed = place(lift_reference, lift_setup.hand)
    assert not np.allclose(placed.object_pose[0], lift_reference.object_pose[0])
    np.testing.assert_allclose(plan_features(placed, lift_setup.asset), features, atol=1e-2)
    later = replace(lift_reference, grasp_start=lift_reference.grasp_start + 10)
    assert not np.allclose(plan_features(later, lift_setup.asset), features, atol=2e-2)


def test_tries_are_worth_what_they_cost_beside_the_best_in_their_world():
    worlds = clip(0, SIGMA, plans=np.zeros((4, 38)), world=np.array([0, 0, 1, 1]), cost=np.array([0.1, 0.3, 2.0, 2.2]))
    worth = worlds.worth(temperature=0.2)
    np.testing.assert_allclose(worth, np.tile([1, np.exp(-1)], 2) / (2 + 2 * np.exp(-1)))


def test_keys_leave_out_what_does_not_vary_and_have_unit_variance():
    features = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32) * 3 + 1
    features[:, 2] = 7.0
    keys = Keys(features)
    of_training = proposed(lambda x, *_: (keys(x), keys(x)), features, features, features)[0]
    np.testing.assert_allclose(of_training.std(axis=0), 1.0, atol=1e-3)
    assert (keys.weights[:, 2] == 0).all() and len(keys.weights) == 5


@pytest.mark.parametrize("kind", PRIORS)
def test_draws_begin_with_the_bare_reference_and_the_mean(kind, clips, untrained):
    prior = of(fit_network(kind, clips), clips[0])
    plans = prior.draw(30, np.random.default_rng(0))
    assert plans.shape == (30, 38) and not plans[0].any()
    np.testing.assert_array_equal(plans[1], prior.mean)
    assert (plans[2:].std(axis=0) > 0).all()
    np.testing.assert_array_equal(plans, prior.draw(30, np.random.default_rng(0)))
    assert prior.draw(1, np.random.default_rng(0)).shape == (1, 38)


def test_the_constant_and_the_gaussian_say_the_same_of_every_clip(clips):
    wanted = np.mean([clip.plan for clip in clips], axis=0)
    for kind in ("constant", "gaussian"):
        network = fit_network(kind, clips)
        np.testing.assert_allclose(of(network, clips[0]).mean, wanted, atol=1e-7)
        np.testing.assert_array_equal(of(network, clips[0]).mean, of(network, clips[3]).mean)
    wide, narrow = (of(fit_network(kind, clips), clips[0]).draw(500, np.random.default_rng(0)) for kind in PRIORS[:2])
    assert wide[2:, 30].std() > 3 * narrow[2:, 30].std()  # the plans have nothing in this direction


def test_a_spread_has_no_flat_direction():
    plans = SIGMA * np.random.default_rng(0).standard_normal((5, 38))
    assert np.linalg.eigvalsh(spread(plans, SIGMA)).min() > 0
    np.testing.assert_allclose(
        np.diag(spread(plans, SIGMA)), plans.var(axis=0) * (0.5 + 0.5 * 5 / 4) + (0.1 * SIGMA) ** 2
    )


def test_the_library_proposes_the_plans_of_the_clips_that_are_most_alike(clips, monkeypatch):
    monkeypatch.setattr("dexhot_train.prior.networks.NEAREST", 1)
    network = fit_network("library", clips)
    for one in clips:
        np.testing.assert_allclose(of(network, one).mean, one.plan, atol=1e-7)
    monkeypatch.setattr("dexhot_train.prior.networks.NEAREST", 4)
    mean = np.mean([clip.plan for clip in clips], axis=0)
    prior = of(fit_network("library", clips), clips[0])
    np.testing.assert_allclose(prior.mean, mean, atol=1e-7)
    drawn = prior.draw(400, np.random.default_rng(0))[2:, :4] / SIGMA[:4]
    nearest = np.argmax(drawn, axis=1)
    assert (np.bincount(nearest, minlength=4) > 60).all()  # each in turn


def test_a_flow_does_not_run_away_on_a_clip_like_no_other(clips):
    strange = replace(clips[0], features=100.0 * clips[0].features)
    assert np.abs(of(fit_network("flow", clips), strange).draw(20, np.random.default_rng(0)) / SIGMA).max() < 50


@pytest.mark.parametrize("kind", ["flow", "flow_of_tries"])
def test_a_flow_tells_clips_apart(kind, clips, monkeypatch):
    monkeypatch.setattr("dexhot_train.prior.networks.UPDATES", 800)
    network = fit_network(kind, clips)
    for k, one in enumerate(clips):
        assert np.argmax(of(network, one).mean / SIGMA) == k
    drawn = of(network, clips[1]).draw(200, np.random.default_rng(0))[2:] / SIGMA
    assert 1.3 < drawn[:, 1].mean() < 2.3 and abs(drawn[:, 0].mean()) < 0.5


def test_a_flow_of_tries_prefers_the_cheap_ones(clips):
    swapped = [replace(one, cost=one.cost[::-1]) for one in clips]  # now the bare reference is worth most
    good, bad = (
        of(fit_network("flow_of_tries", c), c[1]).draw(200, np.random.default_rng(0)) for c in (clips, swapped)
    )
    assert (good[2:] / SIGMA)[:, 1].mean() > (bad[2:] / SIGMA)[:, 1].mean() + 0.5


@pytest.mark.parametrize("kind", PRIORS)
def test_a_written_prior_proposes_what_it_did_before(kind, clips, tmp_path, lift_reference, lift_setup, untrained):
    made = fitted(kind, clips, TryOptions(), {"command": "dexhot train prior"})
    path = export_prior(made, tmp_path / "p.onnx")
    assert path.read_bytes() == export_prior(made, tmp_path / "q.onnx").read_bytes()
    card = load(tmp_path / "p.json", PriorCard)
    assert (card.kind, card.physics, card.servo, card.terms) == (kind, "2", "leap", FREE)
    assert card.training_data == [clip.name for clip in clips]
    written = load_prior(str(path), lift_reference, lift_setup.asset)
    own = of(made.network, replace(clips[0], features=plan_features(lift_reference, lift_setup.asset)))
    drawn = [prior.draw(5, np.random.default_rng(1)) for prior in (written, own)]
    np.testing.assert_allclose(*drawn, atol=1e-5)


def test_priors_that_do_not_fit_are_refused(clips, tmp_path, lift_reference, lift_setup):
    path = export_prior(fitted("gaussian", clips, TryOptions(), {}), tmp_path / "p")
    card = load(tmp_path / "p.json", PriorCard)
    refused = lambda: load_prior(str(path), lift_reference, lift_setup.asset)  # noqa: E731
    save(replace(card, hand="other", joint_names=["a"]), tmp_path / "p.json")
    with pytest.raises(DexhotError, match="is for other"):
        refused()
    save(replace(card, features=card.features[1:]), tmp_path / "p.json")
    with pytest.raises(DexhotError, match="other features"):
        refused()
    save(card, tmp_path / "p.json")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileFormatError, match="do not belong together"):
        refused()
    with pytest.raises(FileFormatError, match="is not a prior"):
        load_prior("p.npz", lift_reference, lift_setup.asset)
    assert not load_prior("none", lift_reference, lift_setup.asset).mean.any()


def test_the_prior_says_what_made_it(monkeypatch, cache, tmp_path, clips):
    names = clips_for(TryOptions(clips=5))
    answers = dict(zip(names, [*clips, replace(clips[0], kept=0)]))
    monkeypatch.setattr("dexhot_train.prior.tries.tried", lambda job: replace(answers[job[0]], name=job[0]))
    made = fit_prior(PriorOptions("constant", TryOptions(clips=5)), serially, "dexhot train prior", tmp_path)
    assert made.card.training_data == names[:4]  # nothing survived on the last
    assert made.card.provenance["command"] == "dexhot train prior" and made.card.provenance["tries"] == 10
    monkeypatch.setattr("dexhot_train.prior.tries.tried", lambda job: replace(clips[0], kept=0))
    with pytest.raises(DexhotError, match="0 of 5 clips"):
        fit_prior(PriorOptions("constant", TryOptions(clips=5)), serially, "", tmp_path)
    with pytest.raises(NotFoundError, match="kind of prior"):
        fit_prior(PriorOptions("best"), serially, "", tmp_path)


def test_grabs_terms_go_with_its_clips(clips):
    of_grab = [*clips, replace(clips[0], name="grab/mug_lift", object_name="grab/mug")]
    assert fitted("constant", of_grab, TryOptions("grab"), {}).card.terms == grab_terms("prior")
    of_a_set = [*clips, replace(clips[0], name="set/x.npz", object_name="stretched/grab/mug/900x900x900x900")]
    assert fitted("constant", of_a_set, TryOptions(), {}).card.terms == grab_terms("prior")
    assert fitted("constant", clips, TryOptions(), {}).card.terms == FREE


def test_an_objects_clips_are_in_one_part_with_its_stretched_ones(clips):
    same = ["grab/mug", "grab/cup", "stretched/grab/mug/900x900x900x900", "grab/mug"]
    found = bench.parts([replace(c, object_name=name) for c, name in zip(clips, same)], 2)
    assert found[0] == found[2] == found[3] != found[1]


def test_the_benchmark_judges_each_clip_by_priors_that_have_not_seen_its_object(clips, monkeypatch):
    shown = []

    def fitted_to(kind, some):
        shown.append({one.name for one in some})
        return fit_network(kind, some)

    monkeypatch.setattr(bench, "fit_network", fitted_to)
    monkeypatch.setattr(bench, "PRIORS", ("constant",))
    found = bench.proposals_of(clips, 2)
    assert shown == [{clips[1].name, clips[3].name}, {clips[0].name, clips[2].name}]
    assert set(found[clips[0].name]) == {"unfitted", "constant"}
    np.testing.assert_allclose(found[clips[0].name]["constant"][1], (clips[1].plan + clips[3].plan) / 2, atol=1e-7)


def test_tries_are_judged_where_the_object_was_observed_and_in_perturbed_worlds(tmp_path, grasp_reference):
    path = save(grasp_reference, tmp_path / "lift.npz")
    away = np.zeros((2, 38))
    away[:, 2] = 0.2  # m, of the palm
    good = away.copy()
    good[1] = 0.0
    found = bench.verdicts_of((str(path), {"good": good, "bad": away}))
    assert found["bad"] == {"first": 0, "perturbed": 0.0}
    assert found["good"]["first"] == 2 and found["good"]["perturbed"] == 0.5


def test_the_command_states_the_terms_of_grab_and_needs_them_accepted(tmp_path, cache, capsys):
    assert main(["train", "prior", "--data", "grab", "--out", str(tmp_path / "p.onnx")]) == 1
    assert "non-commercial" in capsys.readouterr().err


def test_without_a_shipped_prior_plans_are_drawn_about_the_bare_reference(lift_reference, lift_setup):
    """One that is shipped must carry no terms."""
    shipped = share_dir() / "policies" / SHIPPED
    if shipped.is_file():
        assert load(shipped.with_suffix(".json"), PriorCard).terms.startswith("none")
    else:
        np.testing.assert_array_equal(load_prior("", lift_reference, lift_setup.asset).mean, 0.0)
