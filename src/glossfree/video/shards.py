"""Packed clips -> tar files, for disks and object stores on which many small files are slow (`prepare --shards`).

The files are WebDataset's: of each clip `KEY.mp4` (`.mkv` if raw) and `KEY.json`, one after the other; KEY is the id,
with %XX for dots and for what a file name cannot hold. `manifest.jsonl` says in which bytes of which shard a clip lies,
so any clip is read with one request. An epoch has the order of its plan, as with loose files: the same steps on any
number of loader processes, resumed at any of them. A shard's name holds a hash of what it was made from; unchanged ones
are kept.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.errors import CorpusError
from glossfree.files.disk import alone_in, atomic
from glossfree.files.parts import Part
from glossfree.video.pack import Record, make_clean_folder, read_journal, write_journal

SHARDS = "shards"
MEGABYTES = 256
_PACK_AGAIN = "run glossfree prepare again: it packs what is missing"


def write_shards(
    manifest: Manifest,
    megabytes: float = MEGABYTES,
    on_progress: Callable[[int], object] = lambda clips: None,
) -> Manifest:
    """Move the packed clips of a prepared folder into shards of about this size -> its manifest, which is saved.

    Clips that already lie in shards are moved to the new ones, if these differ. It can be killed at any moment: loose
    files and old shards go last. Until then the clips need twice their space. Raises CorpusError: a clip that cannot be
    read, a folder that cannot be written.
    """
    with alone_in(manifest.folder):
        return _write_shards(manifest, megabytes, on_progress)


def _write_shards(manifest: Manifest, megabytes: float, on_progress: Callable[[int], object]) -> Manifest:
    folder = manifest.folder
    make_clean_folder(folder / SHARDS)
    journal = read_journal(folder)
    parts: dict[str, Part] = {}
    for name, clips in _shards(manifest, journal, megabytes * 1e6):
        path = folder / SHARDS / name
        found = _whole(path, clips)
        if found is None:
            _write(path, clips, folder)
            found = _parts(path, clips)
        parts |= found
        on_progress(len(clips))
    sharded = replace(manifest, clips=tuple(replace(clip, shard=parts[clip.id]) for clip in manifest))
    write_journal(folder, (replace(each, shard=parts.get(each.id, each.shard)) for each in journal.values()))
    sharded.save()
    for clip in sharded:
        (folder / clip.file).unlink(missing_ok=True)
    remove_unused(sharded)
    return sharded


def _shards(
    manifest: Manifest, journal: Mapping[str, Record], limit: float
) -> Iterator[tuple[str, Sequence[PackedClip]]]:
    """The clips in their order, in groups of one split with at most `limit` bytes (a longer clip is a group of its own)
    -> the name and the clips of each shard."""
    groups: list[list[PackedClip]] = []
    filled = 0
    for clip in manifest:
        size = clip.num_bytes(manifest.folder)
        if size is None:
            raise CorpusError("packed clip is missing", where=str(clip.source(manifest.folder)), remedy=_PACK_AGAIN)
        is_of_last = bool(groups) and groups[-1][0].split == clip.split
        if not is_of_last or filled + size > limit:
            groups.append([])
            filled = 0
        groups[-1].append(clip)
        filled += size
    numbers: dict[str, int] = {}
    for clips in groups:
        split = clips[0].split
        number = numbers[split] = numbers.get(split, -1) + 1
        made_from = [(_about(clip), getattr(journal.get(clip.id), "fingerprint", "")) for clip in clips]
        digest = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:8]
        yield f"{quote(split, safe='')}-{number:05}-{digest}.tar", clips


def _about(clip: PackedClip) -> str:
    """What the shard says of a clip: its line in the manifest, without the place."""
    return replace(clip, shard=None).to_json()


def _key(clip: PackedClip) -> str:
    """The name that the files of a clip share; WebDataset ends it at the first dot."""
    return quote(clip.id, safe=" ()+,=@").replace(".", "%2E")


def _write(path: Path, clips: Sequence[PackedClip], folder: Path) -> None:
    with atomic(path, parents=True) as temporary, tarfile.open(temporary, "w") as tar:
        for clip in clips:
            source = clip.source(folder)
            try:
                video = source.read() if isinstance(source, Part) else source.read_bytes()
            except OSError as error:
                problem = f"packed clip cannot be read ({error})"
                raise CorpusError(problem, where=str(source), remedy=_PACK_AGAIN) from error
            for suffix, data in ((Path(clip.file).suffix, video), (".json", _about(clip).encode())):
                member = tarfile.TarInfo(_key(clip) + suffix)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def _whole(path: Path, clips: Sequence[PackedClip]) -> dict[str, Part] | None:
    """Where the clips lie in a shard that is there; None if it is missing, or a killed copy cut it off."""
    try:
        parts = _parts(path, clips)
    except CorpusError:
        return None
    return parts if all(part.below(path.parents[1]).is_there() for part in parts.values()) else None


def _parts(path: Path, clips: Sequence[PackedClip]) -> dict[str, Part]:
    """Where the clips lie in their shard, by id."""
    try:
        with tarfile.open(path) as tar:
            places = {member.name: (member.offset_data, member.size) for member in tar}
        return {clip.id: Part(f"{SHARDS}/{path.name}", *places[_key(clip) + Path(clip.file).suffix]) for clip in clips}
    except (tarfile.TarError, OSError, KeyError) as error:
        remedy = f"delete it, and {_PACK_AGAIN}"
        raise CorpusError(f"not the shard that was written ({error})", where=path, remedy=remedy) from error


def remove_unused(manifest: Manifest) -> None:
    """Remove the shards of a prepared folder that neither its manifest nor its journal names."""
    shards = list((manifest.folder / SHARDS).glob("*.tar"))
    if not shards:
        return  # without reading the journal
    named = (*manifest, *read_journal(manifest.folder).values())
    used = {each.shard.file for each in named if each.shard is not None}
    for path in shards:
        if f"{SHARDS}/{path.name}" not in used:
            path.unlink(missing_ok=True)
