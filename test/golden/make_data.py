"""Goldens for test_images.c and test_loader.c, from PIL and numpy alone.

fit.bin     pictures of noise, fitted by PIL: resize (bilinear, which in PIL has a triangle as
            wide as the reduction), centre cut; and warped.
loader.bin  two epochs of batches that the loader makes of 12 pictures, every step written
            anew in Python: the order, Philox 4x32-10, crops, mirrors, colour noise, mean
            image.

usage: python3 make_data.py   (in this folder; needs numpy and Pillow)
"""

import math
import struct

import numpy as np
from PIL import Image


def noise(count, seed):
    out = np.empty(count, np.uint8)
    for i in range(count):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = seed >> 24
    return out


def fit(pixels, side):
    image = Image.fromarray(pixels)
    width, height = image.size
    shorter = min(width, height)
    width = (width * side + shorter // 2) // shorter
    height = (height * side + shorter // 2) // shorter
    image = image.resize((width, height), Image.BILINEAR)
    left, top = (width - side) // 2, (height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)))


def make_fit():
    with open("fit.bin", "wb") as file:
        for number, (width, height, side) in enumerate(
            [(97, 61, 40), (61, 97, 40), (333, 250, 48), (40, 400, 32), (20, 30, 48)]
        ):
            pixels = noise(width * height * 3, 100 + number).reshape(height, width, 3)
            file.write(fit(pixels, side).tobytes())
            warped = Image.fromarray(pixels).resize((side, side), Image.BILINEAR)
            file.write(np.asarray(warped).tobytes())


def philox(seed, counter):
    key0, key1 = seed & 0xFFFFFFFF, seed >> 32
    c = list(counter)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [
            (p1 >> 32) ^ c[1] ^ key0,
            p1 & 0xFFFFFFFF,
            (p0 >> 32) ^ c[3] ^ key1,
            p0 & 0xFFFFFFFF,
        ]
        key0, key1 = (key0 + 0x9E3779B9) & 0xFFFFFFFF, (key1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


ORDER, VIEW, COLOUR = 0x400, 0x500, 0x600
COUNT, SIDE, SIZE, GROUP, SEED = 12, 26, 20, 3, 77
SIGMA, DIVISOR = 0.1, 1.1
DEVIATIONS = np.array([60.0, 20.0, 8.0], np.float32).astype(float)
AXES = np.array(
    [[0.6, 0.64, 0.48], [-0.8, 0.48, 0.36], [0.0, -0.6, 0.8]], np.float32
).astype(float)
SCALE = np.array([0.5, 1.0, 2.0])


def order(epoch):
    places = list(range(COUNT))
    for i in range(COUNT - 1, 0, -1):
        word = philox(SEED, (i // 4, ORDER, epoch, 0))[i % 4]
        other = word * (i + 1) >> 32
        places[i], places[other] = places[other], places[i]
    return places


def normals(epoch, number):
    u = [(w + 1) / 2**32 for w in philox(SEED, (number, COLOUR, epoch, 0))]
    r0, r1 = math.sqrt(-2 * math.log(u[0])), math.sqrt(-2 * math.log(u[2]))
    return np.array(
        [
            r0 * math.cos(2 * math.pi * u[1]),
            r0 * math.sin(2 * math.pi * u[1]),
            r1 * math.cos(2 * math.pi * u[3]),
        ]
    )


def batch_picture(pixels, mean_image, epoch, number, rule, moves):
    words = philox(SEED, (number // GROUP, VIEW, epoch, 0))
    places = SIDE - SIZE + 1
    x, y, mirror = words[0] * places >> 32, words[1] * places >> 32, words[2] >> 31
    crop = pixels[y : y + SIZE, x : x + SIZE].astype(float)
    room = (SIDE - SIZE) // 2
    mean = mean_image.transpose(1, 2, 0)
    if moves:
        mean = mean[y : y + SIZE, x : x + SIZE]
        crop = crop - mean
        crop = crop[:, ::-1] if mirror else crop
    else:
        crop = crop[:, ::-1] if mirror else crop
        crop = crop - mean[room : room + SIZE, room : room + SIZE]
    divisor = 1.0
    if epoch < 1:  # colour_epochs
        moved = SIGMA * normals(epoch, number) * DEVIATIONS
        if rule == "eigenvalue":
            moved = SIGMA * normals(epoch, number) * (DEVIATIONS / 255) ** 2 * 255
        crop = crop + moved @ AXES
        divisor = DIVISOR
    return (crop / divisor * SCALE).transpose(2, 0, 1)


def make_loader():
    pictures = [noise(SIDE * SIDE * 3, 500 + i).reshape(SIDE, SIDE, 3) for i in range(COUNT)]
    mean = noise(3 * SIDE * SIDE, 900).reshape(3, SIDE, SIDE).astype(float)
    with open("loader.bin", "wb") as file:
        for rule, moves in (("deviation", 0), ("eigenvalue", 1)):
            for epoch in (0, 1):
                places = order(epoch)
                file.write(struct.pack("<12i", *places))
                for number in (0, 4, 11):
                    values = batch_picture(
                        pictures[places[number]], mean, epoch, number, rule, moves
                    )
                    file.write(values.astype("<f4").tobytes())


make_fit()
make_loader()
