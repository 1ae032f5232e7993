"""The drops of a night, told apart by whether the last published night had seen them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from pwrank.gates.missing_days import DAY
from pwrank.landing.drops import Drop, moments_of
from pwrank.sources import Table
from pwrank.store import Store


@dataclass(frozen=True)
class Arrivals:
    """The drops of one table, told apart by whether the last published night had seen them."""

    table: Table
    tonight: Sequence[Drop]
    usual: Sequence[Drop]
    """The newest nights' worth of them, oldest first."""
    nights: int
    """How many nights are usual, and how many item files of one are described."""
    days: Mapping[str, date]
    """Drop id -> day of its first interaction; of another table, on which it was landed."""
    rows_of_day: Mapping[date, int]
    """Landed rows of every drop that is known tonight."""
    expected: tuple[date, date]
    """The last whole day before the cut of that night, and before tonight's."""
    unusable: Sequence[Drop] = ()
    """Drops since then without a usable row; nothing says of which day they are."""
    read_anew: frozenset[str] = frozenset()
    """Ids of tonight's drops of which that night had seen the same bytes, read by other rules."""

    @property
    def described(self) -> Sequence[Drop]:
        """Those whose columns are looked at: of many item files of one night the last by name."""
        if self.table == "interactions":
            return self.usual
        nights = ([d for d in self.usual if self.days[d.id] == day] for day in self.usual_days)
        files = (sorted(night, key=lambda drop: drop.source_file) for night in nights)
        return [drop for night in files for drop in night[-self.nights :]]

    @property
    def usual_days(self) -> list[date]:
        """Days of the usual drops, ascending."""
        return sorted({self.days[drop.id] for drop in self.usual})

    @property
    def new(self) -> Sequence[Drop]:
        """Those of tonight that were not there before, read by other rules."""
        return [drop for drop in self.tonight if drop.id not in self.read_anew]

    @property
    def smallest_new_day(self) -> date | None:
        """Of the days that new drops speak of that with the fewest rows; the earliest of them."""
        days = sorted({self.days[drop.id] for drop in self.new})
        return min(days, key=lambda day: self.rows_of_day[day], default=None)


def arrivals(
    store: Store,
    table: Table,
    *,
    now: Sequence[Drop],
    before: Sequence[Drop],
    cuts: tuple[datetime, datetime],
    nights: int,
) -> Arrivals:
    """Tell new drops from seen ones.

    now, before: drops visible to this run and to the last published night; cuts: of that night
    and of this run. A drop whose interactions all came after a cut was not seen with that cut.
    """
    first = {
        drop.id: _first_moment(store, drop) for drop in {d.id: d for d in (*now, *before)}.values()
    }
    seen = [drop for drop in before if _says_of_before(drop, first[drop.id], cuts[0])]
    known = [drop for drop in now if _says_of_before(drop, first[drop.id], cuts[1])]
    seen_ids, earlier = ({drop.id for drop in drops} for drops in (seen, before))
    days = {drop_id: moment.date() for drop_id, moment in first.items()}
    newest = sorted({days[drop.id] for drop in seen})[-nights:]
    rows: dict[date, int] = {}
    for drop in known:
        rows[days[drop.id]] = rows.get(days[drop.id], 0) + drop.rows_landed
    for drop in seen:
        if drop.id not in {other.id for other in known}:  # superseded since
            rows.setdefault(days[drop.id], drop.rows_landed)
    tonight = [drop for drop in known if drop.id not in seen_ids]
    seen_bytes = {(drop.source_file, drop.sha256) for drop in seen}
    return Arrivals(
        table=table,
        tonight=tonight,
        usual=sorted(
            (drop for drop in seen if days[drop.id] in newest), key=lambda d: (days[d.id], d.id)
        ),
        nights=nights,
        days=days,
        rows_of_day=rows,
        expected=((cuts[0] - DAY).date(), (cuts[1] - DAY).date()),
        unusable=[drop for drop in now if not drop.rows_landed and drop.id not in earlier],
        read_anew=frozenset(d.id for d in tonight if (d.source_file, d.sha256) in seen_bytes),
    )


def _says_of_before(drop: Drop, first: datetime, cut: datetime) -> bool:
    """Interactions without a usable row say of no day, whenever they were landed."""
    return drop.table != "interactions" or (drop.rows_landed > 0 and first < cut)


def _first_moment(store: Store, drop: Drop) -> datetime:
    """Of its interactions, as the statistics of its files say; else when it was landed."""
    files = drop.files if drop.table == "interactions" else ()
    moments = [moment for name in files for moment in moments_of(store.lake / name)]
    return min(moments, default=drop.ingested_at)
