"""What tests ask a machine."""

# Prints the command line of all that runs in it, one a line.
COMMAND_LINES = "for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$file; echo; done 2>/dev/null"


def command_lines(vm):
    """Of all that runs in it."""
    return vm.run(COMMAND_LINES, text=True, errors="replace").stdout.splitlines()


def runs(vm, words):
    """Whether a command that begins with `words` is running in it."""
    return any(line.startswith(words) for line in command_lines(vm))
