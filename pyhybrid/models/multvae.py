"""Mult-VAE and Mult-DAE: autoencoders of what a user has taken, with a multinomial likelihood.

D. Liang, R. G. Krishnan, M. D. Hoffman, T. Jebara, "Variational Autoencoders for Collaborative
Filtering", WWW 2018, arXiv:1802.05814; where the paper is silent, as the authors' notebook does it.
A user's row x of items goes in with length 1 and partly dropped, and comes out as a score f of each
item, under whose softmax the whole row should be likely (eq. 2): items compete for the probability
of being taken, as they compete for the top of a list.

    Mult-DAE     f = W_2 tanh(W_1 x + b_1) + b_2
    Mult-VAE     [mu, log sigma^2] = W_2 tanh(W_1 x + b_1) + b_2
                 z = mu + epsilon sigma while training, mu afterwards
                 f = W_4 tanh(W_3 z + b_3) + b_4

    Mult-VAE without hidden layers, which the paper found as good on some data (section 4.3):

                 [mu, log sigma^2] = W_1 x + b_1,    f = W_2 z + b_2

Mult-VAE adds beta KL(q(z|x) || N(0, I)) to the loss (eq. 7), where beta rises by 1 / anneal_steps a
step up to a cap below 1 (section 2.2.2), so that the latent variables are regularised no more than
is good for ranking.

A row stays sparse: the first layer is a sum of the rows of W_1 that it names, and the loss
(`pyhybrid.models.catalog_loss`) knows what was taken by its places.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyhybrid.checks import count, not_negative
from pyhybrid.errors import describe
from pyhybrid.models.autoencoder_base import Autoencoder
from pyhybrid.progress import part_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.feedback import Feedback
    from pyhybrid.data.held_out import HeldOut
    from pyhybrid.data.interactions import Interactions
    from pyhybrid.kernels.core import CSR

__all__ = ["MultDAE", "MultVAE"]


class MultDAE(Autoencoder):
    """Rank what a denoising autoencoder finds likely beside what a user has taken.

    Memory: while training six float32 matrices of 2 items x latent_dim, and on a CPU at most one
    of batch_size x items: at 20,000 items and the defaults 0.2 GB. On a GPU three of the latter.

    Args:
        latent_dim: The width of the one hidden layer (the paper's 200).
        dropout: Share of a user's items that is left out of what goes in.
        l2: lambda of the loss's lambda |W|^2 (the authors' 0.01 / 500).
        likelihood: "multinomial", "logistic" or "gaussian".
        confidence: The gaussian likelihood's c of what is taken, where other items have 1.
        lr: Adam's learning rate.
        batch_size: Users a step.
        epochs: At most so many passes over the users.
        patience: With ``fit(validation=...)``: stop after so many epochs without a better figure.
        precision: "float32", or "bfloat16" for training's matrix products; None: bfloat16 on a GPU
            that has it, else float32. Scoring is in float32 throughout.
        seed: Of the initial weights, the users' order and dropout.
        device: "cpu", "cuda", or None for a GPU if there is one, to fit and to score on.

    >>> from pyhybrid import Interactions
    >>> users, items = np.repeat(np.arange(8), 4), np.tile([1, 2, 3, 4, 6, 7, 8, 9], 4)
    >>> model = MultDAE(latent_dim=8, epochs=30, lr=0.05, device="cpu")
    >>> history = Interactions.from_columns(["new"] * 3, [1, 2, 4])
    >>> model = model.fit(Interactions.from_columns(users, items))
    >>> model.item_ids[model.recommend(history, n=1).items]
    array([[3]])
    """

    def __init__(
        self,
        *,
        latent_dim: int = 200,
        dropout: float = 0.5,
        l2: float = 2e-5,
        likelihood: Literal["multinomial", "logistic", "gaussian"] = "multinomial",
        confidence: float = 10.0,
        lr: float = 0.001,
        batch_size: int = 500,
        epochs: int = 200,
        patience: int = 20,
        precision: Literal["float32", "bfloat16"] | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        who = "MultDAE"
        self.latent_dim = count(who, "latent_dim", latent_dim)
        self._set_loss(who, dropout=dropout, likelihood=likelihood, confidence=confidence, l2=l2)
        self._set_recipe(
            who,
            lr=lr,
            batch_size=batch_size,
            epochs=epochs,
            patience=patience,
            precision=precision,
            seed=seed,
            device=device,
        )

    @property
    def _widths(self) -> tuple[int, int]:
        return self.latent_dim, self.latent_dim

    def _middle(
        self, network: Any, first: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        del network, noise
        return first.tanh(), None


class MultVAE(Autoencoder):
    """Rank what a variational autoencoder finds likely beside what a user has taken.

    Memory: while training six float32 matrices of 2 items x hidden_dim (or of 3 items x latent_dim
    without hidden layers), and on a CPU at most one of batch_size x items: at 20,000 items and the
    defaults 0.6 GB. On a GPU three of the latter.

    Args:
        hidden_dim: The width of the layers beside the latent variables (the paper's 600); 0 for
            none, which takes less memory and was better on gowalla and MovieLens-1M.
        latent_dim: How many latent variables a user has (200).
        dropout: Share of a user's items that is left out of what goes in.
        beta: The most that the KL term weighs. "auto" finds it as the paper does: a first training
            lets it rise up to 1, and a second one as far as it was in the first one's best epoch;
            needs ``fit(validation=...)``.
        anneal_steps: After how many steps beta would be 1; 0 for beta from the first on. The
            authors' 200,000 is about four times all steps of theirs; where there are fewer, take
            fewer.
        l2: lambda of the loss's lambda |W|^2.
        likelihood: "multinomial", "logistic" or "gaussian".
        confidence: The gaussian likelihood's c of what is taken, where other items have 1.
        lr: Adam's learning rate.
        batch_size: Users a step.
        epochs: At most so many passes over the users.
        patience: With ``fit(validation=...)``: stop after so many epochs without a better figure.
        precision: "float32", or "bfloat16" for training's matrix products; None: bfloat16 on a GPU
            that has it, else float32. Scoring is in float32 throughout.
        seed: Of the initial weights, the users' order, dropout and epsilon.
        device: "cpu", "cuda", or None for a GPU if there is one, to fit and to score on.

    Attributes:
        beta_cap: The most that the KL term weighed in the last fit: `beta`, or what "auto" found.

    >>> from pyhybrid import Interactions
    >>> users, items = np.repeat(np.arange(8), 4), np.tile([1, 2, 3, 4, 6, 7, 8, 9], 4)
    >>> model = MultVAE(hidden_dim=8, latent_dim=4, epochs=50, lr=0.05, device="cpu")
    >>> history = Interactions.from_columns(["new"] * 3, [1, 2, 4])
    >>> model = model.fit(Interactions.from_columns(users, items))
    >>> model.item_ids[model.recommend(history, n=1).items]
    array([[3]])
    >>> model.latent_means(history).shape
    (1, 4)
    """

    beta_cap: float

    def __init__(
        self,
        *,
        hidden_dim: int = 600,
        latent_dim: int = 200,
        dropout: float = 0.5,
        beta: float | Literal["auto"] = 0.2,
        anneal_steps: int = 200_000,
        l2: float = 0.0,
        likelihood: Literal["multinomial", "logistic", "gaussian"] = "multinomial",
        confidence: float = 10.0,
        lr: float = 0.001,
        batch_size: int = 500,
        epochs: int = 200,
        patience: int = 20,
        precision: Literal["float32", "bfloat16"] | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        who = "MultVAE"
        self.hidden_dim = count(who, "hidden_dim", hidden_dim, least=0)
        self.latent_dim = count(who, "latent_dim", latent_dim)
        is_auto = isinstance(beta, str)
        if is_auto and beta != "auto":
            rule = "a number of at least 0, or 'auto'"
            raise ValueError(describe(who, "beta", repr(beta), rule))
        self.beta = beta if is_auto else not_negative(who, "beta", beta)
        self.anneal_steps = count(who, "anneal_steps", anneal_steps, least=int(is_auto))
        self._set_loss(who, dropout=dropout, likelihood=likelihood, confidence=confidence, l2=l2)
        self._set_recipe(
            who,
            lr=lr,
            batch_size=batch_size,
            epochs=epochs,
            patience=patience,
            precision=precision,
            seed=seed,
            device=device,
        )

    def latent_means(self, histories: Interactions | CSR) -> NDArray[np.float32]:
        """Return mu of q(z|x), a user's embedding: float32 (rows, latent_dim).

        Zeros, the prior's mean, for an empty history. A row's bits don't depend on other rows.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If a history names an item that the model doesn't know.
        """
        view = self.axis.view(self._histories("latent_means", histories))
        return self._encode(
            view, self.latent_dim, lambda first: self._moments(self._encoder, first)[0]
        )

    @property
    def _widths(self) -> tuple[int, int]:
        if self.hidden_dim:
            return self.hidden_dim, self.hidden_dim
        return 2 * self.latent_dim, self.latent_dim

    @property
    def _width_name(self) -> str:
        return "hidden_dim" if self.hidden_dim else "latent_dim"

    def _middle_layers(self) -> dict[str, nn.Module]:
        from torch import nn

        if not self.hidden_dim:
            return {}
        return {
            "latent": nn.Linear(self.hidden_dim, 2 * self.latent_dim),
            "hidden": nn.Linear(self.latent_dim, self.hidden_dim),
        }

    def _noise(self, generator: np.random.Generator, users: int) -> NDArray[np.float32]:
        return generator.standard_normal((users, self.latent_dim), dtype=np.float32)

    def _middle(
        self, network: Any, first: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        import torch

        mean, log_variance = self._moments(network, first)
        if noise is None:
            return self._decode(network, mean), None
        latent = mean + noise * torch.exp(log_variance / 2)
        divergence = (log_variance.exp() + mean.square() - 1 - log_variance).sum() / 2
        beta = self.beta_cap
        if self.anneal_steps:
            beta = min(beta, int(network.updates) / self.anneal_steps)
        return self._decode(network, latent), beta * divergence

    def _decode(self, network: Any, latent: Tensor) -> Tensor:
        """Return the states before the last layer."""
        states: Tensor = network["hidden"](latent).tanh() if self.hidden_dim else latent
        return states

    def _moments(self, network: Any, first: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and log sigma^2 of q(z|x): (rows, latent_dim) each."""
        if self.hidden_dim:
            layer = network["latent"]
            first = layer(first.tanh()).to(layer.weight.dtype)  # not bfloat16, autocast's own
        mean, log_variance = first.chunk(2, 1)
        return mean, log_variance

    def _fit(
        self,
        interactions: Interactions,
        catalog: Catalog | None,
        threads: int,
        report: Callable[[float], object] | None,
        *,
        validation: HeldOut | Feedback | None = None,
        metric: str = "ndcg@10",
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        fit = partial(super()._fit, interactions, catalog, threads)
        begun = 0.0
        if self.beta == "auto":
            if validation is None:
                rule = "a number where fit is given no validation="
                raise ValueError(describe("MultVAE", "beta", "'auto'", rule))
            self.beta_cap, begun = 1.0, 0.5
            folder = None if checkpoint is None else Path(checkpoint) / "annealing"
            first = part_of(report, 0.0, begun)
            fit(first, validation=validation, metric=metric, checkpoint=folder)
            del self._encoder, self.item_vectors
            figures = np.array([epoch.metric for epoch in self.epochs_run], dtype=np.float64)
            steps = (1 + int(np.argmax(figures))) * self._steps(interactions)
            self.beta_cap = min(1.0, steps / self.anneal_steps)
        else:
            self.beta_cap = self.beta
        rest = part_of(report, begun, 1.0)
        fit(rest, validation=validation, metric=metric, checkpoint=checkpoint)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {**super()._arrays(), "beta_cap": np.array([self.beta_cap])}

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(arrays)
        self.beta_cap = float(arrays["beta_cap"][0])
