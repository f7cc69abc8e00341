"""The routes: a page, what it knows of the model, and prediction."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Collection
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from sav import __version__
from sav.drawing.parts import CONFIDENT
from sav.errors import SAVError
from sav.predict.predictor import SAVPredictor
from sav.serve.about import describe_model, in_every_view
from sav.serve.answers import Answerer, Format, Question
from sav.serve.guard import Guard
from sav.serve.limits import Limits, RequestError
from sav.serve.neighbours import Pictures
from sav.serve.openapi import PREDICT
from sav.serve.upload import client_gone, read_upload
from sav.serve.worker import Worker

_T = TypeVar("_T")
_PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    **{f"/{name}": (name, "text/javascript") for name in ("page.js", "masks.js", "lists.js")},
}
"""What the browser loads: files of the package, and their media types."""
_LOG = logging.getLogger(__name__)


class Options(BaseModel):
    """What may stand behind the "?" of a prediction."""

    model_config = ConfigDict(extra="forbid")

    format: Format = Field("json", description="of the answer")
    vocabulary: str | None = Field(None, description="view to answer in, see /model")
    score_threshold: float = Field(CONFIDENT, ge=0, le=1, description="parts score at least this")
    neighbours: int = Field(
        0, ge=0, le=32, description="with json: exemplars of the gallery to name for each vehicle"
    )
    pictures: bool = Field(False, description="with json: small pictures of the neighbours")


def create_app(
    predictor: SAVPredictor, limits: Limits, hosts: Collection[str] | None, model_name: str
) -> Guard:
    """Make the application.

    Args:
        predictor: its vocabulary is answered in where a request names none.
        limits: of each request.
        hosts: names that requests may call this server by; None for any.
        model_name: as people know the model.
    """
    worker = Worker(limits.places)
    predictors = in_every_view(predictor)
    answerer = Answerer(predictors, limits, Pictures(predictor))
    about = describe_model(predictor, limits, model_name)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        worker.close()

    # FastAPI's pages of documentation load scripts from elsewhere.
    app = FastAPI(
        title="SAV", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    _answer_errors(app)
    _serve_page(app)

    @app.get("/health", summary="whether it answers, and how many requests are here")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "version": __version__, "requests": worker.taken}

    @app.get("/model", summary="vocabularies, relations of their parts, limits")
    async def model() -> dict[str, Any]:
        return about

    @app.post("/predict", summary="find the parts in a photo", response_class=Response, **PREDICT)
    async def predict(request: Request, options: Annotated[Options, Query()]) -> Response:
        vocabulary = options.vocabulary or predictor.ontology.name
        if vocabulary not in predictors:
            known = ", ".join(predictors)
            raise RequestError(422, f"vocabulary: the model knows {known}")
        _check_neighbours(options, predictor)
        deadline = asyncio.get_running_loop().time() + limits.seconds
        with worker.place():
            upload = await _in_time(deadline, 408, read_upload(request, limits))
            asked = options.model_dump() | {"vocabulary": vocabulary}
            job = worker.run(partial(answerer, Question(upload, **asked)))
            body, media_type = await _in_time(deadline, 503, _while_asked(request, job))
        return Response(body, media_type=media_type)

    return Guard(app, hosts)


def _check_neighbours(options: Options, predictor: SAVPredictor) -> None:
    if options.neighbours and options.format != "json":
        raise RequestError(422, f"neighbours: format {options.format} has none; ask for json")
    if options.neighbours and predictor.model.context is None:
        raise RequestError(422, "neighbours: this model looks into no gallery")
    if options.pictures and not options.neighbours:
        raise RequestError(422, "pictures: of what? ask for neighbours too")


async def _in_time(deadline: float, status: int, work: Awaitable[_T]) -> _T:
    try:
        async with asyncio.timeout_at(deadline):
            return await work
    except TimeoutError as error:
        raise RequestError(status, "the time limit is over; ask again later", 2) from error


async def _while_asked(request: Request, work: Awaitable[_T]) -> _T:
    """Wait for a result as long as the client does."""
    job = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.receive())  # the body is read, what comes is the end
    try:
        await asyncio.wait({job, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not job.done():
            raise client_gone()
        return job.result()
    finally:
        job.cancel()
        gone.cancel()


def _serve_page(app: FastAPI) -> None:
    folder = files("sav.serve") / "page"
    for path, (name, media_type) in _PAGE.items():
        _serve_file(app, path, (folder / name).read_bytes(), media_type)


def _serve_file(app: FastAPI, path: str, contents: bytes, media_type: str) -> None:
    @app.get(path, include_in_schema=False)
    async def file() -> Response:
        return Response(contents, media_type=media_type)


def _answer_errors(app: FastAPI) -> None:
    """Every error is {"error": one line}."""

    @app.exception_handler(RequestError)
    async def refused(_: Request, error: RequestError) -> JSONResponse:
        wait = error.retry_after
        headers = {} if wait is None else {"Retry-After": str(wait)}
        return JSONResponse({"error": str(error)}, error.status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        wrong = (f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors())
        return JSONResponse({"error": "; ".join(wrong)}, 422)

    @app.exception_handler(HTTPException)
    async def unknown(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(SAVError)
    @app.exception_handler(OSError)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        _LOG.error("a request failed: %s", error)
        return JSONResponse(
            {"error": "the server cannot answer; its disk may be full, its log says more"}, 503
        )

    @app.exception_handler(Exception)
    async def broken(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "a fault of the server, see its log"}, 500)
