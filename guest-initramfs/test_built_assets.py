#!/usr/bin/env python3
"""Tests of the boot files that this build has made, in the folder VMETTE_BUILT_ASSETS, and of the
tuned set below it where one was built."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import unittest

import initramfs
import kernel_image
import modules
from elf import Elf
from test_assets import entries

STOCK = os.environ["VMETTE_BUILT_ASSETS"]
TUNED = os.path.join(STOCK, "tuned")


class StockSetTest(unittest.TestCase):
    folder = STOCK

    @classmethod
    def setUpClass(cls):
        cls.manifest = json.loads(cls.read("manifest.json"))
        cls.archive = cls.read("initramfs.cpio")
        cls.files = {name: data for name, _, data in entries(cls.archive)}

    @classmethod
    def read(cls, name):
        with open(os.path.join(cls.folder, name), "rb") as file:
            return file.read()

    def matches(self, data, described):
        self.assertEqual(len(data), described["size"])
        self.assertEqual(hashlib.sha256(data).hexdigest(), described["sha256"])

    def test_the_manifest_describes_the_files_beside_it(self):
        for part in ("kernel", "initramfs"):
            self.matches(self.read(self.manifest[part]["file"]), self.manifest[part])
        self.matches(self.files["init"], self.manifest["agent"])

    def test_the_kernel_is_one_that_the_hypervisors_boot(self):
        kernel_image.check(self.manifest["arch"], self.read(self.manifest["kernel"]["file"]))

    def test_the_initramfs_keeps_to_its_size(self):
        self.assertLessEqual(len(self.archive), initramfs.MAX_INITRAMFS_BYTES)

    def test_the_agent_shows_nothing_of_its_build_directory(self):
        # A build ID is a digest of the debug information too, which names the directory.
        self.assertIsNone(Elf(self.files["init"]).section(".note.gnu.build-id"))
        self.assertNotIn(os.path.dirname(STOCK).encode(), self.files["init"])

    def test_every_module_is_there_with_all_it_depends_on(self):
        lines = self.files.get("lib/modules/vmette/modules.dep", b"").decode().splitlines()
        table = {name: needs.split() for name, needs in (line.split(":") for line in lines)}
        self.assertEqual(sorted(table), self.manifest["modules"])
        for name, needs in table.items():
            self.assertIn(f"lib/modules/vmette/{name}.ko", self.files)
            for at, need in enumerate(needs):
                self.assertLessEqual(set(table[need]), set(needs[:at]), f"{need} for {name}")

    def test_modules_bring_nothing_that_only_costs_time_to_load(self):
        for name in self.manifest["modules"]:
            image = Elf(self.files[f"lib/modules/vmette/{name}.ko"])
            self.assertIsNotNone(image.section(".modinfo"), name)
            for section in modules.LEFT_OUT:
                self.assertIsNone(image.section(section), f"{section} of {name}")

    def test_the_same_inputs_give_the_same_bytes_again(self):
        with tempfile.TemporaryDirectory() as folder:
            tar = os.path.join(STOCK, "modules.tar") if self.manifest["modules"] else ""
            with open(os.path.join(folder, "agent"), "wb") as file:
                file.write(self.files["init"])
            with open(os.path.join(folder, "busybox"), "wb") as file:
                file.write(self.files["bin/busybox"])
            os.chmod(os.path.join(folder, "busybox"), 0o755)
            again = os.path.join(folder, "again")
            # Another process, so that hash seeds and the like have their chance to differ.
            code = ("import sys, initramfs; arch, agent, busybox, modules, out = sys.argv[1:]; "
                    "open(out, 'wb').write(initramfs.image(arch, open(agent, 'rb').read(), "
                    "busybox, modules))")
            subprocess.run([sys.executable, "-c", code, self.manifest["arch"],
                            os.path.join(folder, "agent"), os.path.join(folder, "busybox"),
                            tar, again],
                           cwd=os.path.dirname(os.path.abspath(__file__)), check=True)
            with open(again, "rb") as file:
                self.assertEqual(file.read(), self.archive)


@unittest.skipUnless(os.path.exists(os.path.join(TUNED, "manifest.json")), "no tuned kernel here")
class TunedSetTest(StockSetTest):
    folder = TUNED

    def test_the_kernel_needs_no_modules(self):
        self.assertEqual(self.manifest["modules"], [])


if __name__ == "__main__":
    unittest.main()
