"""`examples/server.py` under load, on localhost."""

import asyncio
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import vlmres

IMAGES = Path(__file__).parents[1] / "python" / "vlmres" / "samples"


@pytest.fixture
def server() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_server", IMAGES.parents[2] / "examples" / "server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def ask(port: int, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    head, _, content = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), json.loads(content)


def test_it_answers_under_load(server: ModuleType) -> None:
    """Dozens of images at once, bad ones and a client that hangs up among them, and `/health` meanwhile."""
    photo, page = ((IMAGES / name).read_bytes() for name in ("photo.jpg", "page.png"))

    async def run() -> list[tuple[int, Any]]:
        listening = await server.serve(0)
        port = listening.sockets[0].getsockname()[1]
        async with listening:
            _, hanging = await asyncio.open_connection("127.0.0.1", port)
            hanging.write(f"POST /qwen2-vl HTTP/1.1\r\nContent-Length: {len(photo)}\r\n\r\n".encode() + photo)
            await hanging.drain()
            hanging.close()
            await hanging.wait_closed()
            images = [ask(port, "POST", "/qwen2-vl", photo if index % 2 else page) for index in range(24)]
            others = [
                ask(port, "GET", "/health"),
                ask(port, "POST", "/qwen2-vl", b"no image"),
                ask(port, "POST", "/no-recipe", photo),
                ask(port, "PUT", "/qwen2-vl"),
            ]
            replies = await asyncio.gather(*images, *others)
            if left := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(left, timeout=60)
            return replies

    replies = asyncio.run(run())
    proc = vlmres.Processor("qwen2-vl")
    for index, (status, body) in enumerate(replies[:24]):
        batch = proc(photo if index % 2 else page)
        assert status == 200
        assert body["tokens"] == batch.num_tokens
        assert body["shapes"] == {key: list(array.shape) for key, array in batch.items()}
    health, bad, unknown, put = replies[24:]
    assert health == (200, {"version": vlmres.__version__})
    assert (bad[0], unknown[0], put[0]) == (422, 404, 405)
    assert "image 0" in bad[1]["error"]
    assert server.processor("qwen2-vl").max_in_flight == server.IN_FLIGHT
