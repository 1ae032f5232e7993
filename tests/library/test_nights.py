"""What a lake remembers of its nights: stages, models, pages, users; and nothing of the future."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from pwrank.errors import GateRefusedError, LakeError
from pwrank.landing.demo_split import split_by_time
from pwrank.publication import read_publication, read_rankings
from pwrank.published_refs import read_night
from pwrank.report.night import report_path, write_night_report
from pwrank.report.users import as_user_ids, sample_users, show_users
from pwrank.run import cut_of
from pwrank.stage_log import StageRecord, read_stage_records, write_stage_record
from pwrank.store import Store
from pwrank.train import newest_model, train
from tests.library.tiny_world import AS_OF, NOW, stage_night, unsigned

INGEST_FIGURES = {
    "landed": {"interactions": {"files": 1, "rows_in": 5, "rows_landed": 4, "rejected": {"r": 1}}},
    "histories": {"rows_in": 4, "set_aside": {"after the cut": 1}},
}


def record(stage, rows=1, *, reused=False, figures=None):
    return StageRecord(stage, reused, rows, 0.5, 1_000, figures or {})


def test_stages_come_in_the_order_of_the_data_flow_and_shards_add_up(tmp_path):
    store = Store(tmp_path)
    for told in (record("ingest"), record("score-00001", 3), record("score-00000", 4, reused=True)):
        write_stage_record(store, AS_OF, told)
    write_stage_record(store, AS_OF, record("publish"))
    stages = read_stage_records(store, AS_OF)
    assert [told.stage for told in stages] == ["ingest", "score", "publish"]
    score = stages[1]
    assert (score.rows, score.seconds, score.reused) == (7, 1.0, False)


def test_a_new_run_of_a_date_forgets_the_shards_of_the_run_before(tmp_path):
    store = Store(tmp_path)
    for told in (record("ingest"), record("score-00000"), record("score-00007")):
        write_stage_record(store, AS_OF, told)
    write_stage_record(store, AS_OF, record("ingest"))
    write_stage_record(store, AS_OF, record("score-00000"))
    assert [told.rows for told in read_stage_records(store, AS_OF)] == [1, 1]


def test_midnight_of_a_zone_is_told_in_utc_across_the_change_of_clocks():
    assert cut_of(date(2024, 3, 31), "Europe/Paris") == datetime(2024, 3, 30, 23, tzinfo=UTC)
    assert cut_of(date(2024, 4, 1), "Europe/Paris") == datetime(2024, 3, 31, 22, tzinfo=UTC)


def retrained(night, as_of, *, force=False):
    run = dataclasses.replace(night.run, as_of=as_of)
    refs = night.refs
    return train(
        run,
        histories=refs.histories,
        catalogue=refs.catalogue,
        embeddings=refs.embeddings,
        force=force,
    )


def test_a_model_is_used_until_it_is_due_and_then_trained_again(trained_world):
    night = stage_night(trained_world.run())
    for days in (1, 6):
        assert retrained(night, AS_OF + timedelta(days=days)) == night.refs.model
    due = AS_OF + timedelta(days=7)
    assert retrained(night, due).as_of == due
    forced = AS_OF + timedelta(days=2)
    assert retrained(night, forced, force=True).as_of == forced
    assert retrained(night, AS_OF + timedelta(days=3)).as_of == forced


def test_no_night_uses_a_model_of_its_own_future(trained_world):
    night = stage_night(trained_world.run())
    kind = night.refs.model.figures["kind"]
    assert newest_model(trained_world.store, AS_OF, kind) == night.refs.model
    assert newest_model(trained_world.store, AS_OF - timedelta(days=1), kind) is None


def test_a_date_repeated_as_it_was_known_has_the_model_that_it_had(trained_world):
    first = stage_night(trained_world.run())
    first.publish()
    trained_world.write_drop("late.csv", [("u00", "019", "2024-03-02T10:00:00Z", 5, "view")])
    later = NOW + timedelta(days=1)
    told = stage_night(trained_world.run(now=later, known_at=later))
    assert told.known.histories.key != first.known.histories.key
    newer = retrained(told, AS_OF, force=True)
    assert newer.key != first.refs.model.key
    assert stage_night(trained_world.run(now=later)).refs.model.key == first.refs.model.key


def test_the_page_of_a_night_tells_the_account_the_stages_and_some_users(trained_world):
    night = stage_night(trained_world.run())
    metrics = night.evaluate()
    store = trained_world.store
    write_stage_record(store, AS_OF, record("ingest", 3, figures=INGEST_FIGURES))
    done = night.publish()
    page = write_night_report(
        night.run, night.refs, staged=night.staged, metrics=metrics, gates=done.gates, refusal=None
    )
    assert page == report_path(store, AS_OF)
    text = page.read_text(encoding="utf-8")
    for part in ("16 users have a list", "after the cut", "ingest", "user coverage"):
        assert part in text


def test_a_refused_night_with_missing_users_has_a_page_too(trained_world):
    night = stage_night(trained_world.run())
    store = trained_world.store
    for path in night.staged.file_paths(store.lake):
        part = pl.read_parquet(path)
        part.filter(pl.col("user_id") > "u08").write_parquet(path)
    rows = pl.scan_parquet(night.staged.file_paths(store.lake)).collect().height
    night = dataclasses.replace(
        night, staged=dataclasses.replace(unsigned(night.staged), rows=rows)
    )
    with pytest.raises(GateRefusedError, match="gate “user coverage”") as caught:
        night.publish()
    page = write_night_report(
        night.run,
        night.refs,
        staged=night.staged,
        metrics=night.evaluate(),
        gates=caught.value.gates,
        refusal=str(caught.value),
    )
    assert "user coverage" in page.read_text(encoding="utf-8")


def test_sampled_users_have_lists_and_are_the_same_every_time(night):
    store, refs = night.run.store, night.refs
    lists = read_rankings(store.lake)
    for number in (1, 3, 16, 40):
        users = sample_users(store, refs, lists, number)
        assert len(users) == users.n_unique() == min(number, 16)
        assert users.equals(sample_users(store, refs, lists, number))
    few = lists.filter(pl.col("user_id") == "u03")
    assert sample_users(store, refs, few, 3).to_list() == ["u03"]


def test_a_shown_user_has_history_newest_first_and_reasons_with_titles(night):
    store = night.run.store
    (user,) = show_users(store, night.refs, AS_OF, as_user_ids(store, ["u00"]), most=3)
    times = [row["occurred_at"] for row in user.history]
    assert times == sorted(times, reverse=True)
    assert [row["rank"] for row in user.ranking] == [1, 2, 3]
    assert all(reason.startswith("word") for row in user.ranking for reason in row["reasons"])
    with pytest.raises(LakeError, match="user 'nobody' has no list"):
        show_users(store, night.refs, AS_OF, pl.Series(["nobody"]))


def test_a_published_night_is_still_readable_after_its_embeddings_were_merged(trained_world):
    night = stage_night(trained_world.run())
    night.publish()
    store = trained_world.store
    for path in night.refs.embeddings.file_paths(store.lake):
        path.rename(path.with_name("part-merged.parquet"))
    assert read_night(store, read_publication(store, AS_OF)) == night.refs
    for path in night.refs.index.file_paths(store.lake):
        path.unlink()
    with pytest.raises(LakeError, match="its index are no longer in the lake; `pwrank run"):
        read_night(store, read_publication(store, AS_OF))


def test_a_log_is_split_at_a_midnight_with_the_newest_rows_held_out(tiny_world):
    path = tiny_world.folder / "held-out.csv"
    as_of = split_by_time(tiny_world.config_file, path)
    held = pl.read_csv(path)
    assert as_of == AS_OF
    assert held.height == 12
    assert held["timestamp"].min() >= as_of.isoformat()
