#!/usr/bin/env python3
"""Checks that no face of the library lags behind vmette.h.

Every function that vmette.h declares has a doc comment, is exported by the shared library, is used
by vmette.hpp and is called by the C test; the library exports nothing else; every enumerator has
its counterpart in vmette.hpp, and every error code stands in the C test's table of names.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

DECLARATION = re.compile(r"^VMETTE_API\s[^;(]*?\b(\w+)\s*\(", re.MULTILINE | re.DOTALL)


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


def undocumented_functions(header):
    """Functions whose declaration does not follow the end of a doc comment."""
    return {
        match.group(1)
        for match in DECLARATION.finditer(header)
        if not header[: match.start()].rstrip().endswith("*/")
    }


def enumerators(header):
    names = set()
    for body in re.findall(r"\benum\s*\{(.*?)\}", without_comments(header), flags=re.DOTALL):
        names.update(re.findall(r"\b(VMETTE_\w+)\s*=", body))
    return names


def exported_symbols(nm, library):
    darwin = sys.platform == "darwin"
    arguments = ["-gU"] if darwin else ["-D", "--defined-only"]
    listing = subprocess.run([nm, *arguments, library], check=True, capture_output=True, text=True)
    names = {line.split()[-1] for line in listing.stdout.splitlines() if line.split()}
    return {name[1:] for name in names} if darwin else names


def text_of(paths):
    return "\n".join(Path(path).read_text(encoding="utf-8") for path in paths)


def words(paths):
    return set(re.findall(r"\w+", without_comments(text_of(paths))))


def main():
    parser = argparse.ArgumentParser()
    for option in ("library", "nm"):
        parser.add_argument(f"--{option}", required=True)
    for option in ("headers", "wrappers", "c-test"):
        parser.add_argument(f"--{option}", required=True, nargs="+")
    options = parser.parse_args()

    header = text_of(options.headers)
    functions = set(DECLARATION.findall(header))
    constants = enumerators(header)
    codes = {name for name in constants if name.startswith("VMETTE_E_")}
    exported = exported_symbols(options.nm, options.library)
    wrapper = words(options.wrappers)
    c_test = words(options.c_test)
    if not functions or not codes or not exported:
        sys.exit("nothing found: the patterns of this script no longer fit the headers")

    complaints = {
        "vmette.h declares it, the library does not export it": functions - exported,
        "the library exports it, vmette.h does not declare it": exported - functions,
        "vmette.h has no doc comment for it": undocumented_functions(header),
        "vmette.hpp does not offer it": (functions | constants) - wrapper,
        "the C tests do not use it": (functions | codes) - c_test,
    }
    for reason, names in complaints.items():
        for name in sorted(names):
            print(f"{name}: {reason}")
    print(f"{len(functions)} functions, {len(constants)} enumerators, {len(exported)} exports")
    return 1 if any(complaints.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
