#!/usr/bin/env python3
"""mutate.py - do the tests notice? Plants mistakes in the sources one at a time and runs the
tests that reach the line until one turns red.

usage: mutate.py [--count N] [--files GLOB,GLOB] [--seed N] [--limit SECONDS] [--jobs N]
                 [--again] [--coverage]

Of the tests that reach a line those that have caught a mistake in its file come first, the
quickest of them before the others; --limit says how long is tried for one mutant.

A sample of N mutants, spread over the files by their size, the same for the same seed and
sources. A mutant that does not compile, or whose machine code is the original's, is another's
turn. --again takes last time's survivors; --coverage says what the tests reach and stops.
Survivors that were looked at and are no test's business stand with the reason in
accepted.txt, a line each: file | line before | line after | reason.

All is done on copies of the tree below build/mutate, where results.txt and survivors/ are left.
Exits with 1 if a folder is below 90 %, or a file of more than 100 lines, of which at least 7
mutants were tried, below 85 %. Of less than 100 mutants of a folder chance is allowed for: two
standard deviations.
"""
import argparse
import concurrent.futures
import difflib
import fnmatch
import math
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import zlib

import mutants
import units

HOME = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HOME))
WORK = os.path.join(ROOT, "build", "mutate")
FOLDERS = ("lib/*.c", "cpu/*.c", "cpu/vector/*.c", "examples/*.c", "examples/common/*.c")
# What a compiler only warns of but nobody would overlook.
FLAGS = ["CFLAGS=-O2 -Werror=int-conversion -Werror=incompatible-pointer-types "
         "-Werror=implicit-function-declaration -Werror=format"]
ROW = "%-32s %7d %7d %9d %9d %6.1f%%%s"


def say(text):
    print(text, flush=True)


def tracked():
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT,
                           capture_output=True, text=True, check=True).stdout.split("\n")
    return [n for n in names if n and os.path.isfile(os.path.join(ROOT, n))]


def copy_tree(where):
    """Brings a copy of the tree up to date; what did not change keeps its age."""
    for name in tracked():
        old, new = os.path.join(ROOT, name), os.path.join(where, name)
        os.makedirs(os.path.dirname(new), exist_ok=True)
        with open(old, "rb") as file:
            text = file.read()
        if os.path.exists(new):
            with open(new, "rb") as file:
                if file.read() == text:
                    continue
        shutil.copy(old, new)
    for folder in ("include", "lib", "cpu", "cuda", "examples", "test"):
        for path, _, files in os.walk(os.path.join(where, folder)):
            for name in files:
                inner = os.path.relpath(os.path.join(path, name), where)
                if not os.path.exists(os.path.join(ROOT, inner)):
                    os.remove(os.path.join(path, name))


def objects_of(path):
    """The object files of a source; of a vector one, one for each set of instructions."""
    if path.startswith("cpu/vector/"):
        name = os.path.basename(path)[:-2]
        have = open("/proc/cpuinfo", encoding="utf-8").read()
        return ["build/cpu/%s/%s.o" % (isa, name) for isa, flag in
                (("avx2", " avx2"), ("avx512", " avx512dq")) if flag in have]
    return ["build/" + path[:-2] + ".o"]


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def moved(unit, root):
    """The unit with the programs of that tree."""
    environment = dict(unit.environment)
    if "AN_PROGRAMS" in environment:
        environment["AN_PROGRAMS"] = os.path.join(root, "build/examples")
    return unit._replace(environment=environment)


def built_tree(name):
    """A copy of the tree, with all tests built."""
    root, first = os.path.join(WORK, name), os.path.join(WORK, "clean")
    if root != first and not os.path.exists(root):
        subprocess.run(["cp", "-a", first, root], check=True)
    copy_tree(root)
    if not units.build(root, units.GOALS["lib"] + units.GOALS["programs"], FLAGS):
        raise SystemExit("mutate: the build failed")
    return root


class Clean:
    """The sources as they are: a test that fails there too catches nothing."""

    def __init__(self):
        self.root, self.lock, self.passes = built_tree("clean"), threading.Lock(), {}

    def unit_passes(self, unit):
        with self.lock:
            if unit.name not in self.passes:
                status = units.run(moved(unit, self.root), self.root, 1800)[0]
                self.passes[unit.name] = status == 0
                if status != 0:
                    say("left out: %s fails on the sources as they are" % unit.name)
            return self.passes[unit.name]


class Worker:
    """A copy of the tree in which one mutant at a time is planted and tried."""

    def __init__(self, number, clean):
        self.root, self.clean = built_tree("tree%d" % number), clean

    def try_one(self, mutant, order, limit):
        """'stillborn', 'same', 'caught by ...' or 'survived'."""
        path = os.path.join(self.root, mutant.path)
        objects = objects_of(mutant.path)
        kept = [contents(os.path.join(self.root, o)) for o in objects]
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(mutants.apply(mutant, text))
        try:
            if not units.build(self.root, objects, FLAGS, quiet=True):
                return "stillborn"
            if kept == [contents(os.path.join(self.root, o)) for o in objects]:
                return "same"
            return self.ask(order, limit)
        finally:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)

    def ask(self, order, limit):
        spent, built = 0, set()
        for unit, seconds in order:
            if spent > 0 and spent + seconds > limit:
                continue
            if unit.goal not in built:
                if not units.build(self.root, units.GOALS[unit.goal], FLAGS, quiet=True):
                    return "stillborn"
                built.add(unit.goal)
            status, _, took = units.run(moved(unit, self.root), self.root, 10 + 4 * seconds)
            spent += took
            if status != 0 and self.clean.unit_passes(unit):
                return "caught by " + unit.name + (" (time)" if status is None else "")
        return "survived"


# --- choosing ----------------------------------------------------------------------------------

def accepted():
    found = {}
    path = os.path.join(HOME, "accepted.txt")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            for line in file:
                parts = [p.strip() for p in line.split(" | ")]
                if len(parts) == 4 and not line.startswith("#"):
                    found[tuple(parts[:3])] = parts[3]
    return found


def change(mutant, text):
    """(line before, line after): as accepted.txt has them, spaces made one."""
    after = mutants.apply(mutant, text)
    first = text.rfind("\n", 0, mutant.start) + 1
    last = text.find("\n", mutant.end)
    return (" ".join(text[first:last].split()),
            " ".join(after[first:last + len(after) - len(text)].split()))


def difference(mutant, text):
    return "".join(difflib.unified_diff(
        text.splitlines(True), mutants.apply(mutant, text).splitlines(True),
        "a/" + mutant.path, "b/" + mutant.path))


def sources(patterns):
    return {n: contents(os.path.join(ROOT, n)).decode() for n in tracked()
            if any(fnmatch.fnmatch(n, p) for p in FOLDERS)
            and (not patterns or any(fnmatch.fnmatch(n, p) for p in patterns))}


def queue_of(texts, coverage, seed):
    """For each file its mutants on lines that a test reaches, shuffled."""
    queues, missed = {}, 0
    for path, text in sorted(texts.items()):
        rng = random.Random("%d %s" % (seed, path))
        reached = [m for m in mutants.of_file(path, text)
                   if coverage.units_of(path, m.line)]
        missed += len(mutants.of_file(path, text)) - len(reached)
        rng.shuffle(reached)
        if reached:
            queues[path] = reached
    return queues, missed


def shares(queues, count):
    """How many of each file, `count` in all: by the number of its mutants; five at least where
    that leaves half of them to be spread so."""
    whole = sum(len(q) for q in queues.values())
    least = 5 if 10 * len(queues) <= count else 0
    spread = (count - least * len(queues)) / whole
    part, wanted = 0.0, {}
    for path, queue in sorted(queues.items()):
        part += spread * len(queue)
        wanted[path] = min(len(queue), least + int(part))
        part -= int(part)
    return {p: n for p, n in wanted.items() if n > 0}


def least_share(count):
    """Of a folder's mutants, to be caught or accepted."""
    return 0.9 if count >= 100 else 0.9 - 2 * math.sqrt(0.9 * 0.1 / max(1, count))


# --- the run -----------------------------------------------------------------------------------

class Report:
    def __init__(self, texts, wanted):
        self.texts, self.wanted, self.known = texts, wanted, accepted()
        self.rows = {p: [] for p in wanted}
        self.catchers = {p: set() for p in wanted}  # units that have caught one of the file's
        self.lock, self.began, self.tries = threading.Lock(), time.monotonic(), 0

    def note(self, mutant, verdict):
        with self.lock:
            self.tries += 1
            key = (mutant.path,) + change(mutant, self.texts[mutant.path])
            if verdict == "survived" and key in self.known:
                verdict = "accepted"
            self.rows[mutant.path].append((mutant, verdict))
            if verdict.startswith("caught by "):
                self.catchers[mutant.path].add(verdict.split()[2])
            done = sum(len(self.counted(p)) for p in self.rows)
            whole = sum(self.wanted.values())
            spent = time.monotonic() - self.began
            if verdict in ("stillborn", "same"):
                return
            say("%4d/%d  %5.1f s each, %3.0f min left  %s:%d %s: %s" % (
                done, whole, spent / max(1, done),
                (whole - done) * spent / max(1, done) / 60, mutant.path, mutant.line,
                mutant.kind, verdict))
            if verdict == "survived":
                say("        - %s\n        + %s" % key[1:])

    def counted(self, path):
        return [r for r in self.rows[path] if r[1] not in ("stillborn", "same")]

    def write(self):
        """The table, on the screen and in results.txt; the survivors' diffs. True: enough."""
        folder = os.path.join(WORK, "survivors")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        lines, good, whole = [], True, {}
        lines.append("%-32s %7s %7s %9s %9s %7s" % (
            "file", "mutants", "caught", "accepted", "survived", "share"))
        for path in sorted(self.rows):
            verdicts = [v for _, v in self.counted(path)]
            counts = [len(verdicts), sum(v.startswith("caught") for v in verdicts),
                      verdicts.count("accepted"), verdicts.count("survived")]
            share = 1 - counts[3] / max(1, counts[0])
            low = self.texts[path].count("\n") > 100 and counts[0] >= 7 and share < 0.85
            good = good and not low
            lines.append(ROW % (path, *counts, 100 * share, "  <" if low else ""))
            old = whole.setdefault(path.split("/")[0], [0, 0, 0, 0])
            whole[path.split("/")[0]] = [a + b for a, b in zip(old, counts)]
            for number, (mutant, _) in enumerate(
                    r for r in self.counted(path) if r[1] == "survived"):
                name = "%s-%02d.diff" % (path.replace("/", "-")[:-2], number)
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    file.write(difference(mutant, self.texts[path]))
        for name, counts in sorted(whole.items()):
            share = 1 - counts[3] / max(1, counts[0])
            low = share < least_share(counts[0])
            good = good and not low
            lines.append(ROW % (name + "/", *counts, 100 * share, "  <" if low else ""))
        with open(os.path.join(WORK, "results.txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        say("\n".join(lines))
        return good


def last_survivors(texts):
    """From the diffs that the last run left: mutants whose diff would be the same."""
    folder, found = os.path.join(WORK, "survivors"), {}
    diffs = {contents(os.path.join(folder, n)).decode() for n in os.listdir(folder)}
    changed = {"\n".join(l for l in d.split("\n")[2:] if l[:1] in "+-") for d in diffs}
    paths = {d.split("\n")[0][len("--- a/"):] for d in diffs}
    for path in sorted(paths & set(texts)):
        for m in mutants.of_file(path, texts[path]):
            d = difference(m, texts[path]).split("\n")
            if "\n".join(l for l in d[2:] if l[:1] in "+-") in changed:
                found.setdefault(path, []).append(m)
    return found


def measured(fresh):
    """The coverage of the tree as it is, measured anew if a source or a test has changed."""
    tree, path = os.path.join(WORK, "counters"), os.path.join(WORK, "coverage.json.gz")
    stamp = os.path.join(WORK, "coverage.stamp")
    now = "\n".join("%s %d" % (n, hash_of(n)) for n in sorted(tracked())
                    if n.startswith(("lib/", "cpu/", "examples/", "test/", "include/")))
    coverage = units.Coverage()
    if not fresh and os.path.exists(path) and \
            (not os.path.exists(stamp) or contents(stamp).decode() == now):
        coverage.load(path)
        return coverage
    copy_tree(tree)
    say("what each test reaches:")
    coverage = units.measure(tree, say)
    coverage.save(path)
    with open(stamp, "w", encoding="utf-8") as file:
        file.write(now)
    return coverage


def hash_of(name):
    return zlib.crc32(contents(os.path.join(ROOT, name)))


def say_coverage(coverage):
    whole = {}
    say("%-32s %7s %8s %9s %8s" % ("file", "lines", "reached", "branches", "taken"))
    rows = [r for r in coverage.table() if any(fnmatch.fnmatch(r[0], p) for p in FOLDERS)]
    for row in rows:
        old = whole.setdefault(row[0].split("/")[0] + "/", [0, 0, 0, 0])
        whole[row[0].split("/")[0] + "/"] = [a + b for a, b in zip(old, row[1:])]
    for name, lines, reached, branches, taken in rows + [(n, *c) for n, c in whole.items()]:
        say("%-32s %7d %7.1f%% %9d %7.1f%%" % (name, lines, 100 * reached / max(1, lines),
                                               branches, 100 * taken / max(1, branches)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--files", default="")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=120)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--stale", action="store_true",
                        help="use the last coverage, though sources have changed since")
    given = parser.parse_args()
    os.makedirs(WORK, exist_ok=True)
    if given.stale and os.path.exists(os.path.join(WORK, "coverage.stamp")):
        os.remove(os.path.join(WORK, "coverage.stamp"))
    coverage = measured(False)
    if given.coverage:
        say_coverage(coverage)
        return
    texts = sources([p for p in given.files.split(",") if p])
    if given.again:
        queues, missed = last_survivors(texts), 0
        wanted = {p: len(q) for p, q in queues.items()}
    else:
        queues, missed = queue_of(texts, coverage, given.seed)
        wanted = shares(queues, given.count)
    say("%d mutants of %d; %d more are on lines that no test reaches" % (
        sum(wanted.values()), sum(len(q) for q in queues.values()), missed))
    clean = Clean()
    workers = [Worker(i, clean) for i in range(given.jobs)]
    report = Report(texts, wanted)
    by_name = {u.name: u for u in units.all_units(clean.root)}
    files, lock = sorted(wanted, key=lambda p: -wanted[p]), threading.Lock()
    pending = {p: 0 for p in files}

    def take():
        with lock:
            for path in files:
                enough = len(report.counted(path)) + pending[path] >= wanted[path]
                if queues[path] and not enough:
                    pending[path] += 1
                    return queues[path].pop(0)
        return None

    def work(worker):
        mutant = take()
        while mutant is not None:
            first = report.catchers[mutant.path]
            order = [(by_name[n], coverage.seconds[n])
                     for n in sorted(coverage.units_of(mutant.path, mutant.line),
                                     key=lambda n: n not in first) if n in by_name]
            verdict = worker.try_one(mutant, order, given.limit)
            with lock:
                pending[mutant.path] -= 1
                report.note(mutant, verdict)
            mutant = take()

    with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
        for future in [pool.submit(work, w) for w in workers]:
            future.result()
    sys.exit(0 if report.write() else 1)


if __name__ == "__main__":
    main()
