"""The report: self-contained, escaped, and honest about what a night does not have."""

import copy
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pwrank.evaluation.holdout import evaluate_holdout
from pwrank.report.charts import difference_panel, histogram, ranker_panels, validation_curve
from pwrank.report.page import ABSENT, render_report, write_report
from tests.library.judged_world import AS_OF, CATALOGUE_FRAME, HISTORY, LISTS, log, rankings

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; &amp; javascript:alert(1)",
]
PLAIN_TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "section", "footer", "p",
    "h1", "h2", "h3", "span", "small", "b", "i", "u", "s", "em", "dl", "dt", "dd", "div", "figure",
    "figcaption", "svg", "rect", "line", "polyline", "circle", "text", "table", "thead", "tbody",
    "tr", "th", "td", "article", "ol", "li", "bdi", "code",
}  # fmt: skip


class Page(HTMLParser):
    """Tags, attribute names and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words, self.open = set(), set(), [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta", "rect", "line", "polyline", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def evaluation():
    found = evaluate_holdout(
        rankings(LISTS).lazy(),
        log([("u", "c", 0), ("v", "h", 0), ("w", "d", 0), ("new", "a", 0)]),
        history=HISTORY,
        catalogue=CATALOGUE_FRAME,
        exclude_seen=True,
        as_of=AS_OF,
    )
    return {"until": "2024-03-02", **found.to_json()}


PUBLISHED = evaluation()


def data(word="word"):
    """A full report in which every free text is `word`."""
    return {
        "as_of": "2024-03-02",
        "lake": word,
        "verdict": {"state": "published", "text": word},
        "model": {
            "version": word, "trained_as_of": word, "encoder": word, "metrics": {word: 0.5},
        },
        "accounts": [
            {"stage": word, "adds_up": True, "lines": [{"name": word, "rows": 1234, "note": word}]}
        ],
        "stages": [
            {"stage": word, "reused": True, "rows": 5, "seconds": 75.0, "peak_bytes": 1_310_000_000}
        ],
        "metrics": {"staged": staged(word), "overlap": overlap(word), "published": PUBLISHED},
        "validation": {"metric": word, "points": [[1, 0.1], [2, 0.3], [3, 0.2]], "chosen": 2},
        "gates": [{"gate": word, "passed": False, "figure": word, "bound": word, "sample": word}],
        "users": [
            {
                "user_id": word,
                "history": [{"title": word, "when": word}],
                "ranking": [
                    {
                        "rank": 1, "title": word, "score": 0.25, "source": word, "category": word,
                        "reasons": [word, word],
                    }
                ],
            }
        ],
    }  # fmt: skip


def staged(word):
    return {
        "users": 3, "rows": 12, "list_length": {"min": 4, "mean": 4.0, "max": 4},
        "coverage@10": 0.5, "gini@10": 0.4, "novelty@10": 3.0, "popular_share@10": 0.25,
        "sources": {"all": {word: 1.0}, "first_10": {word: 1.0}},
        "scores": {
            "quantiles": {"0.5": 0.2, "0.99": 0.5},
            "histogram": {"edges": [0.0, 0.25, 0.5], "rows": [9, 3]},
        },
    }  # fmt: skip


def overlap(word):
    shares = {"rbo@10": 0.7, "jaccard@10": 0.5, "unchanged_share@10": 0.1}
    return {"with": word, "users_compared": 3, "users_new": 0, **shares}


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_words_never_become_markup(word):
    page = Page(render_report(data(word)))
    assert page.tags <= PLAIN_TAGS
    assert not {name for name in page.attributes if name.startswith("on")}
    assert not {"src", "href", "srcset", "action"} & page.attributes
    assert not page.open
    assert " ".join(word.split()) in page.text


@given(st.text(min_size=1))
@settings(max_examples=40, deadline=None)
def test_no_text_whatever_changes_the_structure_of_the_page(word):
    assert Page(render_report(data(word))).tags == Page(render_report(data())).tags


def test_the_page_is_one_file_that_fetches_nothing_and_runs_nothing():
    text = render_report(data())
    for needle in ("http://", "https://", "<script", "url(", "@import", "<link"):
        assert needle not in text
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text


def test_the_page_says_what_the_night_was():
    text = Page(render_report(data("Lamp & Shade"))).text
    for words in (
        "✓ Published", "Lamp & Shade", "reused", "1 min 15 s", "1.31 GB", "1,234", "✓ adds up",
        "✕ refused", "popularity, 7 days", "NDCG@10", "kept: epoch 2", "because of",
    ):  # fmt: skip
        assert words in text


def test_a_first_night_without_figures_still_has_a_page():
    bare = {name: data()[name] for name in ("as_of", "lake", "verdict", "model")}
    del bare["model"]["metrics"]
    assert "Nothing to judge yet" in Page(render_report(bare)).text
    nothing = {**data(), "metrics": {"staged": None, "overlap": None, "published": None}}
    assert "Nothing to judge yet" in Page(render_report(nothing)).text


def test_an_evaluation_in_which_nobody_is_judged_is_told_as_such():
    empty = evaluate_holdout(
        rankings(LISTS).lazy(),
        log([]),
        history=HISTORY,
        catalogue=CATALOGUE_FRAME,
        exclude_seen=True,
        as_of=AS_OF,
    )
    page = render_report({**data(), "metrics": {"published": empty.to_json()}})
    assert "Nothing to judge yet" in Page(page).text


def test_figures_that_cannot_be_had_are_shown_as_a_dash():
    lists = {**staged("ranker"), "list_length": {}, "gini@10": None, "popular_share@10": None}
    lists["sources"] = {"all": {}, "first_10": {}}
    lists["scores"] = {"quantiles": {}, "histogram": {"edges": [], "rows": []}}
    nobody = dict.fromkeys(overlap("x")) | {"with": "2024-03-01", "users_compared": 0}
    page = render_report({**data(), "metrics": {"staged": lists, "overlap": nobody}})
    assert f"Gini of exposure {ABSENT}" in Page(page).text


def test_lists_beyond_the_cap_on_categories_are_told():
    for over, said in ((0, "every list keeps to it"), (7, "7 lists exceed that by 9 rows in all")):
        cap = {"most": 3, "window": 20, "lists_over": over, "rows_over": 9}
        lists = {**staged("ranker"), "category_cap": cap}
        page = Page(render_report({**data(), "metrics": {"staged": lists, "overlap": None}}))
        assert f"At most 3 of a category in the first 20 ranks: {said}" in page.text


def test_whole_figures_of_the_model_have_no_decimals():
    model = {**data()["model"], "metrics": {"epochs": 8.0, "interactions": 64338, "loss": 0.5}}
    text = Page(render_report({**data(), "model": model})).text
    for words in ("epochs 8 ", "interactions 64,338 ", "loss 0.5000"):
        assert words in text


def test_a_refused_night_shows_its_gates_first():
    refused = {**data(), "verdict": {"state": "refused", "text": "no"}}
    text = Page(render_report(refused)).text
    assert text.index("Wanted") < text.index("What users then did")
    assert text.count("Wanted") == 1


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (0.2, 0.1, 0.3, "better than"),
        (-0.2, -0.3, -0.1, "worse than"),
        (0.1, -0.1, 0.3, "not told apart"),
    ],
)
def test_the_finding_follows_the_paired_interval(value, low, high, words):
    published = copy.deepcopy(PUBLISHED)
    strongest = published["strongest_baseline"]
    figure = {"value": value, "low": low, "high": high}
    published["slices"]["all"]["differences"][strongest]["ndcg@10"] = figure
    page = render_report({**data(), "metrics": {"published": published}})
    assert words in Page(page).text


def test_the_same_data_gives_the_same_bytes_written_at_once(tmp_path):
    path = tmp_path / "reports" / "report.html"
    write_report(path, data())
    first = path.read_bytes()
    write_report(path, data())
    assert path.read_bytes() == first
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_bars_and_whiskers_stay_on_their_scale():
    for panel in [*ranker_panels(PUBLISHED), difference_panel(PUBLISHED)]:
        assert panel.minimum <= 0 <= panel.maximum
        for row in panel.rows:
            assert 0 <= row.low <= row.left <= row.high <= 100
    own = ranker_panels(PUBLISHED)[0].rows[0]
    assert own.own
    assert own.left == pytest.approx(100 * own.value / ranker_panels(PUBLISHED)[0].maximum)


def test_curves_and_columns_tolerate_little_data():
    assert validation_curve([], None) is None
    one = validation_curve([[1, 0.5]], 1)
    assert one.chosen in one.points
    assert histogram([], []) is None
    assert histogram([0, 1], [0]) is None
    assert len(histogram([0, 1, 2], [5, 0]).bars) == 2
