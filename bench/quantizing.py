"""The rows of kernels.py about product quantisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import peers
from contest import OURS, Contender, contest

from pyhybrid import ProductQuantizer, kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

VECTORS = 200_000
TRAINING_VECTORS = 25_600
ITERATIONS = 25
CODES = 1_000_000
QUERIES = 256
FOUND = 10
LOOKED_UP = 20_000
TABLE_PARTS, TABLE_DIM = 32, 300


def encode(
    width: int, parts: int, entries: int, scale: float, repetitions: int, threads: int
) -> dict[str, Any]:
    """Encode vectors with given centroids."""
    vectors = clustered(round(VECTORS * scale), width)
    centroids = kernels.pq_train(vectors[:5_000], first_ones(vectors, parts, entries), iterations=3)
    contenders = {
        OURS: Contender(lambda: lambda: kernels.pq_encode(vectors, centroids, threads=threads)),
        "torch": Contender(lambda: peers.torch_codes.encode(vectors, centroids)),
    }
    for name, transposed in (("faiss", False), ("faiss, transposed", True)):
        contenders[name] = Contender(
            lambda transposed=transposed: peers.faiss_pq.encode(
                vectors, centroids, transposed=transposed
            ),
            finish=lambda codes: peers.faiss_pq.unpacked(codes, parts, entries),
        )
    if entries == 256:
        contenders["faiss, by index"] = Contender(
            lambda: peers.faiss_pq.encode_by_index(vectors, centroids)
        )
    contenders["nanopq"] = Contender(
        lambda: peers.nano_pq.encode(vectors, centroids), most=1, warm_up=False
    )

    def same(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> dict[str, Any]:
        rows, columns = np.nonzero(ours != theirs)
        gaps = [
            relative_gap(vectors[row], centroids[:, [ours[row, p], theirs[row, p]]], p)
            for row, p in zip(rows.tolist(), columns.tolist(), strict=True)
        ]
        worst = max(gaps, default=0.0)
        return {"agrees": worst < 1e-4, "different_codes": len(gaps), "largest_gap": worst}

    found = contest(contenders, same, repetitions=repetitions, units=len(vectors))
    return {
        "workload": {"vectors": len(vectors), "size": width, "parts": parts, "entries": entries},
        "checked": "equal codes, but where two distances (float64) differ by less than 1e-4 of one",
        **found,
    }


def relative_gap(vector: NDArray[Any], pair: NDArray[Any], part: int) -> float:
    """How much farther the second of a part's two centroids is, relative to the first."""
    dim = pair.shape[2]
    x = vector[part * dim : (part + 1) * dim].astype(np.float64)
    near, far = ((x - pair[part].astype(np.float64)) ** 2).sum(1)
    return float(abs(far - near) / near) if near else float(far)


def train(scale: float, repetitions: int, threads: int) -> dict[str, Any]:
    """Train centroids from random vectors; what counts is the error that is left."""
    vectors = clustered(round(TRAINING_VECTORS * scale), 384)
    parts, entries = 48, 256
    start = first_ones(vectors, parts, entries)

    def error(centroids: NDArray[np.float32]) -> float:
        decoded = kernels.pq_decode(kernels.pq_encode(vectors, centroids), centroids)
        return float(((vectors - decoded) ** 2).sum(1).mean())

    def ours() -> NDArray[np.float32]:
        return kernels.pq_train(vectors, start, iterations=ITERATIONS, threads=threads)

    contenders = {
        OURS: Contender(lambda: ours),
        "faiss": Contender(lambda: peers.faiss_pq.train(vectors, parts, entries, ITERATIONS)),
    }

    def close(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> dict[str, Any]:
        ratio = error(ours) / error(theirs)
        return {"agrees": abs(ratio - 1) < 0.01, "our_error_over_theirs": ratio}

    shape = {"vectors": len(vectors), "size": 384, "parts": parts, "entries": entries}
    return {
        "workload": {**shape, "iterations": ITERATIONS},
        "checked": "mean squared error within 1 %",
        **contest(contenders, close, repetitions=repetitions),
    }


def rotate(scale: float, repetitions: int, threads: int) -> dict[str, Any]:
    """Learn a rotation with the centroids; what counts is the error that is left."""
    vectors = clustered(round(TRAINING_VECTORS * scale), 384)
    vectors /= np.sqrt(1 + np.arange(384, dtype=np.float32) / 32)  # so that a rotation pays
    parts, entries = 48, 256

    def ours() -> tuple[Any, Any]:
        quantizer = ProductQuantizer(parts, rotate=True).fit(vectors, threads=threads)
        return quantizer.rotation, quantizer.centroids

    def error(rotation: NDArray[np.float32] | None, centroids: NDArray[np.float32]) -> float:
        turned = vectors if rotation is None else vectors @ rotation
        decoded = kernels.pq_decode(kernels.pq_encode(turned, centroids), centroids)
        return float(((turned - decoded) ** 2).sum(1).mean())

    def close(ours: Any, theirs: Any) -> dict[str, Any]:
        ratio = error(*ours) / error(*theirs)
        return {"agrees": ratio < 1.01, "our_error_over_theirs": ratio}

    contenders = {
        OURS: Contender(lambda: ours, most=1),
        "faiss": Contender(lambda: peers.faiss_pq.rotate(vectors, parts, entries), most=1),
    }
    found = contest(contenders, close, repetitions=repetitions)
    plain = ProductQuantizer(parts).fit(vectors, threads=threads).centroids
    shape = {"vectors": len(vectors), "size": 384, "parts": parts, "entries": entries}
    return {
        "workload": shape,
        "checked": "mean squared error at most 1 % above",
        **found,
        "error_over_that_without_rotation": error(*ours()) / error(None, plain),
    }


def search(entries: int, scale: float, repetitions: int, threads: int) -> dict[str, Any]:
    """Find the nearest of a million codes of 32 parts."""
    parts, width = 32, 128
    vectors = clustered(round(CODES * scale) + QUERIES, width)
    queries, vectors = vectors[:QUERIES].copy(), vectors[QUERIES:]
    centroids = kernels.pq_train(
        vectors[:20_000], first_ones(vectors, parts, entries), iterations=10
    )
    codes = kernels.pq_encode(vectors, centroids)

    def ours() -> Any:
        return kernels.pq_search(queries, codes, centroids, FOUND, threads=threads)

    def peer(*, fast_scan: bool, implementation: int = 0) -> Contender:
        return Contender(
            lambda: peers.faiss_pq.search(
                queries,
                codes,
                centroids,
                FOUND,
                fast_scan=fast_scan,
                implementation=implementation,
            )
        )

    contenders = {OURS: Contender(lambda: ours), "faiss IndexPQ": peer(fast_scan=False)}
    if entries == 16:
        contenders["faiss IndexPQFastScan"] = peer(fast_scan=True)
        contenders["faiss IndexPQFastScan, 14"] = peer(fast_scan=True, implementation=14)

    def close(ours: Any, theirs: Any) -> dict[str, Any]:
        pairs = zip(ours[0], theirs[0], strict=True)
        overlap = float(np.mean([len(np.intersect1d(a, b)) / FOUND for a, b in pairs]))
        error = float((abs(ours[1] - theirs[1]) / np.maximum(ours[1], 1e-9)).max())
        is_exact = overlap > 0.999 and error < 1e-4
        return {
            "agrees": is_exact or (entries == 16 and overlap > 0.9),
            "overlap": overlap,
            "largest_difference": error,
        }

    shape = {"codes": len(codes), "queries": QUERIES, "n": FOUND, "size": width}
    return {
        "workload": {**shape, "parts": parts, "entries": entries},
        "checked": "nine of ten found codes the same; IndexPQFastScan rounds its tables to bytes",
        **contest(contenders, close, repetitions=repetitions, units=QUERIES),
        "exact": float(np.mean(exact(queries[:8], codes, centroids) == ours()[0][:8])),
    }


def exact(queries: NDArray[Any], codes: NDArray[Any], centroids: NDArray[Any]) -> NDArray[np.int64]:
    """The same search by tables of float32 that are summed in order."""
    found = []
    for query in queries:
        pieces = query.reshape(len(centroids), 1, -1)
        tables = ((pieces - centroids) ** 2).astype(np.float64).sum(2)
        sums = np.zeros(len(codes))
        for part, table in enumerate(tables):
            sums += table[codes[:, part]]
        found.append(np.argsort(sums, kind="stable")[:FOUND])
    return np.array(found)


def lookup(scale: float, repetitions: int, threads: int) -> dict[str, Any]:
    """Sum 32 rows of 300 floats by code."""
    table, codes = _table_and_codes(scale)
    contenders = {
        OURS: Contender(lambda: lambda: kernels.pq_lookup(table, codes, threads=threads)),
        "torch embedding_bag": Contender(lambda: peers.torch_codes.lookup(table, codes)),
    }
    return _looked_up(contenders, codes, repetitions)


def lookup_gradient(scale: float, repetitions: int, threads: int) -> dict[str, Any]:
    """Add the gradient of those sums up to that of the table."""
    table, codes = _table_and_codes(scale)
    gradient = np.random.default_rng(1).standard_normal((len(codes), TABLE_DIM), dtype=np.float32)

    def ours() -> NDArray[np.float32]:
        return kernels.pq_lookup_gradient(gradient, codes, table.shape[1], threads=threads)

    contenders = {
        OURS: Contender(lambda: ours),
        "torch embedding_bag": Contender(
            lambda: peers.torch_codes.lookup_gradient(table, codes, gradient)
        ),
    }
    return _looked_up(contenders, codes, repetitions)


def _table_and_codes(scale: float) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    shape = (round(LOOKED_UP * scale), TABLE_PARTS)
    table = random.standard_normal((TABLE_PARTS, 256, TABLE_DIM), dtype=np.float32)
    return table, random.integers(0, 256, shape, dtype=np.uint8)


def _looked_up(
    contenders: dict[str, Contender], codes: NDArray[np.uint8], repetitions: int
) -> dict[str, Any]:
    def close(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> dict[str, Any]:
        error = float(abs(ours - theirs).max())
        return {"agrees": error < 1e-3, "largest_difference": error}

    return {
        "workload": {"items": len(codes), "parts": TABLE_PARTS, "dim": TABLE_DIM},
        "checked": "largest difference below 1e-3, at values of about 6 to 9",
        **contest(contenders, close, repetitions=repetitions, units=len(codes)),
    }


def clustered(rows: int, width: int) -> NDArray[np.float32]:
    """Vectors of length 1 around 1,000 centres, as embeddings of texts are."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((1_000, width), dtype=np.float32)
    vectors = centres[random.integers(0, len(centres), rows)]
    vectors += random.standard_normal(vectors.shape, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def first_ones(vectors: NDArray[np.float32], parts: int, entries: int) -> NDArray[np.float32]:
    """The first vectors as centroids (parts, entries, dim): they are in no order."""
    cut = vectors[:entries].reshape(entries, parts, -1)
    return np.ascontiguousarray(cut.transpose(1, 0, 2))
