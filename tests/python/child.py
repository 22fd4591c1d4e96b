"""Other interpreters, which tests run, signal and look after."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap

import footprint

TIMEOUT = 120


class Child:
    """A Python program with a mark of its own on all that it starts. It says what it has reached by
    printing lines."""

    count = 0

    def __init__(self, code, *args, options=(), env=()):
        Child.count += 1
        self.mark = f"{os.getpid()}-{Child.count}"
        self.seen = set()
        self.process = subprocess.Popen(
            [sys.executable, *options, "-c", textwrap.dedent(code), *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, footprint.MARK: self.mark, **dict(env)},
        )

    def says(self):
        """The next line that it prints."""
        return self.process.stdout.readline().rstrip("\n")

    def signal(self, number):
        self.process.send_signal(number)

    def machines(self):
        """The hypervisors that it has now. They are to end with it."""
        found = footprint.machines(self.mark)
        self.seen.update(footprint.marked(self.mark))
        return found

    def interrupt(self):
        """Ctrl-C."""
        self.signal(signal.SIGINT)

    def end(self, input=None):
        """(exit code, stdout, stderr), once it has ended and all that it started."""
        out, err = self.process.communicate(input, timeout=TIMEOUT)
        left = footprint.left_after(self.mark)
        left += [pid for pid in self.seen if not footprint.wait_end(pid)]
        assert not left, f"left behind: {left}\n{out}{err}"
        return self.process.returncode, out, err


@contextlib.contextmanager
def running(code, *args, **named):
    """A child, which does not outlive the test."""
    child = Child(code, *args, **named)
    try:
        yield child
    finally:
        child.process.kill()
        child.process.communicate()


def run(code, *args, **named):
    """What a program comes to: (exit code, stdout, stderr)."""
    with running(code, *args, **named) as child:
        return child.end()
