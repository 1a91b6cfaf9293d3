"""Write the tables of README.md and bench/README.md from the results under bench/results.

python bench/tables.py            rewrites both
python bench/tables.py --check    fails if one is not up to date
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from results import RESULTS

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGES = (Path(__file__).parents[1] / "README.md", Path(__file__).with_name("README.md"))


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


SEQUENCE_METRICS = ("recall@10", "ndcg@10", "recall@50", "ndcg@50")


def beauty() -> str:
    """Tabulate models on Amazon Beauty, and by how often training has the item to be found."""
    result = read("beauty")
    rows = result["rows"]
    lines = ["| | Recall@10 | NDCG@10 | Recall@50 | NDCG@50 |", "| --- | --- | --- | --- | --- |"]
    for name, figures in [*result["published"].items(), *rows.items()]:
        told = (f"{figures[m]:.4f}" if m in figures else "" for m in SEQUENCE_METRICS)
        label = f"{name}, published" if name in result["published"] else name
        lines.append(f"| {label} | " + " | ".join(told) + " |")
    buckets = {name: row["by_training_frequency"] for name, row in rows.items()}
    first = next(iter(buckets.values()))
    heads = [f"{bucket} ({found['users']:,})" for bucket, found in first.items()]
    lines += ["", "Recall@10 by how often the item stands in training (and the users):", ""]
    lines += ["| | " + " | ".join(heads) + " |", "| --- " * (len(heads) + 1) + "|"]
    for name, found in buckets.items():
        told = ("" if b["recall@10"] is None else f"{b['recall@10']:.4f}" for b in found.values())
        lines.append(f"| {name} | " + " | ".join(told) + " |")
    return "\n".join([*lines, "", f"({computed_on(rows.values())}; `python bench/beauty.py`)"])


def beauty_tried() -> str:
    """Tabulate what validation said of the configurations that were tried."""
    result = read("beauty_tried")
    lines = ["| | NDCG@10, validation | in epoch | of |", "| --- | --- | --- | --- |"]
    for row in result["tried"]:
        cut = "" if row["stopped"] else ", cut off"
        figure = f"{row['validation ndcg@10']:.4f}"
        lines.append(
            f"| {row['configuration']} | {figure} | {row['best_epoch']} | {row['epochs']}{cut} |"
        )
    return "\n".join([*lines, "", f"({computed_on([{'ran_on': result}])})"])


def transfer() -> str:
    """Tabulate means and standard deviations over seeds."""
    result = read("transfer")
    lines = ["| | Recall@10 | NDCG@10 | Recall@50 | NDCG@50 |", "| --- | --- | --- | --- | --- |"]
    for name, row in result["rows"].items():
        pairs = ((row["mean"][m], row["standard_deviation"][m]) for m in SEQUENCE_METRICS)
        lines.append(f"| {name} | " + " | ".join(f"{a:.4f} ± {b:.4f}" for a, b in pairs) + " |")
    runs = [run for row in result["rows"].values() for run in row["seeds"]]
    return "\n".join([*lines, "", f"({computed_on(runs)}; `python bench/transfer.py`)"])


def multvae_gowalla() -> str:
    result = read("multvae_gowalla")
    published, test = result["published"], result["test"]
    params = ", ".join(f"{k}={v:g}" for k, v in test["settings"].items())
    lines = ["| | Recall@20 | NDCG@20 |", "| --- | --- | --- |"]
    lines.append(f"| BARS, MultVAE | {published['recall@20']:.4f} | {published['ndcg@20']:.4f} |")
    lines.append(f"| `MultVAE({params})` | {test['recall@20']:.4f} | {test['ndcg@20']:.4f} |")
    place = f"({computed_on([test])}; `python bench/multvae_gowalla.py`)"
    return "\n".join([*lines, "", f"Fit {test['seconds']:.0f} s {place}"])


def multvae_tried() -> str:
    """Tabulate what validation said of MultVAE's configurations on gowalla."""
    rated = read("multvae_gowalla")["validation"]
    lines = ["| | NDCG@20, validation | in epoch | of |", "| --- | --- | --- | --- |"]
    for name, row in rated.items():
        lines.append(f"| {name} | {row['ndcg@20']:.4f} | {row['epoch']} | {row['epochs']} |")
    return "\n".join([*lines, "", f"({computed_on(rated.values())})"])


def multvae_ml1m() -> str:
    """Tabulate means with their errors over users, and deviations over seeds."""
    rows = read("multvae_ml1m")["rows"]
    metrics = {"ndcg@100": "NDCG@100", "recall_min@20": "Recall@20", "recall_min@50": "Recall@50"}
    lines = ["| | " + " | ".join(metrics.values()) + " |", "| --- | --- | --- | --- |"]
    for name, row in rows.items():
        cells = []
        for metric in metrics:
            found = row[metric]
            apart = "" if found["deviation"] is None else f", {found['deviation']:.4f}"
            cells.append(f"{found['mean']:.4f} ({found['standard_error']:.4f}{apart})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    runs = [run for row in rows.values() for run in row.get("seeds", [])]
    return "\n".join([*lines, "", f"({computed_on(runs)}; `python bench/multvae_ml1m.py`)"])


def cold_items() -> str:
    """Tabulate warm, cold and joint figures, and by how much the last arm is ahead."""
    result = read("cold_items")
    lines = []
    for level, rows in result["levels"].items():
        lines += [f"With {level}:", "", "| | warm | cold | joint |", "| --- | --- | --- | --- |"]
        for name, row in rows.items():
            cells = [_ahead(row.get(key)) for key in ("warm", "cold", "joint")]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    seeds = ", ".join(map(str, result["seeds"]))
    place = f"(splits with seeds {seeds}; {provenance(result)}; `python bench/cold_items.py`)"
    return "\n".join([*lines, f"NDCG@10, mean over the splits {place}"])


def _ahead(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return ""
    mean, gap = f"{figure['mean']:.4f}", figure.get("ours over it")
    return mean if gap is None else f"{mean} ({gap[1]:+.3f} to {gap[2]:+.3f})"


def text_prior() -> str:
    """Tabulate each data set's figures, and hits by how many training users the target has."""
    result = read("text_prior")
    lines = []
    for name, part in result["sets"].items():
        targets = {label: count for label, count in part["targets"].items() if count}
        labels = " | ".join(f"{label}: {count:,}" for label, count in targets.items())
        shape = f"{part['users']:,} users, {part['items']:,} items"
        lines += [f"{name}, {shape}:", "", f"| | Recall@10 | NDCG@10 | {labels} |"]
        lines.append("| --- | --- | --- |" + " --- |" * len(targets))
        for arm, row in part["rows"].items():
            cells = [f"{row['recall@10']:.4f}", f"{row['ndcg@10']:.4f}"]
            cells += [f"{row['hits by count'][label]:.3f}" for label in targets]
            lines.append(f"| {arm} | " + " | ".join(cells) + " |")
        for peer, gaps in part["ours over"].items():
            cells = [
                f"{metric} {gap:+.4f} ({low:+.4f} to {high:+.4f})"
                for metric, (gap, low, high) in gaps.items()
            ]
            lines += ["", f"The last row less {peer}'s: {', '.join(cells)}"]
        lines.append("")
    return "\n".join([*lines, f"({provenance(result)}; `python bench/text_prior.py`)"])


def llmrec() -> str:
    """Tabulate means and standard deviations over splits."""
    result = read("llmrec")
    lines = []
    for name, part in result["sets"].items():
        shape = f"{part['users']:,} users, {part['items']:,} {name}"
        lines += [f"{shape}:", "", "| | LLMRec: warm | cold | joint | texts alone: cold |"]
        lines.append("| --- | --- | --- | --- | --- |")
        for arm, row in part["rows"].items():
            figures = [row["LLMRec"][key] for key in ("warm", "cold", "joint")]
            figures.append(row["TextSimilarity"]["cold"])
            cells = (f"{mean:.4f} ± {deviation:.4f}" for mean, deviation in figures)
            lines.append(f"| {arm} | " + " | ".join(cells) + " |")
        lines.append("")
    runs = [
        run for part in result["sets"].values() for arm in part["splits"].values() for run in arm
    ]
    return "\n".join([*lines, f"({computed_on(runs)}; `python bench/llmrec.py`)"])


def collm() -> str:
    """Tabulate AUC and user AUC, means and deviations over seeds, beside the published ones."""
    result = read("collm")
    lines = ["| AUC, user AUC | published | all | warm | cold |", "| --- | --- | --- | --- | --- |"]
    for name, runs in result["rows"].items():
        published = result["published"].get(name)
        cells = ["" if published is None else "{:.4f}, {:.4f}".format(*published)]
        for groups in (runs, *([run[key] for run in runs] for key in ("warm", "cold"))):
            figures = [[group[metric] for group in groups] for metric in ("auc", "uauc")]
            parts = (f"{mean(values):.4f} ± {stdev(values):.4f}" for values in figures)
            cells.append(", ".join(parts))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    runs = [run for rows in result["rows"].values() for run in rows if "ran_on" in run]
    return "\n".join([*lines, "", f"({computed_on(runs)}; `python bench/collm.py`)"])


def multvae_epoch() -> str:
    result = read("multvae_epoch")
    lines = ["| | an epoch | peak memory |", "| --- | --- | --- |"]
    for name, row in result["rows"].items():
        peak = f"{row['peak_bytes'] / 1e9:.2f} GB"
        lines.append(f"| {name} | {seconds(row['seconds'])} | {peak} |")
    ours, plain = (row["seconds"] for row in result["rows"].values())
    size = f"{result['users']:,} users, {result['items']:,} items"
    ratio = f"Plain PyTorch takes {plain / ours:.2f} times as long"
    place = f"({size}; {provenance(result)}; `python bench/multvae_epoch.py`)"
    return "\n".join([*lines, "", f"{ratio} {place}."])


def computed_on(runs: Iterable[dict[str, Any]]) -> str:
    """Say where the runs were made, each place once."""
    places = []
    for run in runs:
        gpu = run["ran_on"]["machine"].get("gpu")
        places.append(provenance(run["ran_on"]) + (f", on {gpu}" if gpu else ""))
    return "; ".join(dict.fromkeys(places))


def seconds(value: float) -> str:
    if value >= 1:
        return f"{value:.1f} s"
    return f"{1000 * value:.0f} ms" if value >= 0.01 else f"{1000 * value:.1f} ms"


TABLES = {
    "gowalla": gowalla,
    "ml1m_strong": ml1m_strong,
    "kernels": kernels,
    "sizes": sizes,
    "simd": simd,
    "beauty": beauty,
    "beauty_tried": beauty_tried,
    "transfer": transfer,
    "multvae_gowalla": multvae_gowalla,
    "multvae_tried": multvae_tried,
    "multvae_ml1m": multvae_ml1m,
    "multvae_epoch": multvae_epoch,
    "cold_items": cold_items,
    "text_prior": text_prior,
    "llmrec": llmrec,
    "collm": collm,
}


def rewritten(text: str) -> str:
    """Put each table between its two marks, ``<!-- table NAME -->`` and ``<!-- end -->``."""
    for name, table in TABLES.items():
        before, mark, rest = text.partition(f"<!-- table {name} -->\n")
        if mark:
            _, end, after = rest.partition("<!-- end -->")
            text = f"{before}{mark}{table()}\n{end}{after}"
    return text


if __name__ == "__main__":
    for page in PAGES:
        text = page.read_text()
        if sys.argv[1:] != ["--check"]:
            page.write_text(rewritten(text))
        elif rewritten(text) != text:
            sys.exit(f"{page} differs from bench/results; run python bench/tables.py")
