"""The nightly stage: figures about tonight's lists, and about what was published before."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from pwrank.config import Config, RerankConfig
from pwrank.datasets import CATALOGUE, HISTORIES, RANKINGS, IdTypes
from pwrank.encoder.parts import EmbeddingParts
from pwrank.evaluate import METRICS_FILE, evaluate
from pwrank.evaluation.category_cap import cap_figures
from pwrank.evaluation.staged_figures import overlap_figures, staged_figures
from pwrank.signatures import describe_part
from pwrank.store import Store, read_json, shard_of, write_dataset, write_json
from tests.library.judged_world import AS_OF, CATALOGUE_FRAME, HISTORY, LISTS, log, rankings


class Night:
    """A small lake with everything that evaluate reads."""

    def __init__(self, folder):
        self.store = Store(folder / "lake").open()
        self.store.set_id_types(IdTypes())
        tables = {"kind": "tables", "interactions": folder / "i.csv", "items": folder / "t.csv"}
        self.config = Config.model_validate({"lake": folder / "lake", "source": tables})

    def write(self, dataset, frame, *, as_of=AS_OF, shards=1, key="k"):
        folder = self.store.folder(dataset.name, as_of, key)
        files = [f"part-{shard:05d}.parquet" for shard in range(shards)]
        placed = (
            shard_of(frame["user_id"], shards) if shards > 1 else pl.zeros(frame.height, eager=True)
        )
        for shard, file in enumerate(files):
            rows = frame.filter(placed == shard)
            write_dataset(self.store, dataset, rows, folder / file, IdTypes())
        return self.store.commit(dataset.name, as_of, key, files=files, rows=frame.height)

    def stage(self, frame, **options):
        return self.write(replace(RANKINGS, name="staged"), frame, **options)

    def publish(self, lists, as_of):
        ref = self.stage(rankings(lists, as_of), as_of=as_of, key=f"s{as_of}")
        parts = [describe_part(path, path.name) for path in ref.file_paths(self.store.lake)]
        content = {
            "as_of": str(as_of), "version": ref.key, "staged_path": ref.path,
            "path": ref.path, "files": ref.files, "parts": parts,
            "inputs": {"catalogue": {"as_of": str(as_of), "key": "retired"}},
        }  # fmt: skip
        write_json(self.store.control / "published" / f"as_of={as_of}.json", content)

    def run(self, lists, *, shards=1, as_of=AS_OF, history=HISTORY, embeddings=None):
        return evaluate(
            self.store,
            self.config,
            staged=self.stage(rankings(lists), shards=shards, key=f"t{shards}"),
            histories=self.write(HISTORIES, history, shards=shards),
            catalogue=self.write(CATALOGUE, CATALOGUE_FRAME),
            model=self.store.commit("models", as_of, "m", files=[], rows=0, figures={"auc": 0.7}),
            as_of=as_of,
            embeddings=embeddings,
        )

    def metrics(self, ref):
        (path,) = ref.file_paths(self.store.lake)
        assert path.name == METRICS_FILE
        return read_json(path)


@pytest.fixture
def night(tmp_path):
    return Night(tmp_path)


def test_the_first_night_has_figures_about_its_lists_only(night):
    found = night.metrics(night.run(LISTS))
    assert found["published"] is None
    assert found["overlap"] is None
    assert found["model"]["auc"] == 0.7
    assert (found["staged"]["users"], found["staged"]["rows"]) == (3, 12)
    assert found["staged"]["sources"]["all"] == {"ranker": 1.0}
    assert found["staged"]["list_length"] == {"min": 4, "mean": 4.0, "max": 4}


def test_what_exceeds_the_cap_on_categories_is_counted(night):
    lists = {"u": "cebdf", "v": "acegb", "w": "abcd"}  # every other item is of category x
    told = night.run(lists)
    assert night.metrics(told)["staged"]["category_cap"] is None
    assert "lists_over_cap" not in told.figures
    rules = RerankConfig(max_per_category=2, category_window=4)
    cap = cap_figures(
        night.stage(rankings(lists), shards=2, key="c").file_paths(night.store.lake),
        CATALOGUE_FRAME,
        rules,
    )
    assert cap == {"most": 2, "window": 4, "lists_over": 1, "rows_over": 2}, "of v, four are x"
    blank = CATALOGUE_FRAME.with_columns(category=pl.lit(""))
    assert cap_figures([], blank, rules)["lists_over"] == 0


def test_the_next_night_judges_what_was_published_by_what_came_since(night):
    published = date(2024, 2, 28)
    night.publish({"u": "cd", "v": "bc"}, published)
    news = log([("u", "c", -1), ("v", "h", -1), ("u", "d", 1)])
    history = pl.concat([HISTORY, news]).sort("user_id", "occurred_at")
    ref = night.run({"u": "de", "v": "bc"}, history=history)
    found = night.metrics(ref)
    judged = found["published"]
    assert (judged["as_of"], judged["until"]) == ("2024-02-28", "2024-03-01")
    assert judged["account"]["holdout_rows"] == 2  # What came after tonight's cut is not known.
    assert judged["slices"]["all"]["rankers"]["published"]["ndcg@10"]["value"] == 0.5
    assert found["overlap"]["with"] == "2024-02-28"
    assert found["overlap"]["jaccard@10"] == pytest.approx((1 / 3 + 1) / 2)
    assert ref.figures["judged_users"] == 2
    assert ref.figures["ndcg@10 published"] == 0.5


def test_diversity_is_told_where_the_night_has_embeddings(night):
    night.publish({"u": "cdx", "v": "bc"}, date(2024, 2, 28))
    history = pl.concat([HISTORY, log([("u", "c", -1)])]).sort("user_id", "occurred_at")
    vectors = np.eye(8, dtype=np.float32)
    EmbeddingParts(night.store.lake / "embeddings" / "enc").write(list("ABCDEFGH"), vectors)
    ref = night.store.commit(
        "embeddings", AS_OF, "e", files=[], rows=8, figures={"dim": 8, "encoder": "enc"}
    )
    part = next((night.store.lake / "embeddings" / "enc").glob("*.parquet"))
    ref = replace(ref, path="embeddings/enc", files=(part.name,))
    found = night.metrics(night.run(LISTS, history=history, embeddings=ref))
    assert found["published"]["lists"]["published"]["diversity@10"] == pytest.approx(1)


def test_lists_published_for_the_same_or_a_later_date_are_not_judged(night):
    night.publish({"u": "cd"}, AS_OF)
    night.publish({"u": "cd"}, AS_OF + timedelta(days=1))
    assert night.metrics(night.run(LISTS))["published"] is None


def test_no_interaction_since_the_last_publication_is_no_error(night):
    night.publish({"u": "cd"}, date(2024, 2, 28))
    found = night.metrics(night.run(LISTS))
    assert found["published"] is None
    assert found["overlap"]["users_compared"] == 1


def test_a_second_run_with_the_same_inputs_computes_nothing(night):
    assert not night.run(LISTS).reused
    assert night.run(LISTS).reused
    night.publish({"u": "cd"}, date(2024, 2, 28))
    assert not night.run(LISTS).reused


def test_figures_do_not_depend_on_the_number_of_shards(night):
    many = {f"user-{n}": "abcdefgh"[n % 4 :] for n in range(30)}
    night.publish(dict.fromkeys(many, "hgfe"), date(2024, 2, 28))
    history = pl.concat([HISTORY, log([("user-3", "h", -1)])]).sort("user_id", "occurred_at")
    one, three = (night.metrics(night.run(many, shards=n, history=history)) for n in (1, 3))
    assert one == three


def test_lists_of_users_who_are_all_new_have_no_overlap(tmp_path):
    path = tmp_path / "part-00000.parquet"
    rankings(LISTS).write_parquet(path)
    found = overlap_figures([path], rankings({"other": "abc"}).lazy(), 3)
    assert (found["users_compared"], found["users_new"], found["rbo@10"]) == (0, 3, None)


def test_an_empty_part_has_figures_too(tmp_path):
    path = tmp_path / "part-00000.parquet"
    rankings({}).write_parquet(path)
    found = staged_figures([path], 0, CATALOGUE_FRAME, HISTORY.group_by("item_id").len())
    assert (found["users"], found["coverage@10"], found["gini@10"]) == (0, 0.0, None)


def test_popular_places_and_overlap_are_shares(tmp_path):
    path = tmp_path / "part-00000.parquet"
    rankings(LISTS).write_parquet(path)
    counts = HISTORY.group_by("item_id").len()
    found = staged_figures([path], 12, CATALOGUE_FRAME, counts)
    assert found["popular_share@10"] == 1  # Fewer than ten items are all popular.
    assert found["scores"]["quantiles"]["1"] == pytest.approx(0.5)
    assert sum(found["scores"]["histogram"]["rows"]) == 12
    same = overlap_figures([path], rankings(LISTS).lazy(), 3)
    assert (same["rbo@10"], same["unchanged_share@10"]) == (pytest.approx(1), 1)
