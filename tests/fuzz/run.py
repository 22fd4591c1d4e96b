#!/usr/bin/env python3
"""Builds the fuzz targets and runs each for a while on the committed corpus (docs/fuzzing.md)."""
import argparse
import os
import pathlib
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
CORPUS = SOURCE / 'tests/fuzz/corpus'
TARGETS = ('messages', 'helper_lines', 'host_session', 'agent')
OPTIONS = ('-Dfuzz=true', '-Dtests=enabled', '-Db_sanitize=address,undefined', '-Db_lundef=false',
           '-Doptimization=1')


def build(folder, targets):
    if not (folder / 'build.ninja').exists():
        environment = {'CC': 'clang-19', 'CXX': 'clang++-19', **os.environ}
        subprocess.run(['meson', 'setup', folder, SOURCE, *OPTIONS], check=True, env=environment)
    programs = [f'tests/fuzz/fuzz_{name}' for name in targets]
    subprocess.run(['ninja', '-C', folder, *programs], check=True)


def run(folder, name, seconds):
    """True when nothing was found. New inputs stay in the build folder."""
    found = folder / 'found' / name
    found.mkdir(parents=True, exist_ok=True)
    environment = {'UBSAN_OPTIONS': 'halt_on_error=1:print_stacktrace=1', **os.environ}
    # The agent's console lines go to stderr; reports of the fuzzer and the sanitizers still come.
    command = [folder / 'tests/fuzz' / f'fuzz_{name}', f'-max_total_time={seconds}', '-timeout=60',
               '-rss_limit_mb=2048', '-close_fd_mask=2', '-print_final_stats=1',
               f'-artifact_prefix={found.parent}/{name}-', found, CORPUS / name]
    return subprocess.run(command, env=environment).returncode == 0


def keep(folder, name):
    """Adds what covers new code to the committed corpus, as few inputs as do."""
    found = folder / 'found' / name
    command = [folder / 'tests/fuzz' / f'fuzz_{name}', '-set_cover_merge=1', '-use_counters=0',
               '-close_fd_mask=2', CORPUS / name, found]
    subprocess.run(command, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--build', type=pathlib.Path, default=SOURCE / 'build-fuzz')
    parser.add_argument('--seconds', type=int, default=60, help='for each target')
    parser.add_argument('--keep', action='store_true', help='add new inputs to the corpus instead')
    parser.add_argument('targets', nargs='*', metavar='TARGET', help=', '.join(TARGETS))
    arguments = parser.parse_args()
    for name in arguments.targets:
        if name not in TARGETS:
            parser.error(f'there is no target {name}; there are: {", ".join(TARGETS)}')
    targets = arguments.targets or TARGETS
    folder = arguments.build.resolve()
    build(folder, targets)
    if arguments.keep:
        for name in targets:
            keep(folder, name)
        return 0
    broken = [name for name in targets if not run(folder, name, arguments.seconds)]
    if broken:
        print(f'found something: {", ".join(broken)}; the inputs are in {folder / "found"}')
    return 1 if broken else 0


if __name__ == '__main__':
    sys.exit(main())
