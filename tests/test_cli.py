"""The command line: what it prints, its exit codes, and what it leaves behind."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv
from typer.testing import CliRunner

from pyhybrid import ESLER, Interactions, cli, evaluate, load
from pyhybrid.data import splits, synthetic

if TYPE_CHECKING:
    from collections.abc import Callable

COMMANDS = ("split", "fit", "recommend", "evaluate", "compare", "demo")


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def pyhybrid(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Run the command line as its script does."""
    monkeypatch.delenv("PYHYBRID_TRACEBACK", raising=False)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["pyhybrid", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        code = caught.value.code
        return Done(code if isinstance(code, int) else int(bool(code)), *capfd.readouterr())

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Events, their split and a model, made by the command line in processes of its own."""
    folder = tmp_path_factory.mktemp("cli")
    interactions, _ = synthetic.topics(users=100, items=30, events_per_user=7.0, seed=8)
    pq.write_table(interactions.to_arrow(), folder / "events.parquet")
    csv.write_csv(interactions.to_arrow(), folder / "events.csv")
    script = Path(sys.executable).with_name("pyhybrid")
    for arguments in (
        "split events.parquet --time time -p test=0.3 --out split",
        "fit split/train.parquet --catalog split/items.parquet -p l2=20 --out model",
    ):
        command = [str(script)] if script.exists() else [sys.executable, "-m", "pyhybrid.cli"]
        done = subprocess.run(
            [*command, *arguments.split()], cwd=folder, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), arguments
    return folder


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refused(done: Done, *said: str) -> None:
    assert done.code == 2, done
    assert done.out == ""
    assert re.fullmatch(r"pyhybrid: [^\n]+\n", done.err), done.err
    for words in said:
        assert words in done.err


# Help


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_shows_an_example(command: str) -> None:
    result = CliRunner().invoke(cli.app, [command, "--help"], terminal_width=200)
    assert result.exit_code == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", result.output)
    assert re.search(rf"Example:\s+pyhybrid {command}", plain)


def test_the_help_lists_the_commands() -> None:
    result = CliRunner().invoke(cli.app, ["--help"])
    assert result.exit_code == 0
    for command in COMMANDS:
        assert command in result.output
    assert CliRunner().invoke(cli.app, []).output.split() == result.output.split()


def test_starting_it_loads_nothing_heavy() -> None:
    code = "import sys, pyhybrid.cli; print('pyarrow' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "False"


# From end to end


def test_the_four_steps_give_the_figures_that_python_gives(
    pyhybrid: Callable[..., Done], folder: Path, tmp_path: Path
) -> None:
    parts = folder / "split"
    done = pyhybrid(
        "recommend", folder / "model", parts / "test_histories.parquet", "-n", 30,
        "--users", 8, "--out", tmp_path / "recs",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert "parts written to" in done.out
    done = pyhybrid(
        "evaluate", tmp_path / "recs", "--targets", parts / "test_targets.parquet",
        "--train", parts / "train.parquet", "-m", "ndcg@10", "-m", "recall@20",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    whole = Interactions.read(folder / "events.parquet", time="time")
    split = splits.split(whole, seed=0, test=0.3)
    report = evaluate(load(folder / "model"), split.test, ["ndcg@10", "recall@20"])
    for metric in ("ndcg@10", "recall@20"):
        assert f"{report[metric]:.4f} ±" in done.out


def test_csv_goes_the_same_way(pyhybrid: Callable[..., Done], folder: Path, tmp_path: Path) -> None:
    split, model = tmp_path / "split", tmp_path / "model"
    steps: list[list[object]] = [
        ["split", folder / "events.csv", "--time", "time", "-p", "test=0.3", "--out", split],
        ["fit", split / "train.parquet", "--catalog", split / "items.parquet", "-p", "l2=20",
         "--out", model],
    ]  # fmt: skip
    for step in steps:
        done = pyhybrid(*step)
        assert (done.code, done.err) == (0, "")
        assert f"written to {step[-1]}" in done.out
    for name in files(folder / "split"):
        assert (split / name).read_bytes() == (folder / "split" / name).read_bytes()
    seen = Interactions.read(folder / "split" / "test_histories.parquet")
    one, other = load(model), load(folder / "model")
    assert (one.score(seen) == other.score(seen)).all()


def test_parameters_are_read_as_json_where_they_are(
    pyhybrid: Callable[..., Done], folder: Path, tmp_path: Path
) -> None:
    train = folder / "split" / "train.parquet"
    options = ["-p", "l2=2.5e1", "-p", "min_count=1", "--param", "keep_gram=true"]
    done = pyhybrid("fit", train, *options, "--out", tmp_path / "model")
    assert done.code == 0
    assert load(tmp_path / "model").params == ESLER(l2=25.0, keep_gram=True).params
    assert "ESLER(l2=25.0, keep_gram=True)" in done.out
    refused(pyhybrid("fit", train, "-p", "keep_gram=False", "--out", tmp_path / "m"), "keep_gram")
    done = pyhybrid("fit", train, "--model", "popularity", "--out", tmp_path / "model")
    assert done.code == 0
    assert type(load(tmp_path / "model")).__name__ == "Popularity"


def test_training_is_stopped_by_validation_users_and_taken_up_again(
    pyhybrid: Callable[..., Done], folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="needs torch")
    split = folder / "split"
    command: list[object] = [
        "fit", split / "train.parquet", "--model", "multdae", "-p", "latent_dim=4", "-p",
        "epochs=3", "--catalog", split / "items.parquet", "--validation", split,
        "--metric", "recall@5", "--checkpoint", tmp_path / "run", "--out", tmp_path / "model",
    ]  # fmt: skip
    done = pyhybrid(*command)
    assert (done.code, done.err) == (0, "")
    first = load(tmp_path / "model").fingerprint()
    state = (tmp_path / "run/checkpoint.npz").read_bytes()
    assert pyhybrid(*command).code == 0
    assert load(tmp_path / "model").fingerprint() == first
    assert (tmp_path / "run/checkpoint.npz").read_bytes() == state
    command[command.index("recall@5")] = "ndcg@5"
    refused(pyhybrid(*command), "metric of the checkpoint")
    refused(pyhybrid("fit", split / "train.parquet", "--checkpoint", "run", "--out", "m"), "ESLER")


def test_columns_and_filters_are_options(pyhybrid: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "e.tsv").write_text("who\twhat\tstars\nu\ta\t5\nu\tb\t1\nv\ta\t4\nv\tc\t5\n")
    done = pyhybrid(
        "fit", tmp_path / "e.tsv", "--user", "who", "--item", "what", "--rating", "stars",
        "--min-rating", 4, "--out", tmp_path / "model",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert load(tmp_path / "model").item_ids.tolist() == ["a", "c"]


def test_a_second_run_goes_on_where_the_first_stopped(
    pyhybrid: Callable[..., Done], folder: Path, tmp_path: Path
) -> None:
    histories, out = folder / "split" / "test_histories.parquet", tmp_path / "recs"
    command = ["recommend", folder / "model", histories, "--users", 5, "--out", out]
    assert pyhybrid(*command).code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "part-00002.parquet").unlink()
    assert pyhybrid(*command).code == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    refused(pyhybrid(*command, "-n", 3), "n of the job", "expected 3")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_seen_items_are_kept_on_request(
    pyhybrid: Callable[..., Done], folder: Path, tmp_path: Path
) -> None:
    histories = folder / "split" / "test_histories.parquet"
    for name, options in (("without", []), ("with", ["--keep-seen"])):
        out = tmp_path / name
        command = ["recommend", folder / "model", histories, "-n", 30, "--out", out, *options]
        assert pyhybrid(*command).code == 0
    without, kept = (
        pq.read_table(tmp_path / name / "part-00000.parquet").num_rows
        for name in ("without", "with")
    )
    assert kept - without == pq.read_table(histories).num_rows


def test_the_demo_runs_from_the_command_line(pyhybrid: Callable[..., Done], tmp_path: Path) -> None:
    data = tmp_path / "tiny"
    data.mkdir()
    interactions, _ = synthetic.topics(users=60, items=25, events_per_user=8.0, seed=1)
    rows = [
        " ".join([user, *interactions.item_ids[interactions.matrix[[row]].indices]])
        for row, user in enumerate(interactions.user_ids)
    ]
    (data / "sequences.txt").write_text("\n".join(rows) + "\n")
    done = pyhybrid("demo", "--data", data, "--out", tmp_path / "demo", "-n", 4)
    assert (done.code, done.err) == (0, "")
    table = pq.read_table(tmp_path / "demo" / "recommendations.parquet")
    assert table.column_names == ["user_id", "item_id", "rank", "score", "fallback"]
    assert set(table["rank"].to_pylist()) == {1, 2, 3, 4}


def test_models_are_compared_from_the_command_line(
    pyhybrid: Callable[..., Done], tmp_path: Path
) -> None:
    out = tmp_path / "compared"
    names = "popularity, esler"
    done = pyhybrid("compare", "--models", names, "--quick", "--seed", 2, "--out", out)
    assert (done.code, done.err) == (0, "")
    found = json.loads((out / "compare.json").read_text())
    assert list(found["models"]) == ["popularity", "esler"]
    assert found["command"].startswith("pyhybrid compare --models 'popularity, esler' --quick")
    assert f"{found['models']['esler']['joint']['ndcg@10']:.4f}" in done.out
    done = pyhybrid("compare", "--models", "magic", "--out", tmp_path / "other")
    assert done.code == 2
    assert done.err.startswith("pyhybrid: compare: models is 'magic'; expected some of popularity,")
    assert not (tmp_path / "other").exists()


# Bad input: one line, exit code 2, nothing half-written


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def missing(folder: Path) -> Path:
    return folder / "nowhere.parquet"


def other_columns(folder: Path) -> Path:
    return parquet(folder / "x.parquet", uid=["a"], iid=["b"])


def no_rows(folder: Path) -> Path:
    nothing = pa.array([], pa.string())
    return parquet(folder / "x.parquet", user_id=nothing, item_id=nothing)


def no_bytes(folder: Path) -> Path:
    (folder / "x.parquet").write_bytes(b"")
    return folder / "x.parquet"


def empty_csv(folder: Path) -> Path:
    (folder / "x.csv").write_text("")
    return folder / "x.csv"


def header_alone(folder: Path) -> Path:
    (folder / "x.csv").write_text("user_id,item_id\n")
    return folder / "x.csv"


def truncated_parquet(folder: Path) -> Path:
    path = parquet(folder / "x.parquet", user_id=["a", "b"], item_id=["x", "y"])
    path.write_bytes(path.read_bytes()[:-30])
    return path


def damaged_parquet(folder: Path) -> Path:
    path = parquet(folder / "x.parquet", user_id=["a" * 90, "b" * 90], item_id=["x", "y"])
    content = bytearray(path.read_bytes())
    content[4:60] = b"\xff" * 56
    path.write_bytes(content)
    return path


def truncated_gz(folder: Path) -> Path:
    rows = "".join(f"user{i * 7919 % 1000},item{i * 104729 % 997}\n" for i in range(3000))
    content = gzip.compress(f"user_id,item_id\n{rows}".encode())
    (folder / "x.csv.gz").write_bytes(content[: len(content) // 2])
    return folder / "x.csv.gz"


def unknown_ending(folder: Path) -> Path:
    (folder / "x.xls").write_text("mine")
    return folder / "x.xls"


def missing_ids(folder: Path) -> Path:
    return parquet(folder / "x.parquet", user_id=["a", None], item_id=["x", "y"])


def ids_of_floats(folder: Path) -> Path:
    return parquet(folder / "x.parquet", user_id=[1.5, 2.5], item_id=["x", "y"])


def broken_csv(folder: Path) -> Path:
    (folder / "x.csv").write_text("user_id,item_id\na,b\na,b,c,d\n")
    return folder / "x.csv"


def folder_without_parquet(folder: Path) -> Path:
    (folder / "parts").mkdir()
    return folder / "parts"


BAD_FILES = [
    (missing, "nowhere.parquet is missing"),
    (other_columns, "is missing; expected one of: uid, iid"),
    (no_rows, "number of rows is 0"),
    (no_bytes, "x.parquet is unreadable"),
    (empty_csv, "x.csv"),
    (header_alone, "number of rows is 0"),
    (truncated_parquet, "x.parquet is unreadable"),
    (damaged_parquet, "x.parquet is unreadable"),
    (truncated_gz, "x.csv.gz is unreadable"),
    (unknown_ending, "the ending of"),
    (missing_ids, "user_id"),
    (ids_of_floats, "user_id"),
    (broken_csv, "x.csv is unreadable"),
    (folder_without_parquet, "parquet"),
]


@pytest.mark.parametrize(("make", "said"), BAD_FILES, ids=[make.__name__ for make, _ in BAD_FILES])
@pytest.mark.parametrize("command", ["split", "fit", "recommend", "evaluate targets", "evaluate"])
def test_bad_files_end_in_one_line(
    pyhybrid: Callable[..., Done],
    folder: Path,
    tmp_path: Path,
    make: Callable[[Path], Path],
    said: str,
    command: str,
) -> None:
    bad = make(tmp_path)
    before = files(tmp_path)
    good = folder / "split" / "test_targets.parquet"
    recs = parquet(tmp_path / "r.parquet", user_id=["a"], item_id=["x"], rank=[1])
    arguments: dict[str, list[object]] = {
        "split": ["split", bad],
        "fit": ["fit", bad],
        "recommend": ["recommend", folder / "model", bad],
        "evaluate targets": ["evaluate", recs, "--targets", bad, "-m", "hit@1"],
        "evaluate": ["evaluate", bad, "--targets", good, "-m", "hit@1"],
    }
    out = [] if command.startswith("evaluate") else ["--out", tmp_path / "out"]
    done = pyhybrid(*arguments[command], *out)
    refused(done) if command == "evaluate" else refused(done, said)
    recs.unlink()
    left = set(files(tmp_path)) - set(before)
    if command == "recommend":  # may have taken its folder, without a part in it
        left = {name for name in left if "part" in name or "/." in name}
    assert not left


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_nan_weights_are_named_with_their_row(
    pyhybrid: Callable[..., Done], tmp_path: Path, ending: str
) -> None:
    table = pa.table({"user_id": ["a", "b"], "item_id": ["x", "x"], "w": [1.0, float("nan")]})
    path = tmp_path / f"e.{ending}"
    pq.write_table(table, path) if ending == "parquet" else csv.write_csv(table, path)
    done = pyhybrid("fit", path, "--weight", "w", "--out", tmp_path / "model")
    refused(done, "row 1 of column 'w'", "expected a finite number")
    assert files(tmp_path) == [path.name]


def test_unknown_items_say_how_many_and_the_way_out(
    pyhybrid: Callable[..., Done], folder: Path, tmp_path: Path
) -> None:
    known = load(folder / "model").item_ids[0]
    path = parquet(tmp_path / "h.parquet", user_id=["a", "b"], item_id=[known, "newcomer"])
    command = ["recommend", folder / "model", path, "--out", tmp_path / "recs"]
    refused(pyhybrid(*command), "unknown items is 1", "'newcomer'", "drop")
    assert not list(tmp_path.rglob("part*"))
    assert not list(tmp_path.rglob(".*"))
    # the same folder will do once the way out is taken
    assert pyhybrid(*command, "--unknown-items", "drop").code == 0


def test_ids_of_another_kind_are_refused(
    pyhybrid: Callable[..., Done], folder: Path, tmp_path: Path
) -> None:
    path = parquet(tmp_path / "h.parquet", user_id=[1, 2], item_id=[3, 4])
    done = pyhybrid("recommend", folder / "model", path, "--out", tmp_path / "recs")
    refused(done, "expected strings")
    recs = parquet(tmp_path / "r.parquet", user_id=[1], item_id=[3], rank=[1])
    targets = folder / "split" / "test_targets.parquet"
    refused(pyhybrid("evaluate", recs, "--targets", targets, "-m", "hit@1"), "strings")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-n", 0], "n is 0; expected 1 or more"),
        (["-n", -5], "n is -5; expected 1 or more"),
        (["--users", 0], "users is 0; expected 1 or more"),
        (["--users", -1], "users is -1; expected 1 or more"),
        (["--threads", -1], "threads is -1; expected"),
        (["--user", "who"], "column 'who' is missing"),
    ],
    ids=str,
)
def test_options_out_of_range_end_in_one_line(
    pyhybrid: Callable[..., Done], folder: Path, tmp_path: Path, options: list[Any], said: str
) -> None:
    histories = folder / "split" / "test_histories.parquet"
    command = ["recommend", folder / "model", histories, "--out", tmp_path / "recs"]
    refused(pyhybrid(*command, *options), said)
    # nothing is left that would stop a corrected run
    assert pyhybrid(*command).code == 0


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("l2=-1", "ESLER: l2 is -1; expected a positive number"),
        ("l2=nan", "l2 is 'nan'; expected a positive number"),
        ("l2=NaN", "l2 is nan; expected a positive number"),
        ("l2=much", "l2 is 'much'; expected a positive number"),
        ("min_count=0", "min_count is 0; expected 1 or more"),
        ("lambda=3", "'lambda'; expected one of l2, dropout, min_count"),
        ("l2", "'l2'; expected NAME=VALUE"),
        ("=3", "'=3'; expected NAME=VALUE"),
    ],
)
def test_bad_parameters_end_in_one_line(
    pyhybrid: Callable[..., Done], folder: Path, tmp_path: Path, setting: str, said: str
) -> None:
    train = folder / "split" / "train.parquet"
    refused(pyhybrid("fit", train, "-p", setting, "--out", tmp_path / "model"), said)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("setting", "said"),
    [("shuffle=true", "shuffle"), ("test=2.5", "test is 2.5"), ("fold_in=1", "fold_in"),
     ("seed=3", "seed"), ("test=half", "test")],
)  # fmt: skip
def test_bad_parameters_of_a_split_end_in_one_line(
    pyhybrid: Callable[..., Done], folder: Path, tmp_path: Path, setting: str, said: str
) -> None:
    events = folder / "events.parquet"
    done = pyhybrid("split", events, "-p", setting, "--out", tmp_path / "split")
    refused(done, said, "; expected ")
    assert files(tmp_path) == []


def test_an_unknown_model_names_the_known_ones(
    pyhybrid: Callable[..., Done], folder: Path, tmp_path: Path
) -> None:
    train = folder / "split" / "train.parquet"
    done = pyhybrid("fit", train, "--model", "oracle", "--out", tmp_path / "model")
    refused(done, "'oracle'; expected one of", "ESLER", "Popularity")


@pytest.mark.parametrize("damage", ["missing", "no model", "newer", "array", "config", "class"])
def test_a_model_that_is_none_ends_in_one_line(
    pyhybrid: Callable[..., Done], folder: Path, tmp_path: Path, damage: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(folder / "model", model)
    config = json.loads((model / "config.json").read_text())
    said = {
        "missing": "is missing; expected a model's folder",
        "no model": "is not a model; expected a folder that save() wrote",
        "newer": "install a newer pyhybrid",
        "array": "array 'weights'",
        "config": "load:",
        "class": "expected one of",
    }[damage]
    if damage == "missing":
        shutil.rmtree(model)
    elif damage == "no model":
        (model / "config.json").unlink()
    elif damage == "array":
        (path,) = model.rglob("weights.npy")
        path.write_bytes(path.read_bytes()[:-9])
    else:
        changed = {"newer": {"format_version": 99}, "class": {"class": "Oracle"}}
        config.update(changed.get(damage, {}))
        if damage == "config":
            del config["arrays"]
        (model / "config.json").write_text(json.dumps(config))
    histories = folder / "split" / "test_histories.parquet"
    refused(pyhybrid("recommend", model, histories, "--out", tmp_path / "recs"), said)
    assert not (tmp_path / "recs").exists()


def test_folders_in_use_are_refused(
    pyhybrid: Callable[..., Done], folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    histories = folder / "split" / "test_histories.parquet"
    for command in (
        ["split", folder / "events.parquet"],
        ["fit", folder / "split" / "train.parquet"],
        ["recommend", folder / "model", histories],
    ):
        refused(pyhybrid(*command, "--out", tmp_path), str(tmp_path))
    assert files(tmp_path) == ["notes.txt"]


@pytest.mark.parametrize(
    ("metric", "said"),
    [("speed@10", "speed"), ("ndcg@100", "100"), ("ndcg@0", "ndcg@0"), ("ndcg", "ndcg")],
)
def test_metrics_that_are_none_end_in_one_line(
    pyhybrid: Callable[..., Done], tmp_path: Path, metric: str, said: str
) -> None:
    recs = parquet(tmp_path / "r.parquet", user_id=["a"], item_id=["x"], rank=[1])
    targets = parquet(tmp_path / "t.parquet", user_id=["a"], item_id=["x"])
    refused(pyhybrid("evaluate", recs, "--targets", targets, "-m", metric), said)


@pytest.mark.parametrize(
    "arguments",
    [["fit"], ["fit", "x.csv"], ["nothing"], ["recommend", "m", "h", "--out", "o", "-n", "many"]],
    ids=" ".join,
)
def test_wrong_usage_exits_with_two(
    pyhybrid: Callable[..., Done], tmp_path: Path, arguments: list[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    done = pyhybrid(*arguments)
    assert done.code == 2
    assert "Usage" in done.err
    assert files(tmp_path) == []


def test_too_little_memory_ends_in_one_line(
    pyhybrid: Callable[..., Done], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyhybrid.memory.available_bytes", lambda: 1000)
    train = folder / "split" / "train.parquet"
    done = pyhybrid("fit", train, "--out", tmp_path / "model")
    refused(done, "need", "free; ")
    assert files(tmp_path) == []


def test_a_traceback_is_shown_on_request(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from pyhybrid.cli import main; main()"]
    arguments = ["fit", str(tmp_path / "nowhere.csv"), "--out", str(tmp_path / "model")]
    for wanted in ("", "1"):
        done = subprocess.run(
            [*command, *arguments],
            env={**os.environ, "PYHYBRID_TRACEBACK": wanted},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ("Traceback" in done.stderr) is bool(wanted)
        assert done.returncode == (1 if wanted else 2)
        assert "nowhere.csv is missing" in done.stderr
