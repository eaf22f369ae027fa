"""An HTTP endpoint that preprocesses: `python examples/server.py`.

    $ curl --data-binary @photo.jpg localhost:8000/qwen3-vl

Standard library alone. The event loop answers `/health` however busy the threads are; at most `IN_FLIGHT` images of a
recipe are worked on at once, others wait, and one whose client hangs up is not worked on any longer.
"""

import asyncio
import contextlib
import functools
import json
from http import HTTPStatus

import vlmres

IN_FLIGHT = 4
MOST_BYTES = 64 << 20
MOST_PIXELS = 100_000_000

Reply = tuple[HTTPStatus, dict[str, object]]


@functools.cache
def processor(recipe: str) -> vlmres.Processor:
    """The processor of a recipe; a server has one each for all its calls."""
    return vlmres.Processor(recipe, max_in_flight=IN_FLIGHT, max_image_pixels=MOST_PIXELS)


async def preprocess(recipe: str, image: bytes) -> Reply:
    """What became of an image: its tokens and the tensors' shapes. A server of a model would go on with `batch`."""
    try:
        batch = await processor(recipe).acall(image)
    except vlmres.RecipeError as error:
        return HTTPStatus.NOT_FOUND, {"error": str(error)}
    except (vlmres.VlmresError, ValueError) as error:
        return HTTPStatus.UNPROCESSABLE_ENTITY, {"error": str(error)}
    shapes = {key: list(array.shape) for key, array in batch.items()}
    return HTTPStatus.OK, {"tokens": batch.num_tokens, "shapes": shapes}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request a connection."""
    try:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await _answer(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    method, path, length = await _head(reader)
    if length > MOST_BYTES:
        reply: Reply = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": f"more than {MOST_BYTES} bytes"}
    elif method == "GET" and path == "/health":
        reply = HTTPStatus.OK, {"version": vlmres.__version__}
    elif method == "POST":
        work = asyncio.ensure_future(preprocess(path.strip("/"), await reader.readexactly(length)))
        gone = asyncio.ensure_future(reader.read(1))  # ends when the client hangs up
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not work.done():
                work.cancel()
        if not work.done():
            return
        reply = work.result()
    else:
        reply = HTTPStatus.METHOD_NOT_ALLOWED, {"error": "POST an image to /RECIPE, or GET /health"}
    status, body = reply
    text = json.dumps(body).encode()
    fields = f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
    writer.write(f"HTTP/1.1 {status.value} {status.phrase}\r\n{fields}".encode() + text)
    await writer.drain()


async def _head(reader: asyncio.StreamReader) -> tuple[str, str, int]:
    """Method, path and the body's length."""
    line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = (*line.split(" "), "", "", "")[:3]
    lengths = [field.partition(":")[2] for field in fields if field.lower().startswith("content-length:")]
    return method, path, int(lengths[0]) if lengths and lengths[0].strip().isdigit() else 0


async def serve(port: int = 8000) -> asyncio.Server:
    """Starts serving on this machine alone; port 0 is a free one."""
    return await asyncio.start_server(answer, "127.0.0.1", port)


async def main() -> None:
    """Serves until Ctrl-C."""
    server = await serve()
    print("http://127.0.0.1:8000: POST an image to /RECIPE, or GET /health")
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
