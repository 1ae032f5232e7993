"""The generated shop: the same bytes from the same seed, and lively and untidy as promised."""

import csv
import hashlib
import json
from collections import Counter
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from pwrank.errors import InputError
from pwrank.shop import ShopSummary, write_shop
from pwrank.shop.dirt import HOSTILE_IDS, KINDS, ROBOT_ID

COLUMNS = ["user_id", "item_id", "event", "timestamp", "rating"]
SMALL = {"users": 400, "items": 300, "days": 25}
AS_OF = date(2026, 6, 30)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> ShopSummary:
    return write_shop(tmp_path_factory.mktemp("shop"), **SMALL)


@pytest.fixture(scope="module")
def drops(shop: ShopSummary) -> dict[date, list[dict[str, str]]]:
    paths = sorted(shop.interactions.iterdir())
    return {date.fromisoformat(path.stem): read_rows(path) for path in paths}


@pytest.fixture(scope="module")
def records(shop: ShopSummary) -> list[tuple[date, dict]]:
    return [
        (date.fromisoformat(path.stem), json.loads(line))
        for path in sorted(shop.items.iterdir())
        for line in path.read_bytes().decode().split("\n")[:-1]
    ]


@pytest.fixture(scope="module")
def clean(
    drops: dict[date, list[dict[str, str]]], records: list[tuple[date, dict]]
) -> list[dict[str, str]]:
    known = {record["item_id"] for _, record in records}
    unique = {
        tuple(row.values()): row
        for day, rows in drops.items()
        for row in rows
        if row["user_id"] not in ("", ROBOT_ID, *HOSTILE_IDS)
        and row["item_id"] in known
        and row["timestamp"].startswith(day.isoformat())
    }
    return list(unique.values())


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(
    shop: ShopSummary, tmp_path: Path
) -> None:
    write_shop(tmp_path / "again", **SMALL)
    write_shop(tmp_path / "other", seed=8, **SMALL)
    assert digests(tmp_path / "again") == digests(shop.holdout.parent)
    assert digests(tmp_path / "other") != digests(shop.holdout.parent)


def test_writing_again_into_the_same_folder_changes_nothing(tmp_path: Path) -> None:
    write_shop(tmp_path, users=20, items=20, days=5)
    before = digests(tmp_path)
    write_shop(tmp_path, users=20, items=20, days=5)
    assert digests(tmp_path) == before


def test_a_folder_with_other_drops_is_refused_and_left_alone(tmp_path: Path) -> None:
    write_shop(tmp_path, users=20, items=20, days=5)
    before = digests(tmp_path)
    with pytest.raises(InputError, match="without other drops"):
        write_shop(tmp_path, users=20, items=20, days=3)
    assert digests(tmp_path) == before


@pytest.mark.parametrize("wrong", [{"users": 0}, {"items": 0}, {"days": 0}, {"holdout_days": -1}])
def test_a_shop_of_nothing_is_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        write_shop(tmp_path, **wrong)


def test_the_smallest_shop_is_a_shop(tmp_path: Path) -> None:
    summary = write_shop(tmp_path, users=1, items=1, days=1, holdout_days=0)
    assert summary.num_items == 1
    assert summary.num_holdout_rows == 0


def test_nothing_but_the_four_outputs_is_written(shop: ShopSummary) -> None:
    assert {path.name for path in shop.holdout.parent.iterdir()} == {
        "interactions",
        "items",
        "users.csv",
        "holdout.csv",
    }


def test_the_users_table_names_every_account_once(shop: ShopSummary) -> None:
    header, *names = shop.users.read_text(encoding="utf-8").splitlines()
    assert header == "user_id"
    assert len(set(names)) == len(names) == 400
    assert {row["user_id"] for row in read_rows(shop.holdout)} <= set(names)


def test_there_is_one_drop_a_day_up_to_the_cut(
    shop: ShopSummary, drops: dict[date, list[dict[str, str]]]
) -> None:
    assert shop.as_of == AS_OF
    assert list(drops) == [AS_OF - timedelta(days=back) for back in range(25, 0, -1)]


def test_the_holdout_starts_at_the_cut_is_clean_and_does_not_change_the_drops(
    shop: ShopSummary, records: list[tuple[date, dict]], tmp_path: Path
) -> None:
    rows = read_rows(shop.holdout)
    assert list(rows[0]) == COLUMNS
    days = sorted({datetime.fromisoformat(row["timestamp"]).date() for row in rows})
    assert days == [AS_OF + timedelta(days=ahead) for ahead in range(7)]
    assert {row["item_id"] for row in rows} <= {record["item_id"] for _, record in records}
    assert len({tuple(row.values()) for row in rows}) == len(rows) == shop.num_holdout_rows
    write_shop(tmp_path, holdout_days=2, **SMALL)
    assert digests(tmp_path / "interactions") == digests(shop.interactions)
    assert (tmp_path / "holdout.csv").read_text() == shop.holdout.read_text()[
        : len((tmp_path / "holdout.csv").read_text())
    ]


def test_the_counts_agree_with_the_files(
    shop: ShopSummary, drops: dict[date, list[dict[str, str]]], clean: list[dict[str, str]]
) -> None:
    num_rows = sum(len(rows) for rows in drops.values())
    assert shop.num_rows == num_rows
    assert list(shop.num_dirty_rows) == list(KINDS)
    assert shop.num_rows - sum(shop.num_dirty_rows.values()) == len(clean)
    assert shop.num_users == len({row["user_id"] for row in clean})
    assert shop.num_holdout_users == len({row["user_id"] for row in read_rows(shop.holdout)})


def test_every_kind_of_dirt_is_there_as_often_as_the_summary_says(
    shop: ShopSummary,
    drops: dict[date, list[dict[str, str]]],
    records: list[tuple[date, dict]],
) -> None:
    known = {record["item_id"] for _, record in records}
    found: Counter[str] = Counter()
    for day, rows in drops.items():
        repeats = Counter(tuple(row.values()) for row in rows if row["user_id"] != ROBOT_ID)
        found["duplicate"] += sum(times - 1 for times in repeats.values())
        for row in rows:
            found["missing_user"] += row["user_id"] == ""
            found["missing_item"] += row["item_id"] == ""
            hostile = row["user_id"] in HOSTILE_IDS or row["item_id"] in HOSTILE_IDS
            found["hostile_id"] += hostile
            found["unknown_item"] += row["item_id"] not in known and row["item_id"] != ""
            found["unknown_item"] -= row["item_id"] in HOSTILE_IDS
            found["robot"] += row["user_id"] == ROBOT_ID
            try:
                happened_on = datetime.fromisoformat(row["timestamp"]).date()
            except ValueError:
                found["bad_timestamp"] += 1
            else:
                found["future_timestamp"] += happened_on > AS_OF
                assert happened_on == day or happened_on > AS_OF
    assert found == Counter(shop.num_dirty_rows)
    assert all(found.values())


def test_interactions_keep_their_schema(clean: list[dict[str, str]]) -> None:
    assert list(clean[0]) == COLUMNS
    assert {row["event"] for row in clean} == {"view", "cart", "purchase"}
    assert all(row["timestamp"].endswith("Z") for row in clean)
    assert {row["rating"] for row in clean} <= {"", "1", "2", "3", "4", "5"}
    assert all(row["event"] == "purchase" for row in clean if row["rating"])


def test_item_records_keep_their_schema_and_stand_three_levels_deep(
    shop: ShopSummary, records: list[tuple[date, dict]]
) -> None:
    keys = ["item_id", "title", "text", "category", "price", "available", "updated_at"]
    for day, record in records:
        assert list(record) == keys
        assert record["category"].count(" > ") == 2
        assert record["price"] > 0
        assert datetime.fromisoformat(record["updated_at"]).date() <= day
    opening, *_ = sorted(shop.items.iterdir())
    assert opening.stem == "2026-06-05"
    assert len({record["category"].split(" > ")[0] for _, record in records}) == 10
    titles = {record["title"] for _, record in records}
    assert len(titles) >= 0.99 * len({record["item_id"] for _, record in records})


def test_the_catalogue_moves(records: list[tuple[date, dict]]) -> None:
    first_day = records[0][0]
    opening = {record["item_id"]: record for day, record in records if day == first_day}
    later = [record for day, record in records if day > first_day]
    assert any(record["item_id"] not in opening for record in later)
    assert any(not record["available"] for record in later)
    assert any(
        record["text"] != opening[record["item_id"]]["text"]
        for record in later
        if record["item_id"] in opening
    )
    everything = " ".join(record["text"] or "" for _, record in records)
    assert any(record["text"] is None for _, record in records)
    assert all(odd in everything for odd in ("&amp;", "<b>", "<script>", "\u00a0"))


def test_no_item_is_touched_before_its_launch_or_after_its_withdrawal(
    shop: ShopSummary, clean: list[dict[str, str]], records: list[tuple[date, dict]]
) -> None:
    launched: dict[str, date] = {}
    withdrawn: dict[str, date] = {}
    for day, record in records:
        launched.setdefault(record["item_id"], day)
        if not record["available"]:
            withdrawn.setdefault(record["item_id"], day)
    for row in clean + read_rows(shop.holdout):
        touched_on = datetime.fromisoformat(row["timestamp"]).date()
        assert launched[row["item_id"]] <= touched_on
        assert touched_on < withdrawn.get(row["item_id"], date.max)


def test_few_items_and_few_users_make_most_of_the_traffic(clean: list[dict[str, str]]) -> None:
    for column, least in (("item_id", 0.25), ("user_id", 0.35)):
        counts = sorted(Counter(row[column] for row in clean).values(), reverse=True)
        assert sum(counts[: len(counts) // 10]) > least * len(clean)
        assert counts[-1] <= 2


def test_new_users_come_every_few_days_and_some_come_once(clean: list[dict[str, str]]) -> None:
    days: dict[str, set[str]] = {}
    for row in clean:
        days.setdefault(row["user_id"], set()).add(row["timestamp"][:10])
    newcomers = Counter(min(user_days) for user_days in days.values())
    assert len(newcomers) > 20
    assert sum(len(user_days) == 1 for user_days in days.values()) > 0.1 * len(days)


def test_the_next_item_of_a_session_is_like_the_one_before(
    clean: list[dict[str, str]], records: list[tuple[date, dict]]
) -> None:
    middle = {record["item_id"]: record["category"].rsplit(" > ", 1)[0] for _, record in records}
    views = sorted(
        (row["user_id"], row["timestamp"], middle[row["item_id"]])
        for row in clean
        if row["event"] == "view"
    )
    steps = [
        now[2] == before[2]
        for before, now in pairwise(views)
        if before[0] == now[0] and before[1][:10] == now[1][:10]
    ]
    # By chance it would be one in thirty.
    assert sum(steps) > 0.3 * len(steps)
