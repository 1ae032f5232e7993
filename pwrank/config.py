"""Every knob on one page: frozen, typed, with its unit and its reason.

A configuration is a TOML file. Three lines are enough: `lake` and, under `[source]`, the
interactions and the items. Unknown keys are refused with the nearest valid name, and all errors
are told at once. Every value can also be set by environment (`PWRANK__TRAIN__EPOCHS=5`):
the caller passes the environment in, since nothing in this package reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from pwrank.config_numbers import (
    Dropout,
    Integer,
    NonNegative,
    NonNegativeInt,
    Number,
    Positive,
    PositiveInt,
    Probability,
    Share,
)


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(
            f"{name!r} is not a time zone; use a name such as 'Europe/Paris'"
        ) from error
    return name


def _somewhere(path: object) -> object:
    if path == "":
        raise ValueError("name a folder of its own")
    return path


def _named(column: str) -> str:
    if not column:
        raise ValueError("every source has one; name its column, or leave the key out")
    return column


class Section(BaseModel):
    """A frozen part of the configuration that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ColumnsConfig(Section):
    """Names of the source's columns, only where they differ from ours.

    "" where the source has none, even if a column of that name is there; not for the ids.
    """

    user_id: Annotated[str, AfterValidator(_named)] = "user_id"
    item_id: Annotated[str, AfterValidator(_named)] = "item_id"
    """Used for both tables unless `items_item_id` says otherwise."""
    items_item_id: str | None = None
    """Name of the item id in the items table, where it differs from the interactions'."""
    timestamp: str = "timestamp"
    """"" where the interactions have no time; `clean.file_order` says what their order is then."""
    rating: str = "rating"
    event: str = "event"
    weight: str = "weight"
    title: str = "title"
    text: str = "text"
    category: str = "category"
    available: str = "available"
    updated_at: str = "updated_at"
    """When an item row became true; a run does not see rows of its own future."""

    @model_validator(mode="after")
    def _has_text(self) -> ColumnsConfig:
        if not self.title and not self.text:
            raise ValueError("title and text are both empty; items need a column of one of them")
        return self


class HeaderConfig(Section):
    """All columns of csv files without a header, in their order; "" for one that nobody needs."""

    interactions: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    users: tuple[str, ...] = ()


class SourceConfig(Section):
    """Where interactions and items come from."""

    kind: Literal["tables", "movielens"] = "tables"
    interactions: Path | None = None
    """tables: file, folder or glob; csv, tsv, parquet or jsonl, gzipped or not."""
    items: Path | None = None
    """tables: file, folder or glob; may be the interactions again, if they carry the titles."""
    users: Path | None = None
    """tables: optional; users who are owed a list even if they never did anything."""
    folder: Path | None = None
    """movielens: the folder with the ratings and the movies."""
    separator: str | None = None
    """tables: of csv files, one or more characters; found from the first line if not given."""
    encoding: str = "utf-8"
    """tables: text encoding of csv and jsonl files."""
    timestamp_unit: Literal["auto", "seconds", "milliseconds", "microseconds"] = "auto"
    """Unit of numeric timestamps; auto tells by size."""
    timestamp_format: str | None = None
    """strftime pattern where timestamps are neither numbers nor ISO 8601."""
    time_zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    """Zone of timestamps that carry none."""
    unrated: Number | None = None
    """Value of the rating column that means that none was given, 0 in some logs."""
    columns: ColumnsConfig = ColumnsConfig()
    header: HeaderConfig = HeaderConfig()
    """tables: where csv files have none."""


class RejectRule(Section):
    """Rows of the source to set aside, with the reason that stands in `rejects/`.

    Any one condition that holds rejects. Rules apply in their order, after broken lines and
    missing ids, before timestamps, ratings and weights.
    """

    reason: str
    column: str
    """Column of the source, by the source's own name."""
    table: Literal["interactions", "items"] = "interactions"
    matches: str | None = None
    """Regular expression found anywhere in the text of the value."""
    below: Number | None = None
    above: Number | None = None

    @model_validator(mode="after")
    def _has_condition(self) -> RejectRule:
        if self.matches is None and self.below is None and self.above is None:
            raise ValueError(f"rule {self.reason!r} needs `matches`, `below` or `above`")
        return self


class CleanConfig(Section):
    """What counts as an interaction; each rule is counted in the account of the run."""

    reject: tuple[RejectRule, ...] = ()
    drop_exact_duplicates: bool = True
    """The same user, item, event, second, rating and weight twice is one interaction. Without times
    equal rows may be as many purchases or plays: they are kept, unless `repeated` merges them."""
    repeated: Literal["keep", "merge", "count"] = "keep"
    """Same user, item and event on the same day: keep all; merge to the last; or to the last with
    their weights added up. Without times all rows are of one day, so each pair is left once."""
    file_order: Literal["auto", "trust", "ignore"] = "auto"
    """Without times: whether the order of a user's rows in a file is that of events. It is unless
    the rows are sorted by item, rating or weight; always; or never. What is in no order is read
    in one by chance, which user and item decide."""
    positive_events: tuple[str, ...] = ()
    """Events that count as interest; empty: all."""
    positive_rating: Number | None = None
    """Ratings from here on count as interest; rows without a rating do."""
    min_user_interactions: PositiveInt = 1
    min_item_interactions: PositiveInt = 1
    max_user_interactions_per_day: PositiveInt = 2000
    """A user above this on any day is taken for a robot and left out."""
    duplicate_items: Literal["refuse", "last", "most_frequent"] = "refuse"
    """Item rows of one file that disagree: refuse the file, or take the last or commonest."""
    unknown_items: Literal["keep", "drop"] = "keep"
    """Interactions with items that the catalogue lacks: keep as history, never rank them."""
    max_bad_share: Probability = 0.5
    """A file with a larger share of rejected rows is refused as a whole."""


class EncoderConfig(Section):
    """The pre-trained model that turns item text into an embedding."""

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """Hugging Face name or a local folder; BERT and GPT families."""
    revision: str = ""
    """Commit of the model; empty: the tested commit of the default model, else what `main` is in
    the local cache. Ignored for a local folder. The weights' hash is part of every key anyway."""
    allow_download: bool = False
    """Whether the network may be asked for a model that is not on this machine."""
    pooling: Literal["auto", "mean", "cls", "last"] = "auto"
    """auto: what the model's own files say; else mean for encoders, last token for decoders."""
    prompt: str = ""
    """Put before each text."""
    max_length: PositiveInt = 128
    """Tokens; longer texts are cut."""
    text_template: str = "{title}. {category}. {text}"
    """Item columns in braces, extra columns of the source included; empty parts vanish."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 where the processor multiplies it natively, float32 elsewhere."""
    device: Literal["auto", "cpu", "cuda"] = "auto"


class TrainConfig(Section):
    """The ranker and how it learns; the defaults fit any catalogue."""

    every_days: PositiveInt = 7
    """Train again when the newest model is at least this old at the as-of date."""
    warm_start: bool = False
    """Begin from the newest model's weights instead of from nothing."""
    ask: Literal["as_of", "next"] = "as_of"
    """What a list answers. as_of: what will the user take from the as-of date on? next: what comes
    right after his last interaction, however long ago that was? Times then say order only."""

    dim: PositiveInt = 64
    """Width of item and user vectors."""
    layers: PositiveInt = 2
    """Self-attention blocks."""
    heads: PositiveInt = 2
    """Attention heads."""
    history_length: PositiveInt = 100
    """Most recent interactions that are read."""
    dropout: Dropout = 0.2
    """Of the history encoder."""
    id_dropout: Dropout = 0.1
    """Share of items shown without their id in a training step, so that text alone must do."""
    fusion: Literal[
        "linear", "concat", "concat_linear", "hadamard", "bilinear", "neumf", "attention"
    ] = "hadamard"
    """How user and item meet in the point-wise ranker: a name in FUSIONS. `linear` is the article's
    W^T u + v, `concat_linear` its embedding model, `neumf` its NCF."""
    activation: Literal["sigmoid", "relu", "tanh", "identity"] = "sigmoid"
    """Of the point-wise score; only sigmoid makes it a probability."""
    loss: Literal["softmax", "bce", "gbce", "mse"] = "softmax"
    """Of the point-wise ranker over a user's candidates: a name in LOSSES."""
    epochs: PositiveInt = 30
    """At most in the search for when to stop; the final training takes as many as were best."""
    patience: NonNegativeInt = 2
    """Epochs without improvement on validation before stopping."""
    epoch_rows: PositiveInt = 1_000_000
    """Interactions of an epoch at most, others every time: a long log is not read 30 times."""
    batch_tokens: PositiveInt = 1000
    """Interactions per step of the encoder."""
    negatives: NonNegativeInt = 1024
    """Sampled negatives per step; 0 = every item of the catalogue."""
    learning_rate: Positive = 3e-3
    """Of the encoder (AdamW)."""
    weight_decay: NonNegative = 0.01
    """Of matrices; biases and norms have none."""
    averaging: Probability = 0.99
    """Decay per step of the moving average of the encoder's weights; 0 = none."""
    balance: NonNegative = 0.5
    """A row of a user with k rows weighs k^-balance: 0 = rows count alike, 1 = users do."""
    validation_share: Share = 0.12
    """Latest share of the interactions: validation, and examples of the point-wise ranker."""
    validation_users: PositiveInt = 1000
    """Users whose next items say when to stop."""
    snapshots: PositiveInt = 32
    """Moments at which item popularity is computed for training."""
    prior_steps: PositiveInt = 40
    """Steps of the popularity prior."""
    window_cuts: PositiveInt = 16
    """Moments of the window at which known users are split into history and future."""
    newcomer_splits: PositiveInt = 6
    """Random splits of each user who came in the window."""
    newcomer_rows: PositiveInt = 10
    """Rows after such a split that are to be found."""
    examples: PositiveInt = 8000
    """Held-out examples at most, for each of the models that learn from them."""
    moments: PositiveInt = 24
    """Moments at which examples see what is popular."""
    candidates: PositiveInt = 300
    """Candidates per example of the point-wise ranker."""
    retrieval_epochs: PositiveInt = 8
    """Passes of the retrieval head over the examples."""
    pair_hidden: PositiveInt = 32
    """Hidden units of the point-wise ranker."""
    pair_epochs: PositiveInt = 30
    """Passes of the point-wise ranker over its examples."""
    pair_learning_rate: Positive = 3e-3
    """Of the point-wise ranker (AdamW), falling to 0."""
    pair_weight_decay: NonNegative = 1.0
    """Of the point-wise ranker."""
    calibration_top: PositiveInt = 100
    """The probability is calibrated on the best so many of each user."""
    rating_factors: PositiveInt = 16
    """Factors of users and items in the heads `like` and `rating`."""
    rating_rounds: PositiveInt | None = None
    """Rounds of their inference; None = as many as foretell the latest window best."""
    rated_examples: PositiveInt = 10_000
    """Latest rated rows, at most, on which the probability of a like is calibrated."""
    like_threshold: Number | None = None
    """Rating from which on an item is liked; None = 0.8 of the way up the scale of the log."""
    ease_reg: Positive | None = None
    """Ridge of the co-occurrence model; None = the best of some on validation."""
    ease_items: PositiveInt = 12_000
    """Most frequent items between which co-occurrence weights are exact; those of the others are
    regressions on their nearest neighbours."""
    ease_text: NonNegative | None = None
    """Users in common that two texts alike are worth to it; None = the best on validation."""
    ease_keep: PositiveInt | None = None
    """Most telling of the exact weights kept, so many per item on average; None = the better of 100
    and 400."""

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> TrainConfig:
        if self.dim % self.heads:
            raise ValueError(f"dim = {self.dim} is no multiple of heads = {self.heads}")
        return self


class IndexConfig(Section):
    """How candidates are found."""

    kind: Literal["auto", "exact", "ivf"] = "auto"
    """auto: exact up to `exact_up_to` items, ivf above."""
    exact_up_to: PositiveInt = 200_000
    target_recall: Probability = 0.98
    """Recall of the approximate index against exact search, measured every night."""
    sample_users: PositiveInt = 256


class ScoreConfig(Section):
    """How users are scored."""

    k: Annotated[Integer, Field(ge=1, le=65_535)] = 100
    """Length of each exported list."""
    candidates: PositiveInt = 500
    """Nearest items scored per user, beside the few that the history speaks for or that are
    explored; fewer than `k` count as `k`, and `check` says so."""
    shards: PositiveInt = 8
    """Parts of the user base; the unit of retry and of scale-out."""
    exclude_seen: bool = True
    """Whether items of a user's history may come back (false: repeats count)."""
    active_days: NonNegativeInt = 0
    """Only users with an interaction in these last days; 0: every user."""
    reasons: Annotated[Integer, Field(ge=0, le=10)] = 3
    """History items named per row."""

    @property
    def width(self) -> int:
        """Nearest items that are scored per user: a list of `k` needs so many."""
        return max(self.candidates, self.k)


class RerankConfig(Section):
    """List-level rules after scoring; off by default where they cost accuracy."""

    max_per_category: NonNegativeInt = 0
    """At most this many of one category among the first `category_window` ranks, explored ones
    included; what has no category is never capped. A list with too few categories exceeds it in
    rounds, one more of each at a time, and the night tells how many did. 0: no cap."""
    category_window: PositiveInt = 20
    diversity: Probability = 0.0
    """Maximal marginal relevance (Carbonell and Goldstein 1998): weight of dissimilarity."""
    novelty: Probability = 0.0
    """Weight of how seldom an item is taken, against its place by score."""
    window: PositiveInt = 50
    """Ranks that diversity and novelty may rearrange."""
    coverage: Probability = 0.0
    """How much of what an item would score with a newcomer is taken from what it scores with the
    user, in log odds, when lists are put in order. Lists then differ more between users, and show
    more of the catalogue together; 1: only what speaks for an item with this very user counts."""
    explore: Probability = 0.15
    """Share of the list, the last of every twenty ranks, kept for items that nobody touched and
    that read like the history, in turn with others of at most `explore_below` interactions, for
    users who take such items; others get less, down to a third of it, and all less where such an
    item would have more than three times the ranks of an average one. 0: none."""
    explore_below: NonNegativeInt = 5


class DriftConfig(Section):
    """When a drop is taken for broken, against those of the last nights."""

    nights: PositiveInt = 14
    """Days of drops that say what is usual."""
    min_rows: PositiveInt = 100
    """Drops, days and catalogues with fewer rows are not judged."""
    min_row_share: Probability = 0.1
    """Rows of a day, or of a file that replaces another, against the usual."""
    max_unseen_ids: Probability = 0.9
    """Share of the rows whose item, or user, nobody has seen before."""
    max_lost_items: Probability = 0.3
    """Share of the available items that are gone or unavailable since the last night."""
    max_swapped_texts: Probability = 0.2
    """Share of the items that bear a text which was another item's."""


class GatesConfig(Section):
    """What must hold before staged rankings become visible."""

    min_user_coverage: Probability = 1.0
    """Share of eligible users with a list."""
    max_same_list_share: Probability = 0.9
    """Largest share of users with history who get the very same first ten items."""
    min_list_fill: Probability = 1.0
    """Share of lists that are as long as they can be."""
    max_same_first_share: Probability = 0.9
    """Largest share of users with history who get the same first item."""
    max_popular_share: Probability = 0.2
    """Of the rows of users with history, those that do not look at it."""
    max_cold_share: Probability = 0.9
    """Of the first ten places, those of items that nobody ever touched."""
    compare_days: PositiveInt = 7
    """Lists published at most so long ago, with the same model and configuration, are compared by
    the narrow bounds; others by those that end in `_changed`."""
    max_score_psi: NonNegative = 1.0
    """Population stability index of the scores in the first ten ranks."""
    max_score_psi_changed: NonNegative = 8.0
    min_rbo: Probability = 0.1
    """Mean rank-biased overlap of the first ten ranks, over users with both lists."""
    min_rbo_changed: Probability = 0.02
    max_churn: Probability = 0.85
    """Mean share of the first ten items that the last list did not have there."""
    max_churn_changed: Probability = 0.97
    max_takeover: Probability = 0.8
    """Largest rise, in share of the personal first tens, of one item since the last list."""
    max_lists_lost: Probability = 0.25
    """Users with a personal list before, and none now."""
    sample_users: PositiveInt = 300
    """Users on whom model and index are tried."""
    min_against_popularity: NonNegative = 0.6
    """NDCG@10 of the model over that of the best popularity, on the same users."""
    min_against_champion: NonNegative = 0.7
    """NDCG@10 of a new model over that of the model before, on what came after both."""
    max_stale_days: NonNegativeInt = 14
    """Days that a model may be used beyond its turn, when no new one can be trained."""
    max_without_vector: Probability = 0.2
    """Of the first ten places, those of items whose text the encoder could not be asked for."""
    sample_texts: NonNegativeInt = 16
    """Texts encoded once more and compared with the embeddings of the night; 0: none."""


class PublishConfig(Section):
    """How rankings become visible."""

    keep_nights: PositiveInt = 30
    """Published dates to keep; the current one is always kept."""


class RuntimeConfig(Section):
    """Machine matters; no value here changes a result."""

    threads: NonNegativeInt = 0
    """Threads of torch and FAISS; 0: all cores that this process may use."""
    task_runner: Literal["threads", "sequential", "ray"] = "threads"
    parallel_shards: PositiveInt = 2
    """Of threads: shards that run beside each other."""
    retries: NonNegativeInt = 3
    retry_seconds: NonNegative = 10.0
    """First wait; it doubles with every retry."""

    @property
    def shards_at_once(self) -> int:
        """Shards that run beside each other in one process."""
        return self.parallel_shards if self.task_runner == "threads" else 1


class Config(Section):
    """One resolved configuration."""

    lake: Annotated[Path, BeforeValidator(_somewhere)]
    time_zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    """An as-of date begins at 00:00 here."""
    seed: Integer = 0
    source: SourceConfig
    clean: CleanConfig = CleanConfig()
    encoder: EncoderConfig = EncoderConfig()
    train: TrainConfig = TrainConfig()
    index: IndexConfig = IndexConfig()
    score: ScoreConfig = ScoreConfig()
    rerank: RerankConfig = RerankConfig()
    drift: DriftConfig = DriftConfig()
    gates: GatesConfig = GatesConfig()
    publish: PublishConfig = PublishConfig()
    runtime: RuntimeConfig = RuntimeConfig()
