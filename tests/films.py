"""Files of videos to test with."""

import io
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray


def film(
    frames: int,
    width: int = 96,
    height: int = 64,
    *,
    rate: int = 30,
    codec: str = "libx264",
    container: str = "mp4",
    times: list[int] | None = None,
    options: dict[str, str] | None = None,
) -> bytes:
    """A file of a moving picture; `times` are those of its frames in 1/90000 s, where they are not even."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, options={"g": "24", **(options or {})})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 90000)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(_picture(index, width, height), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[index], Fraction(1, 90000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return file.getvalue()


def decoded(file: bytes) -> list[NDArray[np.uint8]]:
    """All frames, one after another."""
    with av.open(io.BytesIO(file)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def _picture(index: int, width: int, height: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]
    return np.stack([(x * 2 + index * 5) % 256, (y * 3 + index) % 256, (x + y + index * 11) % 256], axis=2).astype(
        np.uint8
    )
