"""A hub of our own on localhost: what huggingface_hub asks of one to fetch and to send a repository of models.

Repositories are commits {path: content} and branches. A commit is made at once or not at all, as on the real one; large
files (`*.safetensors`) are sent before it, and belong to nothing until then. `tokens` {token: who may write}.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

WRITER, READER = "hf_writer", "hf_reader"  # tokens


@dataclass
class Repository:
    """`commits` {id: {path: content}} and `branches` {name: id}; a new one has an empty commit, as on the real hub."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=lambda: {commit_id({}, ""): {}})
    branches: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.branches.setdefault("main", next(iter(self.commits)))

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        """A new commit at the head of a branch -> its id."""
        self.branches[branch] = new = commit_id(files, self.branches[branch])
        self.commits[new] = files
        return new

    def find(self, revision: str) -> str | None:
        """A branch or a commit -> the commit's id."""
        return self.branches.get(revision) or (revision if revision in self.commits else None)

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """{path: content} at a branch or commit."""
        return self.commits[self.find(revision) or ""]


def commit_id(files: dict[str, bytes], parent: str) -> str:
    return hashlib.sha1(repr((parent, sorted(files.items()))).encode()).hexdigest()


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large(path: str) -> bool:
    return path.endswith(".safetensors")


class Refused(Exception):
    """An answer that is an error: status, the hub's own code for it, and the address of what is there already."""

    def __init__(self, status: int, code: str = "", message: str = "", url: str = "") -> None:
        self.status, self.code, self.message, self.url = status, code, message, url


@dataclass
class Hub:
    """The server's state. `requests`: what was asked. `refuse` {(method, part of a path): status} of errors to answer;
    `holds`: the first upload of a large file waits until it is set; `is_held` is set when it does."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    cards: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    refuse: dict[tuple[str, str], int] = field(default_factory=dict)
    holds: threading.Event | None = None
    is_held: threading.Event = field(default_factory=threading.Event)

    def repository(self, name: str, token: str, *, writes: bool = False) -> Repository:
        found = self.repositories.get(name)
        if found is None or (found.private and token not in (WRITER, READER)):
            raise Refused(401 if not token else 404, "RepoNotFound")
        if writes and token != WRITER:
            raise Refused(403, message="you may only read")
        return found

    def answer(self, method: str, path: str, token: str, body: bytes) -> tuple[bytes, dict[str, str]]:
        """A request -> content and headers. Raises Refused."""
        for (verb, part), status in self.refuse.items():
            if verb == method and part in path:
                raise Refused(status, message="as this test wants it")
        for verb, pattern, function in ROUTES:
            if verb == method and (match := re.fullmatch(pattern, path)):
                result = function(self, token, body, *map(unquote, match.groups()))
                return result if isinstance(result, tuple) else (json.dumps(result).encode(), {})
        raise Refused(404)

    def validate(self, token: str, body: bytes) -> Any:
        text = json.loads(body)["content"]
        self.cards.append(yaml.safe_load(text.split("---\n")[1]))
        return {"errors": [], "warnings": []}

    def create(self, token: str, body: bytes) -> Any:
        values = json.loads(body)
        name = f"{values['organization']}/{values['name']}"
        if token != WRITER:
            raise Refused(403 if token else 401, message="you may only read")
        if name in self.repositories:
            raise Refused(409, url=f"{self.url}/{name}")
        self.repositories[name] = Repository(values.get("visibility") == "private" or bool(values.get("private")))
        return {"url": f"{self.url}/{name}"}

    def branch(self, token: str, body: bytes, name: str, branch: str) -> Any:
        repository = self.repository(name, token, writes=True)
        if branch in repository.branches:
            raise Refused(409)
        repository.branches[branch] = repository.branches["main"]
        return {}

    def info(self, token: str, body: bytes, name: str, revision: str = "main") -> Any:
        repository = self.repository(name, token)
        sha = self.commit_of(repository, revision)
        siblings = [{"rfilename": path} for path in repository.commits[sha]]
        return {"id": name, "sha": sha, "private": repository.private, "siblings": siblings, "tags": []}

    def tree(self, token: str, body: bytes, name: str, revision: str) -> Any:
        repository = self.repository(name, token)
        entries = []
        for path, content in repository.commits[self.commit_of(repository, revision)].items():
            entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": blob_id(content)}
            if is_large(path):
                sha256 = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 130}
            entries.append(entry)
        return entries

    def resolve(self, token: str, body: bytes, name: str, revision: str, path: str) -> tuple[bytes, dict[str, str]]:
        repository = self.repository(name, token)
        sha = self.commit_of(repository, revision)
        if path not in repository.commits[sha]:
            raise Refused(404, "EntryNotFound")
        content = repository.commits[sha][path]
        tag = hashlib.sha256(content).hexdigest() if is_large(path) else blob_id(content)
        return content, {"X-Repo-Commit": sha, "ETag": f'"{tag}"'}

    def preupload(self, token: str, body: bytes, name: str, revision: str) -> Any:
        repository = self.repository(name, token, writes=True)
        there = repository.commits[self.commit_of(repository, revision)]
        files = []
        for each in json.loads(body)["files"]:
            path = each["path"]
            files.append({"path": path, "uploadMode": "lfs" if is_large(path) else "regular", "shouldIgnore": False})
            if path in there:
                content = there[path]
                files[-1]["oid"] = hashlib.sha256(content).hexdigest() if is_large(path) else blob_id(content)
        return {"files": files}

    def batch(self, token: str, body: bytes, name: str) -> Any:
        self.repository(name, token, writes=True)
        objects = []
        for each in json.loads(body)["objects"]:
            upload = {} if each["oid"] in self.large else {"upload": {"href": f"{self.url}/large/{each['oid']}"}}
            objects.append({**each, **({"actions": upload} if upload else {})})
        return {"transfer": "basic", "objects": objects}

    def receive(self, token: str, body: bytes, oid: str) -> Any:
        if self.holds is not None:
            self.is_held.set()
            self.holds.wait()
        if hashlib.sha256(body).hexdigest() != oid:
            raise Refused(400)
        self.large[oid] = body
        return {}

    def commit(self, token: str, body: bytes, name: str, branch: str) -> Any:
        repository = self.repository(name, token, writes=True)
        if branch not in repository.branches:
            raise Refused(404, "RevisionNotFound")
        files = dict(repository.files(branch))
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            match line["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.large[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        sha = repository.commit(branch, files)
        return {"commitUrl": f"{self.url}/{name}/commit/{sha}", "commitOid": sha, "pullRequestUrl": None}

    @staticmethod
    def commit_of(repository: Repository, revision: str) -> str:
        sha = repository.find(revision)
        if sha is None:
            raise Refused(404, "RevisionNotFound")
        return sha


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "/api/validate-yaml", Hub.validate),
    ("POST", "/api/repos/create", Hub.create),
    ("POST", f"/api/models/{NAME}/branch/([^/]+)", Hub.branch),
    ("GET", f"/api/models/{NAME}", Hub.info),
    ("GET", f"/api/models/{NAME}/revision/([^/]+)", Hub.info),
    ("GET", f"/api/models/{NAME}/tree/([^/]+)", Hub.tree),
    ("POST", f"/api/models/{NAME}/preupload/([^/]+)", Hub.preupload),
    ("POST", f"/{NAME}.git/info/lfs/objects/batch", Hub.batch),
    ("PUT", "/large/([0-9a-f]+)", Hub.receive),
    ("POST", f"/api/models/{NAME}/commit/([^/]+)", Hub.commit),
    ("HEAD", f"/{NAME}/resolve/([^/]+)/(.+)", Hub.resolve),
    ("GET", f"/{NAME}/resolve/([^/]+)/(.+)", Hub.resolve),
]


class Handler(BaseHTTPRequestHandler):
    """HTTP in front of `Hub.answer`."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.hub.requests.append((self.command, path))
        body = self.body()
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        try:
            content, headers = self.hub.answer(self.command, path, token, body)
            status = 200
        except Refused as refused:
            content, status = json.dumps({"url": refused.url}).encode(), refused.status
            headers = {"X-Error-Code": refused.code, "X-Error-Message": refused.message}
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def body(self) -> bytes:
        """What a request carries, whole or in chunks."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while length := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *_: Any) -> None:
        """Nothing: tests look at `Hub.requests`."""


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that answers until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        if hub.holds is not None:
            hub.holds.set()
        server.shutdown()
        server.server_close()
        thread.join()
