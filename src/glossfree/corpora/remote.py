"""A prepared folder at an address -> its small files in a folder on this disk; clips stay in their shards there."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

from glossfree.corpora.manifest import CORPUS, MANIFEST, PackedClip
from glossfree.errors import CorpusError
from glossfree.files.disk import write_atomic
from glossfree.files.encoding import split_lines
from glossfree.files.parts import as_address, cache_folder, fetch

# of a prepared folder, besides the manifest; features and keypoints are made again where they are used
SMALL = (CORPUS, "packed.jsonl", "pseudo_glosses.json", "prototypes.safetensors")


def local_folder(address: str) -> Path:
    """An address (`s3://bucket/corpus`) -> the folder of its copy, brought up to date.

    Its manifest names shards by their addresses. What was made in the copy (pseudo-glosses, features) stays, unless the
    address has a file of the same name. Raises CorpusError: no prepared folder there, clips that lie in no shard, no
    answer, a package that is missing.
    """
    address = as_address(address)
    name = re.sub(r"[^\w.-]+", "-", address.rpartition("/")[2])
    folder = cache_folder() / "corpora" / f"{name}-{hashlib.sha256(address.encode()).hexdigest()[:8]}"
    manifest = _fetched(address, MANIFEST)
    if manifest is None:
        remedy = "name the folder that glossfree prepare --shards made, as it was copied there"
        raise CorpusError(f"no {MANIFEST}", where=address, remedy=remedy)
    lines = [_at(line, address) for line in split_lines(manifest.decode("utf-8", "replace"))]
    _check_ranges(lines[:1], address)
    for name in SMALL:
        content = _fetched(address, name)
        if content is not None:
            _update(folder / name, content)
    _update(folder / MANIFEST, "".join(f"{line}\n" for line in lines).encode())
    return folder


def _fetched(address: str, name: str) -> bytes | None:
    """A file of the folder at an address; None if it has none. Raises CorpusError: no answer."""
    try:
        return fetch(f"{address}/{name}")
    except FileNotFoundError:
        return None
    except OSError as error:
        remedy = "check the address, the network and your rights, then run it again"
        raise CorpusError(f"{name} cannot be read ({error})", where=address, remedy=remedy) from error


def _check_ranges(lines: list[str], address: str) -> None:
    """Raise CorpusError unless a byte of each line's shard can be read by itself."""
    for line in lines:
        shard = PackedClip.from_json(line).shard
        assert shard is not None
        try:
            replace(shard, size=1).read()
        except OSError as error:
            remedy = "use a server that answers byte ranges, as buckets do, or copy the folder to this disk"
            raise CorpusError(f"its clips cannot be read ({error})", where=address, remedy=remedy) from error


def _at(line: str, address: str) -> str:
    """A line of the manifest with its shard named by its address."""
    try:
        clip = PackedClip.from_json(line)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise CorpusError(f"{MANIFEST} is damaged ({error})", where=address, remedy="copy it there again") from error
    if clip.shard is None:
        remedy = "run glossfree prepare there with --shards, and copy the folder again"
        raise CorpusError(f"clip {clip.id!r} lies in no shard", where=address, remedy=remedy)
    return replace(clip, shard=replace(clip.shard, file=f"{address}/{clip.shard.file}")).to_json()


def _update(path: Path, content: bytes) -> None:
    """Write a file if its content is new: what was made from it knows it by its time of change."""
    if not path.is_file() or path.read_bytes() != content:
        write_atomic(path, content, parents=True)
