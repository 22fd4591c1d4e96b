#include "module_list.h"

#include <string>
#include <vector>

#include "support/catch.h"

using vmette::agent::ModuleList;
using Names = std::vector<std::string>;

TEST_CASE("modules are loaded after what they depend on, each once") {
  const ModuleList list(
      "virtio_ring:\nvirtio: virtio_ring\nvirtio_console: virtio virtio_ring\n"
      "9p: 9pnet netfs\nnetfs:\n9pnet:");
  Names loaded;
  CHECK(list.resolve("virtio", loaded) == Names{"virtio_ring", "virtio"});
  CHECK(list.resolve("virtio_console", loaded) == Names{"virtio_console"});
  CHECK(list.resolve("9p", loaded) == Names{"9pnet", "netfs", "9p"});
  CHECK(list.resolve("9p", loaded).empty());
}

TEST_CASE("a module that is not listed counts as built in") {
  Names loaded;
  CHECK(ModuleList("virtio:\n").resolve("overlay", loaded).empty());
  CHECK(ModuleList().resolve("overlay", loaded).empty());
  // A dependency that is built in does not keep the module from being loaded.
  CHECK(ModuleList("ext4: crc16 jbd2\njbd2:\n").resolve("ext4", loaded) == Names{"jbd2", "ext4"});
}

TEST_CASE("module names match with dashes and underscores alike") {
  Names loaded;
  const ModuleList list("vmw-vsock-virtio: vsock\nvsock:\n");
  CHECK(list.resolve("vmw_vsock_virtio", loaded) == Names{"vsock", "vmw_vsock_virtio"});
}

TEST_CASE("a cycle, blank lines and lines without a colon in modules.dep do no harm") {
  Names loaded;
  const ModuleList list("\n  \nnonsense\n: x\na: b\r\nb:  a\t c\nc: c\n");
  CHECK(list.resolve("a", loaded) == Names{"c", "b", "a"});
}
