#!/usr/bin/env python3
"""Installs the tuned set, where one was built: install_tuned.py FROM TO, TO below the prefix."""

import os
import shutil
import sys

source, target = sys.argv[1:]
target = os.path.join(os.environ["MESON_INSTALL_DESTDIR_PREFIX"], target)
if os.path.exists(os.path.join(source, "manifest.json")):
    os.makedirs(target, exist_ok=True)
    for name in ("vmlinux", "Image", "initramfs.cpio", "manifest.json"):
        if os.path.exists(os.path.join(source, name)):
            shutil.copyfile(os.path.join(source, name), os.path.join(target, name))
            os.chmod(os.path.join(target, name), 0o644)
