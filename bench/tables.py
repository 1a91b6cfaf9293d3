"""Write the tables of README.md and bench/README.md from the results under bench/results.

python bench/tables.py            rewrites both
python bench/tables.py --check    fails if one is not up to date
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np
from results import computed_on, provenance, read, seconds
from tables_kernels import kernels, simd, sizes

from pyhybrid.evaluation import Life, worth

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGES = (Path(__file__).parents[1] / "README.md", Path(__file__).with_name("README.md"))


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


AGES = ("0", "1", "5", "20", "50", "100", "None")
LIVES = ("ESLER", "text alone", "ESLER with texts")


def l2() -> str:
    """Tabulate what the l2 that is chosen keeps of the best one's NDCG@10."""
    result = read("l2")
    lines = ["| | items, median users | chosen | NDCG@10 | of the best | the old 500's |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for name, part in result["sets"].items():
        chosen = part["rows"]["None"]
        cells = [f"{part['items']:,}, {part['median']:g}", f"{chosen['l2']:.0f}"]
        cells += [f"{chosen['ndcg@10']:.4f}", f"{part['kept']:.1%}", f"{part['kept by 500']:.1%}"]
        lines.append(f"| {name}, {part['way']} | " + " | ".join(cells) + " |")
    lines += ["", f"({provenance(result)}; `python bench/l2.py`)"]
    return "\n".join(lines)


MAIN_CASES = ("ml-1m", "ml-1m, descriptions", "ml-1m by time", "instruments by time")


def cold_items() -> str:
    return _cases(read("cold_items"), MAIN_CASES)


def cold_items_more() -> str:
    result = read("cold_items")
    return _cases(result, [name for name in result["cases"] if name not in MAIN_CASES])


def _cases(result: dict[str, Any], names: Iterable[str]) -> str:
    """Tabulate S, U, joint, area and share without interactions, case by case."""
    lines = []
    for name in names:
        case = result["cases"].get(name)
        if case is None:
            continue
        shares = ", ".join(f"{value:.1%} of the {of}" for of, value in case["new"].items())
        lines += [f"{name} ({_counted(case['seeds'])}; new items are {shares}):", ""]
        lines += ["| | joint | S | U | area | new in the lists |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        for arm, row in case["0"].items():
            cells = [_ahead(row["joint"]), _ahead(row["S"])]
            cells += [f"{row[key]['mean']:.4f}" for key in ("U", "area")]
            cells.append(f"{row['share']['mean']:.1%}")
            lines.append(f"| {arm} | " + " | ".join(cells) + " |")
        lines.append("")
    place = f"({provenance(result)}; `python bench/cold_items.py`)"
    return "\n".join([*lines, f"NDCG@10; mean over the splits {place}"])


def life() -> str:
    """Tabulate the area by the interactions that new items have, and what a text is worth."""
    result = read("cold_items")
    lines = ["| | 0 | 1 | 5 | 20 | 50 | 100 | all | a text is worth |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, case in result["cases"].items():
        if "1" not in case:
            continue
        lives = {arm: _life_of(case, arm) for arm in LIVES}
        for arm, found in lives.items():
            cells = [f"{value:.4f}" for value in found.area.mean(axis=0)]
            worded = "" if arm == "ESLER" else _worth_of(found, lives["ESLER"])
            lines.append(f"| {name}: {arm} | " + " | ".join([*cells, worded]) + " |")
    place = f"({provenance(result)}; `python bench/cold_items.py`)"
    return "\n".join([*lines, "", f"Area, mean over the splits {place}"])


def _life_of(case: dict[str, Any], arm: str) -> Life:
    ages = tuple(None if age == "None" else int(age) for age in AGES)
    sides = ("area", "S", "U", "joint", "share")
    figures = (np.array([case[age][arm][side]["seeds"] for age in AGES]).T for side in sides)
    return Life(ages, *figures)


def _worth_of(found: Life, behaviour: Life) -> str:
    told = worth(found, behaviour)
    if told is None:
        return ""
    if told.at_least:
        return f"at least {told.interactions:.0f}"
    ends = "" if np.isnan(told.low) else f" ({told.low:.0f} to {told.high:.0f})"
    return f"{told.interactions:.0f}{ends}"


def _counted(splits: int) -> str:
    return "one split" if splits == 1 else f"{splits} splits"


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
    return _collm("collm", "python bench/collm.py")


def collm_full() -> str:
    return _collm("collm_full", "python bench/collm.py --full")


def _collm(name: str, command: str) -> str:
    """Tabulate AUC and user AUC, means and deviations over seeds, beside the published ones."""
    result = read(name)
    lines = ["| AUC, user AUC | published | all | warm | cold |", "| --- | --- | --- | --- | --- |"]
    for name, runs in result["rows"].items():
        published = result["published"].get(name)
        cells = ["" if published is None else "{:.4f}, {:.4f}".format(*published)]
        for groups in (runs, *([run[key] for run in runs] for key in ("warm", "cold"))):
            figures = [[group[metric] for group in groups] for metric in ("auc", "uauc")]
            cells.append(", ".join(map(_spread, figures)))
        of_all = len(runs) == len(result["seeds"])
        seeds = "" if of_all else f" ({len(runs)} of {len(result['seeds'])} seeds)"
        lines.append(f"| {name}{seeds} | " + " | ".join(cells) + " |")
    runs = [run for rows in result["rows"].values() for run in rows if "ran_on" in run]
    return "\n".join([*lines, "", f"({computed_on(runs)}; `{command}`)"])


def _spread(values: list[float]) -> str:
    """Write the mean and, of several values, the standard deviation."""
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def collm_speed() -> str:
    """Tabulate rows a second of each device, and what a shared prefix saves there."""
    result = read("collm_speed")
    columns = [_speeds(part) for part in result["devices"].values()]
    lines = ["| rows a second | " + " | ".join(result["devices"]) + " |"]
    lines.append("| --- |" + " --- |" * len(columns))
    for name in dict.fromkeys(name for column in columns for name in column):
        cells = (f"{column[name]:,.1f}" if name in column else "" for column in columns)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    shared = next(iter(result["devices"].values()))["candidates"]
    prefix = f"{shared['prefix tokens']:.0f} tokens before {shared['other tokens']:.0f}"
    place = f"(prefixes of {prefix}; {provenance(result)}; `python bench/collm_speed.py`)"
    return "\n".join([*lines, "", place])


def _speeds(part: dict[str, Any]) -> dict[str, float]:
    found = dict(part["rows a second"])
    for shared in (part[key] for key in part if key.startswith("candidates")):
        size = f"{shared['parameters'] / 1e6:,.0f} million weights"
        rates = shared["rows a second"]
        found |= {f"100 candidates, {size}, {name}": rates[name] for name in ("prefix", "plain")}
        found[f"times as fast by the prefix, {size}"] = shared["times as fast"]
    return found


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
    "cold_items_more": cold_items_more,
    "l2": l2,
    "life": life,
    "text_prior": text_prior,
    "llmrec": llmrec,
    "collm": collm,
    "collm_full": collm_full,
    "collm_speed": collm_speed,
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
