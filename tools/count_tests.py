#!/usr/bin/env python3
"""Counts the tests in a log that "meson test" wrote (testlog.json).

A Catch2 or pytest program counts as the test cases it ran, any other test as one. Prints what was skipped
and why, then what failed, and as its last line three numbers: passed, failed, skipped.
"""

import json
import re
import sys

_ALL_PASSED = re.compile(r"All tests passed \(.* in (\d+) test cases?\)")
_SUMMARY = re.compile(r"^test cases: *\d+(.*)$", re.MULTILINE)
_PYTEST = re.compile(r"^(?:\d+ [a-z]+, )*\d+ [a-z]+ in [\d.]+s", re.MULTILINE)
_PYTEST_PART = re.compile(r"(\d+) (passed|failed|error|skipped)")
_PYTEST_REASON = re.compile(r"^SKIPPED \[\d+\] \S+ (.*)$", re.MULTILINE)
_PART = re.compile(r"(\d+) (passed|failed as expected|failed|skipped)")


def count(result, output):
    """Passed, failed and skipped tests of one program."""
    passed = failed = skipped = 0
    if found := _ALL_PASSED.search(output):
        passed = int(found.group(1))
    elif found := _SUMMARY.search(output):
        parts = {kind: int(number) for number, kind in _PART.findall(found.group(1))}
        passed = parts.get("passed", 0) + parts.get("failed as expected", 0)
        failed, skipped = parts.get("failed", 0), parts.get("skipped", 0)
    elif found := _PYTEST.search(output):
        parts = {kind: int(number) for number, kind in _PYTEST_PART.findall(found.group(0))}
        passed, skipped = parts.get("passed", 0), parts.get("skipped", 0)
        failed = parts.get("failed", 0) + parts.get("error", 0)
    if result in ("OK", "EXPECTEDFAIL"):
        # A program that reports no cases is one test.
        return (passed, failed, skipped) if passed + failed + skipped else (1, 0, 0)
    if result in ("SKIP", "IGNORED"):
        return passed, failed, max(skipped, 1)
    return passed, max(failed, 1), skipped


def reason(output):
    """The last line that a skipped test printed, or what pytest says."""
    if said := _PYTEST_REASON.findall(output):
        return "; ".join(said)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "it gave no reason"


def main():
    total = [0, 0, 0]
    failures = []
    with open(sys.argv[1], encoding="utf-8") as log:
        for line in log:
            test = json.loads(line)
            output = (test.get("stdout") or "") + "\n" + (test.get("stderr") or "")
            counted = count(test["result"], output)
            total = [a + b for a, b in zip(total, counted)]
            if counted[2]:
                print(f"skipped: {test['name']}: {reason(output)}")
            if counted[1]:
                failures.append(f"failed: {test['name']} ({test['result'].lower()})")
    print("\n".join(failures + [" ".join(map(str, total))]))


if __name__ == "__main__":
    main()
