#include "wire/messages.h"

#include <utility>

#include "wire/fields.h"

namespace vmette::wire {
namespace {

WindowSize read_size(const Fields& fields) {
  return {fields.number<uint16_t>("rows", 24), fields.number<uint16_t>("cols", 80)};
}

void read(const Fields& in, Hello& out) {
  out.generation = in.number<uint32_t>("generation", 0);
  out.oldest_generation = in.number<uint32_t>("oldest", out.generation);
  out.agent_version = in.text("agent");
  out.kernel_release = in.text("kernel");
  out.arch = in.text("arch");
  out.start_us = in.number<uint64_t>("start_us", 0);
  out.now_us = in.number<uint64_t>("now_us", 0);
  out.nonce = in.text("nonce");
}

Root read_root(const Fields& in) {
  Root root;
  root.kind = in.choice("kind", RootKind::kInitramfs, RootKind::kBlock);
  root.source = in.text("source");
  root.fstype = in.text("fstype");
  root.upper = in.choice("upper", UpperKind::kTmpfs, UpperKind::kDisk);
  root.upper_source = in.text("upper_source");
  return root;
}

std::vector<ShareSetup> read_shares(const Fields& in) {
  std::vector<ShareSetup> list;
  const auto shares = in.array("shares");
  if (!shares) return list;
  for (const CborItem item : *shares) {
    const Fields share(item);
    list.push_back({share.text("tag"), share.number<bool>("virtiofs", false), share.text("target"),
                    share.number<bool>("read_only", false)});
  }
  return list;
}

json shares_json(const std::vector<ShareSetup>& list) {
  json shares = json::array();
  for (const ShareSetup& share : list)
    shares.push_back({{"tag", share.tag},
                      {"virtiofs", share.virtiofs},
                      {"target", bytes(share.target)},
                      {"read_only", share.read_only}});
  return shares;
}

void read(const Fields& in, Setup& out) {
  out.generation = in.number<uint32_t>("generation", 0);
  out.hostname = in.text("hostname");
  out.realtime_ns = in.number<uint64_t>("realtime_ns", 0);
  out.entropy = in.text("entropy");
  out.env = in.env("env");
  out.switch_root = in.number<bool>("switch_root", false);
  out.ca_certs = in.text("ca_certs");
  if (const auto root = in.map("root")) out.root = read_root(Fields(*root));
  out.shares = read_shares(in);
  if (const auto disks = in.array("disks")) {
    for (const CborItem item : *disks) {
      const Fields disk(item);
      out.disks.push_back({disk.text("serial"), disk.text("fstype")});
    }
  }
}

void read(const Fields& in, Ready& out) {
  out.now_us = in.number<uint64_t>("now_us", 0);
  if (const auto steps = in.array("steps")) {
    for (const CborItem item : *steps) {
      const Fields step(item);
      out.steps.push_back({step.text("name"), step.number<uint64_t>("at_us", 0)});
    }
  }
}

void read(const Fields& in, Failure& out) {
  out.stage = in.text("stage");
  out.error = in.number<int32_t>("errno", 0);
  out.path = in.text("path");
  out.message = in.text("message");
}

void read(const Fields& in, Exec& out) {
  const auto argv = in.array("argv");
  if (!argv || argv->argument() == 0) throw std::runtime_error("field \"argv\" is empty");
  for (const CborItem item : *argv) out.argv.push_back(Fields::to_text("argv", item));
  out.shell = in.number<bool>("shell", false);
  if (out.shell && out.argv.size() != 1)
    throw std::runtime_error("field \"argv\" must hold one line with \"shell\"");
  out.env = in.env("env");
  out.clear_env = in.number<bool>("clear_env", false);
  out.cwd = in.text("cwd");
  out.user = in.text("user");
  out.in = in.choice("in", Stdio::kNull, Stdio::kStream);
  out.out = in.choice("out", Stdio::kStream, Stdio::kStream);
  out.err = in.choice("err", Stdio::kStream, Stdio::kStream);
  if (const auto tty = in.map("tty")) {
    const Fields modes(*tty);
    out.tty = read_size(modes);
    out.echo = modes.number<bool>("echo", true);
    out.raw = modes.number<bool>("raw", false);
  }
  out.term = in.text("term");
}

void read(const Fields& in, Started& out) {
  out.pid = in.number<uint32_t>("pid", 0);
  out.now_us = in.number<uint64_t>("now_us", 0);
}

void read(const Fields& in, Exit& out) {
  out.signalled = in.number<bool>("signalled", false);
  out.status = in.number<int32_t>("status", 0);
  out.oom = in.number<bool>("oom", false);
  out.out_bytes = in.number<uint64_t>("out_bytes", 0);
  out.err_bytes = in.number<uint64_t>("err_bytes", 0);
  out.wall_us = in.number<uint64_t>("wall_us", 0);
  out.user_us = in.number<uint64_t>("user_us", 0);
  out.system_us = in.number<uint64_t>("system_us", 0);
  out.max_rss_kib = in.number<uint64_t>("max_rss_kib", 0);
}

void read(const Fields& in, Signal& out) {
  out.number = in.number<int32_t>("number", 0);
  out.scope = in.choice("scope", SignalScope::kGroup, SignalScope::kTree);
}

void read(const Fields& in, WindowSize& out) {
  out.rows = in.number<uint16_t>("rows", 24);
  out.cols = in.number<uint16_t>("cols", 80);
}

void read(const Fields& in, Shutdown& out) {
  out.grace_ms = in.number<uint32_t>("grace_ms", 0);
}

void read(const Fields& in, Quiesce& out) {
  out.timeout_ms = in.number<uint32_t>("timeout_ms", 0);
}

void read(const Fields& in, Quiesced& out) {
  out.frozen = in.number<uint64_t>("frozen", 0);
}

bool is_machine_id(const std::string& text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

void read(const Fields& in, Wake& out) {
  out.restored = in.number<bool>("restored", false);
  out.nonce = in.text("nonce");
  out.realtime_ns = in.number<uint64_t>("realtime_ns", 0);
  out.entropy = in.text("entropy");
  out.hostname = in.text("hostname");
  out.machine_id = in.text("machine_id");
  if (!out.machine_id.empty() && !is_machine_id(out.machine_id))
    throw std::runtime_error("field \"machine_id\" is not 32 lower-case hex digits");
  out.env = in.env("env");
  out.shares = read_shares(in);
  out.hold = in.number<bool>("hold", false);
}

}  // namespace

template <>
Decoded<Hello> decode(Bytes payload) {
  return decode_message<Hello>(payload, read);
}
template <>
Decoded<Setup> decode(Bytes payload) {
  return decode_message<Setup>(payload, read);
}
template <>
Decoded<Ready> decode(Bytes payload) {
  return decode_message<Ready>(payload, read);
}
template <>
Decoded<Failure> decode(Bytes payload) {
  return decode_message<Failure>(payload, read);
}
template <>
Decoded<Exec> decode(Bytes payload) {
  return decode_message<Exec>(payload, read);
}
template <>
Decoded<Started> decode(Bytes payload) {
  return decode_message<Started>(payload, read);
}
template <>
Decoded<Exit> decode(Bytes payload) {
  return decode_message<Exit>(payload, read);
}
template <>
Decoded<Signal> decode(Bytes payload) {
  return decode_message<Signal>(payload, read);
}
template <>
Decoded<WindowSize> decode(Bytes payload) {
  return decode_message<WindowSize>(payload, read);
}
template <>
Decoded<Shutdown> decode(Bytes payload) {
  return decode_message<Shutdown>(payload, read);
}
template <>
Decoded<Quiesce> decode(Bytes payload) {
  return decode_message<Quiesce>(payload, read);
}
template <>
Decoded<Quiesced> decode(Bytes payload) {
  return decode_message<Quiesced>(payload, read);
}
template <>
Decoded<Wake> decode(Bytes payload) {
  return decode_message<Wake>(payload, read);
}

std::string encode(const Hello& in) {
  json map = {{"generation", in.generation},
              {"oldest", in.oldest_generation},
              {"agent", in.agent_version},
              {"kernel", in.kernel_release},
              {"arch", in.arch},
              {"start_us", in.start_us},
              {"now_us", in.now_us}};
  if (!in.nonce.empty()) map["nonce"] = bytes(in.nonce);
  return pack(map);
}

std::string encode(const Setup& in) {
  json disks = json::array();
  for (const DiskSetup& disk : in.disks)
    disks.push_back({{"serial", disk.serial}, {"fstype", disk.fstype}});
  json map = {{"generation", in.generation},
              {"hostname", in.hostname},
              {"realtime_ns", in.realtime_ns},
              {"entropy", bytes(in.entropy)},
              {"root",
               {{"kind", static_cast<uint8_t>(in.root.kind)},
                {"source", in.root.source},
                {"fstype", in.root.fstype},
                {"upper", static_cast<uint8_t>(in.root.upper)},
                {"upper_source", in.root.upper_source}}},
              {"shares", shares_json(in.shares)},
              {"disks", std::move(disks)},
              {"env", env_json(in.env)},
              {"switch_root", in.switch_root}};
  if (!in.ca_certs.empty()) map["ca_certs"] = bytes(in.ca_certs);
  return pack(map);
}

std::string encode(const Ready& in) {
  json steps = json::array();
  for (const Step& step : in.steps) steps.push_back({{"name", step.name}, {"at_us", step.at_us}});
  return pack({{"now_us", in.now_us}, {"steps", std::move(steps)}});
}

std::string encode(const Failure& in) {
  return pack({{"stage", in.stage},
               {"errno", in.error},
               {"path", bytes(in.path)},
               {"message", bytes(in.message)}});
}

// Leaves out what has its default: in most commands that is nearly everything, and the guest's
// decoder may run under emulation.
std::string encode(const Exec& in) {
  json argv = json::array();
  for (const std::string& arg : in.argv) argv.push_back(bytes(arg));
  json map = {{"argv", std::move(argv)}};
  const Exec usual;
  if (in.shell) map["shell"] = true;
  if (!in.env.empty()) map["env"] = env_json(in.env);
  if (in.clear_env) map["clear_env"] = true;
  if (!in.cwd.empty()) map["cwd"] = bytes(in.cwd);
  if (!in.user.empty()) map["user"] = bytes(in.user);
  if (in.in != usual.in) map["in"] = static_cast<uint8_t>(in.in);
  if (in.out != usual.out) map["out"] = static_cast<uint8_t>(in.out);
  if (in.err != usual.err) map["err"] = static_cast<uint8_t>(in.err);
  if (in.tty)
    map["tty"] = {
        {"rows", in.tty->rows}, {"cols", in.tty->cols}, {"echo", in.echo}, {"raw", in.raw}};
  if (!in.term.empty()) map["term"] = bytes(in.term);
  return pack(map);
}

std::string encode(const Started& in) {
  NumberMap map;
  map.put("pid", in.pid);
  map.put("now_us", in.now_us);
  return map.take();
}

// Leaves out what has its default, as EXEC does.
std::string encode(const Exit& in) {
  NumberMap map;
  map.put_unusual("signalled", in.signalled);
  map.put_unusual("status", in.status);
  map.put_unusual("oom", in.oom);
  map.put_unusual("out_bytes", in.out_bytes);
  map.put_unusual("err_bytes", in.err_bytes);
  map.put_unusual("wall_us", in.wall_us);
  map.put_unusual("user_us", in.user_us);
  map.put_unusual("system_us", in.system_us);
  map.put_unusual("max_rss_kib", in.max_rss_kib);
  return map.take();
}

std::string encode(const Signal& in) {
  return pack({{"number", in.number}, {"scope", static_cast<uint8_t>(in.scope)}});
}

std::string encode(const WindowSize& in) {
  return pack({{"rows", in.rows}, {"cols", in.cols}});
}

std::string encode(const Shutdown& in) {
  return pack({{"grace_ms", in.grace_ms}});
}

std::string encode(const Quiesce& in) {
  return pack({{"timeout_ms", in.timeout_ms}});
}

std::string encode(const Quiesced& in) {
  return pack({{"frozen", in.frozen}});
}

// Leaves out what has its default, as EXEC does.
std::string encode(const Wake& in) {
  json map = {
      {"nonce", bytes(in.nonce)}, {"realtime_ns", in.realtime_ns}, {"entropy", bytes(in.entropy)}};
  if (in.restored) map["restored"] = true;
  if (!in.hostname.empty()) map["hostname"] = bytes(in.hostname);
  if (!in.machine_id.empty()) map["machine_id"] = bytes(in.machine_id);
  if (!in.env.empty()) map["env"] = env_json(in.env);
  if (!in.shares.empty()) map["shares"] = shares_json(in.shares);
  if (in.hold) map["hold"] = true;
  return pack(map);
}

}  // namespace vmette::wire
