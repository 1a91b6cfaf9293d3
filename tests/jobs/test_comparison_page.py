from __future__ import annotations

import copy
import json
import re
from html import unescape
from html.parser import HTMLParser
from itertools import combinations, pairwise

import pytest

from pyhybrid.jobs.comparison_page.labels import Box, beside, spread
from pyhybrid.jobs.comparison_page.page import page
from pyhybrid.jobs.comparison_page.style import STYLE

VOID = {"meta", "link", "br", "hr", "img", "input"}
FREQUENCIES = ("0", "1-5", "6-20", "21-100", "more")


class Page(HTMLParser):
    """A page as (tag, attributes, text in it) of each element, in order; refuses what is not
    nested well."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self.open: list[int] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), []))
        if tag not in VOID:
            self.open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag):
        assert self.elements[self.open.pop()][0] == tag

    def handle_data(self, data):
        for place in self.open:
            self.elements[place][2].append(data)

    def all(self, tag: str) -> list[tuple[dict[str, str], str]]:
        return [(attrs, "".join(texts)) for name, attrs, texts in self.elements if name == tag]

    def text(self) -> str:
        return self.all("main")[0][1].replace("\u00a0", " ")


def model(seed: float, *, cold: bool = True) -> dict:
    figures = {"ndcg@10": 0.1 + seed, "recall@20": 0.2 + seed}
    errors = {"ndcg@10": 0.004, "recall@20": 0.005}
    apart = {"against": "esler", "difference": -0.2 + seed, "low": -0.23, "high": -0.19}
    return {
        "warm": figures,
        "cold": dict.fromkeys(figures, 0.01 + seed) if cold else None,
        "joint": {"ndcg@10": 0.05 + seed, "recall@20": 0.06 + seed},
        "standard_error": {"warm": errors, "cold": errors if cold else None, "joint": errors},
        "kept": {"warm": 0.4 + seed, "cold": 0.5 + 2 * seed if cold else None},
        "interval": {"warm": apart, "cold": apart if cold else None, "joint": apart},
        "by_frequency": {
            bucket: {"ndcg@10": seed * (place + 1), "targets": 1234 + place}
            for place, bucket in enumerate(FREQUENCIES)
        },
        "by_history": {"1-5": {"ndcg@10": seed, "users": 12}, "more": {"ndcg@10": None}},
        "coverage": 0.021 + seed,
        "popularity": 812.4 + seed,
        "seconds": {"fit": 75 + seed, "score": 0.2 + seed},
        "memory_bytes": 1_500_000,
        "model_bytes": 30_000,
        "params": f"Model(seed={seed})",
    }


def result(models: dict | None = None) -> dict:
    found = {
        "popularity": model(0.011, cold=False),
        "text": model(0.053),
        "esler": model(0.222, cold=False),
        "esler+text": model(0.217),
        "vqrec": {"skipped": 'VQRec needs torch; pip install "pyhybrid[torch]"'},
    }
    found["esler"]["interval"]["warm"] = None
    return {
        "data": "MovieLens-1M: 6,040 users",
        "split": "a fifth of the items cold",
        "seed": 7,
        "quick": False,
        "date": "2026-11-27",
        "machine": {"cpu": "Xeon", "threads": 2},
        "versions": {"python": "3.11.7", "pyhybrid": "0.1.0"},
        "command": "pyhybrid compare --data ml-1m",
        "users": {"warm": 1000, "cold": 998, "joint": 1001},
        "items": {"warm": 2965, "cold": 741},
        "best": {"behaviour": "esler", "text": "text"},
        "models": found if models is None else models,
    }


def cells(html: str) -> dict[str, str]:
    """The text of all rows of all tables by the model that they tell of."""
    told: dict[str, str] = {}
    for name, rest in re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', html):
        words = unescape(re.sub("<[^>]*>", " ", rest)).replace("\u00a0", " ")
        told[unescape(name)] = told.get(unescape(name), "") + words
    return told


def crowd() -> dict:
    """Thirteen models, most of them on one spot, three on an axis."""
    models = {f"model number {n}": model(0.2 + 0.001 * (n % 2), cold=n > 2) for n in range(13)}
    return result(models)


EMPTY = {
    "one model": result({"esler": model(0.2, cold=False)}),
    "all skipped": result({"p5": {"skipped": "no torch"}, "recr1": {"skipped": "no trl"}}),
    "no models": result({}),
    "no cold": result({name: model(0.1, cold=False) for name in ("popularity", "esler")}),
    "nothing but names": {"models": {"esler": {}, "text": {"warm": None, "by_frequency": {}}}},
    "all 0": result({"zero": {"kept": {"warm": 0, "cold": 0}, "warm": {"ndcg@10": 0}}}),
    "no pure model": result() | {"best": {"behaviour": None, "text": None}},
}
CASES = {"full": result(), "crowd": crowd(), **EMPTY}


@pytest.fixture(params=CASES, ids=str)
def case(request) -> Page:
    return Page(page(CASES[request.param]))


def test_a_page_is_well_formed_and_can_be_read_by_a_screen_reader(case: Page) -> None:
    assert case.all("html")[0][0]["lang"] == "en"
    assert len(case.all("h1")) == len(case.all("title")[:1]) == len(case.all("main")) == 1
    levels = [int(tag[1]) for tag, *_ in case.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attrs["id"] for _, attrs, _ in case.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs, _ in case.elements:
        assert set(attrs.get("aria-labelledby", "").split()) <= set(ids)
    assert all(attrs["scope"] in {"col", "colgroup", "row"} for attrs, _ in case.all("th"))
    assert len(case.all("caption")) == len(case.all("table"))
    assert all(words.strip() for tag in ("h2", "caption", "th", "dd") for _, words in case.all(tag))


def test_each_plot_says_in_words_what_it_shows(case: Page) -> None:
    texts = {attrs["id"]: "".join(t) for _, attrs, t in case.elements if "id" in attrs}
    for attrs, _ in case.all("svg"):
        title, desc = attrs["aria-labelledby"].split()
        assert attrs["role"] == "img"
        assert title.endswith("-title")
        assert desc.endswith("-desc")
        assert len(texts[title]) > 20
        assert len(texts[desc]) > 40
    html = Page(page(result()))
    words = [text for _, text in html.all("desc")]
    assert len(words) == len(html.all("svg")) == 2
    assert "esler+text: warm 62\u00a0%, cold 93\u00a0%" in words[0]
    assert "esler: warm 62\u00a0%, no cold share" in words[0]
    assert "text: 0: 0.053, 1\u20135: 0.106" in words[1]


def test_a_page_loads_and_runs_nothing(case: Page) -> None:
    tags = {tag for tag, *_ in case.elements}
    assert not tags & {"script", "iframe", "img", "object", "embed", "form", "base"}
    for _, attrs, _ in case.elements:
        assert not any(name.startswith("on") or name == "src" for name in attrs)
        assert attrs.get("href", "data:,") == "data:,"
    assert not re.search(r"https?:|url\(|@import|//", case.all("style")[0][1])


def test_every_figure_of_every_model_is_told() -> None:
    html = Page(page(result()))
    rows = cells(page(result()))
    for name, found in result()["models"].items():
        if "skipped" in found:
            assert found["skipped"] in html.text()
            assert name not in rows
            continue
        told = rows[name]
        for side in ("warm", "joint") + (("cold",) if found["cold"] else ()):
            assert f"{found[side]['ndcg@10']:.3f}" in told
            assert f"{found[side]['recall@20']:.3f}" in told
        assert f"{100 * found['kept']['warm']:.0f} %" in told
        assert all(f"{f['ndcg@10']:.3f}" in told for f in found["by_frequency"].values())
        assert f"{found['popularity']:,.1f}" in told
        assert f"{100 * found['coverage']:.1f} %" in told
        assert all(words in told for words in ("1 min 15 s", "1.5 MB", "30 kB", "0.004", "0.005"))
        assert found["params"] in html.text()
    assert "\u22120.230 to \u22120.190" in html.text()
    for words in (
        *("1,234 targets", "12 users", "998 users, 741 items", "MovieLens-1M: 6,040 users"),
        *("A fifth of the items cold.", "Four recommenders", "One could not be run"),
        *("2026-11-27", "Xeon, 2 threads", "python 3.11.7", "pyhybrid compare --data ml-1m"),
    ):
        assert words in html.text()


def test_the_answer_names_the_model_that_keeps_the_most_of_both() -> None:
    assert "esler+text keeps the most of both: 62 % of the warm strength and 93 % of the cold" in (
        Page(page(result())).text()
    )
    for name in ("no cold", "one model"):
        assert "none can be said to keep both" in Page(page(EMPTY[name])).text()
    assert "No model could be run" in Page(page(EMPTY["all skipped"])).text()
    assert "no trl" in Page(page(EMPTY["all skipped"])).text()


def test_the_best_of_a_column_is_marked_by_more_than_colour() -> None:
    html = page(result())
    best = cells(html)
    assert "<strong>0.322<" in html
    assert "0.322 , best" in best["esler"]
    assert "0.111" in best["popularity"]
    assert "0.111 , best" not in best["popularity"]
    alone = page(EMPTY["one model"])
    assert "<strong>" not in alone
    fast = result()
    fast["models"]["text"]["seconds"]["fit"] = 1.0
    assert "1.00 s , best" in cells(page(fast))["text"]


def test_a_difference_names_its_reference() -> None:
    assert "reference" in cells(page(result()))["esler"]
    assert "against esler" in page(result())
    mixed = result()
    mixed["models"]["text"]["interval"]["warm"]["against"] = "sasrec"
    rows = cells(page(mixed))
    assert "\u22120.190 against sasrec" in rows["text"]
    assert "\u22120.190 against esler" in rows["popularity"]
    assert "reference" not in rows["esler"]


def test_whatever_a_text_holds_is_shown_as_it_is() -> None:
    evil = "<b>&\"'</b><script>"

    def spoil(value):
        if isinstance(value, dict):
            return {spoil(key) if key in names else key: spoil(item) for key, item in value.items()}
        return evil + value if isinstance(value, str) else value

    names = {*result()["models"], "6-20", "cpu", "threads", "python", "recall@20"}
    html = Page(page(spoil(result())))
    assert not {tag for tag, *_ in html.elements} & {"b", "script"}
    for words in ("text", "popularity", "esler", "6\u201320", "recall@20", "VQRec needs torch"):
        assert evil + words in html.text()
    assert {evil + name for name in result()["models"]} > set(cells(page(spoil(result()))))


def boxes(svg: str) -> dict[str, Box]:
    """Where the labels of a plot lie, if a character is 0.6 of its height wide."""
    found = {}
    pattern = r'<text class="label" x="(.*?)" y="(.*?)" text-anchor="(.*?)">(.*?)</text>'
    for x, y, anchor, words in re.findall(pattern, svg):
        wide = 0.6 * 13 * len(unescape(words))
        left = float(x) - wide * {"start": 0, "middle": 0.5, "end": 1}[anchor]
        found[words] = Box(left, float(y) - 10, left + wide, float(y) + 3)
    return found


@pytest.mark.parametrize("name", ["full", "crowd", "no cold", "one model", "all 0"])
def test_labels_are_all_there_and_lie_on_no_other(name: str) -> None:
    models = [name for name, m in CASES[name]["models"].items() if "skipped" not in m]
    for svg in re.findall(r"<svg.*?</svg>", page(CASES[name]), re.DOTALL):
        found = boxes(svg)
        assert len(found) == len(models)
        assert not [pair for pair in combinations(found.values(), 2) if pair[0].meets(pair[1])]
        width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', svg).groups())
        assert all(box.within(Box(0, 0, width, height)) for box in found.values())


def test_long_names_are_whole_in_the_tables_and_short_in_the_plots() -> None:
    names = [f"multvae {'with a very long name ' * 5}{n}" for n in range(3)]
    html = page(result({name: model(0.1 + n / 9) for n, name in enumerate(names)}))
    assert set(cells(html)) == set(names)
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        labels = boxes(svg)
        assert len(labels) == 3
        assert all(len(label) < 20 and "…" in label for label in labels)


def test_a_model_without_a_cold_share_stands_hollow_on_the_axis() -> None:
    svg = re.search(r"<svg.*?</svg>", page(result()), re.DOTALL)[0]
    marks = dict(re.findall(r"<g><title>(\S+): .*?</title><\S+ class=\"mark c\d( hollow)?", svg))
    assert marks == {"popularity": " hollow", "text": "", "esler": " hollow", "esler+text": ""}
    axis = re.search(r'class="axis" x1="(\S+)"', svg)[1]
    assert f'cx="{axis}"' in svg  # popularity is a circle


def test_a_share_above_1_and_a_line_with_a_gap_are_drawn() -> None:
    found = result()
    found["models"]["text"]["kept"]["cold"] = 2.6
    found["models"]["text"]["by_frequency"]["6-20"]["ndcg@10"] = None
    html = page(found)
    assert "cold 260\u00a0%" in html
    assert "6\u201320: no target" in html
    points = re.findall(r'<polyline class="line c1" points="(.*?)"', html)
    assert [len(run.split()) for run in points] == [2, 2]


def test_numbers_that_are_none_are_missing_and_not_written() -> None:
    found = result()
    found["models"]["text"]["warm"]["ndcg@10"] = float("nan")
    found["models"]["text"]["kept"]["warm"] = float("inf")
    found["models"]["text"]["popularity"] = None
    html = page(found)
    assert not re.search(r"\b(nan|inf|None|null)\b", Page(html).text())
    assert "no figure" in cells(html)["text"]


def test_keys_in_any_order_give_buckets_in_order() -> None:
    sorted_keys = json.loads(json.dumps(result(), sort_keys=True))
    heads = re.findall(r'<th scope="col">([^<]*)<small>[\d,]+ targets', page(sorted_keys))
    assert heads == ["0", "1\u20135", "6\u201320", "21\u2013100", "over 100"]


def test_a_quick_run_says_so() -> None:
    assert "A quick run." in page(result() | {"quick": True})
    assert "A quick run." not in page(result())


def test_the_same_result_gives_the_same_page_and_is_left_alone() -> None:
    given = result()
    assert page(given) == page(copy.deepcopy(given)) == page(json.loads(json.dumps(given)))
    assert given == result()


@pytest.mark.parametrize("wrong", [None, [], {}, {"models": None}, {"models": ["esler"]}])
def test_what_is_no_result_is_refused(wrong) -> None:
    with pytest.raises(TypeError, match=r"^page: result's models is a .*; expected a mapping"):
        page(wrong)


@pytest.mark.parametrize("place", [0, 1])
def test_colours_reach_a_contrast_of_4_5(place: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", blocks[place]))
    assert {"paper", "ink", "quiet", *(f"c{n}" for n in range(7))} < set(colours)
    for name in ("ink", "quiet", *(f"c{n}" for n in range(7))):
        assert contrast(colours[name], colours["paper"]) >= 4.5, name
    assert contrast(colours["goal"], colours["tint"]) >= 4.5


def contrast(one: str, other: str) -> float:
    """The contrast of WCAG 2 between two colours."""
    lights = []
    for colour in (one, other):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_many_labels_of_one_point_find_places() -> None:
    area = Box(0, 0, 300, 300)
    labels = beside([(150, 150)] * 20, [60.0] * 20, area)
    found = [label.box for label in labels if label is not None]
    assert len(found) == 20
    assert all(box.within(area) for box in found)
    assert not [pair for pair in combinations(found, 2) if pair[0].meets(pair[1])]
    assert beside([(5, 5)], [60.0], Box(0, 0, 50, 50)) == [None]


def test_spread_labels_keep_their_order_and_distance() -> None:
    heights = [50.0, 52, 51, 99, 98, 3, 2]
    moved = spread(heights, 0, 100)
    order = sorted(range(7), key=lambda row: heights[row])
    steps = [moved[b] - moved[a] for a, b in pairwise(order)]
    assert min(steps) >= 15
    assert min(moved) >= 0
    assert max(moved) <= 100
