"""Vectors as codes of a few bytes: product quantisation, optionally after a learned rotation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pyhybrid import kernels
from pyhybrid.checks import check_dense, count, switch
from pyhybrid.errors import NotFittedError, describe
from pyhybrid.progress import part_of, progress_bar
from pyhybrid.storage import read_folder, write_folder

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from pyhybrid.kernels.core import TopN
    from pyhybrid.progress import Progress

__all__ = ["ProductQuantizer"]

_POINTS_A_CENTROID = 256  # more of them do not move a centroid by anything that matters
_ROTATIONS = 50  # rounds of OPQ
_ITERATIONS_A_ROTATION = 4
_ROTATION_SHARE = 0.8  # of the time of a fit


class ProductQuantizer:
    """Cut vectors into parts and name each part's nearest centroid by a code.

    H. Jegou, M. Douze, C. Schmid, "Product quantization for nearest neighbor search" (PAMI 2011).
    With ``rotate=True`` after a rotation that is learned so that the parts lose least: T. Ge,
    K. He, Q. Ke, J. Sun, "Optimized product quantization" (CVPR 2013), the non-parametric one.

    Fitting takes at most 256 vectors a centroid, drawn with the seed; k-means starts from some of
    them. The same vectors, parameters and seed give the same centroids for any number of threads;
    with ``rotate=True``, which stands on BLAS, nearly so.

    Args:
        parts: Parts, and so the bytes of a code; must divide the size of the vectors.
        bits: Each part has 2^bits centroids, 1 to 8. Codes of 4 bits or fewer are searched
            sooner; each still takes a byte.
        rotate: Whether to learn a rotation first.
        iterations: Of k-means, at most.
        seed: Of the draw.

    Attributes:
        centroids: float32 (parts, 2^bits, dim of a part), once fitted.
        rotation: float32 (dim, dim), orthogonal: ``vectors @ rotation`` is what is cut. None
            without ``rotate``.

    >>> vectors = np.random.default_rng(0).standard_normal((1000, 8), dtype=np.float32)
    >>> quantizer = ProductQuantizer(4).fit(vectors)
    >>> codes = quantizer.encode(vectors)
    >>> codes.shape, codes.dtype
    ((1000, 4), dtype('uint8'))
    >>> bool(((quantizer.decode(codes) - vectors) ** 2).sum() < 0.02 * (vectors**2).sum())
    True
    >>> items, distances = quantizer.search(vectors[:2], codes, 3)
    >>> items[:, 0]
    array([0, 1], dtype=int32)
    """

    rotation: NDArray[np.float32] | None

    def __init__(
        self,
        parts: int,
        *,
        bits: int = 8,
        rotate: bool = False,
        iterations: int = 25,
        seed: int = 0,
    ) -> None:
        self.parts = count(_WHO, "parts", parts)
        self.bits = count(_WHO, "bits", bits)
        if self.bits > 8:
            raise ValueError(describe(_WHO, "bits", bits, "1 to 8"))
        self.rotate = switch(_WHO, "rotate", rotate)
        self.iterations = count(_WHO, "iterations", iterations)
        self.seed = count(_WHO, "seed", seed, least=0)
        self._centroids: NDArray[np.float32] | None = None
        self.rotation = None

    def __repr__(self) -> str:
        params = ", ".join(f"{name}={value!r}" for name, value in self.params.items())
        return f"{_WHO}({params})"

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, as the constructor takes them."""
        names = ("parts", "bits", "rotate", "iterations", "seed")
        return {name: getattr(self, name) for name in names}

    @property
    def centroids(self) -> NDArray[np.float32]:
        """The centroids, float32 (parts, 2^bits, dim of a part). NotFittedError before `fit`."""
        if self._centroids is None:
            raise NotFittedError(describe(_WHO, f"this {_WHO}", "not fitted", "fit() before it"))
        return self._centroids

    @property
    def dim(self) -> int:
        """The size of the vectors. NotFittedError before `fit`."""
        return int(self.centroids.shape[0] * self.centroids.shape[2])

    def fit(
        self, vectors: NDArray[np.float32], *, threads: int = 0, progress: Progress = False
    ) -> Self:
        """Learn the centroids, and the rotation if one is wanted.

        Args:
            vectors: C-contiguous float32 (rows, dim), at least 2^bits.
            threads: 0 for all that this process may use.
            progress: True for a bar, or a callable that is handed the share done.

        Returns:
            The quantizer itself.

        Raises:
            TypeError: If `vectors` has another dtype or layout.
            ValueError: If there are too few, a value is not finite, or `parts` does not divide
                their size.
        """
        check_dense(_WHO, "vectors", vectors, np.float32)
        rows, dim = vectors.shape
        if dim == 0 or dim % self.parts:
            expected = f"a divisor of the vectors' size, {dim}"
            raise ValueError(describe(_WHO, "parts", self.parts, expected))
        entries = 2**self.bits
        if rows < entries:
            expected = f"{entries} or more, one a centroid"
            raise ValueError(describe(_WHO, "number of vectors", rows, expected, "use fewer bits"))
        random = np.random.default_rng(self.seed)
        if rows > _POINTS_A_CENTROID * entries:
            chosen = random.choice(rows, _POINTS_A_CENTROID * entries, replace=False)
            vectors = vectors[np.sort(chosen)]
        first = random.choice(len(vectors), entries, replace=False)
        with progress_bar(f"fitting {_WHO}", progress) as report:
            rotation = None
            if self.rotate:
                _finite("fit", vectors)
                told = part_of(report, 0.0, _ROTATION_SHARE)
                rotation, start = self._fit_rotation(vectors, first, random, threads, told)
                report = part_of(report, _ROTATION_SHARE, 1.0)
                vectors = vectors @ rotation
            else:
                start = self._cut(vectors[first])
            self._centroids = kernels.pq_train(
                vectors, start, iterations=self.iterations, threads=threads, progress=report
            )
            self.rotation = rotation
        return self

    def encode(
        self, vectors: NDArray[np.float32], *, threads: int = 0, progress: Progress = False
    ) -> NDArray[np.uint8]:
        """Name the nearest centroid of each part: uint8 (rows, parts), ties to the lowest.

        Raises:
            NotFittedError: Before `fit`.
            TypeError: If `vectors` is not C-contiguous float32.
            ValueError: If their size is not that of `fit`, or a value is not finite.
        """
        centroids = self.centroids
        turned = self._rotated("encode", "vectors", vectors)
        with progress_bar("encoding", progress) as report:
            return kernels.pq_encode(turned, centroids, threads=threads, progress=report)

    def decode(self, codes: NDArray[np.uint8], *, threads: int = 0) -> NDArray[np.float32]:
        """Put the centroids that codes name together, and turn them back: float32 (rows, dim).

        Raises:
            NotFittedError: Before `fit`.
            TypeError: If `codes` is not C-contiguous uint8.
            ValueError: If it has another number of parts, or names no centroid.
        """
        vectors = kernels.pq_decode(codes, self.centroids, threads=threads)
        return vectors if self.rotation is None else vectors @ self.rotation.T

    def search(
        self,
        queries: NDArray[np.float32],
        codes: NDArray[np.uint8],
        n: int,
        *,
        similarity: str = "distance",
        threads: int = 0,
    ) -> TopN:
        """Find the n codes whose vectors are nearest to each query, which is not quantised itself.

        Args:
            queries: C-contiguous float32 (rows, dim).
            codes: C-contiguous uint8 (codes, parts).
            n: Codes a query.
            similarity: "distance", squared, least first; or "product", largest first.
            threads: 0 for all that this process may use.

        Returns:
            Rows of `codes` int32 (rows, n) and their distances or products float32 (rows, n), best
            first; see `pyhybrid.kernels.pq_search`.
        """
        turned = self._rotated("search", "queries", queries)
        return kernels.pq_search(
            turned, codes, self.centroids, n, similarity=similarity, threads=threads
        )

    def lookup(
        self,
        table: NDArray[np.float32],
        codes: NDArray[np.uint8],
        *,
        mean: bool = False,
        threads: int = 0,
    ) -> NDArray[np.float32]:
        """Sum the rows of a table (parts, 2^bits, any dim) that codes name: float32 (rows, dim).

        How VQ-Rec makes item embeddings of codes; see `pyhybrid.kernels.pq_lookup`.
        """
        if table.shape[:2] != (self.parts, 2**self.bits):
            expected = f"({self.parts}, {2**self.bits}, any size)"
            raise ValueError(describe("lookup", "table's shape", table.shape, expected))
        return kernels.pq_lookup(table, codes, mean=mean, threads=threads)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return what was learned, by name: for who saves it, as `save` and models do.

        Raises:
            NotFittedError: Before `fit`.
        """
        learned = {"centroids": self.centroids}
        return learned if self.rotation is None else {**learned, "rotation": self.rotation}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `arrays` returned, and return the quantizer itself."""
        self._centroids = arrays["centroids"]
        self.rotation = arrays["rotation"] if self.rotate else None
        return self

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the quantizer to a folder, or replace the one that is there.

        Raises:
            NotFittedError: Before `fit`.
            FileExistsError: If the folder holds something else.
        """
        write_folder(folder, {"class": _WHO, "params": self.params}, self.arrays())

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read a quantizer that `save` wrote; its arrays are memory-mapped.

        Raises:
            FileNotFoundError: If there is no such folder.
            ValueError: If it is no quantizer, of a newer format, or damaged.
        """
        config, arrays = read_folder(folder)
        if config["class"] != _WHO:
            what = f"what is saved in {folder}"
            raise ValueError(describe("load", what, config["class"], f"a {_WHO}"))
        return cls(**config["params"]).restore(arrays)

    def _cut(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Vectors as centroids: (entries, dim) to (parts, entries, dim of a part)."""
        cut = vectors.reshape(len(vectors), self.parts, -1)
        return np.ascontiguousarray(cut.transpose(1, 0, 2))

    def _rotated(self, who: str, what: str, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        check_dense(who, what, vectors, np.float32)
        if vectors.shape[1] != self.dim:
            expected = f"{self.dim}, as in fit()"
            raise ValueError(describe(who, f"the size of {what}", vectors.shape[1], expected))
        return vectors if self.rotation is None else _finite(who, vectors) @ self.rotation

    def _fit_rotation(
        self,
        vectors: NDArray[np.float32],
        first: NDArray[np.int64],
        random: np.random.Generator,
        threads: int,
        report: Callable[[float], object] | None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Learn the rotation and the centroids in turns (OPQ, section 3.1), from a random one on.

        Given the codes, the best rotation is that of the orthogonal Procrustes problem: U V^T for
        vectors^T decoded = U S V^T.
        """
        dim = vectors.shape[1]
        rotation, triangle = np.linalg.qr(random.standard_normal((dim, dim)))
        rotation = (rotation * np.sign(np.diag(triangle))).astype(np.float32)  # uniform: Mezzadri
        centroids = self._cut(vectors[first] @ rotation)
        for step in range(_ROTATIONS):
            turned = vectors @ rotation
            iterations = _ITERATIONS_A_ROTATION * (1 if step else 10)
            centroids = kernels.pq_train(turned, centroids, iterations=iterations, threads=threads)
            codes = kernels.pq_encode(turned, centroids, threads=threads)
            decoded = kernels.pq_decode(codes, centroids, threads=threads)
            left, _, right = np.linalg.svd((vectors.T @ decoded).astype(np.float64))
            rotation = (left @ right).astype(np.float32)
            if report is not None:
                report((step + 1) / _ROTATIONS)
        return rotation, centroids


def _finite(who: str, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `vectors`, unless one is nan, infinite or huge: a product would only warn of it."""
    most = np.sqrt(np.finfo(np.float32).max)
    wrong = np.flatnonzero(~(abs(vectors).max(axis=1, initial=0) < most))
    if len(wrong):
        what = f"the largest number of vector {wrong[0]}"
        found = abs(vectors[wrong[0]]).max()
        raise ValueError(describe(who, what, found, "a finite number", "look for nan"))
    return vectors


_WHO = "ProductQuantizer"
