"""The tables of the kernels' benchmarks."""

from __future__ import annotations

from typing import Any

from results import RESULTS, provenance, read, seconds

KERNELS = {
    "gram": "`gram`, 10 M events",
    "gram_ml1m": "`gram`, MovieLens-1M",
    "solve_10000": "`esler_weights`, 10,000 items",
    "solve_20108": "`esler_weights`, 20,108 items",
    "top_n": "`top_n`, 20,000 users",
    "top_n_factors_64": "`top_n_factors`, 64 dimensions",
    "top_n_factors_128": "`top_n_factors`, 128 dimensions",
    "score_metrics": "`score_metrics`, 20,000 rows",
    "ranking_metrics": "`ranking_metrics`, 100,000 rows",
    "pq_encode_384_48": "`pq_encode`, 200,000 vectors of 384, 48 parts of 8 bits",
    "pq_encode_768_32": "`pq_encode`, of 768, 32 parts of 8 bits",
    "pq_encode_768_48": "`pq_encode`, of 768, 48 parts of 8 bits",
    "pq_encode_384_48_4bit": "`pq_encode`, of 384, 48 parts of 4 bits",
    "pq_train": "`pq_train`, 25,600 vectors of 384, 48 parts, 25 iterations",
    "pq_rotate": "`ProductQuantizer(48, rotate=True).fit`, of 25,600 vectors of 384",
    "pq_search": "`pq_search`, 256 queries, a million codes of 32 x 8 bits",
    "pq_search_4bit": "`pq_search`, of 32 x 4 bits",
    "pq_lookup": "`pq_lookup`, 20,000 codes, 32 rows of 300 each",
    "pq_lookup_gradient": "`pq_lookup_gradient`, of the same",
}


def kernels() -> str:
    """Tabulate the kernels that were measured; each file has its own date and versions."""
    found = {
        row: read(f"kernels_{row}") for row in KERNELS if (RESULTS / f"kernels_{row}.json").exists()
    }
    lines = ["| | ours | best peer | times ours | others |", "| --- | --- | --- | --- | --- |"]
    for row, result in found.items():
        best, ratios = result["best_peer"], result["ratios"]
        others = [
            name
            for name in sorted(ratios, key=ratios.__getitem__)
            if name != best and not result["contenders"][name]["bound"]
        ]
        told = "; ".join(f"{name} {ratios[name]:.2f}" for name in others)
        ours = seconds(result["contenders"]["pyhybrid"]["median"])
        ratio = f"{ratios[best]:.2f}" if best else ""
        lines.append(f"| {KERNELS[row]} | {ours} | {best or ''} | {ratio} | {told} |")
    lines.append("")
    lines.append("Medians; a peer's figure is its time over ours: above 1 ours is faster")
    lines.append(f"({measured_on(found)}; `python bench/kernels.py`).")
    return "\n".join(lines)


def measured_on(found: dict[str, dict[str, Any]]) -> str:
    """Say where rows were measured; where they differ, which of them where."""
    rows: dict[str, list[str]] = {}
    for row, result in found.items():
        rows.setdefault(provenance(result), []).append(row)
    if len(rows) == 1:
        return next(iter(rows))
    return "; ".join(f"{', '.join(names)}: {said}" for said, names in rows.items())


def sizes() -> str:
    """Tabulate time by numbers of users, items and threads, and the memory of the first call."""
    result = read("kernels_sizes")
    cells = {(c["kernel"], c["users"], c["items"], c["threads"]): c for c in result["cells"]}
    threads = max(cell["threads"] for cell in result["cells"])
    lines = [
        f"| | users | items | events | 1 thread | {threads} threads | memory beside the input |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (kernel, users, items, used), cell in cells.items():
        if used != threads:
            continue
        alone = seconds(cells[kernel, users, items, 1]["median"])
        lines.append(
            f"| `{kernel}` | {users:,} | {items:,} | {cell['events']:,} | {alone} "
            f"| {seconds(cell['median'])} | {cell['peak_bytes_grown'] / 1e6:,.0f} MB |"
        )
    return "\n".join([*lines, "", f"({provenance(result)}; `python bench/kernels.py sizes`)"])


def simd() -> str:
    """Tabulate the kernels' time by instruction set."""
    result = read("kernels_simd")
    levels = list(next(iter(result["kernels"].values())))
    lines = ["| | " + " | ".join(levels) + " |", "| --- " * (len(levels) + 1) + "|"]
    for kernel, found in result["kernels"].items():
        taken = [seconds(found[at]["median"]) if "median" in found[at] else "" for at in levels]
        lines.append(f"| `{kernel}` | " + " | ".join(taken) + " |")
    return "\n".join([*lines, "", f"({provenance(result)}; `python bench/kernels.py simd`)"])
