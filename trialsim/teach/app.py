"""The Starlette application of the live page: its addresses, and what each answers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any, TypeVar

from trialsim import __version__
from trialsim.design.parts import Design
from trialsim.design.reader import digest, resolved_yaml
from trialsim.teach import explore, scenes
from trialsim.teach.crew import Crew
from trialsim.teach.guard import INTERNAL, Application, Guard, read_body
from trialsim.teach.knobs import KnobError
from trialsim.teach.lessons import Lesson, lessons, terms
from trialsim.teach.state import Asked, Refused, Scenes, encoded, read_answer, read_design, read_replay, shown

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

T = TypeVar("T")

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class File:
    """One of the page's own files."""

    content: bytes
    kind: str

    @cached_property
    def tag(self) -> str:
        """By which a browser knows that it has the file already."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:20]}"'


def static_files() -> dict[str, File]:
    """The page's own files by name; read once, so no name from outside becomes a path."""
    return dict(_files_in(files("trialsim.teach") / "static", ""))


def _files_in(folder: Traversable, above: str) -> list[tuple[str, File]]:
    found: list[tuple[str, File]] = []
    if not folder.is_dir():
        return found
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        suffix = entry.name[entry.name.rfind(".") :]
        if entry.is_dir():
            found += _files_in(entry, f"{above}{entry.name}/")
        elif suffix in KINDS:
            found.append((f"{above}{entry.name}", File(entry.read_bytes(), KINDS[suffix])))
    return found


@dataclass(frozen=True)
class Page:
    """All that the addresses need."""

    crew: Crew
    scenes: Scenes
    lessons: Mapping[str, Lesson]
    start: bytes
    files: dict[str, File]


def make_page(design: Design, crew: Crew) -> Page:
    """The page about a design, with all lessons."""
    own, taught = explore.scene_of(design), lessons()
    start = {
        "version": __version__,
        "terms": dict(terms()),
        "explore": own.data(),
        "lessons": [lesson.summary() for lesson in taught.values()],
    }
    by_name = {own.name: own} | {name: lesson.scene for name, lesson in taught.items()}
    return Page(crew, Scenes(by_name), taught, encoded(start), static_files())


def make_app(page: Page, *, hosts: Collection[str]) -> Application:
    """The application, with its guard. `hosts` are the names under which the page may be asked for."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.routing import Route

    @contextlib.asynccontextmanager
    async def life(_: Any) -> AsyncIterator[None]:
        page.crew.open()
        try:
            yield
        finally:
            await page.crew.close()

    def route(path: str, method: str, function: Callable[[Page, Request], Awaitable[Response]]) -> Route:
        return Route(path, partial(function, page), methods=[method])

    routes = [
        route("/", "GET", _index),
        route("/static/{name:path}", "GET", _static),
        route("/api/start", "GET", _start),
        route("/api/lessons/{name}", "GET", _lesson),
        route("/api/answer", "POST", _answer),
        route("/api/design", "POST", _design),
        route("/api/replay", "POST", _replay),
    ]
    app = Starlette(
        routes=routes,
        lifespan=life,
        exception_handlers={HTTPException: _no_such, Refused: _refused, Exception: _broken},
    )
    app.router.redirect_slashes = False
    return Guard(app, hosts=hosts)


# --- what is there ----------------------------------------------------------------------------------------------------


def _response(body: bytes) -> Response:
    """JSON, which nobody keeps."""
    from starlette.responses import Response

    return Response(body, headers={"cache-control": "no-store", "content-type": "application/json"})


def _no_such(_: Request, error: Any) -> Response:
    """No such address, or not with this method."""
    said = {404: "There is nothing at this address.", 405: "This address does not take this method."}
    text = said.get(error.status_code, "This cannot be answered.")
    return _refused(_, Refused(error.status_code, text, "", error.headers))


def _refused(_: Request, error: Any) -> Response:
    from starlette.responses import Response

    return Response(error.body, status_code=error.status, headers=error.all_headers)


def _broken(_: Request, error: Exception) -> Response:
    """The guard has it in its log."""
    return _refused(_, Refused(500, INTERNAL))


async def _index(page: Page, request: Request) -> Response:
    return _file(page, request, "index.html")


async def _static(page: Page, request: Request) -> Response:
    return _file(page, request, request.path_params["name"])


def _file(page: Page, request: Request, name: str) -> Response:
    """A file, or that the browser has it already."""
    from starlette.responses import Response

    if name not in page.files:
        raise Refused(404, "There is nothing at this address.")
    file = page.files[name]
    headers = {"cache-control": "no-cache", "etag": file.tag}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers | {"content-type": file.kind})


async def _start(page: Page, request: Request) -> Response:
    return _response(page.start)


async def _lesson(page: Page, request: Request) -> Response:
    name = request.path_params["name"]
    if name not in page.lessons:
        raise Refused(404, f"There is no lesson '{shown(name)}'.", "name")
    return _response(encoded(page.lessons[name].data()))


# --- questions --------------------------------------------------------------------------------------------------------


async def _answer(page: Page, request: Request) -> Response:
    asked = read_answer(page.scenes, await read_body(request.headers, request.receive))
    loop = asyncio.get_running_loop()
    started = loop.time()
    question = page.crew.ask(asked.question, asked.view, client=asked.client, sequence=asked.sequence)
    result = await _while_there(request, question)
    told = await asyncio.to_thread(_told, asked, result.replicates, tuple(result.answer.options))
    data = {
        "sequence": asked.sequence,
        "replicates": result.replicates,
        "seconds": round(loop.time() - started, 4),
        "panels": list(result.answer.panels),
        "says": list(result.answer.says),
        "command": told["command"],
    }
    return _response(await asyncio.to_thread(encoded, data))


async def _design(page: Page, request: Request) -> Response:
    asked = read_design(page.scenes, await read_body(request.headers, request.receive))
    options = page.crew.options_of(asked.question)
    told = await asyncio.to_thread(_told, asked, asked.question.replicates, options, whole=True)
    return _response(encoded(told))


async def _replay(page: Page, request: Request) -> Response:
    asked, replicate = read_replay(page.scenes, await read_body(request.headers, request.receive))
    question = page.crew.once(scenes.replay, asked.question, replicate, client=asked.client)
    return _response(await asyncio.to_thread(encoded, await _while_there(request, question)))


def _told(asked: Asked, replicates: int, options: tuple[str, ...], *, whole: bool = False) -> dict[str, str]:
    """The command for what is on the screen; `whole`: with the design's file."""
    try:
        design = asked.view.design(asked.question)
    except KnobError as error:
        raise Refused(422, str(error), f"values.{error.where}") from None
    name = f"{design.name}-{digest(design)[:6]}.yaml"
    command = asked.view.command(replace(asked.question, replicates=replicates), name)
    told = {"filename": name, "command": " ".join([command, *options])}
    return told | {"yaml": resolved_yaml(design)} if whole else told


async def _while_there(request: Request, answer: Awaitable[T]) -> T:
    """The answer, unless the browser goes away before: then nothing more is worked on for it."""
    asking = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait([asking, leaving], return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            return asking.result()
        raise Refused(499, "The browser has gone away.")
    finally:
        for task in (asking, leaving):
            task.cancel()


async def _gone(request: Request) -> None:
    """Until the browser goes away; its request has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
