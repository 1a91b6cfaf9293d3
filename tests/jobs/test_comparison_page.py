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


def model(seed: float, *, new: bool = True) -> dict:
    """A model's figures; without `new`, of one that ranks no new items."""
    figures = {"ndcg@10": 0.1 + seed, "recall@20": 0.2 + seed}
    errors = {"ndcg@10": 0.004, "recall@20": 0.005}
    apart = {"against": "esler", "difference": -0.2 + seed, "low": -0.23, "high": -0.19}
    sides = ("joint", "known", "new", "warm", "cold")
    shift = dict(zip(sides, (-0.01, 0.0, -0.07, 0.02, -0.05), strict=True))
    return {
        **{side: {k: v + shift[side] for k, v in figures.items()} for side in sides},
        **({} if new else {"new": {"ndcg@10": 0.0, "recall@20": 0.0}, "cold": None}),
        "standard_error": dict.fromkeys(sides, errors) | ({} if new else {"cold": None}),
        "kept": {"known": 0.4 + seed, "new": 0.5 + 2 * seed if new else None},
        "interval": {"known": apart, "new": apart | {"against": "text"}, "joint": dict(apart)},
        "tradeoff": curve(seed) if new else None,
        "life": None,
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


def curve(seed: float) -> dict:
    falling = [0.1 + seed, 0.08 + seed, 0.03, -1e-18]  # as sums of floats end
    rising = [0.0, 0.03 + seed, 0.05 + seed, 0.06 + seed]
    return {
        "by": "factor",
        "n": 10,
        "area": 0.008 + seed / 10,
        "new_share": 0.123 + seed / 10,
        "best": {"step": 1.25, "joint": 0.15 + seed},
        "curve": {
            "known": falling,
            "new": rising,
            "joint": falling,
            "share": [0.0, 0.1, 0.5, 1.0],
        },
        "placed": {
            "known": [(0.2 + seed) * (1 - 0.04 * m) for m in range(11)],
            "new": [(0.1 + seed) * m / 10 for m in range(11)],
            "joint": [0.3 + seed - 0.01 * m for m in range(11)],
        },
    }


def lived(seed: float, worth: dict | None = None) -> dict:
    ages = [0, 1, 5, 20, 50, 100, None]
    return {
        "interactions": ages,
        "area": [seed + 0.01 * place for place in range(7)],
        "known": [seed + 0.4 - 0.003 * place for place in range(7)],
        "new": [seed + 0.5 + 0.007 * place for place in range(7)],
        "joint": [seed + 0.6 + 0.001 * place for place in range(7)],
        "share": [seed / 10 + 0.011 * place for place in range(7)],
        "worth": worth,
    }


WORTH = {"interactions": 11.7, "low": 8.2, "high": 15.4, "at_least": False, "at_most": False}


def result(models: dict | None = None) -> dict:
    found = {
        "popularity": model(0.011, new=False),
        "text": model(0.053),
        "esler": model(0.222, new=False),
        "esler+text": model(0.217),
        "vqrec": {"skipped": 'VQRec needs torch; pip install "pyhybrid[torch]"'},
    }
    found["esler"]["interval"] |= {"known": None, "joint": None}
    found["text"]["interval"]["new"] = None
    found["esler"]["life"] = lived(0.0)
    found["esler+text"]["life"] = lived(0.025, WORTH)
    found["text"]["life"] = lived(0.005, WORTH | {"interactions": 0.4, "at_most": True})
    return {
        "data": "MovieLens-1M: 6,040 users",
        "split": "a fifth of the items hidden",
        "new_shares": {"items": 0.2, "events": 0.1234, "targets": 0.131},
        "new": {"fewer_than": 0, "items": 741},
        "seed": 7,
        "quick": False,
        "date": "2026-11-27",
        "machine": {"cpu": "Xeon", "threads": 2},
        "versions": {"python": "3.11.7", "pyhybrid": "0.1.0"},
        "command": "pyhybrid compare --data ml-1m",
        "users": {"joint": 1001, "known": 1000, "new": 998, "warm": 997, "cold": 996},
        "items": {"known": 2965, "new": 741},
        "life": {"splits": 3, "against": "esler"},
        "best": {"behaviour": "esler", "text": "text"},
        "models": found if models is None else models,
    }


def cells(html: str) -> dict[str, str]:
    """The text of all rows of all tables by the model that they tell of."""
    told: dict[str, str] = {}
    for name, rest in re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', html):
        words = unescape(re.sub("<[^>]*>", " ", rest)).replace("\u00a0", " ")
        told[unescape(name)] = f"{told.get(unescape(name), '')} {' '.join(words.split())}"
    return told


def crowd() -> dict:
    """Thirteen models, most of them on one spot, three on an axis."""
    models = {f"model number {n}": model(0.2 + 0.001 * (n % 2), new=n > 2) for n in range(13)}
    for n, found in enumerate(models.values()):
        found["life"] = lived(0.03, WORTH | {"interactions": 11.0 + n % 2})
    return result(models)


def without_new(models: dict) -> dict:
    """A comparison in which no item is new."""
    for found in models.values():
        found |= {"new": None, "known": None, "warm": None, "tradeoff": None}
        found["interval"] |= {"known": None, "new": None}
    shares = {"items": 0.0, "events": 0.0, "targets": 0.0}
    none = {"new": {"fewer_than": 0, "items": 0}, "new_shares": shares, "life": None}
    return result(models) | none


EMPTY = {
    "one model": result({"esler": model(0.2, new=False)}),
    "one model with a curve": result({"esler+text": model(0.2)}),
    "all skipped": result({"p5": {"skipped": "no torch"}, "recr1": {"skipped": "no trl"}}),
    "no models": result({}),
    "no new": without_new({name: model(0.1, new=False) for name in ("popularity", "esler")}),
    "nothing but names": {"models": {"esler": {}, "text": {"joint": None, "by_frequency": {}}}},
    "empty parts": result({"esler": {"tradeoff": {}, "life": {}}, "text": {"tradeoff": None}}),
    "all 0": result(
        {
            "zero": {
                "kept": {"known": 0, "new": 0},
                "joint": {"ndcg@10": 0},
                "known": {"ndcg@10": 0},
                "tradeoff": {
                    "curve": {"known": [0, 0], "new": [0, 0]},
                    "placed": {side: [0, 0] for side in ("known", "new", "joint")},
                },
                "life": {"interactions": [0, 1], "area": [0, 0], "worth": WORTH},
            }
        }
    ),
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
    assert len(words) == len(html.all("svg")) == 4
    assert "esler+text: known 62\u00a0%, new 93\u00a0%" in words[0]
    assert "esler: known 62\u00a0%, no new share" in words[0]
    assert "esler+text: as scored S 0.317, U 0.247" in words[1]
    assert "esler: as scored S 0.322, U 0.000, no curve" in words[1]
    assert "esler: 0: 0.000, 1: 0.010, 5: 0.020" in words[2]
    assert "text: 0: 0.053, 1\u20135: 0.106" in words[3]


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
        for side in ("joint", "known", "new", "warm") + (("cold",) if found["cold"] else ()):
            assert f"{found[side]['ndcg@10']:.3f}" in told
            assert f"{found[side]['recall@20']:.3f}" in told
        assert f"{100 * found['kept']['known']:.0f} %" in told
        assert all(f"{f['ndcg@10']:.3f}" in told for f in found["by_frequency"].values())
        assert f"{found['popularity']:,.1f}" in told
        assert f"{100 * found['coverage']:.1f} %" in told
        assert all(words in told for words in ("1 min 15 s", "1.5 MB", "30 kB", "0.004", "0.005"))
        assert found["params"] in html.text()
        if found["tradeoff"]:
            assert f"{found['tradeoff']['area']:.3f}" in told
            assert f"{100 * found['tradeoff']['new_share']:.1f} %" in told
            assert f"{found['tradeoff']['best']['joint']:.3f}" in told
            for side, placed in found["tradeoff"]["placed"].items():
                asked = (1, 2, 3, 5) if side == "new" else (0, 1, 2, 3, 5)
                assert all(f"{placed[m]:.3f}" in told for m in asked)
        if found["life"]:
            for side in ("area", "known", "new", "joint"):
                assert all(f"{value:.3f}" in told for value in found["life"][side])
            assert all(f"{100 * share:.1f} %" in told for share in found["life"]["share"])
    assert "\u22120.230 to \u22120.190" in html.text()
    for words in (
        *("1,234 targets", "12 users", "998 users", "MovieLens-1M: 6,040 users"),
        *("A fifth of the items hidden.", "Four recommenders", "One could not be run"),
        *("2026-11-27", "Xeon, 2 threads", "python 3.11.7", "pyhybrid compare --data ml-1m"),
        *("1,000 users", "997 users, 2,965 items", "996 users, 741 items"),
    ):
        assert words in html.text()


def test_the_answer_names_the_model_that_keeps_the_most_of_both() -> None:
    told = Page(page(result())).text()
    assert "esler+text keeps the most of both: 62 % of the strength on known items" in told
    assert "(100 % is esler, the best of behaviour alone) and 93 % of that on new items" in told
    lopsided = result()
    lopsided["models"]["text"]["kept"] = {"known": 0.2, "new": 4.0}
    assert "esler+text keeps the most of both" in Page(page(lopsided)).text()
    for name in ("no new", "one model"):
        assert "none can be said to keep both" in Page(page(EMPTY[name])).text()
    assert "No model could be run" in Page(page(EMPTY["all skipped"])).text()
    assert "no trl" in Page(page(EMPTY["all skipped"])).text()


def test_what_a_text_is_worth_is_told_with_its_interval_and_its_open_side() -> None:
    told = Page(page(result())).text()
    assert "A text is worth 12 interactions (8.2 to 15) to esler+text and at most 0.4 " in told
    assert "esler, which knows behaviour alone, gets as far" in told
    rows = cells(page(result()))
    assert "12 , best 8.2 to 15" in rows["esler+text"]
    assert "at most, 8.2 to 15" in rows["text"]
    assert "reference" in rows["esler"]
    alone = result()
    alone["models"]["text"]["life"]["worth"] = None
    bound = {"interactions": 100, "low": None, "high": None, "at_least": True, "at_most": False}
    alone["models"]["esler+text"]["life"]["worth"] = bound
    told = Page(page(alone)).text()
    assert "A text is worth at least 100 interactions to esler+text:" in told
    alone["models"]["esler+text"]["life"]["worth"] = None
    assert (
        "A text is worth"
        not in Page(page(alone)).text().split("How to read")[0].split("The life of an item")[0]
    )


def test_the_share_of_new_items_stands_in_the_opening_and_beside_the_figures() -> None:
    html = Page(page(result()))
    share = "741 new items are 20.0 % of the items, 12.3 % of the events and 13.1 % of the targets."
    assert html.text().count(share) == 2
    assert share in html.all("header")[0][1].replace("\u00a0", " ")
    assert html.text().index("The figures") < html.text().rindex(share)
    part = page(result() | {"new": None, "new_shares": {"items": 0.25}})
    assert "New items are 25.0 % of the items." in Page(part).text()
    assert "of the targets." not in Page(part).all("header")[0][1]


def test_an_engineer_reads_what_a_place_costs() -> None:
    told = Page(page(result())).text()
    assert "With esler+text, one place of ten for new items costs known targets 4.0 % of S" in told
    assert "(0.417 to 0.400), and takes U from 0.000 to 0.032 and the joint figure from" in told
    rows = cells(page(result()))
    assert "0.400 , best \u22124.0 %" in rows["esler+text"]
    assert "\u00d7 1.25" in rows["text"]
    other = result()
    other["models"]["text"]["tradeoff"] |= {"by": "offset", "best": {"step": -0.5, "joint": 0.1}}
    other["models"]["esler+text"]["tradeoff"]["best"] = {"step": None, "joint": 0.3}
    rows = cells(page(other))
    assert "\u22120.50" in rows["text"]
    assert "no new" in rows["esler+text"]


def test_one_kind_ranked_alone_is_a_diagnosis_and_no_headline() -> None:
    found = result()
    found["models"]["text"]["warm"]["ndcg@10"] = 0.987
    html = page(found)
    sections = dict(re.findall(r"<h2>(.*?)</h2>(.*?)</section>", html, re.DOTALL))
    holding = [title for title, content in sections.items() if "0.987" in content]
    assert holding == ["Diagnoses: one kind ranked alone"]
    heads = re.findall(r"<th[^>]*>([^<]*)", sections["Diagnoses: one kind ranked alone"])
    assert {"Known alone", "New alone"} <= set(heads)
    headline = re.findall(r"<th[^>]*>([^<]*)", sections["The figures"])
    assert {"Joint", "Known among all", "New among all", "Area"} <= set(headline)
    assert not re.search(r"\b(warm|cold)\b", Page(html).text(), re.IGNORECASE)


def test_without_new_items_nothing_is_said_of_them() -> None:
    html = Page(page(EMPTY["no new"]))
    titles = [words for _, words in html.all("h2")]
    assert "The figures" in titles
    assert "By item frequency" in titles
    assert not {"What places for new items cost", "The life of an item"} & set(titles)
    assert not [title for title in titles if title.startswith("Diagnoses")]
    assert "new items are" not in html.text().lower()
    assert not {"Known, new", "Trade-off, area"} & {words for _, words in html.all("dt")}
    assert [words.split(" ")[0] for _, words in html.all("title")[1:2]] == ["NDCG@10"]
    assert "0.190" in cells(page(EMPTY["no new"]))["esler"]


def test_no_section_is_empty(case: Page) -> None:
    opened = [place for place, (tag, *_) in enumerate(case.elements) if tag == "section"]
    ends = [*opened[1:], len(case.elements)]
    for start, end in zip(opened, ends, strict=True):
        inner = {tag for tag, *_ in case.elements[start:end]}
        assert inner & {"table", "svg", "dl"}
    assert all(body.strip() for _, body in case.all("tbody"))


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
    assert cells(page(result()))["esler"].count("reference") == 3  # joint, known, worth
    assert "against esler" in page(result())
    mixed = result()
    mixed["models"]["text"]["interval"]["known"]["against"] = "sasrec"
    rows = cells(page(mixed))
    assert "\u22120.190 against sasrec" in rows["text"]
    assert "\u22120.190 against esler" in rows["popularity"]
    assert rows["esler"].count("reference") == 2  # of joint and of worth, but no longer of known


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


def pictures(html: str) -> dict[str, str]:
    """The plots by name."""
    found = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    return {re.search(r'aria-labelledby="(\w+)-title', svg)[1]: svg for svg in found}


NAMED = ["full", "crowd", "no new", "one model", "one model with a curve", "all 0"]


@pytest.mark.parametrize("name", NAMED)
def test_labels_are_all_there_and_lie_on_no_other(name: str) -> None:
    models = {name: m for name, m in CASES[name]["models"].items() if "skipped" not in m}
    drawn = pictures(page(CASES[name]))
    assert drawn
    for plot, svg in drawn.items():
        found = boxes(svg)
        assert len(found) == len([m for m in models.values() if plot != "life" or m["life"]])
        assert not [pair for pair in combinations(found.values(), 2) if pair[0].meets(pair[1])]
        width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', svg).groups())
        assert all(box.within(Box(0, 0, width, height)) for box in found.values())


def test_all_coordinates_are_numbers_in_the_plot(case: Page) -> None:
    for attrs, _ in case.all("svg"):
        assert re.fullmatch(r"0 0 \d+ \d+(\.\d+)?", attrs["viewbox"])
    places = re.compile(r"^(c?[xy][12]?|width|height|r)$")
    for tag, attrs, _ in case.elements:
        if tag in {"line", "rect", "text", "circle"}:
            numbers = [value for name, value in attrs.items() if places.match(name)]
        elif tag in {"polyline", "polygon"}:
            numbers = re.split("[ ,]", attrs["points"])
        else:
            continue
        assert numbers
        assert all(0 <= float(value) <= 1000 for value in numbers), (tag, attrs)


def test_long_names_are_whole_in_the_tables_and_short_in_the_plots() -> None:
    names = [f"multvae {'with a very long name ' * 5}{n}" for n in range(3)]
    html = page(result({name: model(0.1 + n / 9) for n, name in enumerate(names)}))
    assert set(cells(html)) == set(names)
    for svg in pictures(html).values():
        labels = boxes(svg)
        assert len(labels) == 3
        assert all(len(label) < 20 and "…" in label for label in labels)


def test_a_model_without_a_new_share_stands_hollow_on_the_axis() -> None:
    svg = pictures(page(result()))["shares"]
    marks = dict(re.findall(r"<g><title>(\S+): .*?</title><\S+ class=\"mark c\d( hollow)?", svg))
    assert marks == {"popularity": " hollow", "text": "", "esler": " hollow", "esler+text": ""}
    axis = re.search(r'class="axis" x1="(\S+)"', svg)[1]
    assert f'cx="{axis}"' in svg  # popularity is a circle
    found = result()
    for row in found["models"].values():
        row["kept"] = {"known": 0.5, "new": None}
    assert "shares" not in pictures(page(found))  # a plot of one axis says no more than a column


def across(svg: str) -> tuple[dict[float, float], dict[float, float]]:
    """Where the ticks of a plot stand: across and up."""
    found = re.findall(r'<text class="tick" x="(.*?)" y="(.*?)" text-anchor="(.*?)">(.*?)<', svg)
    ticks = [(float(x), float(y), anchor, float(words)) for x, y, anchor, words in found]
    flat = {value: x for x, _, anchor, value in ticks if anchor == "middle"}
    return flat, {value: y - 4 for _, y, anchor, value in ticks if anchor == "end"}


def at(ticks: dict[float, float], value: float) -> float:
    """The place of a value between ticks."""
    (low, start), (high, end) = min(ticks.items()), max(ticks.items())
    return start + (end - start) * (value - low) / (high - low)


def test_the_trade_off_is_drawn_where_the_figures_are() -> None:
    given = result()["models"]
    svg = pictures(page(result()))["tradeoff"]
    flat, upright = across(svg)
    for place, name in ((1, "text"), (3, "esler+text")):
        points = re.findall(rf'<polyline class="line c{place}" points="(.*?)"', svg)
        drawn = [tuple(map(float, point.split(","))) for point in points[0].split()]
        curve = given[name]["tradeoff"]["curve"]
        for (x, y), known, new in zip(drawn, curve["known"], curve["new"], strict=True):
            assert (x, y) == pytest.approx((at(flat, known), at(upright, new)), abs=0.11)
    assert len(re.findall("<polyline", svg)) == 2
    marks = dict(re.findall(r"<g><title>(\S+): .*?</title>(<.*?/>)</g>", svg))
    assert set(marks) == {"popularity", "text", "esler", "esler+text"}
    assert {name for name, mark in marks.items() if " hollow" in mark} == {"popularity", "esler"}
    circle = [float(re.search(rf'{of}="(.*?)"', marks["popularity"])[1]) for of in ("cx", "cy")]
    stands = at(flat, given["popularity"]["known"]["ndcg@10"]), at(upright, 0.0)
    assert circle == pytest.approx(stands, abs=0.11)
    corners = re.search(r'points="(.*?)"', marks["text"])[1].split()
    middle = [sum(float(c.split(",")[k]) for c in corners) / 4 for k in (0, 1)]
    stands = (
        at(flat, given["text"]["known"]["ndcg@10"]),
        at(upright, given["text"]["new"]["ndcg@10"]),
    )
    assert middle == pytest.approx(stands, abs=0.11)


def test_a_trade_off_with_gaps_still_names_its_model() -> None:
    found = result()
    found["models"]["text"]["new"] = None  # no marker, but a line
    found["models"]["esler"] |= {"known": None, "new": None}  # nothing at all
    found["models"]["esler+text"]["tradeoff"]["curve"]["new"][1] = None
    html = page(found)
    svg = pictures(html)["tradeoff"]
    assert set(boxes(svg)) == {"popularity", "text", "esler+text"}
    assert "Without a figure, and so not in the plot: esler." in Page(html).text()
    assert len(re.findall(r'class="mark', svg)) == 2
    runs = re.findall(r'<polyline class="line c3" points="(.*?)"', svg)
    assert [len(run.split()) for run in runs] == [3]


def test_the_life_of_an_item_is_drawn_where_the_figures_are() -> None:
    svg = pictures(page(result()))["life"]
    assert set(boxes(svg)) == {"text", "esler", "esler+text"}
    names = re.findall(r'class="tick" x="(\S+)" y="\S+" text-anchor="middle">(\w+)<', svg)
    assert [name for _, name in names] == ["0", "1", "5", "20", "50", "100", "all"]
    places = [float(x) for x, _ in names]
    assert [b - a for a, b in pairwise(places)] == pytest.approx([places[1] - places[0]] * 6, abs=1)
    _, upright = across(re.sub(r'<text[^>]*"middle">all<', "<", svg))
    for place, name in ((1, "text"), (2, "esler"), (3, "esler+text")):
        points = re.search(rf'<polyline class="line c{place}" points="(.*?)"', svg)[1].split()
        heights = [float(point.split(",")[1]) for point in points]
        areas = result()["models"][name]["life"]["area"]
        assert [float(point.split(",")[0]) for point in points] == pytest.approx(places, abs=0.11)
        assert heights == pytest.approx([at(upright, area) for area in areas], abs=0.11)


def test_guides_lead_from_the_area_without_interactions_to_what_a_text_is_worth() -> None:
    svg = pictures(page(result()))["life"]
    guides = re.findall(r'<line class="guide c3" x1="(.*?)" y1="(.*?)" x2="(.*?)" y2="(.*?)"', svg)
    (left, y, x, same), (foot_x, top, also_x, foot) = [tuple(map(float, g)) for g in guides]
    start = re.search(r'<polyline class="line c3" points="(\S+)', svg)[1]
    assert f"{left},{y}" == start
    assert (same, foot_x, also_x, top) == (y, x, x, y)
    ticks = dict(re.findall(r'"tick" x="(\S+)" y="\S+" text-anchor="middle">(\w+)<', svg))
    place = {name: float(x) for x, name in ticks.items()}
    assert place["5"] < x < place["20"]  # 11.7 interactions
    assert foot == float(re.search(r'class="axis" x1="\S+" y1="(\S+)"', svg)[1])
    assert 'class="number c3"' in svg
    assert "esler+text: a text is worth 12 interactions" in svg


def test_guides_are_few_and_their_numbers_lie_on_no_other() -> None:
    svg = pictures(page(crowd()))["life"]
    assert len(re.findall('class="guide', svg)) == 2 * 3
    numbers = re.findall(r'class="number c\d" x="(\S+)" y="(\S+)"', svg)
    assert 1 <= len(numbers) <= 3
    assert all(abs(float(a[0]) - float(b[0])) > 15 or abs(float(a[1]) - float(b[1])) > 12
               for a, b in combinations(numbers, 2))  # fmt: skip
    gone = result()
    gone["models"]["esler+text"]["life"] |= {"worth": WORTH | {"interactions": 1e9}}
    assert 'class="guide c3"' in pictures(page(gone))["life"]
    gone["models"]["esler+text"]["life"]["area"][0] = None
    assert 'class="guide c3"' not in pictures(page(gone))["life"]


def test_a_share_above_1_and_a_line_with_a_gap_are_drawn() -> None:
    found = result()
    found["models"]["text"]["kept"]["new"] = 2.6
    found["models"]["text"]["by_frequency"]["6-20"]["ndcg@10"] = None
    html = page(found)
    assert "new 260\u00a0%" in html
    drawn = pictures(html)["frequency"]
    assert "6\u201320: no target" in html
    points = re.findall(r'<polyline class="line c1" points="(.*?)"', drawn)
    assert [len(run.split()) for run in points] == [2, 2]


def test_numbers_that_are_none_are_missing_and_not_written() -> None:
    found = result()
    found["models"]["text"]["known"]["ndcg@10"] = float("nan")
    found["models"]["text"]["kept"]["known"] = float("inf")
    found["models"]["text"]["tradeoff"]["curve"]["new"][1] = float("nan")
    found["models"]["text"]["tradeoff"]["placed"]["joint"][2] = None
    found["models"]["text"]["life"]["area"][3] = float("nan")
    found["models"]["text"]["life"]["worth"]["low"] = float("nan")
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
