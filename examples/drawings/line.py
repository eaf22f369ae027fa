"""Renders line.png of the samples: one line of anti-aliased text, 128x16 pixels, RGB."""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FONT = "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf"
TEXT = "Total due: 1,284.50 EUR"

font = ImageFont.truetype(sys.argv[1] if len(sys.argv) > 1 else FONT, 11)
gray = Image.new("L", (128, 16), 255)
draw = ImageDraw.Draw(gray)
draw.text((64, 12), TEXT, font=font, fill=24, anchor="ms")
gray.convert("RGB").save(Path(__file__).parents[2] / "python" / "vlmres" / "samples" / "line.png", optimize=True)
