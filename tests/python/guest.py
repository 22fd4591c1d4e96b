"""What tests ask a machine."""

# Prints the arguments of all that runs in it, each with a NUL behind it.
ARGUMENTS = "cat /proc/[0-9]*/cmdline"


def among(words, arguments):
    """Whether a command of these words is among what ARGUMENTS has printed."""
    return words.replace(" ", "\0").encode() + b"\0" in arguments


def runs(vm, words):
    """Whether such a command is running in it."""
    return among(words, vm.run(ARGUMENTS).stdout)
