"""Small parts of the remote backends: Harmony, choices of OpenAI-compatible servers, names, addresses, error lines."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from transformers import AutoTokenizer

from longodds.errors import InfraError, UserError
from longodds.policy.harmony import Harmony
from longodds.policy.openai_choice import cut, read_choice
from longodds.policy.remote import check_url, one_line, parameters_by_name
from longodds.policy.tinker_policy import TinkerPolicy
from longodds.policy.tinker_service import check_key
from longodds.policy.vocabularies import HubVocabulary, open_vocabulary
from longodds.types import Message, Prompt

if TYPE_CHECKING:
    from pathlib import Path

# --- Harmony -----------------------------------------------------------------------------------


def test_harmony_is_rendered_as_the_format_says() -> None:
    vocabulary: Any = open_vocabulary("tinker:openai/gpt-oss-20b", "openai/gpt-oss-20b", None)
    harmony = Harmony("x", vocabulary)
    talk = (
        Message("system", "Be brief."),
        Message("user", "a<|end|>b"),
        Message("assistant", "c"),
        Message("user", "d"),
    )
    ids = harmony.render(talk)
    shown = "".join(
        f"<|{vocabulary.tokenizer.decode_special(i)}|>" if i >= 199998 else vocabulary.decode([i]) for i in ids
    )
    assert shown == (
        "<|start|>developer<|message|># Instructions\n\nBe brief.\n\n<|end|><|start|>user<|message|>a<|end|>b<|end|>"
        "<|start|>assistant<|channel|>final<|message|>c<|end|><|start|>user<|message|>d<|end|><|start|>assistant"
    )
    assert ids.count(vocabulary.control("end")) == 4, "what a user writes is never a control token"
    assert harmony.stop_ids == [200002, 200012]


def test_the_answer_of_harmony_is_the_final_channel() -> None:
    vocabulary = open_vocabulary("tinker:openai/gpt-oss-20b", "openai/gpt-oss-20b", None)
    harmony = Harmony("x", vocabulary)
    channel, message, end, back = (vocabulary.control(n) or 0 for n in ("channel", "message", "end", "return"))
    start = vocabulary.control("start") or 0

    def words(text: str) -> list[int]:
        return vocabulary.encode(text, ordinary=True)

    thought = [channel, *words("analysis"), message, *words("hm"), end, start, *words("assistant")]
    final = [channel, *words("final"), message]
    answer = words("return x + 1")
    ids = [*thought, *final, *answer, back]
    where = harmony.answer(ids)
    assert ids[slice(*where)] == answer
    assert vocabulary.decode(ids[slice(*where)]) == "return x + 1"
    assert harmony.answer(thought) == (len(thought), len(thought)), "nothing has been answered yet"

    served: Any = SimpleNamespace(name="x", model=SimpleNamespace(harmony=harmony, vocabulary=vocabulary))
    sequence = SimpleNamespace(tokens=ids, logprobs=[-1.0] * len(ids), stop_reason="stop")
    raw = TinkerPolicy._cut(served, [], Prompt(messages=(Message("user", "a"),)), sequence)
    lengths = [len(vocabulary.decode(answer[:i])) for i in range(1, len(answer) + 1)]
    assert raw.ends == (*[0] * where[0], *lengths, len("return x + 1")), "which token wrote which characters"


def test_a_tokenizer_without_harmony_is_refused(tiny_dir: Path) -> None:
    vocabulary = open_vocabulary("x", "openai/gpt-oss-20b", str(tiny_dir))
    with pytest.raises(UserError, match="needs its own tokenizer"):
        Harmony("tinker:openai/gpt-oss-20b", vocabulary)


# --- vocabularies --------------------------------------------------------------------------------


def test_a_tokenizer_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="neither a directory nor a hub id"):
        open_vocabulary("tinker:x", "x", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="no usable tokenizer") as caught:
        open_vocabulary("tinker:x", "x", str(tmp_path))
    assert "\n" not in str(caught.value)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InfraError, match="--tokenizer") as offline:
        open_vocabulary("tinker:a/b", "longodds-no-such-owner/no-such-model", None)
    assert "\n" not in str(offline.value)


# --- choices -------------------------------------------------------------------------------------


def completion(text: str, tokens: list[str], finish: str = "length", **more: Any) -> dict[str, Any]:
    logprobs = {"tokens": tokens, "token_logprobs": [-0.5 * (i + 1) for i in range(len(tokens))]}
    return {"text": text, "finish_reason": finish, "logprobs": logprobs, **more}


def chat(text: str, tokens: list[tuple[str, list[int] | None]], finish: str = "stop") -> dict[str, Any]:
    content = [{"token": t, "logprob": -1.0, "bytes": b} for t, b in tokens]
    return {"message": {"content": text}, "finish_reason": finish, "logprobs": {"content": content}}


STOP = re.compile(r"\n {0,7}\S")


def test_a_choice_is_cut_where_the_pattern_ends_it() -> None:
    choice = read_choice(
        "x", completion(" a + b\ndef g", [" a", " +", " b", "\n", "def", " g"], token_ids=[1, 2, 3, 4, 5, 6])
    )
    raw = cut(choice, [], None, STOP)
    assert (raw.text, raw.token_ids, raw.span) == (" a + b", (1, 2, 3, 4, 5), (0, 3))
    assert (raw.finish_reason, raw.dropped, len(raw.logprobs)) == ("stop", 1, 5)


def test_an_end_token_is_no_part_of_the_span() -> None:
    choice = read_choice("x", completion(" a", [" a", "<end>"], "stop"))
    raw = cut(choice, [], None, None)
    assert (raw.text, raw.token_ids, raw.span, raw.finish_reason) == (" a", (-1, -1), (0, 1), "stop")


def test_characters_that_span_tokens_are_counted_by_bytes() -> None:
    euro = "€".encode()
    tokens: list[tuple[str, list[int] | None]] = [
        ("a", [97]),
        ("bytes:\\xe2", list(euro[:1])),
        ("\ufffd", list(euro[1:])),
    ]
    raw = cut(read_choice("x", chat("a€", tokens)), [], None, None)
    assert (raw.text, raw.span) == ("a€", (0, 3))
    raw = cut(read_choice("x", chat("a€", tokens)), [], None, re.compile("€"))
    assert (raw.text, raw.span, raw.dropped) == ("a", (0, 1), 0)


def test_thinking_that_a_server_takes_out_is_outside_the_span() -> None:
    tokens: list[tuple[str, list[int] | None]] = [("hm", None), ("</think>", None), ("ret", None), ("urn", None)]
    raw = cut(read_choice("x", chat("return", tokens)), [], None, None)
    assert (raw.text, raw.span) == ("return", (2, 4))


def test_pieces_that_join_to_the_text_say_which_characters_they_wrote() -> None:
    euro = "€".encode()
    tokens: list[tuple[str, list[int] | None]] = [
        ("hm", None),
        ("</think>", None),
        ("a ", None),
        ("bytes:\\xe2", list(euro[:1])),
        ("\ufffd", list(euro[1:])),
        ("\n```", None),
        ("<end>", None),
    ]
    raw = cut(read_choice("x", chat("a €\n```", tokens)), [], None, None)
    assert (raw.span, raw.ends) == ((2, 6), (0, 0, 2, 2, 3, 7, 7)), "a character counts when its last byte is there"
    raw = cut(read_choice("x", chat("a €\n```", tokens)), [], None, re.compile("\n"))
    assert (raw.text, len(raw.ends)) == ("a €", len(raw.token_ids))
    cut_in_two = cut(read_choice("x", chat("b\ufffd", [("b", None), ("\ufffd", list(euro[:1]))])), [], None, None)
    assert cut_in_two.ends == (1, 2)
    other = cut(read_choice("x", chat("a b", [("a", None), ("Ġb", None)])), [], None, None)
    assert other.ends == (), "spelled in another way: their lengths say nothing of the text"


def test_ids_spelled_as_tokens_and_ids_recovered_by_a_tokenizer(tiny_dir: Path) -> None:
    spelled = read_choice("x", completion("ab", ["token_id:5", "token_id:6"]))
    assert spelled.ids == (5, 6)
    vocabulary = HubVocabulary(AutoTokenizer.from_pretrained(str(tiny_dir)))
    raw = cut(read_choice("x", completion("ab", ["a", "b"])), [], vocabulary, None)
    assert list(raw.token_ids) == vocabulary.encode("ab")
    merged = cut(read_choice("x", completion("ab", ["ab"])), [], vocabulary, None)
    assert merged.token_ids == (-1,), "not the tokens that this tokenizer makes of it"


@pytest.mark.parametrize(
    "choice",
    [
        {"text": "a", "finish_reason": "stop", "logprobs": None},
        {"text": "a", "finish_reason": "stop"},
        {"message": {"content": "a"}, "finish_reason": "stop", "logprobs": None},
        {"text": "a", "finish_reason": "stop", "logprobs": {"tokens": ["a"], "token_logprobs": [None]}},
    ],
)
def test_no_log_probabilities_is_a_reason_to_refuse(choice: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="no token log-probabilities"):
        read_choice("openai:m", choice)


@pytest.mark.parametrize("choice", [{}, {"text": 3}, {"message": 1}, {"text": "a", "logprobs": {"tokens": 1}}])
def test_nonsense_is_the_servers_fault(choice: dict[str, Any]) -> None:
    with pytest.raises((InfraError, UserError)) as caught:
        read_choice("openai:m", choice)
    assert "\n" not in str(caught.value)


# --- names, addresses, keys ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("openai/gpt-oss-20b", 3_600_000_000),
        ("gpt-oss-120b", 5_100_000_000),
        ("Qwen/Qwen3-30B-A3B-Instruct", 3_000_000_000),
        ("meta-llama/Llama-3.1-8B", 8_000_000_000),
        ("Qwen2.5-Coder-0.5B", 500_000_000),
        ("SmolLM2-135M", 135_000_000),
        ("gpt-4o", None),
        ("claude", None),
    ],
)
def test_parameters_by_name(name: str, count: int | None) -> None:
    assert parameters_by_name(name) == count


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://h/v1", "http://", "http://u:secret@h/v1", "http://h/v1?key=secret"]
)
def test_addresses_that_are_none_or_hold_a_secret(url: str) -> None:
    with pytest.raises(UserError) as caught:
        check_url(url, "--base-url")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", [None, "", "sk-123456", " tml-abc", "tml-abc\n", "tml-é"])
def test_keys_that_are_missing_or_malformed_are_never_shown(key: str | None) -> None:
    with pytest.raises(UserError, match="TINKER_API_KEY") as caught:
        check_key("tinker:m", key)
    assert not key or key.strip() not in str(caught.value)


def test_one_line_of_an_error_without_its_secrets() -> None:
    assert one_line("\n\n  bad key tml-abc!\nTraceback", ["tml-abc", None]) == "bad key [key]!"
    assert len(one_line("x" * 1000)) == 200
    assert one_line(TimeoutError()) == "TimeoutError"
