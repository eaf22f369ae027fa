"""Render ../line.png: one line of anti-aliased text, 128x16 pixels, RGB."""
import os
import sys

from PIL import Image, ImageDraw, ImageFont

FONT = "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf"
TEXT = "Total due: 1,284.50 EUR"

font = ImageFont.truetype(sys.argv[1] if len(sys.argv) > 1 else FONT, 11)
gray = Image.new("L", (128, 16), 255)
draw = ImageDraw.Draw(gray)
draw.text((64, 12), TEXT, font=font, fill=24, anchor="ms")
here = os.path.dirname(os.path.abspath(__file__))
gray.convert("RGB").save(os.path.join(here, "..", "line.png"), optimize=True)
