"""The benchmarks' harness: a toy contest, unfair ones refused, the record, the page, and what chapters read of it."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from benchmarks import report, store, worker
from benchmarks.__main__ import main
from benchmarks.contest import Clock, Contender, Contest, hold, middle, peak_mebibytes, turns
from benchmarks.tasks import chains, conv_vae, gaussian, topics
from vi_helpers import reporting
from vi_helpers.inference import fixed_draws
from vi_helpers.models import univariate_gaussian as ug
from vi_helpers.models.unconstrained import UnconstrainedGaussian
from vi_helpers.vae.networks import build

RESULTS = store.HERE / "results.json"


def busy(seconds, **quality):
    """A contender's ``prepare``: its run keeps the processor busy for so long, and rests outside the clock."""

    def prepare():
        def run(clock):
            with clock:
                end = time.process_time() + seconds
                while time.process_time() < end:
                    pass
            time.sleep(0.002)
            return {"error": 0.0, "epochs": 2.0, **quality}

        return run

    return prepare


def missing():
    raise ModuleNotFoundError("No module named 'nowhere'")


def equal(qualities):
    errors = {name: quality["error"] for name, quality in qualities.items()}
    return None if max(errors.values()) <= 0.1 else f"errors {errors}"


TOY = Contest(
    slug="toy-1e2",
    title="Toy",
    what="Counting.",
    unit="ms an epoch",
    contenders=(
        Contender("ours", busy(0.005)),
        Contender("peer", busy(0.02), ("numpy",), rounds=2),
        Contender("absent", missing),
    ),
    fair=equal,
    targets={"peer": 0.5, "absent": 0.5},
    per="epochs",
    scale=1e3,
    rounds=3,
    threads=(1,),
    size=("N", 1e2),
    work={"fp32_matmul": 1e6},
)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A record of the toy contest, made by the command itself in this process."""
    monkeypatch.setattr(store, "modules", lambda: ["toy"])
    monkeypatch.setattr(store, "contests", lambda module: (TOY,))
    monkeypatch.setattr(worker, "contests", lambda module: (TOY,))
    monkeypatch.setattr(worker, "measure", lambda threads: dict.fromkeys(report.CEILINGS, 100.0))

    def start(threads, path, *words):
        return worker.main([*words, "--threads", str(threads), "--results", str(path)])

    monkeypatch.setattr("benchmarks.__main__.start", start)

    def run(*words):
        code = main(["--out", str(tmp_path), *words])
        return code, store.load(tmp_path / "results.json")

    return run


def test_a_clock_adds_up_blocks_and_nothing_else():
    clock = Clock()
    for _ in range(2):
        with clock:
            end = time.process_time() + 0.01
            while time.process_time() < end:
                pass
        time.sleep(0.05)
    assert 0.02 <= clock.cpu < 0.03
    assert clock.wall >= clock.cpu * 0.9


def test_contenders_run_in_turn_and_their_ratio_is_that_of_their_times():
    said = []
    record = hold(TOY, said.append)
    words = [line.removeprefix("toy-1e2: ") for line in said]
    assert words[3:] == [
        *("ours, round 1 of 3", "peer, round 1 of 3", "ours, round 2 of 3", "peer, round 2 of 3", "ours, round 3 of 3")
    ]
    assert turns(TOY) == 4 + 3 + 4
    ours, peer = (record["contenders"][name] for name in ("ours", "peer"))
    assert [len(ours["rounds"]), len(peer["rounds"])] == [3, 2]
    assert ours["rounds"][0]["cpu"] == pytest.approx(0.0025, rel=0.2)  # 5 ms for two epochs
    assert len(peer["ratios"]["cpu"]) == 2
    for ratio, a, b in zip(peer["ratios"]["cpu"], ours["rounds"], peer["rounds"], strict=False):
        assert ratio == a["cpu"] / b["cpu"] == pytest.approx(0.25, rel=0.2)
    assert record["absent"] == {"absent": "No module named 'nowhere'"}


def test_a_round_in_which_someone_is_worse_is_refused():
    worse = replace(TOY, contenders=(TOY.contenders[0], Contender("peer", busy(0.001, error=0.2))))
    with pytest.raises(ValueError, match="toy-1e2, round 1: contenders are not equally good: errors"):
        hold(worse)


def test_ours_may_not_be_missing():
    with pytest.raises(ModuleNotFoundError):
        hold(replace(TOY, contenders=(Contender("ours", missing),)))


def test_the_middle_and_the_spread():
    assert middle([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)
    assert report.spread((0.012345, 0.01, 0.1)) == "0.0123 (0.0100–0.100)"
    assert [report.number(x) for x in (1234.5, 12.34, 0.000995, 0.0009996, 0.0)] == [
        *("1230", "12.3", "0.000995", "0.00100", "0")
    ]


def test_the_peak_of_memory_grows_with_what_is_held():
    before = peak_mebibytes()
    held = np.ones(2**23 * 8)  # 512 MiB
    assert peak_mebibytes() - before > 200
    del held


def test_the_command_keeps_a_record_and_writes_the_page(results, tmp_path, capsys):
    code, kept = results()
    assert code == 0
    assert "target 0.5" in capsys.readouterr().out
    place = kept["contests"]["toy-1e2"]
    assert place["targets"] == TOY.targets
    assert list(place["threads"]) == ["1"]
    assert set(kept) == {"roof", "contests", "machine", "versions", "command", "date"}
    assert kept["versions"]["numpy"] == np.__version__
    page = (tmp_path / "RESULTS.md").read_text("utf-8")
    assert page == report.page(kept)
    assert "1 of 2 are met" in page
    assert "absent was not run: No module named 'nowhere'" in page


def test_only_what_is_asked_runs_again_and_resume_runs_what_is_missing(results, monkeypatch):
    results()
    monkeypatch.setattr(worker, "hold", lambda *given: pytest.fail("nothing is missing"))
    code, kept = results("--resume")
    assert code == 0
    kept["contests"]["toy-1e2"]["threads"].clear()
    with pytest.raises(SystemExit):
        results("--only", "no-such-contest")


def test_a_new_record_keeps_the_books_own_times_until_they_are_taken_anew(results, tmp_path):
    kept = results()[1]
    book = store.load(RESULTS)["book"]
    store.save(tmp_path / "results.json", {**kept, "book": book})
    assert results("--resume")[1]["book"] == results()[1]["book"] == book


def test_a_failed_contest_is_told_and_leaves_the_others(results, monkeypatch):
    results()
    unfair = replace(TOY, fair=lambda qualities: "no")
    for module in (store, worker):
        monkeypatch.setattr(module, "contests", lambda module: (unfair,))
    code, kept = results("--only", "toy")
    assert code == 1
    assert kept["contests"]["toy-1e2"]["threads"]["1"]["contenders"]  # what was there stays


def test_the_last_run_checks_the_runs_before(results):
    results()
    _, kept = results("--again", "2")
    place = kept["contests"]["toy-1e2"]
    first, (second, last) = place["threads"]["1"]["contenders"]["peer"]["ratios"], place["again"]["1"]
    pooled = first["cpu"] + second["peer"]["cpu"]
    assert report.ratios(place, "1", "peer", "cpu") == pooled
    (row,) = report.repeated("toy-1e2", place)
    assert (row["before"], row["last"]) == (middle(pooled), middle(last["peer"]["cpu"]))
    assert row["inside"] == (min(pooled) <= row["last"][0] <= max(pooled))
    assert report.judged(kept)[0]["seen"] == row["before"]
    assert f"{int(row['inside'])} of 1 do." in report.page(kept)
    assert results("--again", "2")[1]["contests"] == kept["contests"]  # there are two: nothing to do
    results("--only", "toy")
    assert "1" not in results("--resume")[1]["contests"]["toy-1e2"]["again"]  # they repeated a run that is gone


def test_what_has_no_peer_is_not_repeated(results, monkeypatch):
    alone = replace(TOY, contenders=TOY.contenders[:1], targets={})
    for module in (store, worker):
        monkeypatch.setattr(module, "contests", lambda module: (alone,))
    results()
    assert "again" not in results("--again", "3")[1]["contests"]["toy-1e2"]


def test_a_median_outside_the_spread_is_told():
    kept = recorded([1.0, 1.2, 0.8])
    kept["contests"]["t-10"]["again"] = {"1": [{"peer": {"cpu": [0.2], "wall": [0.2]}}]}
    assert "0 of 1 do." in report.page(kept)
    assert "| [t-10](#t-10) | peer | 0.100 (0.0800–0.120) | 0.200 (0.200–0.200) | no |" in report.page(kept)


def test_another_machines_record_is_not_mixed_with_this_ones(results, tmp_path):
    _, kept = results()
    store.save(tmp_path / "results.json", {**kept, "machine": {**kept["machine"], "cores": 999}})
    with pytest.raises(SystemExit):
        results("--only", "toy")


def recorded(ratios, target=0.1, note="", work=None):
    """A small record by hand: ours 1 s, a peer by its ratios, N = 10, 100, 1000 with times N and N²."""
    contests = {}
    for size in (10, 100, 1000):
        ours = [{"cpu": size * r, "wall": size * r, "quality": {"error": 0.0}} for r in ratios]
        peer = [{"cpu": size**2, "wall": size**2, "quality": {"error": 0.0}}] * len(ratios)
        seen = {clock: [a[clock] / b[clock] for a, b in zip(ours, peer, strict=True)] for clock in ("cpu", "wall")}
        contenders = {
            "ours": {"first": {"cpu": 1.0, "wall": 1.0}, "rounds": ours},
            "peer": {"first": {"cpu": 1.0, "wall": 1.0}, "rounds": peer, "ratios": seen},
        }
        record = {"contenders": contenders, "absent": {}, "load": [0.0, 0.0]}
        kept = dict.fromkeys(store.KEPT)
        kept |= {"title": "T", "what": "W", "unit": "s", "scale": 1.0, "targets": {"peer": target}, "note": note}
        kept |= {"size": ["N", size], "work": work or {}, "threads": {"1": record}}
        contests[f"t-{size}"] = kept
    return {"contests": contests, "roof": {"1": dict.fromkeys(report.CEILINGS, 2.0)}}


def test_targets_are_judged_by_the_median_and_a_miss_says_why():
    rows = report.judged(recorded([1.0, 1.2, 0.8], target=0.012, note="Clear beats quick."))
    assert [row["met"] for row in rows] == [False, True, True]  # 1/10, 1/100, 1/1000
    page = report.page(recorded([1.0, 1.2, 0.8], target=0.012, note="Clear beats quick."))
    assert "| [T](#t-10) | peer | 0.100 (0.0800–0.120) | ≤ 0.012 | **no**: Clear beats quick. |" in page
    assert "| [T](#t-100) | peer | 0.0100 (0.00800–0.0120) | ≤ 0.012 | yes |" in page


def test_a_peer_that_was_not_run_misses_its_target():
    results = recorded([1.0])
    del results["contests"]["t-10"]["threads"]["1"]["contenders"]["peer"]["ratios"]
    row = report.judged(results)[0]
    assert (row["seen"], row["met"]) == (None, False)


def test_the_exponent_of_cost_against_size():
    line = report.series(recorded([1.0]))["t"]
    assert line["exponent"]["ours"] == pytest.approx(1)
    assert line["exponent"]["peer"] == pytest.approx(2)
    assert line["times"]["peer"] == [(10, 100), (100, 10_000), (1000, 1_000_000)]


def test_the_share_of_a_ceiling():
    results = recorded([1.0], work={"fp32_matmul": 10e9})  # 10 GFLOP in 10, 100, 1000 s, of 2 GFLOP/s
    assert report.shares(results, "t-10", "fp32_matmul")["1"][0] == pytest.approx(0.5)
    assert report.shares(results, "t-10", "copy") == {}
    results["contests"]["t-10"]["roof_target"] = 0.6
    row = next(row for row in report.judged(results) if row["sign"] == "≥")
    assert (row["seen"][0], row["met"]) == (pytest.approx(0.5), False)
    results["contests"]["t-10"]["threads"]["1"]["ceiling"] = [1.6]  # of its own round
    assert report.shares(results, "t-10", "fp32_matmul")["1"][0] == pytest.approx(0.625)


def test_every_ceiling_has_its_column_and_small_shares_keep_their_digits():
    results = recorded([1.0], work={"fp32_matmul": 10e9, "exp": 6.2e6})
    page = report.page(results)
    assert "| [t-10](#t-10) | 1 | 50 % |  | 0.031 % |" in page
    assert "Ours, threads 1, on the wall: 50 % of the measured matrix-multiply rate, 0.031 % of the measured" in page
    assert report.summarise(results)["contests"]["t-10"]["shares"]["exp"]["1"][0] == pytest.approx(0.00031)
    assert "[t-10](#t-10) | 1 | 50" not in report.page(recorded([1.0]))
    assert [report.percent(x) for x in (0.774, 0.0312, 1.0, 1e-6)] == ["77 %", "3.1 %", "100 %", "0.0001 %"]


def test_work_that_has_to_be_found_out_is_found_after_the_rounds(results, monkeypatch):
    said = []

    def work():
        said.append("work")
        return {"exp": 1e6}

    counted = replace(TOY, contenders=(Contender("ours", busy(0.001)),), targets={}, work=work)
    for module in (store, worker):
        monkeypatch.setattr(module, "contests", lambda module: (counted,))
    monkeypatch.setattr(worker, "hold", lambda *given: said.append("rounds") or hold(*given))
    assert results()[1]["contests"]["toy-1e2"]["work"] == {"exp": 1e6}
    assert said == ["rounds", "work"]


def test_the_products_of_a_matrix_are_counted(monkeypatch):
    counts = csr_array(np.eye(3, 4))
    monkeypatch.setattr(topics, "text", lambda: topics.Text("three words", counts, counts, counts))

    def passes():
        np.matmul(np.ones((2, 3)), np.ones((3, 5)))
        return 4.0

    flops = 2 * 2 * 3 * 5 + 2 * 4 * counts.nnz * topics.TOPICS
    assert topics.products(passes) == {"fp32_matmul": flops, "copy": 8 * (6 + 15 + 10)}


def test_the_operations_of_the_convolutions_are_those_that_torch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    vae = build(conv_vae._network(), torch.Generator())
    x = torch.zeros(1, 3, 32, 32)
    with FlopCounterMode(display=False) as counter:
        loc = vae.encoder(x).chunk(2, dim=1)[0]
        vae.decoder(loc).sum().backward()
    assert conv_vae.flops() == {"fp32_matmul": conv_vae.EPOCH * counter.get_total_flops()}


def test_a_ceiling_is_measured_in_every_round():
    tops = iter([3.0, 2.0])
    assert hold(replace(TOY, rounds=2), ceiling=lambda: next(tops))["ceiling"] == [3.0, 2.0]
    assert "ceiling" not in hold(replace(TOY, rounds=1))


def test_the_book_has_its_own_rows_and_table():
    book = {"nothing changed": 2.0, "nbval, one after another": 100.0}
    book |= {"nbval, two at a time": 70.0, "notebooks": {"a": 1.0, "b": 3.0}}
    results = {**recorded([1.0]), "book": book}
    rebuilt, tested = report.judged(results)[-2:]
    assert (rebuilt["seen"][0], rebuilt["met"], tested["seen"][0], tested["met"]) == (2.0, True, 0.7, False)
    assert "all 2 notebooks take 4 s" in report.page(results)


def test_chapters_read_the_summary(monkeypatch):
    summary = json.loads(json.dumps(report.summarise(recorded([1.0, 2.0, 4.0]))))
    monkeypatch.setattr(reporting, "benchmarks", lambda: summary)
    seen = reporting.benchmark("t-100")
    assert (seen.title, seen.unit, seen.target) == ("T", "s", {"peer": 0.1})
    assert seen.ratio == {"peer": pytest.approx(0.02)}
    assert seen.spread["peer"] == (pytest.approx(0.01), pytest.approx(0.04))
    assert seen.seconds == {"ours": 200.0, "peer": 10_000.0}
    with pytest.raises(ValueError, match=r"^slug must be one of t-10, t-100, t-1000; got 'x'"):
        reporting.benchmark("x")
    with pytest.raises(ValueError, match=r"^threads must be one of 1 for t-10; got 2"):
        reporting.benchmark("t-10", threads=2)


# --- scorers --------------------------------------------------------------------------------------------------------


def test_the_gaussian_is_scored_by_its_bound():
    q = ug.State(0.1, 0.2, 40.0, 45.0)
    gap = gaussian.best(100) - ug.elbo(q, gaussian.data(100), gaussian.PRIOR)
    assert gaussian.gap_gamma(100, q) == pytest.approx(gap, abs=1e-10)
    target = UnconstrainedGaussian(gaussian.data(100), gaussian.PRIOR)
    normal = fixed_draws.GaussianQ(np.array([0.1, 0.2]), np.diag([0.15, 0.12]))
    elbo, error = fixed_draws.estimate_elbo(target, normal, 100_000, np.random.default_rng(1))
    seen = gaussian.best(100) - gaussian.gap_log_normal(100, [0.1, 0.15, 0.2, 0.12])
    assert abs(seen - elbo) < 4 * error


def test_to_stay_is_to_stay_for_as_many_steps_again():
    good, bad = 0.0, 1.0
    assert gaussian.settled(np.array([bad, good, good, bad, good, bad])) is None  # two has to stay until four
    assert gaussian.settled(np.array([bad, good, good, good, bad])) == 2
    assert gaussian.settled(np.array([good, good, bad])) == 1


def test_draws_of_another_posterior_are_refused():
    rng, truth = np.random.default_rng(2017), chains.exact(100)
    mu = rng.normal(truth.mean_loc, truth.var_loc**0.5, (4, 2000))
    v = rng.gamma(truth.mean_var**2 / truth.var_var, truth.var_var / truth.mean_var, (4, 2000))
    assert chains.exact_draws({"ours": chains.score(100, mu, v)}) is None
    for wrong in ((mu + 0.03, v), (mu, 1.05 * v), (mu * 1.2, v)):
        assert chains.exact_draws({"ours": chains.score(100, *wrong)}).startswith("ours: ")


# --- what is committed ----------------------------------------------------------------------------------------------


def stored():
    if not RESULTS.exists():
        pytest.skip("no record yet: make bench writes it")
    return store.load(RESULTS)


def test_the_page_and_the_summary_are_those_of_the_record():
    results = stored()
    assert (store.HERE / "RESULTS.md").read_text("utf-8") == report.page(results)
    assert json.loads(report.SUMMARY.read_text("utf-8")) == json.loads(json.dumps(report.summarise(results)))


def test_every_target_of_the_record_is_met_or_says_why_not():
    for row in report.judged(stored()):
        assert row["seen"] is not None, f"{row['slug']}: {row['peer']} was not run"
        assert row["met"] or row["note"], f"{row['slug']} misses its target and does not say why"


def test_the_record_has_every_contest_with_the_targets_that_it_has_now():
    results = stored()
    for module in store.modules():
        for contest in store.contests(module):
            place = results["contests"][contest.slug]
            assert place["targets"] == contest.targets
            assert set(place["threads"]) == {str(n) for n in contest.threads}
            assert place["note"] == contest.note
            assert place["work"], f"{contest.slug} is held against no ceiling of the machine"


def test_slugs_are_unique_and_ours_comes_first():
    contests = [contest for module in store.modules() for contest in store.contests(module)]
    assert len({contest.slug for contest in contests}) == len(contests) > 0
    for contest in contests:
        assert contest.contenders[0].name.startswith("ours"), contest.slug
        assert set(contest.targets) <= {c.name for c in contest.contenders[1:]}, contest.slug
