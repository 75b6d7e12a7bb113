"""Ours beside PyTorch on this machine, in turn: medians and their ratio.

usage: bench_peers.py BUILD [threads] [rounds]      (needs torch; BUILD as make makes it)

The same network, random data, forward and training step (SGD with momentum and weight decay).
Each round runs ours, then PyTorch, so that a drift of the machine meets both.
"""
import re
import statistics
import subprocess
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

build = sys.argv[1]
threads = int(sys.argv[2]) if len(sys.argv) > 2 else 2
rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
torch.set_num_threads(threads)


def norm():
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)  # torch divides alpha by 5


def head():
    return [nn.Flatten(), nn.Linear(9216, 4096), nn.ReLU(True), nn.Dropout(),
            nn.Linear(4096, 4096), nn.ReLU(True), nn.Dropout(), nn.Linear(4096, 1000)]


def paper():
    return nn.Sequential(
        nn.ZeroPad2d((0, 3, 0, 3)), nn.Conv2d(3, 96, 11, 4), nn.ReLU(True), norm(), nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(True), norm(), nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(True),
        nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(True),
        nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(True), nn.MaxPool2d(3, 2), *head())


def torchvision():
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(True), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(True), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(True),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(True),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(3, 2), *head())


def ours(arch, batch, kind, runs):
    text = subprocess.run([build + "/examples/bench", "--arch", arch, "--batch", str(batch), "--" + kind,
                           "--threads", str(threads), "--runs", str(runs)],
                          check=True, capture_output=True, text=True).stdout
    what = "forward" if kind == "forward" else "training"
    return float(re.search(what + r"\s+\d+\s+([\d.]+)", text).group(1)) / 1e3


def theirs(net, batch, kind, runs):
    x = torch.randn(batch, 3, 224, 224)
    labels = torch.randint(0, 1000, (batch,))
    net.train(kind == "train")
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-6, momentum=0.9, weight_decay=5e-4)

    def step():
        if kind == "forward":
            with torch.no_grad():
                net(x).softmax(1)
        else:
            optimiser.zero_grad()
            F.cross_entropy(net(x), labels).backward()
            optimiser.step()

    step()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


print(f"PyTorch {torch.__version__}, {threads} threads, median of {rounds} rounds")
print(f"{'':28}{'ours ms':>10}{'PyTorch ms':>12}{'images/s':>10}{'ratio':>7}")
for arch, make in (("paper", paper), ("torchvision", torchvision)):
    net = make()
    for kind, batch, runs in (("forward", 1, 15), ("forward", 32, 3), ("forward", 128, 1), ("train", 128, 1)):
        a, b = [], []
        for _ in range(rounds):
            a.append(ours(arch, batch, kind, runs))
            b.append(theirs(net, batch, kind, runs))
        mine, peer = statistics.median(a), statistics.median(b)
        print(f"{arch + ' ' + kind + ', batch ' + str(batch):28}{1e3 * mine:10.1f}{1e3 * peer:12.1f}"
              f"{batch / mine:10.1f}{peer / mine:7.2f}", flush=True)
