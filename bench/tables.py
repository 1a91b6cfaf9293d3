"""Write the README's tables from the results under bench/results.

python bench/tables.py            rewrites README.md
python bench/tables.py --check    fails if README.md is not up to date
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from results import RESULTS

README = Path(__file__).parents[1] / "README.md"


def read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text())


def provenance(result: dict[str, Any]) -> str:
    machine, versions = result["machine"], result["versions"]
    packages = ", ".join(f"{name} {number}" for name, number in versions.items())
    return f"{result['date']}, {machine['threads']} threads of {machine['cpu']}, {packages}"


def gowalla() -> str:
    result = read("gowalla")
    whole = result["whole"]
    lines = ["| | Recall@20 | NDCG@20 |", "| --- | --- | --- |"]
    published = result["published"]
    lines.append(f"| BARS, EASE^R | {published['recall@20']:.6f} | {published['ndcg@20']:.6f} |")
    lines.append(
        f"| `ESLER(l2={result['l2']:g})` | {whole['recall@20']:.6f} | {whole['ndcg@20']:.6f} |"
    )
    lines.append("")
    times = f"Fit {whole['fit_seconds']:.0f} s, evaluation {whole['evaluate_seconds']:.0f} s"
    peak = f"peak memory of both together {whole['peak_bytes'] / 1e9:.1f} GB"
    lines.append(f"{times} on a shared machine, {peak} ({provenance(result)};")
    lines.append("`python bench/gowalla.py`).")
    return "\n".join(lines)


def ml1m_strong() -> str:
    result = read("ml1m_strong")
    lines = ["| | NDCG@100 | NDCG@10 | Recall@20 | Recall@50 |", "| --- | --- | --- | --- | --- |"]
    metrics = ("ndcg@100", "ndcg@10", "recall_min@20", "recall_min@50")
    for name, row in result["rows"].items():
        model, _, l2 = name.partition(" ")
        label = f"`ESLER(l2={l2})`" if l2 else model
        lines.append(f"| {label} | " + " | ".join(f"{row[m]:.4f}" for m in metrics) + " |")
    lines.append("")
    lines.append(
        f"Recall is over min(k, targets) ({provenance(result)}; `python bench/ml1m_strong.py`)."
    )
    return "\n".join(lines)


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
    said = dict.fromkeys(provenance(result) for result in found.values())
    lines.append("Medians; a peer's figure is its time over ours: above 1 ours is faster")
    lines.append(f"({'; '.join(said)}; `python bench/kernels.py`).")
    return "\n".join(lines)


def seconds(value: float) -> str:
    return f"{value:.1f} s" if value >= 1 else f"{1000 * value:.0f} ms"


TABLES = {"gowalla": gowalla, "ml1m_strong": ml1m_strong, "kernels": kernels}


def rewritten(text: str) -> str:
    """Put each table between its two marks, ``<!-- table NAME -->`` and ``<!-- end -->``."""
    for name, table in TABLES.items():
        before, mark, rest = text.partition(f"<!-- table {name} -->\n")
        if mark:
            _, end, after = rest.partition("<!-- end -->")
            text = f"{before}{mark}{table()}\n{end}{after}"
    return text


if __name__ == "__main__":
    text = README.read_text()
    if sys.argv[1:] == ["--check"]:
        if rewritten(text) != text:
            sys.exit("README.md differs from bench/results; run python bench/tables.py")
    else:
        README.write_text(rewritten(text))
