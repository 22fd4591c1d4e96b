#include "bind.h"

namespace vmette::python {
namespace {

using SessionClass = py::class_<Session, Owner<Session>>;

// In the order of vmette.FileStat's fields.
py::tuple to_python_stat(const StatView& stat) {
  return py::make_tuple(static_cast<int>(stat.type()), stat.mode(), stat.size(), stat.disk_bytes(),
                        stat.uid(), stat.gid(), stat.inode(), stat.links(), stat.device(),
                        stat.mtime().count(), to_bytes(stat.target()));
}

py::object to_python(const Stat& stat) {
  return to_python_stat(*stat);
}
py::object to_python(const Buffer& buffer) {
  return to_bytes(buffer.data());
}
py::object to_python(bool there) {
  return py::bool_(there);
}
py::object to_python(const Listing& listing) {
  py::list entries(listing.size());
  for (std::size_t i = 0; i < listing.size(); ++i)
    entries[i] = py::make_tuple(to_bytes(listing.name(i)), to_python_stat(listing.stat(i)));
  return entries;
}
// In the order of vmette.Stats's fields.
py::object to_python(const Stats& stats) {
  return py::make_tuple(stats.uptime().count(), stats.memory_kib(), stats.memory_available_kib(),
                        py::make_tuple(stats.load(0), stats.load(1), stats.load(2)),
                        stats.processes(), stats.root_bytes(), stats.root_available_bytes());
}

// A call to the guest that is under way, whatever it brings.
class Pending {
 public:
  virtual ~Pending() = default;
  [[nodiscard]] virtual int done_fd() const = 0;
  // What it has brought; raises what it has failed with.
  virtual py::object take() = 0;
  virtual void cancel() = 0;
};

template <class T>
class PendingCall : public Pending {
 public:
  explicit PendingCall(Call<T> call) : call_(std::move(call)) {}
  [[nodiscard]] int done_fd() const override { return call_.done_fd(); }
  py::object take() override {
    if constexpr (std::is_void_v<T>) {
      check(call_.take());
      return py::none();
    } else {
      return to_python(value(unlocked([&] { return call_.take(); })));
    }
  }
  void cancel() override { call_.cancel(); }

 private:
  Call<T> call_;
};

template <class T>
Owner<Pending> pending(result<Call<T>>&& begun) {
  return Owner<Pending>(new PendingCall<T>(value(std::move(begun))));
}

FileFlags flags(std::uint32_t bits) {
  return static_cast<FileFlags>(bits);
}

void bind_reading(SessionClass& session) {
  session
      .def("begin_read_file",
           [](Session& self, const std::string& path, std::size_t most) {
             return pending(self.begin_read_file(path, most));
           })
      .def("begin_stat",
           [](Session& self, const std::string& path, std::uint32_t bits) {
             return pending(self.begin_stat(path, flags(bits)));
           })
      .def("begin_exists",
           [](Session& self, const std::string& path) { return pending(self.begin_exists(path)); })
      .def("begin_list",
           [](Session& self, const std::string& path) { return pending(self.begin_list(path)); })
      .def("begin_stats", [](Session& self) { return pending(self.begin_stats()); });
}

void bind_changing(SessionClass& session) {
  session
      .def("begin_write_file",
           [](Session& self, const std::string& path, const py::buffer& bytes, std::uint32_t bits,
              std::uint32_t mode) {
             const py::buffer_info all = bytes.request();
             return pending(
                 self.begin_write_file(path,
                                       {static_cast<const char*>(all.ptr),
                                        static_cast<std::size_t>(all.size * all.itemsize)},
                                       flags(bits), mode));
           })
      .def("begin_mkdir",
           [](Session& self, const std::string& path, std::uint32_t mode, std::uint32_t bits) {
             return pending(self.begin_mkdir(path, mode, flags(bits)));
           })
      .def("begin_remove",
           [](Session& self, const std::string& path, std::uint32_t bits) {
             return pending(self.begin_remove(path, flags(bits)));
           })
      .def("begin_rename",
           [](Session& self, const std::string& path, const std::string& to, std::uint32_t bits) {
             return pending(self.begin_rename(path, to, flags(bits)));
           })
      .def("begin_symlink",
           [](Session& self, const std::string& path, const std::string& target) {
             return pending(self.begin_symlink(target, path));
           })
      .def("begin_chmod", [](Session& self, const std::string& path,
                             std::uint32_t mode) { return pending(self.begin_chmod(path, mode)); })
      .def(
          "begin_chown",
          [](Session& self, const std::string& path, std::int64_t uid, std::int64_t gid,
             std::uint32_t bits) { return pending(self.begin_chown(path, uid, gid, flags(bits))); })
      .def("begin_set_mtime", [](Session& self, const std::string& path, std::int64_t mtime_ns,
                                 std::uint32_t bits) {
        return pending(self.begin_set_mtime(path, std::chrono::nanoseconds(mtime_ns), flags(bits)));
      });
}

// `heard` is called with the path and the bytes so far, on this thread; false gives up.
CopyOptions copy_options(std::uint32_t bits, std::uint64_t most_bytes, std::int64_t timeout_ms,
                         const py::object& heard) {
  CopyOptions options;
  options.flags = flags(bits);
  options.most_bytes = most_bytes;
  options.timeout = milliseconds(timeout_ms);
  if (!heard.is_none())
    options.progress = [heard = heard.ptr()](std::string_view path, std::uint64_t done,
                                             std::uint64_t /*total*/) -> bool {
      const Locked here;
      return py::bool_(call(heard, py::make_tuple(to_bytes(path), done)));
    };
  return options;
}

py::tuple to_python(const Copied& copied) {
  return py::make_tuple(copied.entries(), copied.bytes(), copied.skipped());
}

void bind_copying(SessionClass& session) {
  session
      .def("copy_in",
           [](Session& self, const std::string& host_path, const std::string& guest_path,
              std::uint32_t bits, std::int64_t timeout_ms, const py::object& heard) {
             CopyOptions options = copy_options(bits, UINT64_MAX, timeout_ms, heard);
             return to_python(value(unlocked(
                 [&] { return self.copy_in(host_path, guest_path, std::move(options)); })));
           })
      .def("copy_out", [](Session& self, const std::string& guest_path,
                          const std::string& host_path, std::uint32_t bits,
                          std::uint64_t most_bytes, std::int64_t timeout_ms,
                          const py::object& heard) {
        CopyOptions options = copy_options(bits, most_bytes, timeout_ms, heard);
        return to_python(value(
            unlocked([&] { return self.copy_out(guest_path, host_path, std::move(options)); })));
      });
}

void bind_streaming(SessionClass& session) {
  session
      .def("open_read",
           [](Session& self, const std::string& path, std::uint64_t offset, std::uint64_t length) {
             return value(self.open_read(path, offset, length));
           })
      .def("open_write",
           [](Session& self, const std::string& path, std::uint32_t bits, std::uint32_t mode) {
             return value(self.open_write(path, flags(bits), mode));
           });
}

}  // namespace

void bind_files(py::module_& module) {
  py::class_<Pending, Owner<Pending>>(module, "Call")
      .def("done_fd", &Pending::done_fd)
      .def("take", &Pending::take)
      .def("cancel", &Pending::cancel);
  py::class_<Transfer, Owner<Transfer>>(module, "Transfer")
      .def("take_fd", &Transfer::take_fd)
      .def("close_fd", &Transfer::close_fd)
      .def("done_fd", &Transfer::done_fd)
      .def("wait",
           [](const Transfer& self, std::int64_t timeout_ms) {
             check(unlocked([&] { return self.wait(milliseconds(timeout_ms)); }));
           })
      .def("bytes", &Transfer::bytes)
      .def("cancel", &Transfer::cancel);

  auto session = py::reinterpret_borrow<SessionClass>(module.attr("Session"));
  bind_reading(session);
  bind_changing(session);
  bind_copying(session);
  bind_streaming(session);
}

}  // namespace vmette::python
