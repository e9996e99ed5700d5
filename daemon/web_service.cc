// SPDX-License-Identifier: Apache-2.0
#include "daemon/web_service.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/clock.h"
#include "daemon/channel.h"
#include "exporters/http/tls.h"
#include "model/codec.h"
#include "settings/regular_file.h"
#include "settings/web_config_file.h"

namespace defused {

namespace {

Result<void> read_pem(const char* key, const std::string& path, std::string& out) {
  if (path.empty()) return {};
  auto text = read_regular_file(path, kMaxPemBytes);
  if (!text) return prepend(std::string("tls_server_config.") + key, text.error());
  out = *std::move(text);
  return {};
}

Result<TlsMaterial> read_material(const TlsSettings& tls) {
  TlsMaterial material;
  if (auto done = read_pem("cert_file", tls.cert_file, material.certificate); !done) return Failure(done.error());
  if (auto done = read_pem("key_file", tls.key_file, material.key); !done) return Failure(done.error());
  if (auto done = read_pem("client_ca_file", tls.client_ca_file, material.client_ca); !done)
    return Failure(done.error());
  if (auto done = check_tls(tls, material); !done) return Failure(done.error());
  return material;
}

Result<CheckedWebConfig> read_checked(const std::string& path) {
  CheckedWebConfig checked;
  if (path.empty()) return checked;
  auto config = read_web_config(path);
  if (!config) return prepend("web.config_file", config.error());
  checked.config = *std::move(config);
  if (!checked.config.tls) return checked;
  auto material = read_material(*checked.config.tls);
  if (!material) return prepend("web.config_file: " + path, material.error());
  checked.material = *std::move(material);
  return checked;
}

Result<void> open_textfile_directory(const std::string& path, WebService& service) {
  if (path.empty()) return {};
  service.textfile.reset(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!service.textfile) return fail_errno(errno, "textfile.directory: " + path);
  struct stat status {};
  if (fstat(service.textfile.get(), &status) < 0) return fail_errno(errno, "textfile.directory: " + path);
  service.directory = {status.st_dev, status.st_ino};
  return {};
}

}  // namespace

Result<WebService> load_web_service(const Settings& settings) {
  const auto checked = read_checked(settings.web.config_file);
  if (!checked) return Failure(checked.error());
  WebService service;
  if (const auto& tls = checked->config.tls) {
    service.tls = true;
    service.warning = tls_warning(*tls, checked->material, SystemClock().now().wall);
  }
  auto memfd = make_sealed_memfd("defused-web", encode_web_config(*checked));
  if (!memfd) return Failure(memfd.error());
  service.web = *std::move(memfd);
  if (auto opened = open_textfile_directory(settings.textfile.directory, service); !opened)
    return Failure(opened.error());
  return service;
}

}  // namespace defused
