"""units.py - the tests as units that can be run alone, and which lines of code each reaches.

A unit is a test of one of the two Check programs, or a script of test/examples. gcov says what
a unit reaches, in a build of its own, one unit after the other.
"""
import collections
import glob
import gzip
import json
import os
import resource
import signal
import subprocess
import time

# OpenBLAS as a shared object: the private one wraps functions that gcov writes its files with.
MAKE = ["make", "-s", "NVCC=:", "OPENBLAS=shared"]
GOALS = {"lib": ["build/test/check"], "programs": ["all", "build/test/programs/check"]}
MEMORY = 8 << 30  # bytes that a unit may map
FILE = 1 << 30    # bytes that a file of it may have

Unit = collections.namedtuple("Unit", "name goal command environment")


def all_units(root):
    """Of a tree that is built; a test that is left out here is found out when it is run."""
    found = []
    for goal, program in (("lib", "build/test/check"),
                          ("programs", "build/test/programs/check")):
        names = subprocess.run([program, "--list"], cwd=root, capture_output=True, text=True,
                               check=True).stdout.split()
        for name in sorted(set(names)):
            found.append(Unit(name, goal, [program], {
                "AN_TEST": name, "AN_PROGRAMS": os.path.join(root, "build/examples")}))
    for path in sorted(glob.glob(os.path.join(root, "test/examples/*.sh"))):
        name = os.path.relpath(path, root)
        if not name.endswith("common.sh"):
            found.append(Unit(name, "programs", ["sh", name, "build"], {}))
    return found


def limits():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def end_session(session):
    """Kills all processes of a session: Check's children, each a process group of its own, too."""
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                pid, rest = path.split("/")[2], file.read().rsplit(")", 1)[1].split()
            if int(rest[3]) == session:
                os.kill(int(pid), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            pass


def run(unit, root, seconds, environment=None):
    """(exit status, output, seconds); None for a status if the time was up. What the unit has
    started ends with it."""
    began = time.monotonic()
    child = subprocess.Popen(unit.command, cwd=root, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             start_new_session=True, preexec_fn=limits,
                             env=dict(os.environ, **unit.environment, **(environment or {})))
    try:
        output, status = child.communicate(timeout=seconds)[0], child.returncode
    except subprocess.TimeoutExpired:
        output, status = b"", None
    end_session(child.pid)
    child.wait()
    return status, output.decode("utf-8", "replace"), time.monotonic() - began


def build(root, goals, flags, quiet=False):
    """Whether `make` made them."""
    done = subprocess.run(MAKE + flags + goals, cwd=root, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL if quiet else None, check=False)
    return done.returncode == 0


def counters(root):
    return glob.glob(os.path.join(root, "build/**/*.gcda"), recursive=True)


def lines_reached(root):
    """{file: {line: (times, branches, branches taken)}} of what ran since the last call."""
    reached = collections.defaultdict(dict)
    files = [os.path.relpath(f, root) for f in counters(root)]
    for first in range(0, len(files), 40):
        out = subprocess.run(["gcov", "-b", "--json-format", "--stdout"] +
                             files[first:first + 40], cwd=root, capture_output=True,
                             check=True).stdout
        for document in out.splitlines():
            for file in json.loads(document)["files"]:
                name = os.path.normpath(file["file"])
                if name.startswith(("/", "test", "..")):
                    continue
                lines = reached[name]
                for line in file["lines"]:
                    branches = [b["count"] > 0 for b in line.get("branches", [])]
                    old = lines.get(line["line_number"], (0, []))
                    if len(old[1]) == len(branches):  # the same line for another processor
                        branches = [a or b for a, b in zip(old[1], branches)]
                    lines[line["line_number"]] = (old[0] + line["count"], branches)
    for file in counters(root):
        os.remove(file)
    return reached


class Coverage:
    """What each unit reaches and how long it takes; kept in a file for the next run."""

    def __init__(self):
        self.seconds, self.reached, self.all = {}, {}, {}

    def add(self, unit, seconds, reached):
        self.seconds[unit.name] = seconds
        self.reached[unit.name] = {f: sorted(n for n, l in lines.items() if l[0] > 0)
                                   for f, lines in reached.items()}
        for file, lines in reached.items():
            whole = self.all.setdefault(file, {})
            for number, (times, branches) in lines.items():
                old = whole.get(number, (0, []))
                if len(old[1]) == len(branches):
                    branches = [a or b for a, b in zip(old[1], branches)]
                whole[number] = (old[0] + times, branches)

    def save(self, path):
        with gzip.open(path, "wt") as file:
            json.dump([self.seconds, self.reached, self.all], file)

    def load(self, path):
        with gzip.open(path, "rt") as file:
            self.seconds, self.reached, whole = json.load(file)
        self.all = {f: {int(n): l for n, l in lines.items()} for f, lines in whole.items()}

    def place(self, path, line):
        """The line that gcov counts `line` to: itself, or the last before it; 0: none."""
        return max((n for n in self.all.get(path, {}) if n <= line), default=0)

    def units_of(self, path, line):
        """Names of the units that reach a line, the quickest first; of a table, which no line
        of code stands before, those that reach the file."""
        at = self.place(path, line)
        names = [u for u, files in self.reached.items()
                 if path in files and (at in files[path] if at else True)]
        return sorted(names, key=lambda u: self.seconds[u])

    def table(self):
        """A row for each file: lines, share reached, branches, share taken."""
        for file, lines in sorted(self.all.items()):
            branches = [b for _, found in lines.values() for b in found]
            yield (file, len(lines), sum(l[0] > 0 for l in lines.values()), len(branches),
                   sum(branches))


def measure(root, say):
    """A Coverage of the tree in `root`, which is built with counters."""
    flags = ["CFLAGS=-O1 -g --coverage -fprofile-update=single"]
    coverage = Coverage()
    if not build(root, GOALS["lib"] + GOALS["programs"], flags):
        raise SystemExit("mutate: the build with counters failed")
    lines_reached(root)
    for unit in all_units(root):
        status, output, seconds = run(unit, root, 1800, {"CK_TIMEOUT_MULTIPLIER": "10"})
        reached = lines_reached(root)
        if "Checks: 0," in output or not reached:
            continue
        say("%-60s %6.1f s%s" % (unit.name, seconds, "" if status == 0 else
                                 "  fails with counters: left out"))
        if status == 0:
            coverage.add(unit, seconds, reached)
    return coverage
