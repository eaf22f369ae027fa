"""PDF files to test with."""

import random
import zlib

WORDS = "the resolution of a page decides what a model reads and tokens are what it costs to look at small text"


def pdf(pages: int = 1, *, size: tuple[float, float] = (595.276, 841.89), rotate: int = 0, seed: int = 0) -> bytes:
    """Pages of lines of text, each another; sizes are in points."""
    rng = random.Random(seed)
    objects: list[bytes] = [b"", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for _ in range(pages):
        content = zlib.compress(_text(rng, size[1]).encode())
        objects.append(b"<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(content) + content + b"\nendstream")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {size[0]} {size[1]}] /Rotate {rotate} "
            f"/Contents {len(objects)} 0 R /Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        kids.append(f"{len(objects)} 0 R")
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R >>"
    objects[1] = f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(kids)}] >>".encode()
    return written(objects)


def written(objects: list[bytes], trailer: bytes = b"") -> bytes:
    """A file of these objects, the first being the catalogue."""
    out, offsets = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return out + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer << /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n"
        % (len(objects) + 1, table, len(objects) + 1, trailer, len(out))
    )


def _text(rng: random.Random, height: float) -> str:
    lines = []
    y = height - 60
    while y > 50:
        words = " ".join(rng.choice(WORDS.split()) for _ in range(14))
        lines.append(f"BT /F1 10 Tf 50 {y:.1f} Td ({words}) Tj ET")
        y -= 13
    return "\n".join(lines)
