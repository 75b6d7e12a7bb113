"""Goldens for programs_formats.c: one picture in many formats, as PIL writes them, and as PIL reads each again.

usage: python3 make_pictures.py   (in this folder; needs numpy and Pillow; writes to pictures/)

NAME is the file, NAME.raw what is to come of it: upright RGB on white, 40 x 24.
"""
import io

import numpy as np
from PIL import Image, ImageOps

WIDE, HIGH = 40, 24
BACK = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270}


def plain():
    y, x = np.mgrid[0:HIGH, 0:WIDE]
    rgb = np.stack([x * 6, y * 10, 128 + 100 * np.sin(x / 5 + y / 3)], 2)
    return Image.fromarray(rgb.astype(np.uint8))


def write(name, image, **how):
    path = f"pictures/{name}"
    image.save(path, **how)
    seen = ImageOps.exif_transpose(Image.open(path))
    if seen.mode == "I;16":
        seen = Image.fromarray((np.asarray(seen) >> 8).astype(np.uint8))
    seen = seen.convert("RGBA") if seen.mode in ("RGBA", "LA", "P") else seen.convert("RGB")
    if seen.mode == "RGBA":
        ground = Image.new("RGBA", seen.size, (255, 255, 255, 255))
        seen = Image.alpha_composite(ground, seen).convert("RGB")
    assert seen.size == (WIDE, HIGH), name
    with open(path + ".raw", "wb") as out:
        out.write(np.asarray(seen).tobytes())


rgb = plain()
write("baseline.jpg", rgb, quality=95)
write("progressive.jpg", rgb, quality=95, progressive=True)
write("restarts.jpg", rgb, quality=95, restart_marker_blocks=2)
write("progressive-restarts.jpg", rgb, quality=95, progressive=True, restart_marker_blocks=2)
write("flat.jpg", Image.new("L", (WIDE, HIGH), 90), quality=95, restart_marker_blocks=1)  # a byte or two between restarts
write("grey.jpg", rgb.convert("L"), quality=95)
write("cmyk.jpg", rgb.convert("CMYK"), quality=95)
for orientation, turn in BACK.items():
    exif = Image.Exif()
    exif[0x112] = orientation
    write(f"turned-{orientation}.jpg", rgb.transpose(turn), quality=95, exif=exif)
exif = Image.Exif()
exif[0x112] = 6
write("turned.png", rgb.transpose(BACK[6]), exif=exif)
write("sixteen.png", Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257))
write("palette.png", rgb.quantize(64))
clear = rgb.convert("RGBA")
clear.putalpha(Image.fromarray((np.mgrid[0:HIGH, 0:WIDE][1] * 6).astype(np.uint8)))
write("clear.png", clear)
write("picture.gif", rgb.quantize(64))
hole = rgb.quantize(64)
write("hole.gif", hole, transparency=hole.getpixel((5, 5)))
write("picture.bmp", rgb)
write("palette.bmp", rgb.quantize(64))
