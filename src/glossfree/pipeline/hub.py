"""Hugging Face's hub, or another that HF_ENDPOINT names: weights and models from it, models to it.

Nothing else in the project uses a network, and nothing is fetched or sent that the user has not named. Files fetched
once lie in the hub's own cache; a token is what HF_TOKEN or `hf auth login` says. The library is imported where it is
used: most models are folders, and open without it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from glossfree import __version__
from glossfree.console import Result
from glossfree.errors import ModelError, shortened

HUB = "hub:"
REPOSITORY = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@((?!.*\.\.)\w[\w./-]*))?")
README, CONFIG = "README.md", "config.json"
VISION, ENCODER, DECODER = "onnx/vision.onnx", "onnx/encoder.onnx", "onnx/decoder.onnx"
# what a model folder may hold, and so all that is fetched or sent of one
MODEL_FILES = (
    *("model.json", "recipe.toml", "model.safetensors", "pseudo_glosses.json", README, CONFIG),
    *("tokenizer/*.json", "tokenizer/*.model"),
    *(VISION, ENCODER, DECODER),
)
LONGEST_REASON = 300  # characters of what the library says
LOG_IN = "set HF_TOKEN, or log in: hf auth login"
OFFLINE = "download it where there is a network, and name the folder"


@dataclass(frozen=True)
class Pushed(Result):
    """A commit on the hub: `repository` (owner/name), its `url` and id, and the names of the `files` sent."""

    repository: str
    url: str
    commit: str
    files: tuple[str, ...]

    def to_text(self) -> str:
        """The address alone, for scripts."""
        return self.url


def is_model_file(name: str) -> bool:
    """Whether a model folder may hold a file of this relative path, with slashes."""
    return any(fnmatchcase(name, pattern) for pattern in MODEL_FILES) and ".." not in PurePath(name).parts


def repository_of(source: str) -> tuple[str, str | None]:
    """owner/name or owner/name@revision, with or without "hub:" -> (owner/name, revision). Raises ModelError."""
    match = REPOSITORY.fullmatch(source.removeprefix(HUB))
    if not match:
        raise ModelError("not the name of a repository", where=source, remedy=f"write {HUB}owner/name")
    return match[1], match[2]


def fetch(source: str, patterns: Sequence[str], revision: str | None = None) -> Path:
    """The files of a repository that match -> the folder that they were fetched into.

    `source` as for `repository_of`; `revision`: a branch, tag or commit. Raises ModelError where there is no such
    repository or revision, or no network; what was fetched before needs none.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    name, named = repository_of(source)
    _hide_bars()
    try:
        return Path(snapshot_download(name, revision=revision or named, allow_patterns=list(patterns)))
    except (OSError, transport_error(), HFValidationError) as error:
        problem, remedy = explained(error)
        raise ModelError(f"cannot be fetched ({problem})", where=source, remedy=remedy or OFFLINE) from error


def model_folder(source: str | Path, revision: str | None = None) -> Path:
    """Where the files of a model are, not yet verified.

    A folder is taken as it is. "hub:owner/name" is fetched, and so is "owner/name" if it is a string and there is no
    such folder: the command line passes paths, of which none is fetched without "hub:". Raises ModelError as `fetch`,
    and for a revision of a folder.
    """
    text = source if isinstance(source, str) else source.as_posix()
    is_repository = text.startswith(HUB) or (isinstance(source, str) and REPOSITORY.fullmatch(text) is not None)
    if Path(source).is_dir() or not is_repository:
        if revision is not None:
            remedy = f"leave it out, or name a repository: {HUB}owner/name"
            raise ModelError(f"revision {revision} of a folder", where=text, remedy=remedy)
        return Path(source)
    try:
        return fetch(HUB + text.removeprefix(HUB), MODEL_FILES, revision)
    except ModelError as error:
        if text.startswith(HUB):
            raise
        raise ModelError(f"no such folder, and {error.problem}", where=text, remedy=error.remedy) from error


def name_of(folder: Path) -> str:
    """What people call the model in a folder: the folder's name, or owner/name where `fetch` has put it."""
    *_, repository, place, name = ("", "", *folder.resolve().parts)
    is_fetched = place == "snapshots" and repository.startswith("models--")
    return repository.removeprefix("models--").replace("--", "/") if is_fetched else name


def push(
    folder: Path,
    files: Sequence[str],
    repository: str,
    *,
    revision: str | None = None,
    create: bool = False,
    private: bool = False,
) -> Pushed:
    """Files of a verified model folder -> one commit, so that nobody ever sees a part of it.

    `revision`: a branch ("main" by default); `create`: make the repository (`private` or not) and the branch if there
    are none. Other files of an earlier model are removed in the same commit. Raises ModelError: no token, no
    permission, no network, no such repository or branch.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    name, named = repository_of(repository)
    branch, where = revision or named, HUB + name
    if get_token() is None:
        raise ModelError("no token of the hub", where=where, remedy=LOG_IN)
    _hide_bars()
    api = HfApi(library_name="glossfree", library_version=__version__)
    try:
        if create:
            api.create_repo(name, private=private, exist_ok=True)
            if branch:
                api.create_branch(name, branch=branch, exist_ok=True)
        there = [each.rfilename for each in api.model_info(name, revision=branch).siblings or ()]
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(file, folder / file) for file in files
        ]
        gone = [file for file in there if is_model_file(file) and file not in {*files, README, CONFIG}]
        operations += [CommitOperationDelete(file) for file in gone]
        message = f"Model of glossfree {__version__}"
        commit = api.create_commit(name, operations, commit_message=message, revision=branch)
    except (OSError, transport_error(), ValueError, RuntimeError) as error:  # the last two: uploads, of all kinds
        problem, remedy = explained(error)
        if isinstance(error, RepositoryNotFoundError | RevisionNotFoundError):
            remedy = f"{remedy}; --create makes it"
        again = "check the network, and try again: a model is sent in one commit, all of it or nothing"
        raise ModelError(f"cannot be sent ({problem})", where=where, remedy=remedy or again) from error
    return Pushed(name, commit.commit_url, commit.oid, tuple(files))


def transport_error() -> type[Exception]:
    """What the library raises without a network: httpx's or httpx2's."""
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    transport: type[Exception] = HTTPError
    return transport


def explained(error: BaseException) -> tuple[str, str]:
    """What the hub's library raised -> (reason in one line, remedy; "" if it depends on what was tried)."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    while error.__cause__ is not None and not isinstance(error, HfHubHTTPError | ValueError):
        error = error.__cause__
    if isinstance(error, GatedRepoError):
        return "its owner has to let you in", f"ask on its page, then {LOG_IN}"
    if isinstance(error, RepositoryNotFoundError):
        return "no such repository, or one that you may not see", f"check the name; if it is private, {LOG_IN}"
    if isinstance(error, RevisionNotFoundError):
        return "no such revision", "check its name: a branch, a tag or a commit"
    if isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403):
        return f"permission denied, {error.response.status_code}", f"use a token that may do it: {LOG_IN}"
    return shortened(" ".join(str(error).split()), LONGEST_REASON) or type(error).__name__, ""


def _hide_bars() -> None:
    """The library draws its bars wherever it runs: here only where a person watches."""
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
