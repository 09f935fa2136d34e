"""One reader for every table: separators, quotes, encodings, headers, and what it says of them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from glossfree.errors import CorpusError
from glossfree.files.tables import column_name, has_header, read_table, rename_columns, split_of

Write = Callable[..., Path]
ROWS = [("a.mp4", "es taut, sagt sie", "train"), ("b.mp4", "es friert; sehr", "dev"), ("c.mp4", "es wird kühl", "test")]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "a.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


def table(separator: str, quote: str = "") -> str:
    rows = [("path", "text", "split"), *ROWS]
    return "".join(separator.join(f"{quote}{cell}{quote}" for cell in row) + "\n" for row in rows)


def values(path: Path) -> list[tuple[str, ...]]:
    return [tuple(row.fields.values()) for row in read_table(path).rows]


def error(path: Path) -> str:
    with pytest.raises(CorpusError) as caught:
        read_table(path)
    assert str(path) in str(caught.value.where)
    assert caught.value.remedy
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.tab", "a.txt", "table", "a.CSV"])
@pytest.mark.parametrize(("separator", "quote"), [(",", '"'), (";", '"'), ("\t", ""), ("|", "")])
def test_the_separator_is_found_whatever_the_ending(write: Write, name: str, separator: str, quote: str) -> None:
    read = read_table(write(table(separator, quote), name))
    assert read.columns == ("path", "text", "split")
    assert [tuple(row.fields.values()) for row in read.rows] == ROWS
    assert [row.line for row in read.rows] == [2, 3, 4]
    assert read.notes == ()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_with_a_mark_and_all_line_ends(write: Write, encoding: str, end: str) -> None:
    assert values(write(table("\t").replace("\n", end), encoding=encoding)) == ROWS
    assert values(write(table(";", '"').replace("\n", end), encoding=encoding)) == ROWS


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "\ufeffsep=;", "\n\nsep=;"])
def test_a_first_line_may_name_the_separator(write: Write, first: str) -> None:
    read = read_table(write(f"{first}\n{table(';', chr(34))}"))
    assert [tuple(row.fields.values()) for row in read.rows] == ROWS
    assert read.rows[0].line == first.count("\n") + 3  # the file's own line
    assert values(write("sep=:\npath:text\na:1\n")) == [("a", "1")]


def test_known_columns_decide_where_the_header_holds_two_separators(write: Write) -> None:
    assert read_table(write("path;text;note, long, with commas, really\na;b;c\n")).columns[:2] == ("path", "text")
    assert read_table(write("foo\tbar,baz\tqux\nx\ty\tz\n")).columns == ("foo", "bar,baz", "qux")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (" Text ", "text"),
        ("START_REALIGNED", "start_realigned"),
        ("Start (ms)", "start_ms"),
        ("\ufeffvideo-path", "video_path"),
        ('"Fu\u0308ße"', "füße"),
        ("", ""),
    ],
)
def test_headers_in_any_case_with_blanks(cell: str, expected: str) -> None:
    assert column_name(cell) == expected


def test_synonyms_are_read_under_our_names_and_said(write: Write) -> None:
    path = write("Video Path;SENTENCE;Translation;sentence_name;other\na;b;c;d;e\n")
    read = rename_columns(read_table(path), ("path", "id", "text", "split"))
    assert read.rows[0].fields == {"path": "a", "text": "b", "translation": "c", "id": "d", "other": "e"}
    assert read.columns == ("path", "text", "translation", "id", "other")
    [note] = read.notes
    assert "path from video_path" in note
    assert "text from sentence, not translation" in note
    assert "id from sentence_name" in note


def test_a_column_under_its_own_name_wins_and_nothing_is_said_without_a_choice(write: Write) -> None:
    both = rename_columns(read_table(write("translation,text\nx,y\n")), ("text",))
    assert both.rows[0].fields["text"] == "y"
    assert "not translation" in both.notes[0]
    assert rename_columns(read_table(write("id,text\nx,y\n")), ("id", "text")).notes == ()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("validation", "dev"),
        ("VAL", "dev"),
        ("Development", "dev"),
        ("training", "train"),
        ("test", "test"),
        ("x", "x"),
    ],
)
def test_splits_under_other_names(name: str, expected: str) -> None:
    assert split_of(name) == expected


def test_with_tabs_a_quotation_mark_is_a_letter(write: Write) -> None:
    path = write(
        'path\ttext\tsplit\na\t"guten abend\ttrain\nb\tmeine "damen"\tdev\nc\tund herren"\ttest\nd\t"gut"\tdev\n'
    )
    read = read_table(path)
    assert [row.fields["text"] for row in read.rows] == ['"guten abend', 'meine "damen"', 'und herren"', '"gut"']
    assert "quotation marks" in read.notes[0] and "1 " in read.notes[0]


def test_with_tabs_quotes_that_can_be_nothing_else_are_taken_away(write: Write) -> None:
    path = write('path\ttext\tsplit\na\t"sie sagt ""ja"""\ttrain\nb\t"mit\ttab"\tdev\nc\t""\ttest\n')
    assert [row.fields["text"] for row in read_table(path).rows] == ['sie sagt "ja"', "mit\ttab", ""]
    assert values(write(table("\t", '"'))) == ROWS  # a header in quotes says how the file was written
    assert read_table(path).notes == ()


def test_with_bars_nothing_is_quoted(write: Write) -> None:
    assert values(write('name|orth|translation\na|"X|es ""taut"""\n')) == [("a", '"X', 'es ""taut"""')]


def test_a_quoted_field_may_hold_separators_quotes_and_line_breaks(write: Write) -> None:
    path = write('path,text,split\na,"es taut, ja\nund ""friert"", gut",train\nb,"x",dev\n')
    read = read_table(path)
    assert [row.fields["text"] for row in read.rows] == ['es taut, ja\nund "friert", gut', "x"]
    assert [row.line for row in read.rows] == [2, 4]
    assert "2 to 3" in read.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        'text,path,split\n"es taut, ja, gut\nund friert",a,train\nes nieselt,b,dev\n',
        'path,split,text\na,train,"es taut\nmeine damen, und, herren"\n',
        'id;text\na;"es taut;\nund friert"\n',
        'text\n"es taut\nund friert"\nes nieselt\n',
    ],
)
def test_legitimate_fields_of_two_lines_pass(write: Write, text: str) -> None:
    assert any("\n" in cell for row in values(write(text)) for cell in row)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ('path,text,split\na,"guten abend,train\nb,und herren",dev\nc,gut,test\n', 2, 3),
        ('path,text,split\nz,ja,dev\na,"guten abend,train\nb,es taut,dev\nc,gut,test\nd,und herren",dev\n', 3, 6),
        ('text,path,split\n"guten abend,a,train\nund herren",b,dev\nes taut,c,test\n', 2, 3),
        ('path,split,text\na,train,"guten abend\nb,dev,und herren"\n', 2, 3),
        ('path;text;split\n"x;y";gut;dev\na;"guten abend;Training\nb;und herren";validation\n', 3, 4),
        ('id,text\na,"guten abend\nb,und herren"\n', 2, 3),
        ('path,text,split\na,"guten abend,train\nb,es taut,dev\n', 2, 3),
        ('path,text,split\na,"guten abend,train\nb,"es taut",dev\n', 2, 3),
        ('path,text,split\na,"guten abend,train\nb,es taut,dev\n\nc,und ""herren,test\n', 2, 5),
        ('path,split,text\na,train,"guten abend\nb,dev,c,und herren"\nc,gut,test\n', 2, 3),
        ('path,text,split\na,"guten abend\nb,es taut",dev,train\n', 2, 3),
    ],
)
def test_a_field_that_swallows_rows_is_an_error_with_both_lines(write: Write, text: str, first: int, last: int) -> None:
    message = error(write(text))
    assert f"line {first}" in message
    assert f"line {last}" in message


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("path,text\na,b,c\n", ["line 2", "3 fields, 2 expected"]),
        ("path\ttext\na\n", ["line 2", "1 fields, 2 expected"]),
        ('path,text\na,"b" c\n', ["line 2", "broken quoting"]),
        ("path,Text,text\na,b,c\n", ["line 1", "'text' twice"]),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(write: Write, text: str, pieces: list[str]) -> None:
    message = error(write(text))
    assert [piece for piece in pieces if piece not in message] == []


def test_empty_rows_and_columns_that_spreadsheets_add_are_passed_over(write: Write) -> None:
    assert values(write("path;text;;\n;;;\na;b;;\n ; ; ; \nc;;;\n")) == [("a", "b"), ("c", "")]
    assert values(write("path,text\na,b,,\n")) == [("a", "b")]
    assert read_table(write("")).rows == read_table(write("\n\n")).rows == read_table(write("sep=;\n")).rows == ()


def test_fields_stay_as_they_stand_but_for_their_unicode_form(write: Write) -> None:
    nfd = unicodedata.normalize("NFD", "es wird kühl")
    read = read_table(write(f"id,fu\u0308nf\n a ,  {nfd} \n b ,kühl\n c ,es taut\n"))
    assert read.columns == ("id", "fünf")
    assert [tuple(row.fields.values()) for row in read.rows] == [
        (" a ", "  es wird kühl "),
        (" b ", "kühl"),
        (" c ", "es taut"),
    ]
    assert "1 of 3" in read.notes[0]


def test_a_greek_question_mark_is_no_separator(write: Write) -> None:
    assert values(write("id;text\na;ja\u037e\n")) == [("a", "ja;")]  # NFC makes a semicolon of it


def test_json_lines_have_columns_too(write: Write) -> None:
    lines = [{"Clip ID": 7, "Sentence": "es taut", "n": [1]}, {"clip_id": None, "sentence": "ku\u0308hl"}]
    path = write("\n\n".join(json.dumps(line) for line in lines), "a.jsonl")
    read = rename_columns(read_table(path), ("id", "text"))
    assert [(row.line, row.fields) for row in read.rows] == [
        (1, {"id": "7", "text": "es taut"}),
        (3, {"id": "", "text": "kühl"}),
    ]
    for bad in ("{", "[1]", "[" * 100_000, '{"id": "\\ud800"}', '{"\\ud800": 1}'):
        assert "line 2" in error(write('{"id": 1}\n' + bad, "a.jsonl"))


@pytest.mark.parametrize(
    "text",
    [
        ",".join(f"column{number}" for number in range(50_000)) + "\n1\n",
        "path," + "x" * 500_000 + "\na\n",
        "id,text,text\n" + "x" * 100_000,
        'id,text\na,"' + "x,y\n" * 100_000,
        'id,text\n"' + "x" * 100_000 + '" y,z\n',
    ],
)
def test_messages_are_short_whatever_the_file_holds(write: Write, text: str) -> None:
    assert len(error(write(text))) < 500


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id\ttext\n", True),
        ("sep=;\nName;Hypothesis\n", True),
        ("\n\nsentence,split\n", True),
        ("id,words\n", False),
        ("text\nes taut\n", False),
        ("es taut, sagt sie\n", False),
        ("", False),
    ],
)
def test_a_header_is_known_by_its_columns(text: str, expected: bool) -> None:
    assert has_header(text) is expected
