"""Ours beside PyTorch, ONNX Runtime and OpenVINO on this machine's CPU, in turn.

usage: bench_cpu.py BUILD [--threads N] [--rounds N] [--works LIST] [--memory]

BUILD is the folder that make builds in. Peers are those that this python can import: numpy and
torch are needed, onnx with onnxruntime or openvino for theirs; nothing is installed. All have the
same weights and inputs; their probabilities must agree. Each round runs ours and each peer some
times (one image 12, more 3, training 1), so that a drift of the machine meets all; the ratio is
ours over the fastest peer's throughput.

Peers get the network in the form that suits them: response normalisation over all maps, which is
one operation of theirs, where the paper's stays within a half. That is what their times are of;
agreement is checked with the halves for PyTorch, and against PyTorch without them for the others.
--memory: the peak resident set of each, in a process of its own.
"""
import argparse
import ctypes as c
import gc
import os
import statistics
import subprocess
import sys
import time

import numpy as np

# --- ours, through the shared object ---------------------------------------------------------------


class ContextConfig(c.Structure):
    _fields_ = [("size", c.c_size_t), ("alloc", c.c_void_p), ("release", c.c_void_p), ("alloc_user", c.c_void_p),
                ("log", c.c_void_p), ("log_user", c.c_void_p), ("threads", c.c_uint32), ("cpu_path", c.c_uint32),
                ("plugin", c.c_void_p)]


class ModelConfig(c.Structure):
    _fields_ = [("size", c.c_size_t), ("arch", c.c_uint32), ("fields", c.c_uint32 * 15), ("seed", c.c_uint64),
                ("devices", c.c_void_p)]


class TrainerConfig(c.Structure):
    _fields_ = [("size", c.c_size_t), ("batch", c.c_uint32), ("augment", c.c_uint32), ("rate", c.c_float),
                ("fields", c.c_uint32 * 12)]


class ParameterInfo(c.Structure):
    _fields_ = [("size", c.c_size_t), ("name", c.c_char * 48), ("layer", c.c_char * 16), ("is_bias", c.c_uint32),
                ("dims", c.c_uint32), ("shape", c.c_uint32 * 4), ("count", c.c_uint64)]


def pointer(array):
    return array.ctypes.data_as(c.c_void_p)


class Ours:
    name = "libalexnet"

    def __init__(self, arch, build, threads, path=0):
        self.lib = c.CDLL(os.path.join(build, "libalexnet.so"))
        self.lib.an_error_message.restype = c.c_char_p
        context, model = ContextConfig(), ModelConfig()
        self.lib.an_context_config_init(c.byref(context), c.c_size_t(c.sizeof(context)))
        context.threads, context.cpu_path = threads, path
        self.context, self.model, self.trainer = c.c_void_p(), c.c_void_p(), c.c_void_p()
        self.check(self.lib.an_context_create(c.byref(self.context), c.byref(context)))
        self.lib.an_model_config_init(c.byref(model), c.c_size_t(c.sizeof(model)))
        found = c.c_uint32()
        self.check(self.lib.an_arch_find(arch.encode(), c.byref(found)))
        model.arch = found.value
        self.check(self.lib.an_model_create(c.byref(self.model), self.context, c.byref(model)))

    def check(self, status):
        if status != 0:
            sys.exit(self.lib.an_error_message().decode())

    def weights(self):
        """Tensors in order, [(name, array)]."""
        tensors, info = [], ParameterInfo()
        self.lib.an_parameter_info_init(c.byref(info), c.c_size_t(c.sizeof(info)))
        for i in range(64):
            if self.lib.an_parameter_describe(self.model, c.c_uint32(i), c.byref(info)) != 0:
                return tensors
            values = np.empty(list(info.shape)[:info.dims], np.float32)
            self.check(self.lib.an_parameter_get(self.model, c.c_uint32(i), pointer(values), c.c_size_t(values.size)))
            tensors.append((info.name.decode(), values))
        return tensors

    def set_weights(self, tensors):
        for i, (_, values) in enumerate(tensors):
            self.check(self.lib.an_parameter_set(self.model, c.c_uint32(i), pointer(values), c.c_size_t(values.size)))

    def forward(self, x, classes=1000):
        p = np.empty((len(x), classes), np.float32)
        self.check(self.lib.an_infer(self.model, pointer(x), c.c_uint32(len(x)), pointer(p), c.c_size_t(p.size)))
        return p

    def train(self, x, labels):
        if not self.trainer:
            config = TrainerConfig()
            self.lib.an_trainer_config_init(c.byref(config), c.c_size_t(c.sizeof(config)))
            config.batch, config.rate = len(x), 1e-6
            self.check(self.lib.an_trainer_create(c.byref(self.trainer), self.model, c.byref(config)))
        self.check(self.lib.an_train_step(self.trainer, pointer(x), pointer(labels), c.c_uint32(len(x)), None))

    def close(self):
        self.lib.an_trainer_destroy(self.trainer)
        self.lib.an_model_destroy(self.model)
        self.lib.an_context_destroy(self.context)


# --- the networks, as the peers have them: conv (maps, kernel, stride, pads, groups), n, p, dense -------

SIDE = {"paper": 224, "torchvision": 224, "cifar10": 32}
CLASSES = {"paper": 1000, "torchvision": 1000, "cifar10": 10}
END = [("dense", 4096), ("relu",), ("drop",), ("dense", 4096), ("relu",), ("drop",), ("dense", 1000)]
NETS = {
    "paper": [("conv", 96, 11, 4, (0, 3), 1), ("relu",), ("norm", 5, 1e-4, 2.0), ("pool", 3, 2, False),
              ("conv", 256, 5, 1, (2, 2), 2), ("relu",), ("norm", 5, 1e-4, 2.0), ("pool", 3, 2, False),
              ("conv", 384, 3, 1, (1, 1), 1), ("relu",), ("conv", 384, 3, 1, (1, 1), 2), ("relu",),
              ("conv", 256, 3, 1, (1, 1), 2), ("relu",), ("pool", 3, 2, False)] + END,
    "torchvision": [("conv", 64, 11, 4, (2, 2), 1), ("relu",), ("pool", 3, 2, False),
                    ("conv", 192, 5, 1, (2, 2), 1), ("relu",), ("pool", 3, 2, False),
                    ("conv", 384, 3, 1, (1, 1), 1), ("relu",), ("conv", 256, 3, 1, (1, 1), 1), ("relu",),
                    ("conv", 256, 3, 1, (1, 1), 1), ("relu",), ("pool", 3, 2, False)] + END,
    "cifar10": [("conv", 32, 5, 1, (2, 2), 1), ("relu",), ("pool", 3, 2, True), ("norm", 3, 5e-5, 1.0),
                ("conv", 32, 5, 1, (2, 2), 1), ("relu",), ("pool", 3, 2, True), ("norm", 3, 5e-5, 1.0),
                ("conv", 64, 5, 1, (2, 2), 1), ("relu",), ("pool", 3, 2, True), ("dense", 10)],
}


class Torch:
    name = "PyTorch"

    def __init__(self, arch, tensors, threads, halves=False):
        import torch
        import torch.nn as nn
        torch.set_num_threads(threads)
        self.torch = torch

        class Halves(nn.Module):
            def __init__(self, norm):
                super().__init__()
                self.norm = norm

            def forward(self, x):
                n, maps, height, width = x.shape
                return self.norm(x.view(2 * n, maps // 2, height, width)).view(n, maps, height, width)

        layers, maps, flat, weights = [], 3, False, iter(tensors)
        for kind, *a in NETS[arch]:
            if kind == "conv":
                if a[3][0] != a[3][1]:
                    layers.append(nn.ZeroPad2d((a[3][0], a[3][1], a[3][0], a[3][1])))
                layers.append(nn.Conv2d(maps, a[0], a[1], a[2], a[3][0] if a[3][0] == a[3][1] else 0, groups=a[4]))
                maps = a[0]
            elif kind == "relu":
                layers.append(nn.ReLU(True))
            elif kind == "norm":
                norm = nn.LocalResponseNorm(a[0], alpha=a[0] * a[1], beta=0.75, k=a[2])  # torch divides alpha
                layers.append(Halves(norm) if halves and arch == "paper" else norm)
            elif kind == "pool":
                layers.append(nn.MaxPool2d(a[0], a[1], ceil_mode=a[2]))
            elif kind == "drop":
                layers.append(nn.Dropout())
            else:
                weight = dict(tensors)[[n for n, v in tensors if v.ndim == 2][sum(isinstance(m, nn.Linear) for m in layers)]]
                if not flat:
                    layers.append(nn.Flatten())
                    flat = True
                layers.append(nn.Linear(weight.shape[1], weight.shape[0]))
            if kind in ("conv", "dense"):
                with torch.no_grad():
                    layers[-1].weight.copy_(torch.from_numpy(next(weights)[1]))
                    layers[-1].bias.copy_(torch.from_numpy(next(weights)[1]))
        self.net = nn.Sequential(*layers).eval()
        # testing-time scaling of dropout: the paper halves the outputs that training keeps half of
        self.halve = arch == "paper"
        self.optimiser = None

    def forward(self, x):
        with self.torch.inference_mode():
            y = self.torch.from_numpy(x)
            for layer in self.net:
                y = layer(y) * 0.5 if self.halve and isinstance(layer, self.torch.nn.Dropout) else layer(y)
            return y.softmax(1).numpy()

    def train(self, x, labels):
        if self.optimiser is None:
            self.net.train()
            self.optimiser = self.torch.optim.SGD(self.net.parameters(), lr=1e-6, momentum=0.9, weight_decay=5e-4)
        self.optimiser.zero_grad()
        loss = self.torch.nn.functional.cross_entropy(self.net(self.torch.from_numpy(x)),
                                                      self.torch.from_numpy(labels.astype(np.int64)))
        loss.backward()
        self.optimiser.step()


def onnx_model(arch, tensors, batch):
    from onnx import TensorProto, helper, numpy_helper
    nodes, initial, weights, now, flat = [], [], iter(tensors), "x", False

    def add(op, inputs, **attributes):
        nonlocal now
        nodes.append(helper.make_node(op, [now] + inputs, [f"t{len(nodes)}"], **attributes))
        now = nodes[-1].output[0]

    def initialiser(name, values):
        initial.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    if arch == "paper":
        halve = initialiser("half", np.float32(0.5))
    for kind, *a in NETS[arch]:
        if kind in ("conv", "dense"):
            pair = [initialiser(n, v) for n, v in (next(weights), next(weights))]
        if kind == "conv":
            add("Conv", pair, kernel_shape=[a[1]] * 2, strides=[a[2]] * 2, group=a[4],
                pads=[a[3][0], a[3][0], a[3][1], a[3][1]])
        elif kind == "relu":
            add("Relu", [])
        elif kind == "norm":
            add("LRN", [], size=a[0], alpha=a[0] * a[1], beta=0.75, bias=a[2])
        elif kind == "pool":
            add("MaxPool", [], kernel_shape=[a[0]] * 2, strides=[a[1]] * 2, ceil_mode=int(a[2]))
        elif kind == "dense":
            if not flat:
                add("Flatten", [])
                flat = True
            add("Gemm", pair, transB=1)
        elif arch == "paper":
            add("Mul", [halve])
    add("Softmax", [], axis=1)
    side = SIDE[arch]
    graph = helper.make_graph(nodes, arch, [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, side, side])],
                              [helper.make_tensor_value_info(now, TensorProto.FLOAT, [batch, CLASSES[arch]])], initial)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


class OnnxRuntime:
    name = "ONNX Runtime"

    def __init__(self, arch, tensors, threads, batch):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(onnx_model(arch, tensors, batch).SerializeToString(), options,
                                                    providers=["CPUExecutionProvider"])

    def forward(self, x):
        return self.session.run(None, {"x": x})[0]


class OpenVino:
    name = "OpenVINO"

    def __init__(self, arch, tensors, threads, batch):
        import openvino
        core = openvino.Core()
        model = core.read_model(onnx_model(arch, tensors, batch).SerializeToString())
        self.model = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
                                                       "INFERENCE_PRECISION_HINT": "f32",
                                                       "EXECUTION_MODE_HINT": "ACCURACY"})

    def forward(self, x):
        return self.model([x])[0]


def found(name):
    import importlib.util
    return importlib.util.find_spec(name) is not None


def peers_of(kind, arch, tensors, threads, batch):
    peers = [Torch(arch, tensors, threads)]
    if kind == "forward" and found("onnx"):
        peers += [p(arch, tensors, threads, batch) for p, m in ((OnnxRuntime, "onnxruntime"), (OpenVino, "openvino"))
                  if found(m)]
    return peers


REST = 0.3  # seconds before each run: some peers' threads spin for a while after theirs

# --- runs ----------------------------------------------------------------------------------------------

WORKS = ["forward:paper:1", "forward:paper:32", "forward:paper:128", "forward:torchvision:1",
         "forward:torchvision:32", "forward:torchvision:128", "train:paper:128", "train:torchvision:128",
         "train:cifar10:128", "forward:paper:1:1", "forward:torchvision:1:1"]


def made(arch, build, threads):
    """Ours, with weights whose activations neither vanish nor grow: bounds of sqrt(6 / inputs)."""
    ours, random = Ours(arch, build, threads), np.random.default_rng(1)
    tensors = [(n, (random.uniform(-1, 1, v.shape) * (6 / max(1, v[0].size)) ** 0.5 if v.ndim > 1 else
                    random.uniform(-0.1, 0.1, v.shape)).astype(np.float32)) for n, v in ours.weights()]
    ours.set_weights(tensors)
    return ours, tensors


def data(arch, batch):
    random = np.random.default_rng(2)
    return (random.standard_normal((batch, 3, SIDE[arch], SIDE[arch])).astype(np.float32),
            random.integers(0, CLASSES[arch], batch).astype(np.int32))


def far(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max())


def agree(arch, ours, tensors, peers, x, threads):
    """The largest difference found, relative to the largest probability."""
    exact = Torch(arch, tensors, threads, halves=True).forward(x)
    plain = peers[0].forward(x) if arch == "paper" else exact
    worst = max([far(ours.forward(x, CLASSES[arch]), exact)] + [far(p.forward(x), plain) for p in peers[1:]])
    if not worst < 1e-3:
        sys.exit(f"{arch}: outputs differ by {worst}")
    return worst


def run(one, kind, x, labels, classes):
    started = time.perf_counter()
    if kind == "train":
        one.train(x, labels)
    elif isinstance(one, Ours):
        one.forward(x, classes)
    else:
        one.forward(x)
    return time.perf_counter() - started


def compare(work, build, threads, rounds):
    kind, arch, batch, *own_threads = work.split(":")
    batch, threads = int(batch), int(own_threads[0]) if own_threads else threads
    ours, tensors = made(arch, build, threads)
    x, labels = data(arch, batch)
    peers = peers_of(kind, arch, tensors, threads, batch)
    worst = agree(arch, ours, tensors, peers, x[:batch] if kind == "forward" else x[:4], threads)
    all_of, times = [ours] + peers, {}
    calls = (12 if batch == 1 else 3) if kind == "forward" else 1
    for one in all_of:
        run(one, kind, x, labels, CLASSES[arch])
        times[one.name] = []
    for _ in range(rounds):
        for one in all_of:
            time.sleep(REST)
            times[one.name] += [run(one, kind, x, labels, CLASSES[arch]) for _ in range(calls)]
    medians = {name: statistics.median(t) for name, t in times.items()}
    best = min(v for n, v in medians.items() if n != Ours.name)
    label = f"{arch}, {'training' if kind == 'train' else 'forward'}, {batch}" + (f", {threads} thread" if own_threads else "")
    cells = [f"{1e3 * medians[n]:.2f}" if n in medians else "" for n in
             (Ours.name, Torch.name, OnnxRuntime.name, OpenVino.name)]
    print(f"| {label} | " + " | ".join(cells) + f" | {batch / medians[Ours.name]:.1f} | "
          f"{best / medians[Ours.name]:.2f} | {worst:.0e} |", flush=True)
    ours.close()


PEERS = {"PyTorch": Torch, "ONNX Runtime": OnnxRuntime, "OpenVINO": OpenVino}


def memory_of(work, who, build, threads):
    """The peak from when the network is ready on, in a process that keeps no other weights."""
    kind, arch, batch = work.split(":")[:3]
    x, labels = data(arch, int(batch))
    arrays = np.load(os.path.join(build, arch + ".npz"))
    tensors = [(n, arrays[n]) for n in arrays.files]
    if who == Ours.name:
        one = Ours(arch, build, threads)
        one.set_weights(tensors)
    else:
        one = PEERS[who](arch, tensors, threads, *([] if who == "PyTorch" else [int(batch)]))
    del tensors
    gc.collect()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    for _ in range(2):
        run(one, kind, x, labels, CLASSES[arch])
    with open("/proc/self/status") as file:
        print(int(file.read().split("VmHWM:")[1].split()[0]) // 1024)


def memory(build, threads):
    print("| peak resident set, MiB | " + " | ".join([Ours.name] + list(PEERS)) + " |")
    print("|---|---|---|---|---|")
    for work in ("forward:torchvision:1", "forward:torchvision:128", "train:torchvision:128", "train:paper:128"):
        kind, arch, batch = work.split(":")
        ours, tensors = made(arch, build, threads)
        ours.close()
        np.savez(os.path.join(build, arch + ".npz"), **dict(tensors))
        cells = []
        for who in [Ours.name] + list(PEERS):
            out = subprocess.run([sys.executable, __file__, build, "--threads", str(threads), "--memory-of", work, who],
                                 capture_output=True, text=True).stdout if kind == "forward" or who in (Ours.name, "PyTorch") else ""
            cells.append(out.split()[-1] if out.split() else "")
        print(f"| {arch}, {'training' if kind == 'train' else 'forward'}, {batch} | " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--works", default=",".join(WORKS), help="kind:arch:batch[:threads], with commas")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.memory_of:
        return memory_of(*a.memory_of, a.build, a.threads)
    if a.memory:
        return memory(a.build, a.threads)
    versions = [f"{m} {__import__(m).__version__}" for m in ("torch", "onnxruntime", "openvino") if found(m)]
    print(f"{', '.join(versions)}; {a.threads} threads; medians of {a.rounds} rounds, ms\n")
    print("| work, images | libalexnet | PyTorch | ONNX Runtime | OpenVINO | images/s | ratio | outputs differ by |")
    print("|---|---|---|---|---|---|---|---|")
    for work in a.works.split(","):
        compare(work, a.build, a.threads, a.rounds)


if __name__ == "__main__":
    main()
