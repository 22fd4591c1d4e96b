# %% [markdown]
# # Warm machines
# What takes long is done once: a machine is warmed up and saved, and every task gets a copy of it in
# a fraction of a boot's time.

# %%
import asyncio
import tempfile

import vmette

folder = tempfile.TemporaryDirectory()


def warm_up(vm: vmette.Session) -> None:
    vm.run("mkdir -p /srv/app && seq 100000 > /srv/app/table", check=True)
    vm.run("httpd -p 8000 -h /srv/app", check=True)
    vm.run("until wget -qO- localhost:8000/table > /dev/null; do :; done", check=True, timeout=30)


snapshot = vmette.Snapshot.build(folder.name + "/warm", warm_up=warm_up, mem_mib=256)
print(snapshot.vcpus, snapshot.mem_mib)

# %% [markdown]
# Programs that ran when it was saved go on in every copy.

# %%
with snapshot.resume(env={"TASK": "7"}) as vm:
    line = "echo task $TASK: $(wget -qO- localhost:8000/table | tail -n 1)"
    print(vm.run(line, text=True).stdout, end="")

# %% [markdown]
# A pool keeps some ready and hands out each once.


# %%
async def tasks() -> None:
    async with vmette.aio.Pool(ready=2, most=3, resume_snapshot=folder.name + "/warm") as pool:

        async def task(number: int) -> str:
            async with await pool.take() as vm:
                done = await vm.run("wc -l < /srv/app/table", text=True)
                return f"task {number}: {done.stdout.strip()}"

        print(*await asyncio.gather(*map(task, range(4))), sep="\n")


asyncio.run(tasks())

# %% [markdown]
# A machine that runs can be copied as well, to try two things from one state.

# %%
with vmette.Session(mem_mib=256, snapshottable=True) as vm:
    vm.files.write_text("/tmp/state", "here")
    for number, copy in enumerate(vm.fork(2)):
        with copy:
            copy.run(f"echo {number} >> /tmp/state", check=True)
            print(copy.files.read_text("/tmp/state").strip())
    print(vm.files.read_text("/tmp/state"))

# %%
snapshot.remove()
folder.cleanup()
