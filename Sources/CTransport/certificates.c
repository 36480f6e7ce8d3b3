#include "ctransport.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// ---- what a server shows: certificate, key, and what its authority says of it (RFC 6066 section 8)

struct staple {
  unsigned char *bytes;
  long count;
  /// When it is no longer to be shown; 0 for never.
  time_t expires;
};

static void keep_problem(char problem[256], const char *otherwise) {
  unsigned long code = ERR_peek_last_error();
  const char *reason = code ? ERR_reason_error_string(code) : NULL;
  snprintf(problem, 256, "%s", reason ? reason : otherwise);
  ERR_clear_error();
}

/// Seconds since 1970 at which the first of its answers ends; 0 where none says. -1 when it is no good answer at all.
static time_t end_of_response(const unsigned char *bytes, long count) {
  time_t end = -1;
  OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &bytes, count);
  OCSP_BASICRESP *basic = NULL;
  if (response && OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL)
    basic = OCSP_response_get1_basic(response);
  if (basic && OCSP_resp_count(basic) > 0) {
    end = 0;
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
      ASN1_GENERALIZEDTIME *next = NULL;
      int days, seconds;
      OCSP_single_get0_status(OCSP_resp_get0(basic, i), NULL, NULL, NULL, &next);
      if (!next || !ASN1_TIME_diff(&days, &seconds, NULL, next)) continue;
      time_t until = time(NULL) + (time_t)days * 86400 + seconds;
      if (end == 0 || until < end) end = until;
    }
  }
  OCSP_BASICRESP_free(basic);
  OCSP_RESPONSE_free(response);
  return end;
}

static void *read_file(const char *path, long *count) {
  FILE *file = fopen(path, "rb");
  unsigned char *bytes = NULL;
  if (!file) return NULL;
  if (fseek(file, 0, SEEK_END) == 0 && (*count = ftell(file)) > 0 && *count < 1 << 20) {
    rewind(file);
    bytes = malloc((size_t)*count);
    if (bytes && fread(bytes, 1, (size_t)*count, file) != (size_t)*count) {
      free(bytes);
      bytes = NULL;
    }
  }
  fclose(file);
  return bytes;
}

static int show_staple(SSL *ssl, void *argument) {
  struct staple *staple = argument;
  if (!staple->bytes || (staple->expires && staple->expires <= time(NULL))) return SSL_TLSEXT_ERR_NOACK;
  unsigned char *copy = OPENSSL_memdup(staple->bytes, (size_t)staple->count);
  if (!copy) return SSL_TLSEXT_ERR_NOACK;
  SSL_set_tlsext_status_ocsp_resp(ssl, copy, staple->count);
  return SSL_TLSEXT_ERR_OK;
}

void *ct_staple(void) { return calloc(1, sizeof(struct staple)); }

void ct_staple_free(void *pointer) {
  struct staple *staple = pointer;
  if (!staple) return;
  free(staple->bytes);
  free(staple);
}

int ct_certificate_use(void *ssl_ctx, const char *certificate, const char *key, const char *response, void *pointer,
                       char problem[256]) {
  struct staple *staple = pointer;
  struct staple fresh = {0};
  ERR_clear_error();
  // Read beside what is in use: files that do not fit together change nothing.
  SSL_CTX *beside = SSL_CTX_new(TLS_server_method());
  STACK_OF(X509) *chain = NULL;
  int good = beside && SSL_CTX_use_certificate_chain_file(beside, certificate) == 1 &&
             SSL_CTX_use_PrivateKey_file(beside, key, SSL_FILETYPE_PEM) == 1 && SSL_CTX_check_private_key(beside) == 1;
  if (good && response) {
    fresh.bytes = read_file(response, &fresh.count);
    fresh.expires = fresh.bytes ? end_of_response(fresh.bytes, fresh.count) : -1;
    if (fresh.expires == -1) {
      good = 0;
      ERR_clear_error();
      snprintf(problem, 256, "%.200s is no OCSP response in DER", response);
    }
  } else if (!good) {
    keep_problem(problem, "no reason known");
  }
  EVP_PKEY *old = SSL_CTX_get0_privatekey(ssl_ctx);
  if (good && old && EVP_PKEY_get_base_id(old) != EVP_PKEY_get_base_id(SSL_CTX_get0_privatekey(beside))) {
    // OpenSSL keeps one certificate for each kind of key, and would go on showing the old one to whoever prefers its kind.
    good = 0;
    snprintf(problem, 256, "the key is of another kind than the one in use; that takes a restart");
  }
  if (good) {
    SSL_CTX_get0_chain_certs(beside, &chain);
    good = SSL_CTX_use_cert_and_key(ssl_ctx, SSL_CTX_get0_certificate(beside), SSL_CTX_get0_privatekey(beside), chain, 1) == 1;
    if (!good) keep_problem(problem, "it cannot be used");
  }
  SSL_CTX_free(beside);
  if (!good) {
    free(fresh.bytes);
    return 0;
  }
  free(staple->bytes);
  *staple = fresh;
  SSL_CTX_set_tlsext_status_cb(ssl_ctx, show_staple);
  SSL_CTX_set_tlsext_status_arg(ssl_ctx, staple);
  return fresh.expires && fresh.expires <= time(NULL) ? 2 : 1;
}
