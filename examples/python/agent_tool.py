# %% [markdown]
# # A tool for an agent
# A model that can call functions gets a shell in a machine of its own. What a command prints is shown
# as it comes, and goes back to the model when it has ended. First with threads, then with asyncio.

# %%
import asyncio
import json
from typing import Any, AsyncIterator, Callable, Dict, Iterator

import vmette

TOOL = {
    "name": "shell",
    "description": "Runs a line of shell in a Linux machine that is yours alone.",
    "parameters": {
        "type": "object",
        "properties": {"line": {"type": "string"}},
        "required": ["line"],
    },
}
SECONDS, CHARACTERS = 60, 4000

# %% [markdown]
# The command is given SECONDS to live, with all that it starts. Untrusted output need not be UTF-8,
# and need not end: what goes back to the model is its last CHARACTERS.


# %%
def shell(vm: vmette.Session, arguments: str, show: Callable[[str], None]) -> str:
    line = json.loads(arguments)["line"]
    tail = ""
    with vm.popen(
        line, stderr=vmette.STDOUT, text=True, errors="replace", kill_after=SECONDS
    ) as proc:
        for piece in proc.stdout:
            show(piece)
            tail = (tail + piece)[-CHARACTERS:]
    return json.dumps({"returncode": proc.returncode, "output": tail})


# %% [markdown]
# In place of a model: what it would ask for, one call after the other. The machine stays, so the
# second call finds what the first has written.


# %%
def model() -> Iterator[Dict[str, Any]]:
    yield {"name": "shell", "arguments": '{"line": "seq 3 | tee /tmp/numbers"}'}
    yield {"name": "shell", "arguments": '{"line": "tac /tmp/numbers; exit 4"}'}


with vmette.Session(mem_mib=256) as vm:
    for call in model():
        answer = shell(vm, call["arguments"], lambda piece: print("  |", piece, end=""))
        print("to the model:", answer)

# %% [markdown]
# The same on a running loop. Whoever iterates decides when to stop: leaving the loop, or a
# cancelled task, kills the command.


# %%
async def stream(vm: vmette.aio.Session, line: str) -> AsyncIterator[str]:
    options: Any = {"stderr": vmette.STDOUT, "errors": "replace", "kill_after": SECONDS}
    proc = await vm.popen(line, text=True, **options)
    try:
        async for piece in proc.stdout:
            yield piece
    finally:
        proc.kill()
        async with proc:
            pass


async def agents() -> None:
    async def agent(name: str) -> str:
        async with vmette.aio.Session(mem_mib=256, env={"NAME": name}) as vm:
            return "".join([piece async for piece in stream(vm, "echo I am $NAME")])

    for said in await asyncio.gather(agent("one"), agent("two")):
        print(said, end="")


asyncio.run(agents())
