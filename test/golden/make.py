"""Writes torchvision.bin and paper.bin: what PyTorch makes of two small AlexNets.

usage: make.py        (needs torch and numpy; run in this folder)

Both nets have 0.03 of the usual width, 7 classes, no dropout, a batch of 3. Parameters and
images come from number(), which test_golden.c has too, so only results are stored, computed
in float64 and rounded to float32: logits, loss, the gradient of every parameter at the
first step, and every parameter after five steps of SGD, in the order of the library.
"""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

CLASSES, BATCH, STEPS = 7, 3, 5


def number(stream, count):
    """Uniform in [-1, 1): a mix of the place, the same in C."""
    x = (np.arange(count, dtype=np.uint64) * np.uint64(2654435761)
         + np.uint64(stream * 0x9E3779B97F4A7C15 % 2 ** 64))
    x ^= x >> np.uint64(29)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(32)
    return ((x >> np.uint64(40)).astype(np.float64) / 2 ** 23 - 1).astype(np.float32)


class TowerNorm(nn.Module):
    """The paper's response normalisation, each half of the maps by itself."""

    def forward(self, x):
        # torch divides alpha by the window's size
        return torch.cat([F.local_response_norm(half, 5, alpha=5e-4, beta=0.75, k=2)
                          for half in x.chunk(2, 1)], 1)


def torchvision():
    return nn.Sequential(
        nn.Conv2d(3, 4, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(4, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(4, 12, 3, padding=1), nn.ReLU(),
        nn.Conv2d(12, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(),
        nn.Linear(288, 124), nn.ReLU(), nn.Linear(124, 124), nn.ReLU(),
        nn.Linear(124, CLASSES))


def paper():
    return nn.Sequential(
        nn.ZeroPad2d((0, 3, 0, 3)),
        nn.Conv2d(3, 4, 11, 4), nn.ReLU(), TowerNorm(), nn.MaxPool2d(3, 2),
        nn.Conv2d(4, 8, 5, padding=2, groups=2), nn.ReLU(), TowerNorm(), nn.MaxPool2d(3, 2),
        nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(),
        nn.Conv2d(12, 12, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(12, 8, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Flatten(), nn.Linear(288, 124), nn.ReLU(), nn.Linear(124, 124), nn.ReLU(),
        nn.Linear(124, CLASSES))


def fill(net):
    parameters = list(net.parameters())
    for i, p in enumerate(parameters):
        inputs = p[0].numel() if p.dim() > 1 else parameters[i - 1][0].numel()
        values = number(i + 1, p.numel()) * np.float32((3 / inputs) ** 0.5)
        with torch.no_grad():
            p.copy_(torch.from_numpy(values).double().reshape(p.shape))


def write(name, net, brightness, rate, bias_rate, bias_decay):
    net = net.double()
    fill(net)
    images = torch.from_numpy(number(100, BATCH * 3 * 224 * 224)
                              * np.float32(brightness)).double().reshape(BATCH, 3, 224, 224)
    labels = torch.tensor([1, 6, 0])
    kinds = [[p for p in net.parameters() if p.dim() > 1],
             [p for p in net.parameters() if p.dim() == 1]]
    optimiser = torch.optim.SGD(
        [{"params": kinds[0], "lr": rate, "weight_decay": 5e-4},
         {"params": kinds[1], "lr": bias_rate, "weight_decay": bias_decay}],
        lr=rate, momentum=0.9)
    out = []
    for step in range(STEPS):
        optimiser.zero_grad()
        logits = net(images)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        if step == 0:
            out += [logits, loss.reshape(1)] + [p.grad for p in net.parameters()]
            out = [t.detach().clone() for t in out]
        optimiser.step()
        print(name, "step", step + 1, "loss", loss.item())
    out += [p.detach() for p in net.parameters()]
    np.concatenate([t.numpy().ravel() for t in out]).astype("<f4").tofile(name + ".bin")


if __name__ == "__main__":
    write("torchvision", torchvision(), 2, 0.003, 0.003, 5e-4)
    write("paper", paper(), 128, 0.00003, 0.00006, 0)
