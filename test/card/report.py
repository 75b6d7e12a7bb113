"""What the kernels of a BF16 training step cost by their machine code, without a card.

usage: report.py BUILD CUOBJDUMP [--measured FILE] [--loops FILE] [--store COMPILER]

For each product: what its main loop issues, which share of the tensor cores' time that leaves, what it reads and
writes of shared memory, the blocks of a multiprocessor, the tiles and the rounds in which they are computed. Then
a whole step from that: a product takes the rounds' time or, if that is longer, as any kernel, its bytes' at 85 % of
the memory's rate; and 2 us for each launch. Beside it stands what a card took, from a record (docs/card).

What is launched comes from test/card/account.cc, on the host run; instructions and registers from the sm_90a code
of BUILD/alexnet-cuda.so. --loops: how long the main loops were; one that has grown by more than 5 % ends the
report with status 1. --store writes that file, with the compiler's name.

Sources of the constants: NVIDIA, "H100 Tensor Core GPU Architecture" (132 multiprocessors, 1830 MHz for the 989
TFLOP/s of dense bfloat16, 65,536 registers, 228 KiB of shared memory and 2,048 threads of a multiprocessor, 128
bytes of shared memory a cycle; HBM3 of 3.35 TB/s), the H200's data sheet (4.8 TB/s); a warp's launch of
instructions is one a cycle.
"""
import argparse
import math
import os
import re
import subprocess
import sys
from typing import NamedTuple

PROCESSORS, CLOCK = 132, 1.83e9
TENSOR = 512            # multiply-adds of bfloat16 a cycle, in each quarter of a multiprocessor
QUARTERS = 4
MEMORY = {"H100": 3.35e12, "H200": 4.8e12}
SHARE = 0.85            # of the memory's rate that a kernel which does nothing else gets
LAUNCH = 2e-6           # from kernel to kernel of a recorded step
GROWN = 1.05
WORKS = ("paper", 128), ("torchvision", 128), ("paper", 1024), ("torchvision", 1024)
FORWARD, DATA, WEIGHTS = range(3)


class Row(NamedTuple):
    """A row of the account, and its first launch."""
    name: str
    launches: int
    flops: float
    bytes: float
    kernel: int  # its place in the host run's plugin
    blocks: int
    threads: int
    shared: int
    m: int
    n: int
    k: int
    tiles: int
    part_k: int


class Kernel(NamedTuple):
    """A product's kernel, by its name."""
    short: str
    warpgroups: int  # that multiply, of 64 rows each
    columns: int
    depth: int       # k of a step
    persistent: bool  # a block goes on to the next tile


class Loop(NamedTuple):
    """A main loop, for 64 of k."""
    issue: float    # instructions of a warp, a cycle each
    tensor: float   # cycles of a warpgroup's products


def run(*command):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


# --- what is launched ------------------------------------------------------------------------------------------


def account(build, arch, batch):
    plugin = os.path.abspath(f"{build}/test/alexnet-cuda-host.so")
    for line in run(f"{build}/test/account", plugin, arch, str(batch)).splitlines():
        name, launches, flops, moved, kernel, *numbers = line.split("\t")
        yield Row(name, int(launches), float(flops), float(moved), int(kernel, 16), *map(int, numbers))


def names_of(build):
    """The plugin's functions, which are named on the host run as in the card's code."""
    lines = run("nm", f"{build}/test/alexnet-cuda-host.so").splitlines()
    return {int(line.split()[0], 16): line.split()[2] for line in lines if line[17:18] in ("t", "T")}


def kernel_of(name):
    """None: not one of the kernels that multiply bfloat16 by wgmma."""
    found = re.match(r"_Z15pipeline_kernelIL10an_product(\d)ELi(\d+)ELi(\d+)ELi(\d+)E", name)
    if found:
        product, warpgroups, columns, depth = map(int, found.groups())
        word = ("pipeline", "pipeline across", "pipeline weights")[product]
        return Kernel(f"{word} {warpgroups * 64}x{columns}x{depth}", warpgroups, columns, depth, True)
    found = re.match(r"_Z12wgmma_kernelI7an_bf16L10an_product(\d)ELi(\d+)ELb1E17an_products_wgmma", name)
    if found:
        product, columns = map(int, found.groups())
        word = ("wgmma", "wgmma data", "wgmma weights")[product]
        return Kernel(f"{word} 128x{columns}x64", 2, columns, 64, False)
    return None


# --- machine code ----------------------------------------------------------------------------------------------


def registers_of(build, cuobjdump):
    text = run(cuobjdump, "-res-usage", "-arch", "sm_90a", f"{build}/alexnet-cuda.so")
    return {name: int(count) for name, count in re.findall(r"Function (\S+):\n\s*REG:(\d+)", text)}


def loops_of(build, cuobjdump, kernels):
    """The main loop of each: the shortest with products that a branch leads back over."""
    text = run(cuobjdump, "-sass", "-arch", "sm_90a", "-fun", ",".join(kernels), f"{build}/alexnet-cuda.so")
    loops = {}
    for part in text.split("Function : ")[1:]:
        name = part.split(None, 1)[0]
        code = [(int(at, 16), word) for at, word in re.findall(r"^\s+/\*([0-9a-f]{4,5})\*/\s+(.*?)\s*;", part, re.M)]
        bodies = []
        for at, word in code:
            back = re.search(r"\bBRA\b.*?(0x[0-9a-f]+)", word)
            if back and int(back.group(1), 16) <= at:
                bodies.append([w for place, w in code if int(back.group(1), 16) <= place <= at])
        bodies = [body for body in bodies if any("HGMMA" in word for word in body)]
        if name not in kernels or not bodies:
            continue
        body = min(bodies, key=len)
        shapes = [tuple(map(int, re.search(r"HGMMA\.64x(\d+)x(\d+)", word).groups())) for word in body if "HGMMA" in word]
        k = sum(n * depth for n, depth in shapes) / kernels[name].columns
        tensor = sum(64 * n * depth / (QUARTERS * TENSOR) for n, depth in shapes)
        loops[name] = Loop(len(body) * 64 / k, tensor * 64 / k)
    return loops


# --- the model -------------------------------------------------------------------------------------------------


class Cost(NamedTuple):
    per_processor: int  # blocks
    rounds: int
    filled: float       # the share of the rounds' places that have a tile
    read: int           # bytes of shared memory, by the products of a step of k ...
    written: int        # ... and for them
    seconds: float      # of all rounds


def cost_of(row, kernel, loop, registers):
    a_warp = math.ceil(registers * 32 / 256) * 256
    per_processor = min(65536 // (a_warp * math.ceil(row.threads / 32)), 2048 // row.threads,
                        233472 // (row.shared + 1024))
    places = PROCESSORS * per_processor
    rounds = math.ceil(row.tiles / places)
    steps = math.ceil(row.part_k / kernel.depth)
    cycles = steps * kernel.warpgroups * max(loop.issue, loop.tensor) * kernel.depth / 64
    read = kernel.warpgroups * (64 + kernel.columns) * kernel.depth * 2
    written = (64 * kernel.warpgroups + kernel.columns) * 128
    return Cost(per_processor, rounds, row.tiles / (rounds * places), read, written,
                rounds * per_processor * cycles / CLOCK)


def measured_of(path):
    """Seconds of the rows that a card's record has in its part about layers: by network, batch and row."""
    times, arch, batch, inside = {}, None, None, False
    for line in open(path, encoding="utf-8", errors="replace"):
        if line.startswith("== "):
            inside = line.startswith("== layers, bf16")
        found = re.match(r"(\w+), [\d.]+ M multiply-adds", line)
        arch = found.group(1) if found else arch
        found = re.match(r"batch (\d+) ", line)
        batch = int(found.group(1)) if found else batch
        found = re.match(r"(\w+(?: forward| backward| update)?: .*?) {2,}\d+ +([\d.]+) ", line)
        if inside and found:
            times[arch, batch, found.group(1)] = float(found.group(2)) * 1e-6
        found = re.match(r"training +(\d+) +([\d.]+) ", line)
        if inside and found:
            times[arch, int(found.group(1)), "step"] = float(found.group(2)) * 1e-3
    return times


def table(heads, rows):
    widths = [max(len(row[i]) for row in [heads] + rows) for i in range(len(heads))]
    for row in [heads] + rows:
        print("  ".join(word.ljust(width) if i < 2 else word.rjust(width)
                        for i, (word, width) in enumerate(zip(row, widths))).rstrip())
    print()


def microseconds(seconds):
    return "-" if seconds is None else f"{seconds * 1e6:.1f}"


def report(arch, batch, rows, parts, times):
    """Prints both tables of a step; `parts` has each product's kernel, loop and cost."""
    names = list(MEMORY)
    products, others = [], []
    sums = dict.fromkeys(names, 0.0)
    for row in rows:
        kernel, loop, cost, registers = parts.get(row.name, (None,) * 4)
        model = {}
        for name in names:
            moved = row.bytes / (SHARE * MEMORY[name])
            model[name] = max(moved, cost.seconds if cost else 0) + row.launches * LAUNCH
            sums[name] += model[name]
        last = [microseconds(model[name]) for name in names] + [microseconds(times.get((arch, batch, row.name)))]
        where = re.sub(r": (a product( for the (data|weights))?)", lambda m: " " + (m.group(3) or ""), row.name)
        if cost:
            products.append([where.strip(), kernel.short, f"{loop.issue:.0f}", f"{loop.tensor / loop.issue:.2f}",
                             f"{cost.read / 1024:.0f}+{cost.written / 1024:.0f}",
                             f"{128 * loop.tensor * kernel.warpgroups * kernel.depth / 64 / (cost.read + cost.written):.2f}",
                             str(registers), str(cost.per_processor), str(row.tiles), str(cost.rounds),
                             f"{cost.filled * 100:.0f}"] + last)
        else:
            others.append([row.name, "", f"{row.bytes / 1e6:.1f}"] + last)
    print(f"{arch}, batch {batch}, a BF16 training step\n")
    table(["product", "kernel", "issued", "tensor/issue", "KiB", "tensor/shared", "registers", "blocks", "tiles", "rounds",
           "% filled"] + [f"us {name}" for name in names] + ["measured"], products)
    step = times.get((arch, batch, "step"))
    others.append(["all", "", ""] + [microseconds(sums[name]) for name in names] + [microseconds(step)])
    table(["other kernels", "", "MB"] + [f"us {name}" for name in names] + ["measured"], others)


def compare(path, found):
    """Whether no loop has grown."""
    fine = True
    for line in open(path, encoding="utf-8"):
        if line.startswith("#"):
            continue
        name, was = line.rsplit(None, 1)
        if name in found and found[name] > GROWN * float(was):
            print(f"{name}: the main loop issues {found[name]:.0f} instructions for 64 of k, {was} before")
            fine = False
    return fine


def main():
    options = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1])
    options.add_argument("build")
    options.add_argument("cuobjdump")
    options.add_argument("--measured")
    options.add_argument("--loops")
    options.add_argument("--store", metavar="COMPILER")
    given = options.parse_args()
    names, registers = names_of(given.build), registers_of(given.build, given.cuobjdump)
    steps = {work: list(account(given.build, *work)) for work in WORKS}
    kernels = {names[row.kernel]: kernel_of(names[row.kernel]) for step in steps.values() for row in step}
    kernels = {name: kernel for name, kernel in kernels.items() if kernel}
    loops = loops_of(given.build, given.cuobjdump, kernels)
    times = measured_of(given.measured) if given.measured else {}
    for (arch, batch), step in steps.items():
        parts = {}
        for row in step:
            name = names[row.kernel]
            if name in kernels:
                cost = cost_of(row, kernels[name], loops[name], registers[name])
                parts[row.name] = kernels[name], loops[name], cost, registers[name]
        report(arch, batch, step, parts, times)
    found = {kernels[name].short: loop.issue for name, loop in loops.items()}
    if given.store:
        with open(given.loops, "w", encoding="utf-8") as out:
            out.write("# Instructions that a main loop issues for 64 of k (make store-card-report, "
                      f"{given.store}).\n")
            out.writelines(f"{name} {found[name]:.1f}\n" for name in sorted(found))
    elif given.loops and not compare(given.loops, found):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
