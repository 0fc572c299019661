"""Is an approximation any good?  Numbers and a verdict from its log weights; chains and calibration too.

A log weight is log w = log p(x, z) − log q(z) at a draw z ~ q, in nats with all constants kept.  So the mean of log w
is the ELBO, the mean of w the evidence, and a q that is exact has equal weights.

:func:`diagnose` puts everything the weights say in one table.  Pareto smoothing, effective sample sizes and R-hat are
ArviZ's [vehtari2024, vehtari2021]; note that its ``psislw`` takes log LIKELIHOODS, that is minus log weights.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import logsumexp

from vi_helpers.validation import (
    require,
    require_count,
    require_finite,
    require_real,
    require_rng,
    require_sample,
)

__all__ = [
    "Calibration",
    "Diagnosis",
    "Psis",
    "Uniformity",
    "calibrate",
    "diagnose",
    "diagnose_each",
    "ess",
    "ess_tail",
    "khat",
    "khat_limit",
    "mcse_mean",
    "predictive_p_value",
    "psis",
    "rhat",
    "summary_table",
    "uniformity",
]

FEWEST = 25  # draws below which the tail has fewer than five weights and no shape can be fitted
EQUAL = 1e-9  # log weights this close to each other, in nats, differ by rounding only
WIDTH = 80  # characters of a line of a printed table

#: What a verdict rests on (see :attr:`Diagnosis.kind`).
STEADY_SHARE, STEADY_KL = 0.9, 0.1  # weights are nearly constant from this ESS share, up to this KL in nats
GOOD_SHARE = 0.5  # below it q is a proposal to be reweighted, not an answer
ALARM = 5.0  # standard errors at which two numbers that should agree do not


# ---- chains ----------------------------------------------------------------------------------------------------------


def ess(draws: ArrayLike, *, kind: str = "bulk") -> float | NDArray[np.float64]:
    """Effective sample size of ``draws`` (C, S), a float, or of each column of (C, S, D), an array (D,).

    ``kind``: "bulk" (rank normalised), "tail" (the worse of the 5% and 95% quantiles), "mean" or "median".
    Every kind halves the chains first.  Needs S ≥ 4, and draws that are not all equal.
    """
    chains = _require_chains(draws)
    require(kind in ("bulk", "tail", "mean", "median"), "kind", "bulk, tail, mean or median", kind)
    prob = (0.05, 0.95) if kind == "tail" else None
    return _plain(_arviz().ess(chains, chain_axis=0, draw_axis=1, method=kind, prob=prob))


def ess_tail(draws: ArrayLike) -> float | NDArray[np.float64]:
    """Effective sample size for the tails: the smaller of those of the 5% and the 95% quantile; shapes as `ess`."""
    return ess(draws, kind="tail")


def rhat(draws: ArrayLike, *, kind: str = "rank") -> float | NDArray[np.float64]:
    """R-hat of ``draws`` (C, S) or of each column of (C, S, D): how far the chains are from one sample; 1 is best.

    ``kind``: "rank" (the larger of the rank-normalised split R-hat and that of the folded draws, which sees a
    difference in spread), "split", "folded", or "identity" (the oldest: whole chains, no ranks).  Needs C ≥ 2, S ≥ 4.
    A value above 1.01 says that the chains do not agree yet.
    """
    chains = _require_chains(draws, chains=2)
    require(kind in ("rank", "split", "folded", "identity"), "kind", "rank, split, folded or identity", kind)
    with np.errstate(divide="ignore"):  # chains that stand still, each elsewhere: infinite
        return _plain(_arviz().rhat(chains, chain_axis=0, draw_axis=1, method=kind))


def mcse_mean(draws: ArrayLike) -> float | NDArray[np.float64]:
    """Monte Carlo standard error of the mean of ``draws`` (C, S) or (C, S, D): sd over the root of the mean's ESS."""
    return _plain(_arviz().mcse(_require_chains(draws), chain_axis=0, draw_axis=1, method="mean"))


# ---- importance weights ----------------------------------------------------------------------------------------------


class Psis(NamedTuple):
    """Pareto smoothed importance weights.

    log_weights : (S,) their logarithms, normalised (they sum to one after exp), in the order of the draws.
    khat : the shape fitted to the largest raw weights.   ess : 1/Σw², with the smoothed weights.
    """

    log_weights: NDArray[np.float64]
    khat: float
    ess: float


def psis(log_weights: ArrayLike) -> Psis:
    """Smooth ``log_weights`` (S,), S ≥ 25: the largest min(S/5, 3√S) weights become order statistics of a generalised
    Pareto distribution fitted to them.

    −inf is a weight of zero.  ``khat`` is −inf where the largest weights are all equal (they have no tail), and +inf
    where they cannot be fitted because too few of them stand out (say, nearly all weights are zero); neither is
    smoothed.
    """
    weights = _require_log_weights(log_weights)
    n_tail = int(3 * weights.size**0.5) if weights.size > 225 else weights.size // 5
    order = np.sort(weights)
    cutoff, tail = order[-n_tail - 1], np.exp(order[-n_tail:] - order[-1])
    if order[-1] - order[-n_tail] <= EQUAL:
        smooth, shape = weights - logsumexp(weights), -np.inf
    elif tail[int(n_tail / 4 + 0.5) - 1] <= np.exp(cutoff - order[-1]):  # ArviZ would divide by this excess
        smooth, shape = weights - logsumexp(weights), np.inf
    else:
        smooth, shape = _arviz().psislw(-weights)
    return Psis(np.asarray(smooth), float(shape), float(np.exp(-logsumexp(2 * np.asarray(smooth)))))


def khat(log_weights: ArrayLike) -> float:
    """Pareto k-hat of ``log_weights`` (S,): the number of finite moments of the weights is about 1/k; see `psis`."""
    return psis(log_weights).khat


def khat_limit(size: int) -> float:
    """The k-hat up to which ``size`` smoothed weights are reliable: min(1 − 1/log₁₀ S, 0.7) [vehtari2024]."""
    return min(1 - 1 / np.log10(require_count("size", size, minimum=FEWEST)), 0.7)


class Diagnosis(NamedTuple):
    """What the weights of one approximation say; ``print`` it for a table.  All in nats but shares and k-hat.

    elbo, elbo_se : the mean log weight and its standard error; −inf and +inf if a weight is zero.
    elbo_given : the ELBO that the fit reports, or None.
    weighted, weighted_sd : log of the mean weight, an estimate of log p(x), and its sd by the delta method.
    kl, kl_sd : KL(q‖posterior): exact evidence minus ELBO where both are given, or else estimated.
    log_evidence : the exact log p(x), or None.
    khat, limit : Pareto k-hat and the value it should not pass at this number of draws.
    ess_share, ess_share_smoothed : 1/(S Σw²), raw and after smoothing; 1 for equal weights.
    sd_log_weights : standard deviation of the log weights.
    """

    name: str
    draws: int
    elbo: float
    elbo_se: float
    elbo_given: float | None
    weighted: float
    weighted_sd: float
    kl: float
    kl_sd: float
    log_evidence: float | None
    khat: float
    limit: float
    ess_share: float
    ess_share_smoothed: float
    sd_log_weights: float

    @property
    def kind(self) -> str:
        """One or two words for the verdict.

        "wrong ELBO" or "wrong weights": two numbers contradict each other, so one is computed wrongly.
        "exact": the weights are equal.   "blind": they miss evidence that is known to be there.
        "good": k-hat within its limit, ESS share at least one half.   "reweight": the same with a smaller share.
        Beyond the limit, "steady": weights nearly constant and a small KL;  "light tails": an ESS share of at least
        one half;  "bad": a smaller one, or evidence that is known to be missed.
        """
        exact, outside = self.log_evidence, self.khat > self.limit
        if self.elbo_given is not None and (
            _apart(self.elbo_given, self.elbo, self.elbo_se) or (exact is not None and self.kl < -1e-6)
        ):
            return "wrong ELBO"
        if exact is not None and _apart(exact, self.weighted, self.weighted_sd):
            return "wrong weights" if self.weighted > exact else "bad" if outside else "blind"
        if self.sd_log_weights <= EQUAL:
            return "exact"
        if not outside:
            return "good" if self.ess_share >= GOOD_SHARE else "reweight"
        if self.ess_share >= STEADY_SHARE and self.kl <= STEADY_KL:
            return "steady"
        return "light tails" if self.ess_share >= GOOD_SHARE else "bad"

    @property
    def verdict(self) -> str:
        """The same in a sentence or two."""
        share = f"{self.ess_share:.2f}"
        missed = np.nan if self.log_evidence is None else self.weighted - self.log_evidence
        return {
            "wrong ELBO": "The reported ELBO contradicts the mean log weight or the evidence: one of them is wrong.",
            "wrong weights": f"The weights give {missed:.3g} nats more evidence than there is: a constant is missing.",
            "exact": "The weights are equal: q is the posterior, as far as its draws can see.",
            "blind": f"The weights look sound, but their evidence is {-missed:.3g} nats short of the exact one: q "
            "never visits part of the posterior, and no weight can tell.",
            "good": f"k-hat allows it, and a draw from q is worth {share} of an exact one: use q, or reweight its "
            "draws for more.",
            "reweight": f"k-hat allows the weights, but a draw is worth only {share} of an exact one: use the draws "
            "reweighted, not q as it stands.",
            "steady": f"k-hat is beyond its limit, yet the weights are nearly constant (ESS share {share}, KL "
            f"{self.kl:.2g}): q is close to the posterior. k-hat does not see scale. The far tails may be too light.",
            "light tails": f"k-hat is beyond its limit and the weights vary (ESS share {share}): q holds the bulk, and "
            "its tails are too light. Check variances and tail probabilities before use.",
            "bad": f"No. k-hat is beyond its limit (ESS share {share}): however settled the ELBO, q misses part of the "
            "posterior, and more draws from q will not mend it.",
        }[self.kind]

    def __str__(self) -> str:
        rows = [("ELBO, the mean log weight", f"{self.elbo:14.4f} ± {self.elbo_se:.2g}")]
        if self.elbo_given is not None:
            rows.append(("ELBO, as the fit reports it", f"{self.elbo_given:14.4f}"))
        rows.append(("log evidence, from the weights", f"{self.weighted:14.4f} ± {self.weighted_sd:.2g}"))
        if self.log_evidence is not None:
            rows.append(("log evidence, exact", f"{self.log_evidence:14.4f}"))
        rows += [
            ("KL(q‖posterior)", f"{_shown(self.kl):14.4f}" + (f" ± {self.kl_sd:.2g}" if self.kl_sd else "   exact")),
            ("k-hat", f"{self.khat:14.2f}   limit {self.limit:.2f}"),
            ("ESS share", f"{self.ess_share:14.3f}   {self.ess_share_smoothed:.3f} smoothed"),
            ("sd of the log weights", f"{self.sd_log_weights:14.3f}"),
        ]
        head = f"{textwrap.shorten(self.name, WIDTH - 22, placeholder='…')}, {self.draws:,} draws"
        lines = [head, *(f"  {label:<31}{value}" for label, value in rows)]
        return "\n".join([*lines, *textwrap.wrap(self.verdict, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")])


def diagnose(
    log_weights: ArrayLike, *, elbo: float | None = None, log_evidence: float | None = None, name: str = "q"
) -> Diagnosis:
    """Everything ``log_weights`` (S,), S ≥ 25, say about the q they were drawn from.

    Parameters
    ----------
    log_weights : log p(x, z) − log q(z) at independent draws z ~ q, all constants kept; −inf is a weight of zero.
    elbo : the ELBO that the fit reports (exact), if known: it is checked against the mean log weight.
    log_evidence : the exact log p(x), if known: the KL is then exact where ``elbo`` is given too.
    name : the heading of the printed table.
    """
    weights = _require_log_weights(log_weights)
    given = None if elbo is None else require_real("elbo", elbo)
    exact = None if log_evidence is None else require_real("log_evidence", log_evidence)
    require(isinstance(name, str), "name", "a string", name)
    size, smoothed = weights.size, psis(weights)
    log_mean = float(logsumexp(weights) - np.log(size))
    ratio = np.exp(weights - log_mean)  # w over its mean
    some_zero = bool(np.isneginf(weights.min()))
    mean, spread = (-np.inf, np.inf) if some_zero else (float(weights.mean()), float(weights.std(ddof=1)))
    weighted_sd = float(ratio.std(ddof=1) / size**0.5)  # d log m = dm/m
    top = log_mean if exact is None else exact
    if given is not None:
        kl, kl_sd = top - given, weighted_sd if exact is None else 0.0
    elif some_zero:
        kl, kl_sd = np.inf, np.inf
    else:
        kl = top - mean
        # both means come from the same draws: the sd of w/m − log w
        kl_sd = float((ratio - weights).std(ddof=1) / size**0.5) if exact is None else spread / size**0.5
    return Diagnosis(
        name=name,
        draws=size,
        elbo=mean,
        elbo_se=spread / size**0.5,
        elbo_given=given,
        weighted=log_mean,
        weighted_sd=weighted_sd,
        kl=float(kl),
        kl_sd=kl_sd,
        log_evidence=exact,
        khat=smoothed.khat,
        limit=khat_limit(size),
        ess_share=float(1 / np.mean(ratio**2)),
        ess_share_smoothed=smoothed.ess / size,
        sd_log_weights=spread,
    )


def diagnose_each(log_weights: ArrayLike, *, name: str = "q") -> list[Diagnosis]:
    """One :class:`Diagnosis` for each row of ``log_weights`` (N, S): N data with a q of their own, say of a VAE."""
    rows = np.asarray(log_weights)
    require(rows.ndim == 2 and len(rows) > 0, "log_weights", "a non-empty (N, S) array", f"shape {rows.shape}")
    return [diagnose(row, name=f"{name} {i}") for i, row in enumerate(rows)]


def summary_table(diagnoses: Sequence[Diagnosis]) -> str:
    """One line a diagnosis, for printing: name, ELBO, KL, k-hat, ESS share, kind of verdict."""
    require(len(diagnoses) > 0, "diagnoses", "not empty", diagnoses)
    for each in diagnoses:
        require(isinstance(each, Diagnosis), "diagnoses", "a sequence of Diagnosis", each)
    width = min(max(len(d.name) for d in diagnoses), WIDTH - 49)
    lines = [f"{'fit':<{width}} {'ELBO':>12} {'KL':>8} {'k-hat':>6} {'ESS share':>9}  verdict"]
    for d in diagnoses:
        elbo = d.elbo if d.elbo_given is None else d.elbo_given
        name = textwrap.shorten(d.name, width, placeholder="…")
        lines.append(f"{name:<{width}} {elbo:>12.3f} {_shown(d.kl):>8.4f} {d.khat:>6.2f} {d.ess_share:>9.3f}  {d.kind}")
    return "\n".join(lines)


# ---- simulation-based calibration and predictive checks --------------------------------------------------------------


class Calibration(NamedTuple):
    """What `calibrate` returns.

    truth : (R, P) the parameters that each data set was simulated from.
    probability : (R, P) the probability that the fit put below them; uniform in each column if the fit is exact.
    """

    truth: NDArray[np.float64]
    probability: NDArray[np.float64]


def calibrate(
    draw_prior: Callable[[np.random.Generator], ArrayLike],
    simulate: Callable[[NDArray[np.float64], np.random.Generator], object],
    fit: Callable[[object], object],
    *,
    simulations: int,
    rng: np.random.Generator,
) -> Calibration:
    """Simulation-based calibration [talts2018, yao2018]: parameters from the prior, data from them, a fit to the data.

    Parameters
    ----------
    draw_prior : rng → θ (P,).   simulate : θ, rng → data.
    fit : data → draws (S, P) from the approximation, or a function θ (P,) → (P,) that gives its marginal
        distribution functions at θ.  Draws give a rank among S + 1 places, made continuous by a uniform number.
    simulations : the number R of data sets.
    """
    rng = require_rng("rng", rng)
    truths, probabilities = [], []
    for _ in range(require_count("simulations", simulations)):
        truth = require_sample("draw_prior(rng)", draw_prior(rng))
        answer = fit(simulate(truth, rng))
        if callable(answer):
            below = require_finite("fit(data)(truth)", answer(truth))
            good = below.shape == truth.shape and bool(np.all((below >= 0) & (below <= 1)))
            require(good, "fit(data)(truth)", f"probabilities of shape {truth.shape}", below)
        else:
            draws = require_sample("fit(data)", answer, ndim=2)
            require(draws.shape[1] == truth.size, "fit(data)", f"draws (S, {truth.size})", f"shape {draws.shape}")
            rank = (draws < truth).sum(0) + rng.random(truth.size) * ((draws == truth).sum(0) + 1)
            below = rank / (len(draws) + 1)
        truths.append(truth)
        probabilities.append(below)
    return Calibration(np.array(truths), np.array(probabilities))


class Uniformity(NamedTuple):
    """Are probabilities uniform on (0, 1)?

    counts : (B,) of equal bins.   p_value : of χ² of the counts against equal ones.
    width : root mean square of Φ⁻¹(p): 1 if calibrated, above 1 if the fit is too narrow, or shifted, below 1 if too
        wide.  Probabilities nearer to 0 or 1 than 1/2R count as if they were 1/2R away.
    width_p_value : two-sided; R times the square of the width is χ² with R degrees of freedom.
    shift_p_value : of Wilcoxon's signed ranks of p − ½: small where the fit lies to one side of the truth.
    band : half width of the band around the diagonal in which the empirical distribution function stays, all of it,
        in 95% of cases (Kolmogorov–Smirnov).
    """

    counts: NDArray[np.int64]
    p_value: float
    width: float
    width_p_value: float
    shift_p_value: float
    band: float


def uniformity(probability: ArrayLike, *, bins: int = 20) -> Uniformity:
    """Test whether ``probability`` (R,), R ≥ 5·``bins``, is uniform on (0, 1): in shape, in width, in location."""
    p = require_sample("probability", probability)
    require(bool(np.all((p >= 0) & (p <= 1))), "probability", "between 0 and 1", probability)
    bins = require_count("bins", bins, minimum=2)
    require(p.size >= 5 * bins, "probability", f"at least {5 * bins} numbers, five a bin", f"{p.size} numbers")
    counts = np.histogram(p, bins=bins, range=(0, 1))[0]
    scores = stats.norm.ppf(np.clip(p, 0.5 / p.size, 1 - 0.5 / p.size))
    total, off = float(scores @ scores), p[p != 0.5] - 0.5
    return Uniformity(
        counts,
        float(stats.chisquare(counts).pvalue),
        float(np.sqrt(total / p.size)),
        2 * min(float(stats.chi2.cdf(total, p.size)), float(stats.chi2.sf(total, p.size))),
        float(stats.wilcoxon(off).pvalue) if off.size else 1.0,
        float(stats.kstwo.ppf(0.95, p.size)),
    )


def predictive_p_value(observed: float, replicated: ArrayLike) -> float:
    """P(T(replicated data) ≥ T(observed data)): the share of ``replicated`` (S,) above ``observed``, ties by half.

    Near 0 or 1 the model does not produce data like those observed, as far as the statistic T shows.
    """
    value, copies = require_real("observed", observed), require_sample("replicated", replicated)
    return float(np.mean(copies > value) + 0.5 * np.mean(copies == value))


# ---- at the door -----------------------------------------------------------------------------------------------------


def _require_chains(draws: ArrayLike, *, chains: int = 1) -> NDArray[np.float64]:
    array = require_finite("draws", draws)
    require(array.ndim in (2, 3), "draws", "an array (chains, draws) or (chains, draws, D)", f"shape {array.shape}")
    fits = array.shape[0] >= chains and array.shape[1] >= 4 and array.size > 0
    require(fits, "draws", f"at least {chains} chain(s) of at least 4 draws", f"shape {array.shape}")
    moves = bool(np.all(np.ptp(array, axis=(0, 1)) > 0))
    require(moves, "draws", "not all equal", array[:, :4].tolist())
    return array


def _require_log_weights(log_weights: ArrayLike) -> NDArray[np.float64]:
    requirement = f"a 1-d array of at least {FEWEST} numbers, −inf allowed, NaN and +inf not"
    array = np.asarray(log_weights)
    require(array.ndim == 1 and array.size >= FEWEST, "log_weights", requirement, f"shape {array.shape}")
    require(array.dtype.kind in "fiu", "log_weights", requirement, log_weights)
    array = array.astype(np.float64, copy=False)
    require(not np.any(np.isnan(array) | np.isposinf(array)), "log_weights", requirement, log_weights)
    require(
        bool(np.any(np.isfinite(array))), "log_weights", "not all −inf: some weight has to be positive", log_weights
    )
    return array


@cache
def _arviz():
    """ArviZ's functions of arrays, imported on first use: it takes half a second, and other rooms pass through here."""
    from arviz_stats.base import array_stats

    return array_stats


def _plain(value: object) -> float | NDArray[np.float64]:
    array = np.asarray(value, dtype=float)
    return float(array) if array.ndim == 0 else array


def _apart(a: float, b: float, error: float) -> bool:
    """Do ``a`` and ``b`` differ by more than ``ALARM`` errors (and more than rounding)?"""
    return abs(a - b) > ALARM * error + 1e-9 * max(1.0, abs(a))


def _shown(kl: float) -> float:
    """A KL for four decimals: no −0.0000 where two equal numbers were rounded."""
    return round(kl, 4) + 0.0
