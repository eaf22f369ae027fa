"""Image files by their first bytes."""

from __future__ import annotations

HEAD = 32
"""First bytes of image formats."""

_BEGINNINGS = (
    b"\xff\xd8\xff",  # JPEG, MPO
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"II*\0",  # TIFF
    b"MM\0*",
    b"II+\0",  # BigTIFF
    b"MM\0+",
    b"\0\0\0\x0cjP  \r\n\x87\n",  # JPEG 2000
    b"\xff\x4f\xff\x51",
    b"\0\0\1\0",  # ICO
    b"\0\0\2\0",  # CUR
    b"icns",
    b"8BPS",
    b"qoif",
    b"DDS ",
    b"\x01\xda",  # SGI
    b"\x0a\x05\x01",  # PCX
    b"\x59\xa6\x6a\x95",  # Sun raster
    b"DanM",  # MSP
    b"LinS",
    b"/* XPM */",
    b"Pf\n",
    b"PF\n",
)
_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heif", b"heim", b"heis", b"hevc", b"mif1", b"msf1")


def is_image(head: bytes) -> bool:
    """Whether first bytes are those of an image format that is read. TGA and XBM files have no such bytes."""
    return (
        head.startswith(_BEGINNINGS)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in _BRANDS)
        or (head[:1] == b"P" and head[1:2] in b"1234567" and head[2:3].isspace())
    )
