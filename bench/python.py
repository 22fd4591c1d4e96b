#!/usr/bin/env python3
"""bench/python: what the Python module costs over C++, in one run.

    python.py FLOOR_PROGRAM

Both sides do the same in machines of the same kind, in turn; figures are medians over the rounds.
"""

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import vmette
import vmette.aio

ROUNDS = 80
RUNS = 11
STREAM_ROUNDS = 3
STREAM_BYTES = 1 << 30
SESSIONS = 8
COMMANDS = 200
MARK = "VMETTE_BENCH"
OPTIONS = vmette.Options(mem_mib=256, accel=vmette.Accel.EMULATION)


def report(what, figure, holds, target):
    print(f"{what:<12} {figure:<66} {'holds' if holds else 'DOES NOT HOLD'} ({target})", flush=True)


def to_one_cpu():
    """Moves the machines of both sides to one CPU: two CPUs of a shared host can differ by a factor
    of two for hours."""
    mark, helpers, parents = f"{MARK}={os.getpid()}".encode(), set(), {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                helpers.add(pid)
            status = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue  # it has ended, or is not ours to look at
        if "(qemu-system" in status:
            parents[pid] = status.rpartition(")")[2].split()[1]
    cpu = max(os.sched_getaffinity(0))
    machines = [pid for pid, parent in parents.items() if parent in helpers]
    if len(machines) != 2:
        sys.exit(f"{len(machines)} machines are there, not one of each side")
    for pid in machines:
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task), {cpu})


class Floor:
    """The C++ program."""

    def __init__(self, program):
        self._program = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, what, amount):
        self._program.stdin.write(f"{what} {amount}\n")
        self._program.stdin.flush()
        return float(self._program.stdout.readline())

    def close(self):
        self._program.stdin.close()
        self._program.wait()


def median_run(vm, count):
    times = []
    for _ in range(count):
        start = time.perf_counter()
        vm.run("true")
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def writer(size):
    return f"exec dd if=/dev/zero bs=65536 count={size // 65536} status=none"


def stream(vm, size):
    start = time.perf_counter()
    total = 0
    with vm.popen(writer(size), stderr=vmette.DEVNULL) as process:
        while True:
            piece = process.stdout.read1(1 << 18)
            if not piece:
                break
            total += len(piece)
    if total != size:
        sys.exit("the stream is not whole")
    return size / 1e6 / (time.perf_counter() - start)


async def astream(vm, size):
    start = time.perf_counter()
    total = 0
    async with await vm.popen(writer(size), stderr=vmette.DEVNULL) as process:
        while True:
            piece = await process.stdout.read(1 << 18)
            if not piece:
                break
            total += len(piece)
    if total != size:
        sys.exit("the stream is not whole")
    return size / 1e6 / (time.perf_counter() - start)


def bench_run(vm, floor):
    median_run(vm, 50), floor.ask("run", 50)
    to_one_cpu()
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(floor.ask("run", RUNS))
        ours.append(median_run(vm, RUNS))
    python, cpp = statistics.median(ours), statistics.median(theirs)
    over = statistics.median(a - b for a, b in zip(ours, theirs))
    report("run", f"{python:.2f} ms against {cpp:.2f} ms in C++: {over:+.2f} ms", over <= 0.5,
           "at most 0.5 ms more")


def bench_stream(vm, floor):
    floor.ask("stream", STREAM_BYTES // 8), stream(vm, STREAM_BYTES // 8)
    theirs = [floor.ask("stream", STREAM_BYTES) for _ in range(STREAM_ROUNDS)]
    ours = [stream(vm, STREAM_BYTES) for _ in range(STREAM_ROUNDS)]
    theirs.append(floor.ask("stream", STREAM_BYTES))
    ratio = statistics.median(ours) / statistics.median(theirs)
    report("stream", f"{statistics.median(ours):.0f} MB/s against {statistics.median(theirs):.0f} MB/s "
           f"in C++: {ratio:.2f} x", ratio >= 0.8, "at least 0.8 x")


async def bench_aio(floor):
    async with vmette.aio.Session(**OPTIONS) as vm:
        await astream(vm, STREAM_BYTES // 8)
        to_one_cpu()
        ours = [await astream(vm, STREAM_BYTES) for _ in range(STREAM_ROUNDS)]
        theirs = floor.ask("stream", STREAM_BYTES)
        ratio = statistics.median(ours) / theirs
        report("aio stream", f"{statistics.median(ours):.0f} MB/s against {theirs:.0f} MB/s in C++: "
               f"{ratio:.2f} x", ratio >= 0.8, "at least 0.8 x")
    sessions = [vmette.aio.Session(**OPTIONS) for _ in range(SESSIONS)]
    try:
        await asyncio.gather(*(vm.start() for vm in sessions))
        most = 0

        async def one(number):
            nonlocal most
            done = await sessions[number % SESSIONS].run(f"echo {number}", text=True)
            most = max(most, len(os.listdir("/proc/self/task")))
            return done.stdout

        before = len(os.listdir("/proc/self/task"))
        start = time.perf_counter()
        lines = await asyncio.gather(*(one(number) for number in range(COMMANDS)))
        took = time.perf_counter() - start
        whole = lines == [f"{number}\n" for number in range(COMMANDS)]
        report("aio", f"{COMMANDS} commands over {SESSIONS} sessions at once: {took:.2f} s, "
               f"{most - before} threads more", whole and most <= before, "no thread for a call")
    finally:
        await asyncio.gather(*(vm.close() for vm in sessions))


def bench_import():
    code = "import time; t = time.perf_counter(); import vmette; print(time.perf_counter() - t)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
        for _ in range(20)
    ]
    took = statistics.median(times) * 1000
    report("import", f"import vmette: {took:.1f} ms", took <= 30, "at most 30 ms")


def main():
    os.environ[MARK] = str(os.getpid())
    bench_import()
    floor = Floor(sys.argv[1])
    try:
        with vmette.Session(**OPTIONS) as vm:
            bench_run(vm, floor)
            bench_stream(vm, floor)
        asyncio.run(bench_aio(floor))
    finally:
        floor.close()


if __name__ == "__main__":
    main()
