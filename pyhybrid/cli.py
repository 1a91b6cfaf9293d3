"""The command line: pyhybrid split | fit | recommend | evaluate | compare | demo."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pyhybrid.errors import NotFittedError, describe

__all__ = ["app", "main"]

app = typer.Typer(
    help="Recommenders that keep both what text says and what behaviour shows.",
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version", is_eager=True)
    ] = False,
) -> None:
    """Recommenders that keep both what text says and what behaviour shows."""
    if version:
        from importlib.metadata import version as version_of

        print(version_of("pyhybrid"))
        raise typer.Exit


Files = Annotated[
    list[Path], typer.Argument(help="Parquet, CSV, TSV or JSON lines; .gz and .zst too")
]
User = Annotated[str, typer.Option(help="Column of the users' ids")]
Item = Annotated[str, typer.Option(help="Column of the items' ids")]
Weight = Annotated[
    str | None, typer.Option(help="Column of weights; without it each pair weighs 1")
]
Time = Annotated[str | None, typer.Option(help="Column that orders each user's events")]
Rating = Annotated[str | None, typer.Option(help="Column that --min-rating looks at")]
MinRating = Annotated[float | None, typer.Option(help="Leave out what is rated lower")]
Duplicates = Annotated[
    Literal["once", "sum", "count"], typer.Option(help="What a pair in several rows weighs")
]
Ordered = Annotated[bool, typer.Option("--ordered", help="Each user's rows stand oldest first")]
Params = Annotated[
    list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE; may be given several times")
]
Threads = Annotated[int, typer.Option(help="0: all that this process may use")]
NewBelow = Annotated[
    int, typer.Option(help="Items with fewer training users are new; so are those without any")
]
NewFrom = Annotated[
    list[Path] | None, typer.Option(help="The items in these files are new, and no others")
]
Metrics = Annotated[
    list[str] | None, typer.Option("--metric", "-m", help="NAME@K; may be given several times")
]


@app.command(epilog="Example: [bold]pyhybrid split events.parquet --by strong --out split[/bold]")
def split(
    events: Files,
    out: Annotated[Path, typer.Option(help="A new folder for the parts")],
    by: Annotated[
        Literal["strong", "leave-last", "time", "random", "cold", "cold-stress"],
        typer.Option(
            help="Hold out users, last events, a period, random pairs, or items; cold-stress makes "
            "all that users took of hidden items targets"
        ),
    ] = "strong",
    cold: Annotated[float, typer.Option(help="Share of items to hide from training besides")] = 0,
    seed: int = 0,
    param: Params = None,
    user: User = "user_id",
    item: Item = "item_id",
    weight: Weight = None,
    time: Time = None,
    rating: Rating = None,
    min_rating: MinRating = None,
    duplicates: Duplicates = "once",
    ordered: Ordered = False,
) -> None:
    """Split events into train.parquet and held-out histories and targets.

    Further settings of the way to split go in as -p, such as -p test=0.2 -p fold_in=0.8.
    """
    from pyhybrid import jobs

    made = jobs.split(
        events,
        out,
        by,
        cold=cold,
        seed=seed,
        options=_parse(param),
        **_columns(user, item, weight, time, rating, min_rating, duplicates, ordered),
    )
    print(f"{made}\nwritten to {out}")
    if not made.test.exclude_seen:
        print("a target may be a seen item: recommend with --keep-seen")
    if (out / "test_unranked.parquet").exists():
        print(
            "users took more than histories and targets: recommend with --unranked "
            f"{out / 'test_unranked.parquet'}, so that what is right is not counted as wrong"
        )


@app.command(
    epilog="Example: [bold]pyhybrid fit split/train.parquet --catalog split/items.parquet "
    "-p l2=500 --out model[/bold]"
)
def fit(
    train: Files,
    out: Annotated[Path, typer.Option(help="The model's folder; an earlier model is replaced")],
    model: Annotated[str, typer.Option(help="Such as esler, popularity or sasrec")] = "esler",
    param: Params = None,
    catalog: Annotated[
        list[Path] | None, typer.Option(help="Files of items, for those without an event")
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            help="A folder that split wrote, whose validation users stop the training; "
            "its items.parquet belongs to --catalog"
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="What they rate each epoch by; ndcg@10 without it")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="A folder for this run's state: run again, it goes on from there"),
    ] = None,
    threads: Threads = 0,
    user: User = "user_id",
    item: Item = "item_id",
    weight: Weight = None,
    time: Time = None,
    rating: Rating = None,
    min_rating: MinRating = None,
    duplicates: Duplicates = "once",
    ordered: Ordered = False,
) -> None:
    """Fit a model on events and save it. Hyper-parameters go in as -p, such as -p l2=500."""
    from pyhybrid import jobs

    fitted = jobs.fit(
        train,
        out,
        model,
        params=_parse(param),
        catalog=catalog,
        validation=validation,
        metric=metric,
        checkpoint=checkpoint,
        threads=threads,
        progress=True,
        **_columns(user, item, weight, time, rating, min_rating, duplicates, ordered),
    )
    print(f"{fitted} on {len(fitted.item_ids)} items\nwritten to {out}")


@app.command(
    epilog="Example: "
    "[bold]pyhybrid recommend model split/test_histories.parquet -n 100 --out recs[/bold]"
)
def recommend(
    model: Annotated[Path, typer.Argument(help="A folder that fit wrote")],
    histories: Files,
    out: Annotated[Path, typer.Option(help="A new folder for the parts, or an interrupted job's")],
    n: Annotated[int, typer.Option("-n", help="Items a user")] = 10,
    users: Annotated[int, typer.Option(help="Users a part")] = 20_000,
    users_from: Annotated[
        list[Path] | None,
        typer.Option(help="Rank for the users in these files, with a history or without"),
    ] = None,
    among: Annotated[
        list[Path] | None, typer.Option(help="Recommend the items in these files alone")
    ] = None,
    deny: Annotated[
        list[Path] | None, typer.Option(help="Recommend the items in these files to nobody")
    ] = None,
    unranked: Annotated[
        list[Path] | None,
        typer.Option(help="Files of pairs, each not ranked for its user: a split's *_unranked"),
    ] = None,
    only: Annotated[
        Literal["known", "new"] | None,
        typer.Option(help="Rank known or new items alone: a diagnosis"),
    ] = None,
    new_items: Annotated[
        str | None,
        typer.Option(help="LEAST,MOST: the places of each list that new items get"),
    ] = None,
    new_below: NewBelow = 0,
    new_from: NewFrom = None,
    keep_seen: Annotated[
        bool, typer.Option("--keep-seen", help="Recommend what is in the history, too")
    ] = False,
    unknown_items: Annotated[
        Literal["error", "drop"], typer.Option(help="What to do about items unknown to the model")
    ] = "error",
    threads: Threads = 0,
    user: User = "user_id",
    item: Item = "item_id",
    weight: Weight = None,
    time: Time = None,
    rating: Rating = None,
    min_rating: MinRating = None,
    duplicates: Duplicates = "once",
    ordered: Ordered = False,
) -> None:
    """Write each user's top n, in Parquet parts.

    Parquet files sorted by user are read as a stream, at constant memory. An interrupted job, run
    again, goes on at the first missing part.
    """
    from pyhybrid import jobs

    parts = jobs.recommend(
        model,
        histories,
        out,
        n,
        users_from=users_from,
        among=among,
        deny=deny,
        unranked=unranked or None,
        only=only,
        new_items=None if new_items is None else _pair(new_items),
        new_below=new_below,
        new_from=new_from or None,
        users=users,
        exclude_seen=not keep_seen,
        unknown_items=unknown_items,
        threads=threads,
        progress=True,
        **_columns(user, item, weight, time, rating, min_rating, duplicates, ordered),
    )
    print(f"{len(parts)} parts written to {out}")


@app.command(
    epilog="Example: [bold]pyhybrid evaluate recs --targets split/test_targets.parquet "
    "--train split/train.parquet -m ndcg@100 -m recall@20[/bold]"
)
def evaluate(
    recommendations: Files,
    targets: Annotated[list[Path], typer.Option(help="Files of held-out events")],
    train: Annotated[
        list[Path] | None,
        typer.Option(help="Files of training events: tell known items from new"),
    ] = None,
    metric: Metrics = None,
    new_below: NewBelow = 0,
    new_from: NewFrom = None,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures")] = None,
    user: User = "user_id",
    item: Item = "item_id",
) -> None:
    """Rate recommendations against held-out targets."""
    from pyhybrid import jobs
    from pyhybrid.data.tables import write_text

    found = jobs.evaluate(
        recommendations,
        targets,
        train or None,
        metrics=metric,
        new_below=new_below,
        new_from=new_from or None,
        user=user,
        item=item,
    )
    print(found)
    if out is not None:
        write_text([json.dumps(found.report.to_arrow().to_pylist(), indent=2)], out)


@app.command(
    epilog="Example: [bold]pyhybrid compare --data ml-1m --models popularity,esler,multvae "
    "--out comparison[/bold]"
)
def compare(
    out: Annotated[Path, typer.Option(help="A folder for compare.json and compare.html")],
    data: Annotated[
        Path | None, typer.Option(help="A folder of a public data set; without it, made-up data")
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Names with commas between; all without it")
    ] = None,
    text: Annotated[
        str, typer.Option(help="What encodes texts: tfidf, or a model of sentence-transformers")
    ] = "tfidf",
    augmentation: Annotated[
        list[str] | None, typer.Option(help="A further text field of the items; may be repeated")
    ] = None,
    by: Annotated[
        Literal["hidden", "time"],
        typer.Option(help="New items are drawn and hidden, or are those that came last"),
    ] = "hidden",
    life: Annotated[
        int,
        typer.Option(
            help="Draws of new items to see with 0, 1, 5, ... interactions; 0: not at all"
        ),
    ] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Few epochs, and no tuning")] = False,
    seed: int = 0,
) -> None:
    """Compare models: what each keeps of behaviour on known items and of text on new ones."""
    from pyhybrid.jobs import comparing

    names = None if models is None else [name.strip() for name in models.split(",")]
    command = shlex.join(["pyhybrid", *sys.argv[1:]])
    result = comparing.compare(
        data,
        out,
        models=names,
        text=text,
        augmentations=augmentation or (),
        by=by,
        life=life,
        quick=quick,
        seed=seed,
        command=command,
    )
    print(f"\n{comparing.table(result)}\n")
    for name in ("compare.json", "compare.html"):
        print(f"wrote  {out / name}")


@app.command(epilog="Example: [bold]pyhybrid demo --out demo[/bold]")
def demo(
    data: Annotated[
        Path | None, typer.Option(help="A folder of a public data set; without it, made-up data")
    ] = None,
    out: Annotated[Path, typer.Option(help="A folder for what the demo writes")] = Path("demo"),
    n: Annotated[int, typer.Option("-n", help="Items a user")] = 10,
    seed: int = 0,
) -> None:
    """Run the main job from end to end: read, split, fit, evaluate, recommend."""
    from pyhybrid.jobs.demo import run

    run(data, out, n=n, seed=seed)


def main() -> None:
    """Run the command line; bad input ends in one line on stderr and exit code 2.

    PYHYBRID_TRACEBACK=1 in the environment shows where an error came from.
    """
    # A terminated job cleans up like an interrupted one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        app()
    except (ValueError, TypeError, OSError, MemoryError, ImportError, NotFittedError) as error:
        if os.environ.get("PYHYBRID_TRACEBACK"):
            raise
        print(f"pyhybrid: {error}", file=sys.stderr)
        sys.exit(2)


def _columns(
    user: str,
    item: str,
    weight: str | None,
    time: str | None,
    rating: str | None,
    min_rating: float | None,
    duplicates: str,
    ordered: bool,
) -> dict[str, Any]:
    return {
        "user": user,
        "item": item,
        "weight": weight,
        "time": time,
        "rating": rating,
        "min_rating": min_rating,
        "duplicates": duplicates,
        "ordered": ordered,
    }


def _pair(text: str) -> tuple[int, int]:
    """Read LEAST,MOST."""
    least, comma, most = text.partition(",")
    try:
        return int(least), int(most if comma else least)
    except ValueError:
        expected = "LEAST,MOST, two whole numbers such as 1,2"
        raise ValueError(describe("--new-items", "the setting", repr(text), expected)) from None


def _parse(params: list[str] | None) -> dict[str, Any]:
    """Read NAME=VALUE, with a JSON value where it is one, else text."""
    parsed: dict[str, Any] = {}
    for text in params or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError(describe("--param", "the setting", repr(text), "NAME=VALUE"))
        try:
            parsed[name] = json.loads(value)
        except json.JSONDecodeError:
            parsed[name] = value
    return parsed
