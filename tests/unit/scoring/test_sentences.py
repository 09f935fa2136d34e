"""Sentences of every kind of file, unchanged; every mistake is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from glossfree.errors import CorpusError, GlossfreeError
from glossfree.scoring.sentences import Sentences, check_ids, pair, read_sentences

ODD = " schnee  im\ttal "  # blanks in front, twice, a tab, and behind
Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode("utf-8"))
        return path

    return write


def sentences(ids: str, *, numbered: bool = False, name: str = "a.txt") -> Sentences:
    return Sentences(tuple(ids), tuple(f"satz {id}" for id in ids), Path(name), numbered)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("regen\nschnee\n", ["regen", "schnee"]),
        ("regen\nschnee", ["regen", "schnee"]),
        ("regen\r\n\r\nschnee\r\n", ["regen", "", "schnee"]),
        ("\ufeffüber nacht\nschnee\n\n", ["über nacht", "schnee", ""]),
        ("\n", [""]),
        (f"{ODD}\nein\u2028satz\x85\x0b\n", [ODD, "ein\u2028satz\x85\x0b"]),
    ],
)
def test_plain_text_is_one_unchanged_sentence_a_line(write: Write, text: str, expected: list[str]) -> None:
    for side in ("hypotheses", "references"):
        result = read_sentences(write("sentences.txt", text), side)
        assert list(result.texts) == expected
        assert result.ids == tuple(str(number) for number in range(1, len(expected) + 1))
        assert result.numbered


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", f'id,text,signer\na,"{ODD}",s\nb,"ja, ""nein""",s\n'),
        ("a.csv", f'Name; Prediction \r\na;{ODD}\r\n b ;"ja, ""nein"""\r\n\r\n'),
        ("a.tsv", f'signer\tclip\thypothesis\ns\ta\t"{ODD}"\ns\tb\t"ja, ""nein"""\n'),
        ("a.csv", f'name|video|start|end|speaker|orth|translation\na|v|-1|-1|s|G|{ODD}\nb|v|-1|-1|s|G|ja, "nein"\n'),
        ("a.jsonl", json.dumps({"id": "a", "text": ODD}) + '\n\n{"id": "b", "text": "ja, \\"nein\\"", "n": [[1]]}\n'),
        ("a.json", json.dumps([{"name": "a", "prediction": ODD}, {"name": "b", "prediction": 'ja, "nein"'}], indent=1)),
        ("a.json", json.dumps({"a": ODD, "b": 'ja, "nein"'}, indent=1)),
        ("a.json", json.dumps({"a": ODD, "b": 'ja, "nein"'})),
    ],
)
def test_sentences_by_id(write: Write, name: str, text: str) -> None:
    result = read_sentences(write(name, text), "hypotheses")
    assert dict(zip(result.ids, result.texts, strict=True)) == {"a": ODD, "b": 'ja, "nein"'}
    assert not result.numbered


def test_a_file_may_hold_both_sides(write: Write) -> None:
    path = write("both.csv", "id,reference,hypothesis\n7,regen,schnee\n")
    hypotheses, references = read_sentences(path, "hypotheses"), read_sentences(path, "references")
    assert (hypotheses.texts, references.texts) == (("schnee",), ("regen",))
    numbered = read_sentences(write("a.jsonl", '{"id": 7, "text": "x"}'), "references")
    assert references.ids == numbered.ids == ("7",)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.txt", "", "no sentence"),
        ("a.csv", "", "no sentence"),
        ("a.jsonl", "\n", "no sentence"),
        ("a.csv", "id,text\n", "no sentence"),
        ("a.csv", "path,text\nx,y\n", "no column id | name | clip; columns here: path, text"),
        ("a.csv", "id,words\nx,y\n", "no column hypothesis | prediction | text | translation; columns here: id, words"),
        ("a.csv", "id,text\nx,y,z\n", "line 2: 3 fields, 2 expected"),
        ("a.csv", "name|translation\nx|y\nx\n", "line 3: 1 fields, 2 expected"),
        ("a.csv", 'id,text\nx,"y\n', "broken quoting"),
        ("a.csv", "id,text\n ,y\n", "line 2: ' ' is no id"),
        ("a.jsonl", '{"id": "a", "text": "x"}\n{"id": "b"\n', "line 2: not JSON"),
        ("a.jsonl", '{"id": "a", "text": "x"}\n["b"]\n', "line 2: not an object"),
        ("a.jsonl", '{"id": "a", "text": "x"}\n{"id": "b"}\n', "line 2: no column hypothesis"),
        ("a.jsonl", '{"id": true, "text": "x"}\n', "line 1: True is no id"),
        ("a.jsonl", '{"id": "a", "text": null}\n', "line 1: None is no sentence"),
        ("a.json", '{"a": ["x"]}', "is no sentence"),
        ("a.json", "[" * 100_000, "not JSON"),
        ("a.jsonl", '{"id": "a", "text": "\\ud800"}\n', "no text"),
    ],
)
def test_unreadable_files_are_named(write: Write, name: str, text: str, words: str) -> None:
    path = write(name, text)
    with pytest.raises(CorpusError) as caught:
        read_sentences(path, "hypotheses")
    assert str(path) in str(caught.value) and words in str(caught.value)
    assert caught.value.remedy


def test_a_file_that_is_missing_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="cannot be read"):
        read_sentences(tmp_path / "gone.txt", "hypotheses")
    (tmp_path / "a.txt").write_bytes("schnee\nü".encode("latin-1"))
    with pytest.raises(CorpusError, match=r"not UTF-8 \(byte 7\)"):
        read_sentences(tmp_path / "a.txt", "references")


def test_pairs_follow_the_references_by_id() -> None:
    result = pair(sentences("cab"), sentences("abc"))
    assert result.ids == ("a", "b", "c")
    assert result.hypotheses == result.references == ("satz a", "satz b", "satz c")
    assert not result.by_line


@pytest.mark.parametrize(("left", "right"), [(True, False), (False, True), (True, True)])
def test_pairs_by_line_where_a_side_has_no_ids(left: bool, right: bool) -> None:
    hypotheses, references = sentences("cab", numbered=left), sentences("xyz", numbered=right)
    result = pair(hypotheses, references)
    assert result.by_line
    assert (result.hypotheses, result.references) == (hypotheses.texts, references.texts)
    assert result.ids == tuple("cab" if right else "xyz")


def test_ids_that_do_not_match_are_named() -> None:
    with pytest.raises(GlossfreeError) as caught:
        pair(sentences("bxbye"), sentences("abcce"))
    for words in (
        "2 without a hypothesis: a, c",
        "2 without a reference: x, y",
        "1 twice in the hypotheses: b",
        "1 twice in the references: c",
        "a.txt",
    ):
        assert words in str(caught.value)
    with pytest.raises(CorpusError, match="1 twice in the hypotheses: a"):
        pair(sentences("aa"), sentences("12", numbered=True))


def test_different_numbers_of_lines_are_named() -> None:
    with pytest.raises(CorpusError, match=r"3 hypotheses for 4 references in b\.txt"):
        pair(sentences("abc"), sentences("1234", numbered=True, name="b.txt"))


def test_sentences_are_normalised_to_nfc_with_a_note(write: Write) -> None:
    nfd, plain = "es wird ku\u0308hl", "es taut"
    for path in (
        write("a.csv", f"id,text\ngru\u0308n,{nfd}\nb,{plain}\n"),
        write("a.jsonl", json.dumps({"id": "gru\u0308n", "text": nfd}) + "\n" + json.dumps({"id": "b", "text": plain})),
        write("a.txt", f"{nfd}\n{plain}\n"),
    ):
        result = read_sentences(path, "hypotheses")
        assert result.texts == ("es wird kühl", plain)
        assert result.numbered or result.ids == ("grün", "b")
        assert "1 of 2" in result.notes[0]
    assert read_sentences(write("b.csv", f"id,text\ngrün,kühl\nb,{plain}\n"), "references").notes == ()


def test_ids_are_paired_across_unicode_forms() -> None:
    hypotheses = Sentences(("gru\u0308n", "b"), ("x", "y"), Path("a.csv"))
    assert pair(hypotheses, Sentences(("b", "grün"), ("r", "s"), Path("b.csv"))).hypotheses == ("y", "x")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "id\ttext\na\tes taut\nb\tes friert\n"),
        ("a.tsv", "sep=;\nSentence Name;Sentence\na;es taut\nb;es friert\n"),
        ("a.csv", "name\thypothesis\na\tes taut\nb\tes friert\n"),
        ("a", "clip|prediction\na|es taut\nb|es friert\n"),
    ],
)
def test_a_table_is_read_whatever_its_ending_and_separator(write: Write, name: str, text: str) -> None:
    result = read_sentences(write(name, text), "hypotheses")
    assert dict(zip(result.ids, result.texts, strict=True)) == {"a": "es taut", "b": "es friert"}
    assert [note for note in result.notes if "sentence" in note] == list(result.notes)
    assert len(result.notes) == (2 if "Sentence" in text else 0)  # only unusual column names are noted


def test_a_file_in_utf_16_and_one_in_windows_1252(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("id\ttext\na\tes wird kühl\n".encode("utf-16"))
    assert read_sentences(tmp_path / "a.csv", "references").texts == ("es wird kühl",)
    (tmp_path / "b.csv").write_bytes("id,text\na,es wird kühl\n".encode("cp1252"))
    with pytest.raises(CorpusError, match="WINDOWS-1252"):
        read_sentences(tmp_path / "b.csv", "references")


def test_a_quoted_field_that_swallows_a_row_is_refused(write: Write) -> None:
    with pytest.raises(CorpusError, match="line 2 and closes in line 3"):
        read_sentences(write("a.csv", 'id,text\na,"guten abend\nb,und herren"\n'), "hypotheses")
    result = read_sentences(write("a.tsv", 'id\ttext\na\t"guten abend\nb\tund herren"\n'), "hypotheses")
    assert result.texts == ('"guten abend', 'und herren"')


SECRET = "geheim " * 5_000


@pytest.mark.parametrize(
    "value",
    [
        {"results": [{"id": "a", "hyp": SECRET}]},
        {"a": {"hyp": SECRET, "ref": SECRET}},
        {"version": 3, "hypotheses": {"a": SECRET}},
        [{"id": "a", "hyp": SECRET}],
        [{"id": {SECRET: 1}, "text": SECRET}],
        [{"id": "a", "text": [SECRET]}],
        [SECRET, SECRET],
        {"a": None, "b": SECRET},
        {f"key{number}": [SECRET] for number in range(500)},
        SECRET,
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_json_of_an_unknown_shape_is_described_and_never_printed(write: Write, value: object, name: str) -> None:
    path = write(name, json.dumps(value))
    with pytest.raises(CorpusError) as caught:
        read_sentences(path, "hypotheses")
    assert str(caught.value).count("geheim") < 30
    assert len(str(caught.value).replace(str(path), "")) < 600


def test_matching_ids_pass() -> None:
    check_ids({"b": 1, "a": 2}, "ab")


def test_wrong_ids_are_named() -> None:
    with pytest.raises(CorpusError) as caught:
        check_ids(["a", "a", "x"], "abc")
    message = str(caught.value)
    assert "2 without a hypothesis: b, c" in message
    assert "1 without a reference: x" in message
    assert "1 twice in the hypotheses: a" in message


def test_many_wrong_ids_are_counted() -> None:
    with pytest.raises(CorpusError, match=r"1,011 without a hypothesis: k0, .*, k9 and 1,001 more"):
        check_ids({}, [f"k{i}" for i in range(1011)])


def test_ids_are_compared_in_either_unicode_form() -> None:
    check_ids(["gru\u0308n", "a"], ["a", "grün"])
    with pytest.raises(CorpusError, match="1 twice in the hypotheses: grün"):
        check_ids(["gru\u0308n", "grün"], ["grün"])


def test_a_message_stays_short() -> None:
    for ids in (["x" * 50_000], [f"clip-{number}" for number in range(1234)]):
        with pytest.raises(CorpusError) as caught:
            check_ids(ids, [])
        assert len(caught.value.problem) < 200


def test_one_line_of_jsonl_is_a_row_whatever_the_case_of_its_keys(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text('{"ID": "a", "Text": "es regnet"}\n', encoding="utf-8")
    sentences = read_sentences(tmp_path / "one.jsonl", "references")
    assert (sentences.ids, sentences.texts) == (("a",), ("es regnet",))
