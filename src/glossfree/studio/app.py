"""The HTTP API: routes, their errors, and what they are called in OpenAPI."""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from glossfree import __version__
from glossfree.errors import GlossfreeError, shortened
from glossfree.studio.browsing import browsing
from glossfree.studio.exports import FORMATS, export
from glossfree.studio.limits import Limits, Settings
from glossfree.studio.metrics import prometheus
from glossfree.studio.security import Guard, refusal
from glossfree.studio.service import Options, QueueFull, Service, Translation

STATIC = Path(__file__).parent / "static"
SHORTEST_WINDOW = 0.5  # seconds
LONGEST_TIME = 1e6  # seconds
FIELDS = {"video", "n_best", "start", "end", "window"}
SHOWN = ("upload_bytes", "seconds", "segments", "n_best", "queue")  # limits that clients need to know
POLL = 1.0  # seconds between checks whether a client that waits has gone
router = APIRouter(prefix="/v1")


class Studio(FastAPI):
    """FastAPI with the guard outside of everything, also of the answer to a bug."""

    def build_middleware_stack(self) -> ASGIApp:
        """The application inside of its guard."""
        return Guard(super().build_middleware_stack(), self.state.settings, self.state.responses)


class RequestError(GlossfreeError):
    """A request that cannot be answered; `status` is HTTP's."""

    def __init__(self, status: int, problem: str, *, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(problem, where=where, remedy=remedy)
        self.status = status


class Part(BaseModel):
    """Part of a video, in seconds; without an end, up to its end."""

    start: float = Field(ge=0, le=LONGEST_TIME)
    end: float | None = Field(None, ge=0, le=LONGEST_TIME)


def create_app(settings: Settings) -> FastAPI:
    """Settings -> the application; its worker lives as long as its lifespan."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = service = Service(settings)
        service.start()
        try:
            yield
        finally:
            await service.stop()

    app = Studio(title="glossfree", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.settings, app.state.responses = settings, Counter()
    app.add_exception_handler(GlossfreeError, _of_ours)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _of_a_bug)
    app.include_router(router)
    app.include_router(browsing(settings.corpora, settings.runs))

    @app.get("/healthz")
    async def health(request: Request) -> JSONResponse:
        """Whether the server works; `model` is "opening" until it can translate."""
        service = service_of(request)
        if service.failure is not None:
            raise service.failure
        model = "opening" if service.supervisor.facts is None else "ready"
        return JSONResponse({"status": "ok", "model": model, "version": __version__})

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics(request: Request) -> PlainTextResponse:
        """Counters and gauges for Prometheus."""
        return PlainTextResponse(
            prometheus(service_of(request), request.app.state.responses), media_type="text/plain; version=0.0.4"
        )

    if settings.has_page:
        app.mount("/", StaticFiles(directory=STATIC, html=True, check_dir=False))
    return app


def service_of(request: Request) -> Service:
    """The service of the application that got a request."""
    service: Service = request.app.state.service
    return service


def translation_of(request: Request, id: str) -> Translation:
    """A translation by its id. Raises RequestError: unknown, or forgotten."""
    translation = service_of(request).translations.get(id)
    if translation is None:
        problem = "no such translation, or it has been forgotten"
        raise RequestError(404, problem, where=shortened(id), remedy="send the video again")
    return translation


@router.get("/models")
async def models(request: Request) -> list[dict[str, Any]]:
    """The models of this server, with the server's limits; waits until they are open."""
    service = service_of(request)
    limits = {name: getattr(service.limits, name) for name in SHOWN}
    return [{**await service.facts(), "limits": limits}]


VIDEO = {"type": "string", "format": "binary", "description": "MP4, WebM, MOV, MKV, AVI, ..."}
PATH = {"type": "string", "description": "a video in a folder that the owner allowed"}
OPTIONS = {
    "n_best": {"type": "integer", "default": 1, "description": "sentences for each segment"},
    "start": {"type": "number", "description": "translate from this second on"},
    "end": {"type": "number", "description": "translate up to this second"},
    "window": {"type": "number", "description": "seconds: cut the video into segments this long"},
}
BODY = {
    "required": True,
    "content": {
        form: {"schema": {"type": "object", "required": [name], "properties": {name: source, **OPTIONS}}}
        for form, name, source in (("multipart/form-data", "video", VIDEO), ("application/json", "path", PATH))
    },
}


@router.post("/translations", status_code=202, openapi_extra={"requestBody": BODY})
async def translate(request: Request, wait: bool = Query(False, description="answer when it is done")) -> JSONResponse:
    """Queue a video, as a form or by its path in an allowed folder."""
    service = service_of(request)
    with service.place():
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            translation = await _of_form(request, service)
        elif kind == "application/json":
            translation = _of_path(await _json(request), service)
        else:
            remedy = "send multipart/form-data with a field `video`, or JSON with `path`"
            raise RequestError(415, f"content type {shortened(kind)!r}", where="Content-Type", remedy=remedy)
    if not wait:
        values = translation.to_dict(service.position(translation))
        return JSONResponse(values, 202, {"location": f"/v1/translations/{translation.id}"})
    while not translation.ended.is_set():
        try:
            async with asyncio.timeout(POLL):
                await translation.ended.wait()
        except TimeoutError:
            if await request.is_disconnected():
                service.forget(translation)
                break
    status = translation.error.status if translation.error is not None else 200
    return JSONResponse(translation.to_dict(), status, {"location": f"/v1/translations/{translation.id}"})


@router.get("/translations/{id}")
async def translation(request: Request, id: str) -> dict[str, Any]:
    """State, progress and results."""
    translation = translation_of(request, id)
    return translation.to_dict(service_of(request).position(translation))


@router.delete("/translations/{id}", status_code=204)
async def delete(request: Request, id: str) -> Response:
    """Cancel it if it is not finished; else forget it and its video."""
    service_of(request).forget(translation_of(request, id))
    return Response(status_code=204)


@router.get("/translations/{id}/video", response_class=FileResponse)
async def video(request: Request, id: str) -> FileResponse:
    """The video, as a copy where browsers cannot play it; answers ranges."""
    path, kind = await service_of(request).playable(translation_of(request, id))
    if not path.is_file():
        raise RequestError(404, "its video is gone", where=id, remedy="send the video again")
    return FileResponse(path, media_type=kind)


@router.get("/translations/{id}/export", response_class=Response)
def export_file(request: Request, id: str, format: str = Query(description=", ".join(FORMATS))) -> Response:
    """The translation as a file to keep."""
    file = export(translation_of(request, id).to_dict(), format)
    disposition = f"attachment; filename*=UTF-8''{quote(file.name, safe='')}"
    return Response(file.content, media_type=file.media_type, headers={"content-disposition": disposition})


@router.post("/translations/{id}/segments", status_code=202)
async def segments(request: Request, id: str, parts: list[Part]) -> JSONResponse:
    """Let these be its segments: those that are new are translated, those that it has are kept."""
    service, translation = service_of(request), translation_of(request, id)
    if translation.state not in ("done", "failed") or translation.video is None:
        remedy = "wait until it is done; or send the video again"
        raise RequestError(409, f"the translation is {translation.state}", where=id, remedy=remedy)
    if not 0 < len(parts) <= service.limits.segments:
        remedy = f"send 1 to {service.limits.segments}"
        raise RequestError(422, f"{len(parts)} segments", where="segments", remedy=remedy)
    for part in parts:
        _check_times(part.start, part.end, translation.seconds)
    with service.place():
        service.again(translation, [(part.start, part.end) for part in parts])
    return JSONResponse(translation.to_dict(service.position(translation)), 202)


async def _of_form(request: Request, service: Service) -> Translation:
    """A form -> a translation of the video in it."""
    try:
        async with asyncio.timeout(service.limits.receiving):
            form = await request.form(max_files=1, max_fields=len(FIELDS), max_part_size=1000)
    except TimeoutError as error:
        problem = f"not received within {service.limits.receiving:.0f} s"
        raise RequestError(408, problem, where="video", remedy="send a smaller video") from error
    except (MultiPartException, HTTPException) as error:
        if getattr(error, "status_code", 400) != 400:  # too large
            raise
        problem = getattr(error, "message", None) or getattr(error, "detail", "") or "damaged"
        raise RequestError(400, f"not a form ({problem})", where="body", remedy="send one field `video`") from error
    except ClientDisconnect as error:
        raise RequestError(400, "the client has gone", where="video", remedy="send it again") from error
    except OSError as error:
        raise _no_room(error) from error
    try:
        upload = form.get("video")
        if not isinstance(upload, UploadFile):
            raise RequestError(422, "no file in the field `video`", where="video", remedy="curl -F video=@clip.mp4 ...")
        if not upload.size:
            raise RequestError(422, "the file is empty", where="video", remedy="send it again")
        options = options_of({key: value for key, value in form.items() if key != "video"}, service.limits)
        folder = service.new_folder()
        path = folder / "video"  # never under a name that the client chose
        try:
            with path.open("wb") as file:
                await to_thread.run_sync(shutil.copyfileobj, upload.file, file, 1 << 20)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise _no_room(error) from error
        name = Path((upload.filename or "").replace("\\", "/")).name
        return service.add(folder, shortened(name) or "video", path, options)
    finally:
        await form.close()


def _no_room(error: OSError) -> RequestError:
    remedy = "make room on the server's disk"
    return RequestError(507, f"the video cannot be stored ({error.strerror})", where="video", remedy=remedy)


def _of_path(values: Mapping[str, Any], service: Service) -> Translation:
    """A JSON object with a path -> a translation of the video there. Raises RequestError: not in an allowed folder."""
    text = values.get("path")
    if not isinstance(text, str) or not _is_name(text):
        raise RequestError(422, "no path", where="path", remedy='send {"path": "FOLDER/clip.mp4"}')
    options = options_of({key: value for key, value in values.items() if key != "path"}, service.limits)
    settings = service.settings
    try:
        path = Path(text).resolve()
        is_inside = any(path.is_relative_to(folder.resolve()) for folder in (*settings.allowed, *settings.corpora))
    except (OSError, RuntimeError):  # a name that is too long; links in a circle
        is_inside = False
    if not is_inside:
        remedy = "the owner of the server allows folders: --allow FOLDER"
        raise RequestError(403, "not in a folder that may be read", where=shortened(text), remedy=remedy)
    if not path.exists():
        raise RequestError(404, "no such video", where=shortened(text), remedy="correct the path")
    return service.add(service.new_folder(), shortened(path.name), path, options)


def _is_name(text: str) -> bool:
    """Whether a path may be called so: no NUL, no half of a surrogate pair."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return "\0" not in text


async def _json(request: Request) -> dict[str, Any]:
    try:
        values = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"not JSON ({error})", where="body", remedy='send {"path": ...}') from error
    if not isinstance(values, dict):
        raise RequestError(422, "not a JSON object", where="body", remedy='send {"path": ...}')
    return values


def options_of(values: Mapping[str, Any], limits: Limits) -> Options:
    """Fields of a form or a JSON object -> Options. Raises RequestError: unknown field, not a number, out of range."""
    if unknown := sorted(set(values) - FIELDS):
        remedy = f"fields: {', '.join(sorted(FIELDS))}"
        raise RequestError(422, f"unknown field {shortened(unknown[0])!r}", where="body", remedy=remedy)
    numbers: dict[str, float | None] = {}
    ranges: dict[str, tuple[float, float]] = {
        "n_best": (1, limits.n_best),
        "start": (0, LONGEST_TIME),
        "end": (0, LONGEST_TIME),
        "window": (SHORTEST_WINDOW, LONGEST_TIME),
    }
    for key, (low, high) in ranges.items():
        value = values.get(key)
        if value is None or value == "":
            continue
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not low <= number <= high or (key == "n_best" and number != round(number)):
            kind = "a whole number" if key == "n_best" else "a number"
            problem = f"not {kind} from {low:g} to {high:g}"
            raise RequestError(422, problem, where=key, remedy="correct it, or leave it out")
        numbers[key] = number
    _check_times(numbers.get("start") or 0.0, numbers.get("end"))
    return Options(int(numbers.get("n_best") or 1), numbers.get("start"), numbers.get("end"), numbers.get("window"))


def _check_times(start: float, end: float | None, seconds: float = math.inf) -> None:
    if (end is not None and end <= start) or start >= seconds:
        problem = f"no time from {start:g} s to {'the end' if end is None else f'{end:g} s'}"
        raise RequestError(422, problem, where="end", remedy="name an end after the start, both within the video")


def _of_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, GlossfreeError)
    headers = {"retry-after": str(error.seconds)} if isinstance(error, QueueFull) else None
    status = 429 if isinstance(error, QueueFull) else getattr(error, "status", 503)
    return refusal(status, error.problem, error.where or request.url.path, error.remedy or "", headers)


def _of_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = shortened(".".join(str(part) for part in first["loc"]))
    return refusal(422, str(first["msg"]), where, "see /openapi.json")


def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    where = shortened(request.url.path)
    return refusal(error.status_code, str(error.detail), where, "see /openapi.json", error.headers)


def _of_a_bug(request: Request, error: Exception) -> Response:
    return refusal(500, "the server failed", shortened(request.url.path), "its log says why; please report it")
