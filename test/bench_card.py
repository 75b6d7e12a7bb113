"""Ours beside PyTorch on a card, in turn: medians and their ratio.

usage: bench_card.py BUILD [rounds] [device]   (needs torch; BUILD as make makes it)

The same network, random data, forward and training step (SGD with momentum and weight decay).
Each round runs ours, then PyTorch, so that a drift of the machine meets both. Each precision is
compared with PyTorch's of the same name: its TF32 flags, or autocast to bfloat16 with channels
last; cudnn chooses its kernels by measuring. bench_cpu.py is the CPU's.
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
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
device = sys.argv[3] if len(sys.argv) > 3 else "cuda:0"
torch.backends.cudnn.benchmark = True


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


def ours(arch, batch, kind, runs, precision):
    text = subprocess.run([build + "/examples/bench", "--arch", arch, "--batch", str(batch), "--" + kind,
                           "--runs", str(runs), "--device", device,
                           "--precision", precision],
                          check=True, capture_output=True, text=True).stdout
    what = "forward" if kind == "forward" else "training"
    return float(re.search(what + r"\s+\d+\s+([\d.]+)", text).group(1)) / 1e3


def theirs(net, batch, kind, runs, precision):
    low = precision == "bf16"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    x = torch.randn(batch, 3, 224, 224, device=device)
    if low:
        x = x.to(memory_format=torch.channels_last)
        net.to(memory_format=torch.channels_last)
    labels = torch.randint(0, 1000, (batch,), device=device)
    net.train(kind == "train")
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-6, momentum=0.9, weight_decay=5e-4, fused=True)

    def step():
        if kind == "forward":
            with torch.no_grad(), torch.autocast(device.split(":")[0], torch.bfloat16, enabled=low):
                net(x).softmax(1)
        else:
            optimiser.zero_grad()
            with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=low):
                loss = F.cross_entropy(net(x), labels)
            loss.backward()
            optimiser.step()

    for _ in range(3):
        step()
    torch.cuda.synchronize()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        step()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


print(f"PyTorch {torch.__version__}, {torch.cuda.get_device_name(device)}, median of {rounds} rounds")
print(f"{'':34}{'ours ms':>10}{'PyTorch ms':>12}{'images/s':>10}{'ratio':>7}")
works = (("forward", 1, 50), ("forward", 128, 20), ("train", 128, 20))
for arch, make in (("paper", paper), ("torchvision", torchvision)):
    for precision in ("fp32", "tf32", "bf16"):
        net = make().to(device)
        for kind, batch, runs in works:
            a, b = [], []
            for _ in range(rounds):
                a.append(ours(arch, batch, kind, runs, precision))
                b.append(theirs(net, batch, kind, runs, precision))
            mine, peer = statistics.median(a), statistics.median(b)
            print(f"{arch + ' ' + kind + ', batch ' + str(batch) + ', ' + precision:34}"
                  f"{1e3 * mine:10.3f}{1e3 * peer:12.3f}{batch / mine:10.1f}{peer / mine:7.2f}", flush=True)
