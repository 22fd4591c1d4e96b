# %% [markdown]
# # First steps
# A machine for one command, then one that stays. Cells run from top to bottom.

# %%
import errno
import tempfile
from pathlib import Path

import vmette

print(vmette.run("uname -s", text=True).stdout, end="")

# %% [markdown]
# A session is a machine that stays until the with-block ends. Here it has a directory of the host,
# which it can change, and an environment.

# %%
folder = tempfile.TemporaryDirectory()
Path(folder.name, "names.txt").write_text("charles\nada\n")
vm = vmette.Session(mem_mib=256, shares={"data": folder.name}, env={"LANG": "C"}).start()

done = vm.run("sort names.txt | tee sorted.txt", cwd="/mnt/data", text=True)
print(done.returncode, done.stdout.split())
print(Path(folder.name, "sorted.txt").read_text().split())

# %% [markdown]
# What goes wrong is an exception that says what happened; `check` and `timeout` are those of
# `subprocess.run()`.

# %%
try:
    vm.run("echo no such thing >&2; exit 3", check=True, text=True)
except vmette.CommandFailed as error:
    print(error.returncode, error.stderr.strip())
try:
    vm.run(["/no/such/program"])
except vmette.SpawnError as error:
    print(errno.errorcode[error.errno])
try:
    vm.run("echo begun; sleep 600", timeout=0.5, text=True)
except vmette.DeadlineExceeded as error:
    print("too late, after", error.stdout.strip())

# %% [markdown]
# Files need no command.

# %%
vm.files.write_text("/srv/notes/today", "water the plants\n", parents=True)
print([entry.path for entry in vm.files.iterdir("/srv/notes")])
vm.files.get("/srv/notes", Path(folder.name, "notes"))
print(Path(folder.name, "notes", "today").read_text(), end="")

# %%
vm.close()
folder.cleanup()
print(vm.state.name)
