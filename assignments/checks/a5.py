"""Hidden checks of assignment 5: a variational autoencoder.

Oracles: ``torch.distributions`` (KL), ``scipy.stats`` (Bernoulli, normal quantiles, multivariate normal), sigma points
that integrate quadratics exactly (ELBO), a numerical search (price of the family), decimal arithmetic (importance
weights).  No trained value is judged.
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import cache

import numpy as np
import torch
from scipy import optimize, stats
from scipy.special import expit
from torch import distributions as td

from assignments.course import Student, Task
from vi_helpers.grading import Check, close

RTOL, ATOL = 1e-5, 1e-6  # an answer in float32 passes


def _near(got: object, expected: object, rtol: float = RTOL) -> bool:
    return close(got, expected, rtol, ATOL)


def _tensor(array: object) -> torch.Tensor:
    return torch.from_numpy(np.array(array, dtype=float))


def _only(value: object) -> object:
    """The number in [[number]]: one image of one coordinate is judged whatever the axes."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value


@cache
def _codes() -> tuple[torch.Tensor, torch.Tensor]:
    """Means and log variances of seven images with four coordinates."""
    rng = np.random.default_rng(51)
    return _tensor(rng.normal(0, 1.3, (7, 4))), _tensor(rng.normal(-0.4, 1.1, (7, 4)))


@cache
def _pixels() -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels and logits of seven images with eleven pixels."""
    rng = np.random.default_rng(52)
    return _tensor(rng.random((7, 11)) < 0.4), _tensor(rng.normal(0.3, 2.0, (7, 11)))


def _normal_kl(mean: torch.Tensor, logvar: torch.Tensor) -> np.ndarray:
    q, prior = td.Normal(mean, (logvar / 2).exp()), td.Normal(0.0, 1.0)
    return td.kl_divergence(q, prior).numpy()


def _log_pmf(x: torch.Tensor, logits: torch.Tensor) -> np.ndarray:
    return stats.bernoulli.logpmf(x.numpy().astype(int), expit(logits.numpy()))


@cache
def _kl_oracle() -> np.ndarray:
    return _normal_kl(*_codes()).sum(1)


@cache
def _likelihood_oracle() -> np.ndarray:
    return _log_pmf(*_pixels()).sum(1)


def _kl_to_prior(student: Student) -> list[Check]:
    kl = student.call("kl_to_prior")

    def one_coordinate() -> bool:
        points = [(_tensor([[m]]), _tensor([[v]])) for m, v in [(0.8, 0.9), (-1.7, -1.4), (0.2, -5.0)]]
        return all(_near(_only(kl(m, v)), float(_normal_kl(m, v)[0, 0])) for m, v in points)

    def batch() -> bool:
        return _near(kl(*_codes()), _kl_oracle())

    return [
        Check("right for one image with one coordinate", 1, one_coordinate),
        Check("right for every image of a batch with several coordinates", 2, batch),
    ]


def _log_likelihood(student: Student) -> list[Check]:
    log_likelihood = student.call("log_likelihood")

    def of(x: float, logit: float) -> object:
        return _only(log_likelihood(_tensor([[x]]), _tensor([[logit]])))

    def one_pixel() -> bool:
        points = [(1, 1.3), (0, 1.3), (1, -0.6), (0, 0.7)]
        return all(_near(of(x, o), float(_log_pmf(_tensor(x), _tensor(o)))) for x, o in points)

    def large() -> bool:
        # at such a logit the sure side costs nothing, and the other side the size of the logit
        points = [(0, 150, -150), (1, -1000, -1000), (1, 150, 0), (0, -1000, 0)]
        return all(_near(of(x, logit), cost) for x, logit, cost in points)

    def batch() -> bool:
        return _near(log_likelihood(*_pixels()), _likelihood_oracle())

    return [
        Check("right for a single pixel", 0.5, one_pixel),
        Check("counts every pixel of every image once", 1.5, batch),
        Check("right for a pixel with a very large logit", 1, large),
    ]


def _loss(student: Student) -> list[Check]:
    arguments = (*_pixels(), *_codes())
    loss = student.call("loss")

    def own_parts() -> bool:
        # follow-through: an error in task 1 or 2 is not charged twice
        parts = [student.call("log_likelihood")(*_pixels()), student.call("kl_to_prior")(*_codes())]
        pixels, codes = (np.array(part, dtype=float) for part in parts)
        if pixels.shape != (7,) or codes.shape != (7,) or not np.isfinite([pixels, codes]).all():
            return False
        if min(np.ptp(pixels), np.ptp(codes)) < 1e-3:  # constants are no answer
            return False
        return _near(loss(*arguments), float(np.mean(codes) - np.mean(pixels)))

    def value() -> bool:
        return _near(loss(*arguments), float((_kl_oracle() - _likelihood_oracle()).mean()))

    return [
        Check("puts your two functions together with the right signs and weights", 1, own_parts),
        Check("has the right value", 1, value),
    ]


@cache
def _draws() -> tuple[torch.Tensor, np.ndarray]:
    """Noise of three draws an image, and where the quantiles of q with these probabilities lie."""
    noise = np.random.default_rng(53).normal(size=(3, 7, 4))
    mean, logvar = (part.numpy() for part in _codes())
    return _tensor(noise), stats.norm.ppf(stats.norm.cdf(noise), mean, np.sqrt(np.exp(logvar)))


def _reparameterise(student: Student) -> list[Check]:
    draw = student.call("reparameterise")
    noise, expected = _draws()
    return [
        Check("has the mean and the spread that q claims", 1, lambda: _near(draw(*_codes(), noise[0]), expected[0])),
        Check("the same for several draws an image", 1, lambda: _near(draw(*_codes(), noise), expected)),
    ]


@cache
def _decoder(seed: int, n_pixels: int, n_latent: int) -> tuple[np.ndarray, float, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_pixels, n_latent)), float(rng.uniform(0.4, 2.5)), rng.normal(0, 1.5, (4, n_pixels))


def _evidence(weights: np.ndarray, var: float, x: np.ndarray) -> np.ndarray:
    n_pixels = len(weights)
    return stats.multivariate_normal.logpdf(x, np.zeros(n_pixels), weights @ weights.T + var * np.eye(n_pixels))


def _posterior(weights: np.ndarray, var: float, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Conditional of the joint normal of z and x, by the covariance of x."""
    gain = np.linalg.solve(weights @ weights.T + var * np.eye(len(weights)), weights).T
    return x @ gain.T, np.eye(weights.shape[1]) - gain @ weights


def _sigma_points(mean: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """2 L points whose plain average of any quadratic is its expectation under N(mean, cov)."""
    steps = np.sqrt(len(mean)) * np.linalg.cholesky(cov).T
    return np.concatenate([mean + steps, mean - steps])


def _elbo(weights: np.ndarray, var: float, x: np.ndarray, q_mean: np.ndarray, q_cov: np.ndarray) -> np.ndarray:
    """E_q[log p(x, z) − log q(z)] by sigma points: the integrand is quadratic in z, so this is exact."""
    normal, values = stats.multivariate_normal, []
    for image, mean in zip(x, q_mean, strict=True):
        z = _sigma_points(mean, q_cov)
        log_joint = stats.norm.logpdf(image, z @ weights.T, np.sqrt(var)).sum(1) + stats.norm.logpdf(z).sum(1)
        values.append(np.mean(log_joint - normal.logpdf(z, mean, q_cov)))
    return np.array(values)


@cache
def _some_q() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(55)
    root = rng.normal(size=(3, 3))
    return rng.normal(size=(4, 3)), root @ root.T + 0.2 * np.eye(3)


@cache
def _elbo_oracle() -> np.ndarray:
    return _elbo(*_decoder(54, 6, 3), *_some_q())


def _linear_elbo(student: Student) -> list[Check]:
    elbo = student.call("linear_elbo")

    def of(weights: np.ndarray, var: float, x: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> object:
        return elbo(_tensor(x), _tensor(weights), var, _tensor(mean), _tensor(cov))

    def correlated() -> bool:
        return _near(of(*_decoder(54, 6, 3), *_some_q()), _elbo_oracle())

    def touches() -> bool:
        models = [_decoder(56, 5, 2), _decoder(57, 3, 1)]
        return all(_near(of(*model, *_posterior(*model)), _evidence(*model)) for model in models)

    return [
        Check("right at a q with correlated coordinates", 1, correlated),
        Check("equal to log p(x) where q is the exact posterior", 1, touches),
    ]


def _own(student: Student) -> tuple[np.ndarray, float, np.ndarray, np.random.Generator]:
    """The student's own decoder and images, and the generator after them."""
    rng = student.rng()
    first, second = (row / np.linalg.norm(row) for row in rng.normal(size=(2, 6)))
    weights = np.stack([2.0 * first, 1.5 * first + second], axis=1)
    var = float(rng.uniform(0.3, 0.6))
    z = rng.normal(size=(5, 2))
    return weights, var, z @ weights.T + math.sqrt(var) * rng.normal(size=(5, 6)), rng


def _price(weights: np.ndarray, var: float, x: np.ndarray) -> float:
    """The smallest gap to log p(x) over diagonal covariances, by a search."""
    mean, _ = _posterior(weights, var, x[:1])
    top = _evidence(weights, var, x[:1])

    def gap(log_var: np.ndarray) -> float:
        return float(top - _elbo(weights, var, x[:1], mean, np.diag(np.exp(log_var)))[0])

    return float(optimize.minimize(gap, np.full(2, -2.0), method="BFGS", options={"gtol": 1e-6}).fun)


def _family_cost(student: Student) -> list[Check]:
    def best() -> bool:
        weights, var, x, _ = _own(student)
        return _near(student.value("family_cost"), _price(weights, var, x), rtol=1e-4)

    return [Check("the price of the best q with independent coordinates", 1, best)]


@cache
def _log_weights() -> np.ndarray:
    return np.random.default_rng(58).normal(-4.0, 2.0, (5, 6))


def _log_mean_exp(log_weights: np.ndarray) -> list[float]:
    """By decimal arithmetic, which holds exp(-3000)."""
    return [float((sum(Decimal(w).exp() for w in row) / len(row)).ln()) for row in log_weights.tolist()]


@cache
def _bound_oracle(shift: float) -> list[float]:
    return _log_mean_exp(_log_weights() + shift)


def _own_log_weights(student: Student) -> tuple[np.ndarray, float]:
    """Log weights (400, 16), 80 rows for each of the student's images, with q = N(0, 4 I), and the mean log p(x).

    This q is poor enough that the mean of the right bound stays clear of log p(x), and good enough that without the
    division by the number of draws it would not.
    """
    weights, var, x, rng = _own(student)
    z = 2 * rng.normal(size=(5, 80, 16, 2))
    log_joint = stats.norm.logpdf(x[:, None, None], z @ weights.T, math.sqrt(var)).sum(-1) + stats.norm.logpdf(z).sum(
        -1
    )
    log_weights = log_joint - stats.norm.logpdf(z, scale=2).sum(-1)
    return log_weights.reshape(400, 16), float(_evidence(weights, var, x).mean())


def _importance_bound(student: Student) -> list[Check]:
    bound = student.call("importance_bound")

    def value(shift: float) -> bool:
        return _near(bound(_tensor(_log_weights() + shift)), _bound_oracle(shift))

    def ordered() -> bool:
        log_weights, log_evidence = _own_log_weights(student)
        many = np.array(bound(_tensor(log_weights)), dtype=float)
        single = np.array(bound(_tensor(log_weights[::4].reshape(-1, 1))), dtype=float)
        if many.shape != (400,) or single.shape != (1600,):
            return False
        return bool(single.mean() + 0.05 < many[::4].mean() and many.mean() < log_evidence)

    return [
        Check("right for several draws an image", 1, lambda: value(0.0)),
        Check("right for weights too small for a computer to hold", 0.5, lambda: value(-2000.0)),
        Check("on your own images: higher with more draws, and below log p(x)", 0.5, ordered),
    ]


TASKS = {
    "kl_to_prior": Task(3, _kl_to_prior),
    "log_likelihood": Task(3, _log_likelihood),
    "loss": Task(2, _loss),
    "reparameterise": Task(2, _reparameterise),
    "linear_elbo": Task(2, _linear_elbo),
    "family_cost": Task(1, _family_cost),
    "importance_bound": Task(2, _importance_bound),
}
