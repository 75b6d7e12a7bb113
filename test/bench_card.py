"""Ours beside PyTorch on a card, in turn: medians and their ratio.

usage: bench_card.py BUILD [--device cuda:0] [--rounds N] [--works LIST] [--seconds LIMIT]

BUILD is the folder that make builds in; torch is needed, and what its torch.compile wants is welcome. Both
have the same network, random data, and the same step: forward with dropout, cross entropy, backward, SGD
with momentum and weight decay; or forward and softmax. First every way to run PyTorch that is known here is
tried for a moment, the quick ones for all works and then those that compile; one that fails is reported and
left out. Then ours and the fastest take turns, so that a drift of the machine meets both. The floor is that of
the card that is found, from rates measured first. A work is kind:arch:batch:precision, as in train:paper:128:bf16.

Ours is a program of its own, examples/bench, whose steps end when the host has seen the result. PyTorch's
are timed so as well, and that is what the ratio is of; beside it stands what a step takes when the host does
not wait between them. PyTorch's input lies on the card, while ours is sent pictures in each step. PyTorch
normalises over all maps, which is one operation of its own, where the paper's network stays within halves.
--device cpu, without the ways that need a card, tries the script itself; bench_cpu.py is the CPU's.
"""
import argparse
import gc
import re
import statistics
import subprocess
import sys
import time
from collections import namedtuple
from functools import partial
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F

# The ratio aimed at; then the floor, a roofline from counted work: TFLOP of what waits for arithmetic
# (convolutions; dense layers too where the batch is large or the arithmetic slow), and GB of all else.
WORKS = {
    "train:paper:128:bf16": (2.0, 0.484, 1.84),
    "train:torchvision:128:bf16": (1.3, 0.486, 1.70),
    "train:torchvision:1024:bf16": (1.15, 4.24, 3.75),
    "train:torchvision:128:tf32": (1.3, 0.486, 2.23),
    "train:torchvision:128:fp32": (1.2, 0.531, 1.03),
    "forward:torchvision:1:bf16": (2.0, 0, 0.129),
    "forward:torchvision:128:bf16": (1.3, 0.168, 0.25),
}
PRECISIONS = "fp32", "tf32", "bf16", "tf32x3"  # the last beside PyTorch's first
WARM = 5     # steps before any that are timed: compilers and recorders have several first ones
SPAN = 0.5   # seconds that one series of timed steps takes, if that is neither ...
LEAST, MOST = 10, 1000  # ... fewer nor more steps than these; examples/bench knows no more
TRIED = 0.1  # the same while PyTorch's ways are tried


Work = namedtuple("Work", "text kind arch batch precision")


def works_of(text):
    works = []
    for one in text.split(","):
        kind, arch, batch, precision = one.split(":")
        if kind not in ("train", "forward") or arch not in NETS or precision not in PRECISIONS:
            raise ValueError(one)
        works.append(Work(one, kind, arch, int(batch), precision))
    return works


# --- the networks --------------------------------------------------------------------------------------

def conv(*sizes, **options):
    return [nn.Conv2d(*sizes, **options), nn.ReLU(True)]


def head():
    return [nn.Flatten(), nn.Linear(9216, 4096), nn.ReLU(True), nn.Dropout(),
            nn.Linear(4096, 4096), nn.ReLU(True), nn.Dropout(), nn.Linear(4096, 1000)]


def paper():
    norm = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)  # torch divides alpha by 5
    return nn.Sequential(
        nn.ZeroPad2d((0, 3, 0, 3)), *conv(3, 96, 11, 4), norm, nn.MaxPool2d(3, 2),
        *conv(96, 256, 5, padding=2, groups=2), norm, nn.MaxPool2d(3, 2),
        *conv(256, 384, 3, padding=1), *conv(384, 384, 3, padding=1, groups=2),
        *conv(384, 256, 3, padding=1, groups=2), nn.MaxPool2d(3, 2), *head())


def torchvision():
    return nn.Sequential(
        *conv(3, 64, 11, 4, 2), nn.MaxPool2d(3, 2), *conv(64, 192, 5, padding=2), nn.MaxPool2d(3, 2),
        *conv(192, 384, 3, padding=1), *conv(384, 256, 3, padding=1), *conv(256, 256, 3, padding=1),
        nn.MaxPool2d(3, 2), *head())


NETS = {"paper": paper, "torchvision": torchvision}

# --- PyTorch's ways ------------------------------------------------------------------------------------

class Way(NamedTuple):
    mode: str = ""               # of torch.compile, if it is used
    channels_last: bool = False
    graph: bool = False          # the whole step, the optimiser's too, is one CUDA graph
    autocast: bool = True        # BF16 by autocast, else by parameters in BF16, which only forward may

    def __str__(self):
        parts = ["compile " + self.mode if self.mode else "" if self.graph else "eager",
                 "channels_last" * self.channels_last, "CUDA graph" * self.graph,
                 "BF16 parameters" * (not self.autocast)]
        return " + ".join(filter(None, parts))


TUNED = "max-autotune-no-cudagraphs"
WAYS = [Way(), Way("", True), Way("", False, True), Way("", True, True),  # the quick ones, then by promise
        Way("default", True, True), Way(TUNED, True, True), Way("reduce-overhead", True),
        Way("default", True), Way("default", False, True), Way(TUNED, False, True), Way("reduce-overhead"),
        Way("default")]


def ways(work, device):
    found = [way for way in WAYS if device != "cpu" or not way.graph]
    if (work.kind, work.precision) == ("forward", "bf16"):  # parameters in BF16 spare it a conversion
        found = [way._replace(autocast=False) for way in found] + [way for way in found if not way.mode]
    return sorted(found, key=lambda way: way.mode != "")


def wait(device):
    if device != "cpu":
        torch.cuda.synchronize()


def recorded(step):
    """A function that replays the step, from a CUDA graph. SGD needs no option capturable for it."""
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    with torch.cuda.graph(graph, stream=stream):
        step()

    def replay(_buffers=step):  # the step keeps alive what the graph reads
        graph.replay()
    return replay


def step_of(work, way, device):
    """PyTorch's step, cold, as a function."""
    layout = torch.channels_last if way.channels_last else torch.contiguous_format
    dtype = torch.float32 if way.autocast else torch.bfloat16
    net = NETS[work.arch]().to(device, dtype, memory_format=layout).train(work.kind == "train")
    x = torch.randn(work.batch, 3, 224, 224, device=device).to(dtype, memory_format=layout)
    labels = torch.randint(0, 1000, (work.batch,), device=device)
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-6, momentum=0.9, weight_decay=5e-4, fused=True)
    answer, loss = lambda: net(x).softmax(1), lambda: F.cross_entropy(net(x), labels)
    if way.mode:
        answer, loss = (torch.compile(f, mode=way.mode, dynamic=False) for f in (answer, loss))

    low = partial(torch.autocast, device.split(":")[0], torch.bfloat16, cache_enabled=not way.graph,
                  enabled=work.precision == "bf16" and way.autocast)

    def forward():
        with torch.inference_mode(), low():
            answer()

    def train():
        optimiser.zero_grad()
        with low():
            now = loss()
        now.backward()
        optimiser.step()
    return train if work.kind == "train" else forward


def prepared(work, way, device):
    """PyTorch's step, warm: the first ones compile."""
    step = step_of(work, way, device)
    step = recorded(step) if way.graph else step
    for _ in range(WARM):
        step()
    wait(device)
    return step


def steps_in(span, seconds):
    return max(LEAST, min(MOST, int(span / seconds)))


def timed(step, device, span):
    """Seconds a step: the median with the host waiting after each, and the mean without."""
    def series(count):
        started = time.perf_counter()
        for _ in range(count):
            step()
        wait(device)
        return (time.perf_counter() - started) / count

    steps = steps_in(span, series(WARM))
    return statistics.median(series(1) for _ in range(steps)), series(steps)


def free_memory(device):
    gc.collect()
    if device != "cpu":
        torch.cuda.empty_cache()


def first_line(error):
    lines = str(error).strip().splitlines() or [""]
    more = lines[1] if lines[0].endswith(":") and len(lines) > 1 else ""  # the first says but who raised it
    return f"{type(error).__name__}: {lines[0]} {more}".strip()


def arithmetic(work):
    """What PyTorch may round products of this work to."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = work.precision == "tf32"


def try_ways(work, device, compiled, best, slowest, deadline):
    """The fastest of `best` and the ways that are compiled, or not: (seconds, way, step), or None.
    slowest: seconds that trying a way has taken so far, compiled or not."""
    arithmetic(work)
    left_out = []
    for way in ways(work, device):
        if (way.mode != "") != compiled:
            continue
        started, step = time.monotonic(), None
        if best and started + slowest[compiled] > deadline:
            left_out.append(str(way))
            continue
        try:
            step = prepared(work, way, device)
            waiting, free = timed(step, device, TRIED)
            print(f"  {way!s:66}{1e3 * waiting:10.3f}{1e3 * free:10.3f}", flush=True)
            if best is None or waiting < best[0]:
                best = waiting, way, step
        except Exception as error:  # whatever a compiler or a driver comes up with
            print(f"  {way} fails: {first_line(error)}", flush=True)
        step = None
        free_memory(device)
        slowest[compiled] = max(slowest[compiled], time.monotonic() - started)
    if left_out:
        print("  no time for " + ", ".join(left_out), flush=True)
    return best


# --- ours ----------------------------------------------------------------------------------------------

def ours(build, work, device, runs):
    """Seconds a step, the median of examples/bench."""
    done = subprocess.run([build + "/examples/bench", "--arch", work.arch, "--batch", str(work.batch),
                           "--" + work.kind, "--runs", str(runs), "--device", device,
                           "--precision", work.precision], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError("examples/bench: " + done.stderr.strip())
    found = re.search(r"^(?:forward|training)\s+\d+\s+([\d.]+)\s+[\d.]+ \.\.\s*[\d.]+\s+([\d.]+)",
                      done.stdout, re.MULTILINE)
    ms, rate = float(found.group(1)), float(found.group(2))
    return ms / 1e3 if ms > rate else work.batch / rate  # of two rounded numbers the finer one


def turns(a, work, best, ceilings):
    """A row of the table: ours and PyTorch's fastest way in turn."""
    _, way, step = best
    arithmetic(work)
    estimate = ours(a.build, work, a.device, LEAST)
    mine, theirs = [], []
    for _ in range(a.rounds):
        mine.append(ours(a.build, work, a.device, steps_in(SPAN, estimate)))
        theirs.append(timed(step, a.device, SPAN))
    own = statistics.median(mine)
    waiting, free = map(statistics.median, zip(*theirs))
    aim, floor = "", None
    if ceilings and work.text in WORKS:
        aim, tflop, gb = WORKS[work.text]
        floor = tflop / ceilings[work.precision] + gb / ceilings["copy"]
    return (f"| {work.text} | {1e3 * own:.3f} | {1e3 * waiting:.3f} | {1e3 * free:.3f} | {way} "
            f"| {waiting / own:.2f} | {aim} | {work.batch / own:.0f} "
            + (f"| {1e3 * floor:.3f} | {own / floor:.2f} |" if floor else "| | |"))


def per_second(device, work, run):
    """`work` over the seconds that run() takes: the median of ten, on the card's clock."""
    times = []
    for _ in range(13):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        wait(device)
        times.append(begin.elapsed_time(end) / 1e3)
    return work / statistics.median(times[3:])


def measured_ceilings(device):
    """What this card does: TFLOP/s of a large product of noise in each precision, GB/s of a copy, read and
    written."""
    side, ceilings = 8192, {}
    for precision in ("bf16", "tf32", "fp32"):
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        x, y = (torch.randn(side, side, device=device) for _ in range(2))
        if precision == "bf16":
            x, y = x.bfloat16(), y.bfloat16()
        ceilings[precision] = per_second(device, 2e-12 * side ** 3, lambda: x @ y)
    ceilings["tf32x3"] = ceilings["tf32"] / 3
    x, y = (torch.empty(1 << 30, device=device) for _ in range(2))
    ceilings["copy"] = per_second(device, 8e-9 * (1 << 30), lambda: y.copy_(x))
    return ceilings


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--device", default="cuda:0", help="cuda:0, ..., or cpu to try the script")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--works", type=works_of, default=",".join(WORKS), help="with commas")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="try no more ways than fit in")
    a = parser.parse_args()
    begun = time.monotonic()
    torch.backends.cudnn.benchmark = True
    torch._dynamo.config.recompile_limit = 64  # past it, it would silently not compile
    ceilings, name = {}, "cpu"
    if a.device != "cpu":
        torch.cuda.set_device(a.device)
        name = torch.cuda.get_device_name()
        ceilings = measured_ceilings(a.device)
        free_memory(a.device)
        print(f"{name}: " + ", ".join(f"{key} {rate:.0f} {'GB/s' if key == 'copy' else 'TFLOP/s'}"
                                      for key, rate in ceilings.items()), flush=True)
    # The quick ways of all works come before the slow ones of any; the turns have nearly half of the time.
    slowest, best = {False: 3.0, True: 25.0}, {}  # guesses to begin with
    turning = 0.45 * a.seconds
    for compiled in (False, True):
        for work in a.works:
            print(f"{work.text}{', compiled' * compiled}\n  {'PyTorch, ms a step':66}{'waiting':>10}"
                  f"{'free':>10}", flush=True)
            best[work] = try_ways(work, a.device, compiled, best.get(work), slowest,
                                  begun + a.seconds - turning)
    rows = []
    for work in a.works:
        try:
            if best[work] is None:
                raise RuntimeError("PyTorch does not run in any way")
            if time.monotonic() > begun + a.seconds:
                raise RuntimeError("there is no time")
            rows.append(turns(a, work, best[work], ceilings))
            print(rows[-1], flush=True)
        except RuntimeError as error:
            print(f"  {work.text} is left out: {error}", flush=True)
        best[work] = None
        free_memory(a.device)
    print(f"\nPyTorch {torch.__version__}, {name}; medians of {a.rounds} rounds, ms a step; measured: "
          + ", ".join(f"{key} {rate:.0f}" for key, rate in ceilings.items()) + " TFLOP/s, GB/s\n")
    print("| work | libalexnet | PyTorch | not waiting | its fastest way | ratio | aimed at | images/s | "
          "floor | of the floor |\n|---|---|---|---|---|---|---|---|---|---|", *rows, sep="\n")
    return len(rows) != len(a.works)


if __name__ == "__main__":
    sys.exit(main())
