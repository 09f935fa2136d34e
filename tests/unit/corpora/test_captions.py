"""Captions out of .srt, .vtt, .ass and tables, and into .srt and .vtt; what every format has in common."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from glossfree.corpora.captions import Caption, read_captions, write_captions
from glossfree.errors import CorpusError

ROUGH = (  # sentences that hold what one format or another takes for its own
    "Grüße aus Köln & Bonn, 5 < 7 > 3",
    "heute --> morgen",
    "<b>fett</b> &amp; &lt;i&gt; <3 {\\an8}",
    "von 00:00:01,000 bis 00:00:02,500 C:\\neu",
    "NOTE WEBVTT",
    "",
    "]]> <!-- kein Kommentar -->",
    "1999",
)

ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour
Style: Default,Arial,20,&H00FFFFFF

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:05.00,0:00:06.50,Default,,0,0,0,,über\\hmorgen, {\\i1}vielleicht{\\i0}
Comment: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,kein Satz
Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,{\\p1}m 0 0 l 1 1{\\p0}
Dialogue: 0,0:00:01.25,0:00:02.50,Default,,0,0,0,,{\\an8}Guten\\NMorgen
"""


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def triples(captions: list[Caption]) -> list[tuple[float, float, str]]:
    return [(caption.start, caption.end, caption.text) for caption in captions]


@pytest.mark.parametrize("form", ["srt", "vtt", "eaf"])
def test_what_is_written_is_read_again(tmp_path: Path, form: str) -> None:
    captions = [Caption(3 * number + 0.125, 3 * number + 2.5, text) for number, text in enumerate(ROUGH)]
    path = tmp_path / f"sätze.{form}"
    text = write_captions(path, captions, form, media=tmp_path / "video.mp4")
    assert path.read_text(encoding="utf-8") == text
    assert triples(read_captions(path)) == triples(captions)


@pytest.mark.parametrize("form", ["srt", "vtt", "eaf"])
def test_line_breaks_and_control_characters_become_blanks(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"a.{form}"
    write_captions(path, [Caption(0, 1, "eins\n\nzwei\x00\x1f drei\u2028 \ud800")], form)
    assert read_captions(path)[0].text == "eins zwei drei"


@pytest.mark.parametrize("form", ["srt", "vtt", "eaf"])
def test_captions_come_out_by_their_starts(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"a.{form}"
    write_captions(path, [Caption(3661.5, 3662, "spät"), Caption(0, 2, "früh"), Caption(2, 2.0001, "kurz")], form)
    assert triples(read_captions(path)) == [(0, 2, "früh"), (2, 2.001, "kurz"), (3661.5, 3662, "spät")]


def test_nothing_is_written_without_a_path(tmp_path: Path) -> None:
    assert "00:00:01,500 --> 00:00:02,000" in write_captions(None, [Caption(1.5, 2, "x")], "srt")
    assert list(tmp_path.iterdir()) == []


def test_impossible_times_may_be_read_without_an_error(tmp_path: Path) -> None:
    path = written(
        tmp_path, "a.srt", "1\n00:00:02,000 --> 00:00:01,000\neins\n\n2\n00:00:03,000 --> 00:00:04,000\nzwei\n"
    )
    with pytest.raises(CorpusError, match="end before they begin"):
        read_captions(path)
    assert [(each.text, each.is_possible) for each in read_captions(path, check_times=False)] == [
        ("eins", False),
        ("zwei", True),
    ]
    assert read_captions(written(tmp_path, "b.vtt", "WEBVTT\n"), check_times=False) == []


@pytest.mark.parametrize("caption", [Caption(2, 2), Caption(3, 1), Caption(-1, 1), Caption(0, float("nan"))])
def test_impossible_times_are_not_written(caption: Caption) -> None:
    with pytest.raises(ValueError, match="start"):
        write_captions(None, [caption], "vtt")


def test_unknown_format_is_not_written() -> None:
    with pytest.raises(ValueError, match="'doc'"):
        write_captions(None, [Caption(0, 1)], "doc")


def test_vtt_as_people_have_it(tmp_path: Path) -> None:
    text = """WEBVTT - ein Titel
Kind: captions

STYLE
::cue { color: lime }

REGION
id:unten

NOTE ein Kommentar
über zwei Zeilen

einleitung
00:01.000 --> 00:02.500 line:0 position:20% align:middle
<v Anna>Guten <b>Morgen</b> &amp; <00:01.500>hallo &lt;3

NOTE noch einer

2
101:00:03.000 --> 101:00:04.000
zwei
Zeilen

NOTE am Ende
"""
    captions = read_captions(written(tmp_path, "a.vtt", text))
    assert triples(captions) == [(1, 2.5, "Guten Morgen & hallo <3"), (363603, 363604, "zwei Zeilen")]


def test_srt_as_people_have_it(tmp_path: Path) -> None:
    """A byte order mark, CRLF, points for commas, markup, coordinates, no text, a number as text, blank lines."""
    text = """\ufeff1
00:00:04,000 --> 00:00:05,000
{\\an8}<i>Im Jahr</i>
2010

2
0:00:01.5 --> 0:00:02.250  X1:40 X2:600
<font color="#ff0000">a < b</font> & c

3
00:00:06,000 --> 00:00:07,000

4
00:00:08,000 --> 00:00:09,000
eins

zwei

5
00:00:10,000 --> 00:00:11,000
1999
"""
    captions = read_captions(written(tmp_path, "A.SRT", text.replace("\n", "\r\n")))
    assert triples(captions) == [
        (1.5, 2.25, "a < b & c"),
        (4, 5, "Im Jahr 2010"),
        (6, 7, ""),
        (8, 9, "eins zwei"),
        (10, 11, "1999"),
    ]


def test_utf_16_is_read(tmp_path: Path) -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nGrüße\n"
    assert read_captions(written(tmp_path, "a.srt", text.encode("utf-16")))[0].text == "Grüße"


@pytest.mark.parametrize("name", ["a.ass", "a.ssa"])
def test_substation_without_its_markup_comments_and_drawings(tmp_path: Path, name: str) -> None:
    captions = read_captions(written(tmp_path, name, ASS))
    assert triples(captions) == [(1.25, 2.5, "Guten Morgen"), (5, 6.5, "über morgen, vielleicht")]


@pytest.mark.parametrize("piece", ["\n", "{", "{\\a", "<font ", "<v ", "1:", "&", "--"])
@pytest.mark.parametrize("name", ["a.srt", "a.vtt", "a.ass"])
def test_a_long_text_of_signs_takes_no_longer_than_another(tmp_path: Path, name: str, piece: str) -> None:
    """A pattern that looks for the end from each sign again would run for minutes on these."""
    heads = {
        "a.srt": "1\n00:00:01,000 --> 00:00:02,000\n",
        "a.vtt": "WEBVTT\n\n00:01.000 --> 00:02.000\n",
        "a.ass": ASS[:-7],
    }
    text = "x" + piece * 200_000 + "x\n"
    assert len(read_captions(written(tmp_path, name, heads[name] + text))) == 1 + (name == "a.ass")


def test_tables_in_seconds_ms_clock_times_and_frames(tmp_path: Path) -> None:
    seconds = read_captions(written(tmp_path, "a.csv", "start,end,text\n3,4.5,zwei\n0.5,00:00:01.25,eins\n"))
    assert triples(seconds) == [(0.5, 1.25, "eins"), (3, 4.5, "zwei")]
    milliseconds = read_captions(written(tmp_path, "b.tsv", "Start (ms)\tEnd (ms)\n500\t1250\n"))
    assert triples(milliseconds) == [(0.5, 1.25, "")]
    frames = read_captions(written(tmp_path, "c.csv", "start_frame;end_frame;fps\n5;20;12.5\n"))
    assert triples(frames) == [(0.4, 1.6, "")]


def test_a_table_of_several_videos_gives_the_rows_of_the_one(tmp_path: Path) -> None:
    table = written(tmp_path, "a.csv", "path,start,end\nx/eins.mp4,0,1\nx/zwei.mp4,2,3\nx/zwei.mp4,1,2\n")
    assert triples(read_captions(table, media=Path("zwei.mkv"))) == [(1, 2, ""), (2, 3, "")]
    for media in (None, Path("drei.mp4")):
        with pytest.raises(CorpusError, match="2 videos"):
            read_captions(table, media=media)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("text,split\na,train\n", "start and end"),
        ("start,end\n0,1\n2,\n", "line 3.*no end"),
        ("start,end\n0,1\n3,2\n", "line 3.*after"),
        ("start,end\n0,x\n", "line 2.*number of seconds"),
        ("start_frame,end_frame\n0,9\n", "line 2.*fps"),
        ("start_frame,end_frame,fps\n0,9,inf\n", "line 2.*fps"),
    ],
)
def test_a_table_that_cannot_be_read_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(CorpusError, match=rf"a\.csv.*{problem}"):
        read_captions(written(tmp_path, "a.csv", text))


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.srt", "", "no captions"),
        ("a.srt", "nur Text\n", "no captions"),
        ("a.vtt", "WEBVTT\n", "no captions"),
        ("a.vtt", "00:01.000 --> 00:02.000\nohne Kopf\n", "not WebVTT"),
        ("a.srt", "1\n00:00:01,000 -> 00:00:02,000\nx\n", "line 2"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nx\n\n2\n00:03,000 --> 00:04,000\nohne Stunde\n", "line 6"),
        ("a.srt", "1\n-00:00:01,000 --> 00:00:02,000\nx\n", "line 2"),
        ("a.srt", "1\n100:00:01,000 --> 100:00:02,000\nx\n", "line 2"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\n10:00:00,000 bis 11:00:00,000\n", "1 captions.* 2 can be"),
        ("a.vtt", "WEBVTT\n\n00:01,000 --> 00:02,000\nKomma\n", "line 3"),
        ("a.vtt", "WEBVTT\n\n00:01.000 --> \nkein Ende\n", "line 3"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\na\n\n2\n00:00:05,000 --> 00:00:05,000\nb\n", r"number 2 \(5 to 5"),
        ("a.vtt", "WEBVTT\n\n00:05.000 --> 00:02.000\nrückwärts\n", r"number 1 \(5 to 2"),
        ("a.ass", ASS.replace("0:00:05.00", "-0:00:05.00"), r"number 1 \(-5 to"),
        ("a.ass", ASS.replace("0:00:05.00", "bald"), "damaged"),
        ("a.ass", ASS + "Dialogue: 0,0:00:07.00\n", "ten fields"),
        ("a.ass", "[Events]\n", "no captions"),
    ],
)
def test_damaged_captions_are_refused_by_name(tmp_path: Path, name: str, text: str, problem: str) -> None:
    with pytest.raises(CorpusError, match=rf"{name}.*{problem}"):
        read_captions(written(tmp_path, name, text))


def test_windows_1252_is_named_with_the_command_that_mends_it(tmp_path: Path) -> None:
    path = written(tmp_path, "a.srt", "1\n00:00:01,000 --> 00:00:02,000\nGrüße\n".encode("cp1252"))
    with pytest.raises(CorpusError, match=r"Windows-1252.*iconv"):
        read_captions(path)


def test_missing_unknown_and_oversized_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"a\.srt.*cannot be read"):
        read_captions(tmp_path / "a.srt")
    with pytest.raises(CorpusError, match=r"unknown.*\.eaf"):
        read_captions(written(tmp_path, "a.docx", ""))
    (tmp_path / "folder.vtt").mkdir()
    with pytest.raises(CorpusError, match=r"folder\.vtt"):
        read_captions(tmp_path / "folder.vtt")
    for name, size in (("large.eaf", 51), ("large.srt", 11)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size * 1_000_000)
        with pytest.raises(CorpusError, match=f"{size} MB"):
            read_captions(tmp_path / name)


def test_tiers_are_refused_where_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no tiers"):
        read_captions(written(tmp_path, "a.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\nx\n"), tier="sentence")


@pytest.mark.parametrize("form", ["srt", "vtt", "eaf"])
def test_a_missing_library_is_named_with_its_extra(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pympi", "pympi.Elan", "pysubs2", "webvtt"):
        monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / f"a.{form}"
    with pytest.raises(CorpusError, match=r"glossfree\[captions\]"):
        write_captions(path, [Caption(0, 1, "x")], form)
    assert not path.exists()
