"""ELAN's annotation files: which tier, at what times; what is written is valid by the rules of the format."""

from __future__ import annotations

import random
from pathlib import Path
from xml.etree import ElementTree

import pytest

from glossfree.corpora.captions import Caption, read_captions, read_tiers, write_captions
from glossfree.errors import CorpusError

Slots = dict[str, int | None]


def document(tiers: str, slots: Slots, media: str = "", head: str = "", units: str = "milliseconds") -> str:
    """An annotation file as other programs write it: no schema, ids of any kind."""
    values = {slot: "" if time is None else f' TIME_VALUE="{time}"' for slot, time in slots.items()}
    order = "".join(f'<TIME_SLOT TIME_SLOT_ID="{slot}"{value}/>' for slot, value in values.items())
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{head}<ANNOTATION_DOCUMENT AUTHOR="" VERSION="2.7">'
        f'<HEADER TIME_UNITS="{units}">{media}</HEADER><TIME_ORDER>{order}</TIME_ORDER>{tiers}</ANNOTATION_DOCUMENT>'
    )


def tier(name: str, *annotations: str, parent: str = "") -> str:
    attribute = f' PARENT_REF="{parent}"' if parent else ""
    wrapped = "".join(f"<ANNOTATION>{annotation}</ANNOTATION>" for annotation in annotations)
    return f'<TIER TIER_ID="{name}" LINGUISTIC_TYPE_REF="t"{attribute}>{wrapped}</TIER>'


def aligned(name: str, start: str, end: str, text: str = "") -> str:
    return (
        f'<ALIGNABLE_ANNOTATION ANNOTATION_ID="{name}" TIME_SLOT_REF1="{start}" TIME_SLOT_REF2="{end}">'
        f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION>"
    )


def below(name: str, parent: str, text: str = "", previous: str = "") -> str:
    attribute = f' PREVIOUS_ANNOTATION="{previous}"' if previous else ""
    return (
        f'<REF_ANNOTATION ANNOTATION_ID="{name}" ANNOTATION_REF="{parent}"{attribute}>'
        f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></REF_ANNOTATION>"
    )


def written(folder: Path, text: str) -> Path:
    path = folder / "a.eaf"
    path.write_text(text, encoding="utf-8")
    return path


SLOTS: Slots = {"an": 1200, "aus": 2700, "ab": 3000, "zu": 7000}
SENTENCES = tier(
    "Satz", aligned("zweiter", "ab", "zu", "Tschüss &amp; bis bald"), aligned("erster", "an", "aus", "Hallo")
)


def test_the_only_aligned_tier_is_read_with_its_name(tmp_path: Path) -> None:
    children = tier("Übersetzung", below("u1", "erster", "Hello"), parent="Satz")
    captions = read_captions(written(tmp_path, document(children + SENTENCES + tier("leer"), SLOTS)))
    assert captions == [Caption(1.2, 2.7, "Hallo", "Satz"), Caption(3, 7, "Tschüss & bis bald", "Satz")]


def test_children_have_the_times_of_their_parents(tmp_path: Path) -> None:
    """An association has its parent's times; a subdivision has equal shares, in the order that its links say."""
    tiers = tier("Kommentar", below("k", "u", "ja"), parent="Übersetzung")
    tiers += tier("Übersetzung", below("u", "zweiter", "Bye"), parent="Satz") + SENTENCES
    parts = (below("w3", "zweiter", "bald", "w2"), below("w1", "zweiter", "bis"), below("w2", "zweiter", "ganz", "w1"))
    path = written(tmp_path, document(tiers + tier("Wörter", *parts, below("w9", "w1"), parent="Satz"), SLOTS))
    assert read_captions(path, tier="Übersetzung") == [Caption(3, 7, "Bye", "Übersetzung")]
    assert read_captions(path, tier="Kommentar") == [Caption(3, 7, "ja", "Kommentar")]
    words = [caption for caption in read_captions(path, tier="Wörter") if caption.text]
    assert [word.text for word in words] == ["bis", "ganz", "bald"]
    assert [word.start for word in words] == pytest.approx([3, 3 + 4 / 3, 3 + 8 / 3])
    assert words[-1].end == 7


def test_slots_without_times_share_what_their_neighbours_leave(tmp_path: Path) -> None:
    slots: Slots = {"a": 1000, "fremd": None, "b": None, "c": None, "d": 2500}
    words = tier("Wort", aligned("1", "a", "b"), aligned("2", "b", "c"), aligned("3", "c", "d"))
    captions = read_captions(written(tmp_path, document(words, slots)))
    assert [(caption.start, caption.end) for caption in captions] == [(1, 1.5), (1.5, 2), (2, 2.5)]


def test_several_tiers_are_read_at_once_those_that_are_there(tmp_path: Path) -> None:
    tiers = SENTENCES + tier("Zeichen ", aligned("z2", "aus", "ab", "REGEN\nNORD"), aligned("z1", "an", "aus", "HALLO"))
    path = written(tmp_path, document(tiers + tier("leer"), SLOTS))
    assert read_tiers(path, ["Zeichen", "fehlt", "leer"]) == {
        "Zeichen": [Caption(1.2, 2.7, "HALLO", "Zeichen"), Caption(2.7, 3, "REGEN NORD", "Zeichen")],
        "leer": [],
    }
    path = written(tmp_path, document(tier("a", aligned("z", "ab", "an")), SLOTS))
    assert [caption.is_possible for caption in read_tiers(path, ["a"])["a"]] == [False]


def test_a_tier_is_named_where_several_could_be_meant(tmp_path: Path) -> None:
    path = written(tmp_path, document(SENTENCES + tier("Geba\u0308rde", aligned("g", "an", "zu", "X")), SLOTS))
    with pytest.raises(CorpusError, match=r"a\.eaf.*'Satz' \(2\).*\(1\).*--tier"):
        read_captions(path)
    assert read_captions(path, tier="Gebärde")[0].text == "X"
    with pytest.raises(CorpusError, match=r"'Mund'.*'Satz' \(2\)"):
        read_captions(path, tier="Mund")


def media(name: str, origin: int | None, kind: str = "video/mp4") -> str:
    attribute = "" if origin is None else f' TIME_ORIGIN="{origin}"'
    return f'<MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/Daten/{name}" MIME_TYPE="{kind}"{attribute}/>'


def test_the_origin_of_a_medium_is_added(tmp_path: Path) -> None:
    """ELAN seeks to the time of an annotation plus TIME_ORIGIN in the medium."""
    linked = media("ton.wav", None, "audio/x-wav") + media("vorn.mp4", 500)
    assert read_captions(written(tmp_path, document(SENTENCES, SLOTS, linked)))[0] == Caption(1.7, 3.2, "Hallo", "Satz")


def test_of_several_media_the_one_with_the_name_of_the_video_counts(tmp_path: Path) -> None:
    path = written(tmp_path, document(SENTENCES, SLOTS, media("vorn%20links.mp4", 500) + media("seite.mp4", 9300)))
    assert read_captions(path, media=Path("/x/vorn links.mp4"))[0].start == 1.7
    assert read_captions(path, media=Path("seite.mp4"))[0].start == 10.5
    with pytest.raises(CorpusError, match=r"500 ms.*9300 ms"):
        read_captions(path, media=Path("oben.mp4"))


def test_an_annotation_before_the_video_begins_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, document(SENTENCES, SLOTS, media("a.mp4", -2000)))
    with pytest.raises(CorpusError, match=r"number 2 \(-0\.8 to"):
        read_captions(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "damaged XML"),
        ("kein XML", "damaged XML"),
        (document(SENTENCES, SLOTS)[:-30], "damaged XML"),
        ("<ANNOTATION_DOCUMENT>" + "<a>" * 1000, "without an end"),
        ("<html/>", "not an ELAN file.*html"),
        ('<?xml version="1.0" encoding="klingonisch"?><a/>', "encoding"),
        (document(SENTENCES, SLOTS, units="PAL-frames"), "PAL-frames"),
        (document(SENTENCES, SLOTS).replace("1200", "bald"), "slot an is not a whole"),
        (document(SENTENCES, SLOTS).replace("1200", "9" * 12), "impossible time of slot an"),
        (document(SENTENCES, SLOTS).replace("1200", "-5"), "impossible time"),
        (document(SENTENCES, SLOTS).replace("TIME_SLOT_REF2", "REF2"), "an element without TIME_SLOT_REF2"),
        (document(SENTENCES, SLOTS, media("a.mp4", 0).replace('"0"', '"x"')), "TIME_ORIGIN"),
        (document(SENTENCES, SLOTS | {"aus": None}), r"'Satz'.*1 annotations have no time \(erster\)"),
        (document(SENTENCES, SLOTS | {"aus": 1200}), r"number 2 \(1\.2 to 1\.2"),
        (document(tier("leer"), SLOTS), r"'leer' \(0\)"),
        (document("", SLOTS), "none"),
        (document(tier("k", below("a", "b"), below("b", "a")), SLOTS), r"'k' \(2\)"),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(CorpusError, match=rf"a\.eaf.*{problem}"):
        read_captions(written(tmp_path, text))


def test_annotations_in_a_circle_have_no_time(tmp_path: Path) -> None:
    slots: Slots = {"a": 0, "b": None, "c": None}
    circles = tier("k", below("1", "2"), below("2", "1"), below("3", "3"), below("4", "fort"))
    circles += tier("Satz", aligned("5", "a", "b"), aligned("6", "b", "c"), aligned("7", "c", "b"))
    path = written(tmp_path, document(circles, slots))
    for name, count in (("k", 4), ("Satz", 3)):
        with pytest.raises(CorpusError, match=f"{count} annotations have no time"):
            read_captions(path, tier=name)


def test_entities_are_refused_before_they_are_expanded(tmp_path: Path) -> None:
    grown = "".join(f'<!ENTITY e{depth} "{f"&e{depth - 1};" * 10}">' for depth in range(1, 15))
    head = f'<!DOCTYPE ANNOTATION_DOCUMENT [<!ENTITY e0 "ha">{grown}]>'
    path = written(tmp_path, document(tier("Satz", aligned("1", "an", "aus", "&e14;")), SLOTS, head=head))
    with pytest.raises(CorpusError, match="DOCTYPE"):
        read_captions(path)


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    """Pieces of a file removed, doubled, and renamed: captions, or an error that names the file."""
    words = tier("Wörter", below("w1", "erster"), below("w2", "erster", previous="w1"), parent="Satz")
    valid = document(SENTENCES + words, SLOTS, media("a.mp4", 500))
    rng = random.Random(5)
    refused = 0
    for _ in range(300):
        text = valid
        for _ in range(rng.choice([1, 1, 3])):
            place, length = rng.randrange(len(text)), rng.randrange(1, 70)
            old, new = rng.sample(["erster", "zweiter", "an", "zu", "w1", "REF1", "REF2", "ALIGNABLE", "REF"], 2)
            text = rng.choice(
                [
                    text[:place] + text[place + length :],
                    text[:place] + text[place : place + length] * 2 + text[place + length :],
                    text.replace(f'"{old}"', f'"{new}"'),
                ]
            )
        try:
            read_captions(written(tmp_path, text), tier=rng.choice([None, "Satz", "Wörter"]))
        except CorpusError as error:
            refused += 1
            assert "a.eaf" in str(error)
    assert 50 < refused < 300


def test_what_is_written_follows_the_schema(tmp_path: Path) -> None:
    """EAF 3.0: elements in this order, with these attributes; ids unique, slots in the order of time, no overlaps."""
    sentences = [Caption(4, 9.5, "zwei"), Caption(0, 5, "eins"), Caption(9.5, 11, "drei")]
    tracks = {"pseudo-gloss": [Caption(0, 1, "A"), Caption(1, 3, "B")]}
    (tmp_path / "Videos").mkdir()
    path = tmp_path / "aus" / "a.eaf"
    path.parent.mkdir()
    write_captions(path, sentences, "eaf", media=tmp_path / "Videos" / "mein Gruß.mkv", tracks=tracks)

    root = ElementTree.parse(path).getroot()
    assert root.tag == "ANNOTATION_DOCUMENT"
    assert root.attrib.keys() >= {"DATE", "AUTHOR", "VERSION", "FORMAT"} and root.get("FORMAT") == "3.0"
    tags = [child.tag for child in root]
    order = ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "CONSTRAINT"]
    assert list(dict.fromkeys(tags)) == order and tags == sorted(tags, key=order.index)

    linked = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert linked is not None
    assert linked.get("MEDIA_URL") == "file:///" + str(tmp_path / "Videos" / "mein Gruß.mkv").lstrip("/")
    assert linked.get("RELATIVE_MEDIA_URL") == "../Videos/mein Gruß.mkv"
    assert str(linked.get("MIME_TYPE")).startswith(("video/", "unknown"))

    slots = {str(slot.get("TIME_SLOT_ID")): int(slot.attrib["TIME_VALUE"]) for slot in root.iter("TIME_SLOT")}
    assert list(slots.values()) == sorted(slots.values())
    names = [name.get("TIER_ID") for name in root.iter("TIER")]
    assert names == ["sentence", "pseudo-gloss", "sentence 2"]
    types = {kind.get("LINGUISTIC_TYPE_ID") for kind in root.iter("LINGUISTIC_TYPE")}
    assert {name.get("LINGUISTIC_TYPE_REF") for name in root.iter("TIER")} <= types
    annotations = list(root.iter("ALIGNABLE_ANNOTATION"))
    ids = [annotation.get("ANNOTATION_ID") for annotation in annotations] + list(slots)
    assert len(ids) == len(set(ids)) == 5 + 10
    used = [annotation.attrib[f"TIME_SLOT_REF{side}"] for annotation in annotations for side in (1, 2)]
    assert sorted(used) == sorted(slots)  # each once: moving one annotation in ELAN moves no other

    assert [caption.text for caption in read_captions(path, tier="sentence")] == ["eins", "drei"]
    assert read_captions(path, tier="sentence 2") == [Caption(4, 9.5, "zwei", "sentence 2")]
    assert [caption.text for caption in read_captions(path, tier="pseudo-gloss")] == ["A", "B"]
