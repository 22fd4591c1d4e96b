#include "etc_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "system.h"

namespace vmette::agent {
namespace {

// One file with all certificates, as distributions have it; some of the names are links to others.
constexpr const char* kTrustStores[] = {
    "/etc/ssl/certs/ca-certificates.crt",                 // Debian, Alpine, Arch, Gentoo
    "/etc/pki/tls/certs/ca-bundle.crt",                   // Fedora, RHEL
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  // the same, newer
    "/etc/ssl/ca-bundle.pem",                             // openSUSE
    "/var/lib/ca-certificates/ca-bundle.pem",             // the same
    "/etc/ssl/cert.pem",                                  // LibreSSL, OpenSSL on Alpine
    "/etc/pki/tls/cacert.pem",                            // OpenELEC
};

bool same_name(std::string_view one, std::string_view other) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  return std::ranges::equal(one, other, {}, lower, lower);
}

std::vector<std::string_view> words_of(std::string_view line) {
  constexpr std::string_view kBlank = " \t\r\v\f";
  line = line.substr(0, line.find('#'));
  std::vector<std::string_view> words;
  for (size_t at = line.find_first_not_of(kBlank); at != std::string_view::npos;
       at = line.find_first_not_of(kBlank, at)) {
    const size_t end = std::min(line.find_first_of(kBlank, at), line.size());
    words.push_back(line.substr(at, end - at));
    at = end;
  }
  return words;
}

constexpr const char* kHosts = "/etc/hosts";
constexpr const char* kHostname = "/etc/hostname";

void warn(const char* path, int error) {
  if (error != 0) console(std::string("cannot write ") + path + ": " + error_text(error));
}

std::string own_line(std::string_view hostname) {
  return "127.0.1.1 " + std::string(hostname) + '\n';
}

void write_hosts(RootFiles& files, const std::string& hostname) {
  const auto text = read_regular(kHosts);
  if (!text && errno != ENOENT) return warn(kHosts, errno);
  const std::string missing = missing_hosts(text.value_or(""), hostname);
  if (!text) {
    warn(kHosts, files.replace(kHosts, missing));
  } else if (!missing.empty()) {
    warn(kHosts, files.append(kHosts, missing));
  }
}

}  // namespace

std::string missing_hosts(std::string_view text, std::string_view hostname) {
  bool localhost = false;
  bool localhost6 = false;
  bool own = hostname.empty() || same_name(hostname, "localhost");
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const auto words = words_of(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    for (size_t i = 1; i < words.size(); ++i) {
      own = own || same_name(words[i], hostname);
      if (!same_name(words[i], "localhost")) continue;
      (words[0].find(':') == std::string_view::npos ? localhost : localhost6) = true;
    }
  }
  std::string missing;
  if (!localhost) missing += "127.0.0.1 localhost\n";
  if (!localhost6) missing += "::1 localhost\n";
  if (!own) missing += own_line(hostname);
  return missing;
}

void write_host_names(RootFiles& files, const std::string& hostname) {
  mkdir("/etc", 0755);  // where the root has none
  write_hosts(files, hostname);
  if (!hostname.empty()) warn(kHostname, files.replace(kHostname, hostname + "\n"));
}

std::string renamed_hosts(std::string_view text, std::string_view old_name, std::string_view name) {
  const std::string old_line = own_line(old_name);
  std::string hosts;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, std::min(text.find('\n'), text.size() - 1) + 1);
    text.remove_prefix(line.size());
    if (line != old_line) hosts += line;
  }
  const std::string missing = missing_hosts(hosts, name);
  if (!missing.empty() && !hosts.empty() && hosts.back() != '\n') hosts += '\n';
  return hosts + missing;
}

void rename_host(RootFiles& files, const std::string& old_name, const std::string& name) {
  const auto text = read_regular(kHosts);
  if (text) {
    const std::string hosts = renamed_hosts(*text, old_name, name);
    if (hosts != *text) warn(kHosts, files.replace(kHosts, hosts));
  } else if (errno != ENOENT) {
    warn(kHosts, errno);
  }
  warn(kHostname, files.replace(kHostname, name + "\n"));
}

void replace_machine_id(RootFiles& files, const std::string& id) {
  for (const char* path : {"/etc/machine-id", "/var/lib/dbus/machine-id"}) {
    const auto text = read_regular(path);
    // An empty one waits for a first boot.
    if (text && !text->empty()) warn(path, files.replace(path, id + "\n"));
  }
}

bool add_ca_certificates(RootFiles& files, const std::string& pem) {
  bool any = false;
  for (const char* path : kTrustStores) {
    const int error = files.append(path, pem);
    // Nothing there, or no file.
    if (error == ENOENT || error == ENOTDIR || error == ELOOP || error == EINVAL) continue;
    if (error != 0)
      throw SetupError("ca_certs", error, path, "cannot add the CA certificates to a trust store");
    any = true;
  }
  if (!any) console("the root has no trust store; the CA certificates are not added");
  return any;
}

}  // namespace vmette::agent
