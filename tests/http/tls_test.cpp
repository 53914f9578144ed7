/// TLS with a certificate made on the spot.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>

#include "base/expect_error.h"
#include "http/test_server.h"

namespace tintype::http {
namespace {

using tintype::testing::expect_error;
using tintype::testing::TemporaryFolder;

template <auto kFree>
struct Freed {
  template <class T>
  void operator()(T* pointer) const {
    kFree(pointer);
  }
};

/// cert.pem and key.pem of "localhost", signed by itself.
void make_certificate(const std::filesystem::path& folder) {
  const std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>> key(EVP_EC_gen("P-256"));
  const std::unique_ptr<X509, Freed<X509_free>> certificate(X509_new());
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  X509_sign(certificate.get(), key.get(), EVP_sha256());
  std::FILE* out = std::fopen((folder / "cert.pem").c_str(), "w");
  PEM_write_X509(out, certificate.get());
  std::fclose(out);
  out = std::fopen((folder / "key.pem").c_str(), "w");
  PEM_write_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(out);
}

/// One request over TLS of at most `version`; "" where the handshake fails.
std::string request_over_tls(uint16_t port, int version) {
  const RawClient tcp(port);
  const std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>> context(SSL_CTX_new(TLS_client_method()));
  // Security level 0, or the client itself would not offer the old versions.
  SSL_CTX_set_security_level(context.get(), 0);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_VERSION);
  SSL_CTX_set_max_proto_version(context.get(), version);
  const std::unique_ptr<SSL, Freed<SSL_free>> ssl(SSL_new(context.get()));
  SSL_set_fd(ssl.get(), tcp.fd());
  if (SSL_connect(ssl.get()) != 1) return "";
  const std::string text = "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  SSL_write(ssl.get(), text.data(), static_cast<int>(text.size()));
  std::string out;
  char buffer[4096];
  for (int got = 0; (got = SSL_read(ssl.get(), buffer, sizeof(buffer))) > 0;)
    out.append(buffer, static_cast<size_t>(got));
  return out;
}

TEST(Tls, ServesItsCertificateAndRefusesOldVersions) {
  const TemporaryFolder folder;
  make_certificate(folder.path());
  ServerOptions options;
  options.tls_certificate = folder.path() / "cert.pem";
  options.tls_key = folder.path() / "key.pem";
  const TestServer server(add_echo_routes, options);
  const uint16_t port = server.server->port();
  EXPECT_EQ(server.server->url(), "https://127.0.0.1:" + std::to_string(port));
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const std::string answer = request_over_tls(port, version);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK")) << answer;
    EXPECT_TRUE(answer.ends_with("hello")) << answer;
  }
  EXPECT_EQ(request_over_tls(port, TLS1_1_VERSION), "");
  // Plain HTTP on a TLS port is no answer and no harm.
  RawClient plain(port);
  plain.send("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  plain.read_all();
  EXPECT_FALSE(request_over_tls(port, TLS1_3_VERSION).empty());
}

TEST(Tls, BadFilesAreNamed) {
  const TemporaryFolder folder;
  make_certificate(folder.path());
  ServerOptions options;
  options.tls_certificate = folder.path() / "cert.pem";
  const auto start = [&] { TestServer server(add_echo_routes, options); };
  expect_error(ErrorKind::kInvalidArgument, {"tls"}, start);
  options.tls_key = folder.path() / "none.pem";
  expect_error(ErrorKind::kNotFound, {"tls_key"}, start);
  options.tls_key = folder.write("bad.pem", "nonsense");
  expect_error(ErrorKind::kCorruptFile, {"tls_key"}, start);
}

}  // namespace
}  // namespace tintype::http
